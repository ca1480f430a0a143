//! Order and text of JSON values in paths. Both are visible in API responses (keys of `fieldsV1`, conflict messages),
//! so they follow the Go implementation of Kubernetes.

use std::{cmp::Ordering, fmt::Write, ops::Range};

use serde_json::{Number, Value};

/// Total order over all values: numbers, strings, booleans, lists, maps, null. Numbers are compared by value, so `1`
/// equals `1.0`.
pub(super) fn compare(left: &Value, right: &Value) -> Ordering {
    match (left, right) {
        (Value::Number(left), Value::Number(right)) => compare_numbers(left, right),
        (Value::String(left), Value::String(right)) => left.cmp(right),
        (Value::Bool(left), Value::Bool(right)) => left.cmp(right),
        (Value::Array(left), Value::Array(right)) => {
            let unequal = left.iter().zip(right).map(|(left, right)| compare(left, right)).find(|order| order.is_ne());
            unequal.unwrap_or_else(|| left.len().cmp(&right.len()))
        }
        (Value::Object(left), Value::Object(right)) => {
            let pairs = left.iter().zip(right);
            let mut orders = pairs.map(|((a, left), (b, right))| a.cmp(b).then_with(|| compare(left, right)));
            orders.find(|order| order.is_ne()).unwrap_or_else(|| left.len().cmp(&right.len()))
        }
        (left, right) => rank(left).cmp(&rank(right)),
    }
}

/// True if two values are equal in this order.
pub(super) fn equal(left: &Value, right: &Value) -> bool {
    compare(left, right).is_eq()
}

fn rank(value: &Value) -> u8 {
    match value {
        Value::Number(_) => 0,
        Value::String(_) => 1,
        Value::Bool(_) => 2,
        Value::Array(_) => 3,
        Value::Object(_) => 4,
        Value::Null => 5,
    }
}

fn compare_numbers(left: &Number, right: &Number) -> Ordering {
    match (integer(left), integer(right)) {
        (Some(left), Some(right)) => left.cmp(&right),
        (Some(left), None) => compare_mixed(left, float(right)),
        (None, Some(right)) => compare_mixed(right, float(left)).reverse(),
        (None, None) => float(left).partial_cmp(&float(right)).unwrap_or(Ordering::Equal),
    }
}

/// Compares an integer with a float. Go rounds the integer to a float, but that order is not transitive. A float too
/// large to have a fraction is compared as the integer that it is written as, so that it stays equal after decoding.
fn compare_mixed(left: i128, right: f64) -> Ordering {
    if FLOATS_WITHOUT_FRACTION.contains(&right.abs())
        && let Ok(right) = right.to_string().parse::<i128>()
    {
        return left.cmp(&right);
    }
    (left as f64).partial_cmp(&right).unwrap_or(Ordering::Equal)
}

/// From the first float whose neighbors are integers, to far beyond the range of 64-bit integers.
const FLOATS_WITHOUT_FRACTION: Range<f64> = 9_007_199_254_740_992.0..1e21;

fn integer(number: &Number) -> Option<i128> {
    number.as_i64().map(i128::from).or_else(|| number.as_u64().map(i128::from))
}

fn float(number: &Number) -> f64 {
    number.as_f64().unwrap_or_default()
}

/// Encodes a value as Go's `encoding/json` does: compact, with `<`, `>` and `&` escaped, keys in order.
pub(super) fn write_json(value: &Value, out: &mut String) {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
        Value::Number(number) => match integer(number) {
            Some(integer) => out.push_str(&integer.to_string()),
            None => write_float(float(number), &PLAIN_IN_JSON, out),
        },
        Value::String(text) => write_string(text, EscapeHtml::Yes, out),
        Value::Array(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                separate(index, out);
                write_json(item, out);
            }
            out.push(']');
        }
        Value::Object(fields) => {
            out.push('{');
            for (index, (name, value)) in fields.iter().enumerate() {
                separate(index, out);
                write_string(name, EscapeHtml::Yes, out);
                out.push(':');
                write_json(value, out);
            }
            out.push('}');
        }
    }
}

/// Writes a comma before every entry except the first.
pub(super) fn separate(index: usize, out: &mut String) {
    if index > 0 {
        out.push(',');
    }
}

/// Escaping of characters that are special in HTML.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum EscapeHtml {
    Yes,
    No,
}

/// Writes a JSON string.
pub(super) fn write_string(text: &str, escape_html: EscapeHtml, out: &mut String) {
    out.push('"');
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' if escape_html == EscapeHtml::Yes => escape(character, out),
            '\0'..='\u{1f}' => escape(character, out),
            _ => out.push(character),
        }
    }
    out.push('"');
}

fn escape(character: char, out: &mut String) {
    let _infallible = write!(out, "\\u{:04x}", u32::from(character));
}

/// Range of magnitudes written without an exponent in JSON.
const PLAIN_IN_JSON: Range<f64> = 1e-6..1e21;
/// The same for messages, as Go's `%v`.
const PLAIN_IN_TEXT: Range<f64> = 1e-4..1e6;

fn write_float(number: f64, plain: &Range<f64>, out: &mut String) {
    let size = number.abs();
    if size == 0.0 || plain.contains(&size) {
        let _infallible = write!(out, "{number}");
        return;
    }
    let text = format!("{number:e}");
    let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let _infallible = match exponent.strip_prefix('-') {
        Some(exponent) => write!(out, "{digits}e-{exponent:0>2}"),
        None => write!(out, "{digits}e+{exponent:0>2}"),
    };
}

/// Formats a value for a path in messages: strings quoted, maps as `key=value`.
pub(super) fn describe(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(value) => value.to_string(),
        Value::Number(number) => describe_number(number),
        Value::String(text) => quote(text),
        Value::Array(items) => format!("[{}]", items.iter().map(describe).collect::<Vec<_>>().join(",")),
        Value::Object(fields) => {
            let entries = fields.iter().map(|(name, value)| format!("{name}={}", describe(value)));
            entries.collect::<Vec<_>>().concat()
        }
    }
}

fn describe_number(number: &Number) -> String {
    if let Some(integer) = integer(number) {
        return integer.to_string();
    }
    let mut text = String::new();
    write_float(float(number), &PLAIN_IN_TEXT, &mut text);
    text
}

/// Formats a string as Go's `%q`.
pub(super) fn quote(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for character in text.chars() {
        let _infallible = match character {
            '"' | '\\' => write!(out, "\\{character}"),
            '\u{7}' => out.write_str("\\a"),
            '\u{8}' => out.write_str("\\b"),
            '\t' => out.write_str("\\t"),
            '\n' => out.write_str("\\n"),
            '\u{b}' => out.write_str("\\v"),
            '\u{c}' => out.write_str("\\f"),
            '\r' => out.write_str("\\r"),
            '\0'..='\u{1f}' | '\u{7f}' => write!(out, "\\x{:02x}", u32::from(character)),
            _ if character != ' ' && (character.is_control() || character.is_whitespace()) => {
                write!(out, "\\u{:04x}", u32::from(character))
            }
            _ => out.write_char(character),
        };
    }
    out.push('"');
    out
}
