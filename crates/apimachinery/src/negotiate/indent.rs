//! JSON for people: one field a line.

use super::layout_bytes_max;

/// The same JSON, laid out anew with two spaces a level. Numbers, texts and the order of fields stay as they are written.
/// `None`: it nests so deep that it would be far longer.
pub fn indent(json: &[u8]) -> Option<Vec<u8>> {
    let bytes_max = layout_bytes_max(json.len());
    let mut out = Vec::with_capacity(json.len() * 2);
    let mut depth: usize = 0;
    let mut text = Text::Outside;
    for &byte in json {
        if text != Text::Outside {
            out.push(byte);
            text = text.step(byte);
            continue;
        }
        match byte {
            b' ' | b'\t' | b'\r' | b'\n' => {}
            b'{' | b'[' => {
                out.push(byte);
                depth += 1;
                break_line(&mut out, depth);
            }
            b'}' | b']' => {
                depth = depth.saturating_sub(1);
                // Nothing but the break stands after the opening bracket of what is empty.
                let end = out.trim_ascii_end().len();
                out.truncate(end);
                if !matches!(out.last(), Some(b'{' | b'[')) {
                    break_line(&mut out, depth);
                }
                out.push(byte);
            }
            b',' => {
                out.push(byte);
                break_line(&mut out, depth);
            }
            b':' => out.extend_from_slice(b": "),
            _ => {
                out.push(byte);
                text = text.step(byte);
            }
        }
        if out.len() > bytes_max {
            return None;
        }
    }
    (out.len() <= bytes_max).then_some(out)
}

fn break_line(out: &mut Vec<u8>, depth: usize) {
    out.push(b'\n');
    out.resize(out.len() + depth * 2, b' ');
}

/// Whether a byte is part of a text, where it means nothing but itself.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Text {
    Outside,
    Inside,
    /// Behind a backslash.
    Escaped,
}

impl Text {
    fn step(self, byte: u8) -> Self {
        match (self, byte) {
            (Self::Outside, b'"') | (Self::Escaped, _) => Self::Inside,
            (Self::Inside, b'\\') => Self::Escaped,
            (Self::Inside, b'"') => Self::Outside,
            (same, _) => same,
        }
    }
}
