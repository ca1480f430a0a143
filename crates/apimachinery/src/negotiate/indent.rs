//! Indents JSON.

use super::layout_bytes_max;

/// The size of the output is checked after each such piece of input.
const CHECKED_BYTES: usize = 4 * 1024;

/// Indents JSON with two spaces per level. Numbers, texts and the order of fields stay as they are. Returns `None` if
/// deep nesting makes the result too large.
pub fn indent(json: &[u8]) -> Option<Vec<u8>> {
    let bytes_max = layout_bytes_max(json.len());
    let mut out = Vec::with_capacity(json.len() * 2);
    let mut indenter = Indenter::default();
    for piece in json.chunks(CHECKED_BYTES) {
        indenter.push(piece, &mut out);
        if out.len() > bytes_max {
            return None;
        }
    }
    Some(out)
}

/// Indents JSON that arrives in pieces.
#[derive(Clone, Copy, Debug, Default)]
pub struct Indenter {
    depth: usize,
    text: Text,
    /// True after an opening bracket: a line break follows unless the bracket is closed at once.
    is_open: bool,
}

impl Indenter {
    /// Appends the next piece to `out`.
    pub fn push(&mut self, json: &[u8], out: &mut Vec<u8>) {
        for &byte in json {
            if self.text == Text::Outside {
                self.push_outside(byte, out);
            } else {
                out.push(byte);
                self.text = self.text.step(byte);
            }
        }
    }

    fn push_outside(&mut self, byte: u8, out: &mut Vec<u8>) {
        if matches!(byte, b' ' | b'\t' | b'\r' | b'\n') {
            return;
        }
        let closes = matches!(byte, b'}' | b']');
        if closes {
            self.depth = self.depth.saturating_sub(1);
        }
        if self.is_open != closes {
            self.break_line(out);
        }
        out.push(byte);
        self.is_open = matches!(byte, b'{' | b'[');
        match byte {
            b'{' | b'[' => self.depth += 1,
            b',' => self.break_line(out),
            b':' => out.push(b' '),
            _ => self.text = self.text.step(byte),
        }
    }

    fn break_line(self, out: &mut Vec<u8>) {
        out.push(b'\n');
        out.resize(out.len() + self.depth * 2, b' ');
    }
}

/// Position of a byte relative to JSON strings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Text {
    #[default]
    Outside,
    Inside,
    /// After a backslash.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indenting_in_pieces_equals_indenting_the_whole() {
        let json = br#"{"a" : [ ], "b":{"c":[1,{"d":"[\"}\\"}],"e":{}},"f":"\\","g":[[],[2]]}"#;
        let whole = indent(json).unwrap();
        assert_eq!(
            serde_json::to_string_pretty(&serde_json::from_slice::<serde_json::Value>(json).unwrap())
                .unwrap()
                .as_bytes(),
            whole
        );
        for size in 1..json.len() {
            let (mut indenter, mut out) = (Indenter::default(), Vec::new());
            for piece in json.chunks(size) {
                indenter.push(piece, &mut out);
            }
            assert_eq!(out, whole, "in pieces of {size}");
        }
    }
}
