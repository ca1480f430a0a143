//! Differences between two JSON values.

use std::fmt;

use serde_json::Value;

/// One place where the answers differ. An absent value is `None`; an explicit null is `Some(Value::Null)`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The JSON pointer of the place.
    pub pointer: String,
    /// The value in our answer.
    pub ours: Option<Value>,
    /// The value in the answer of kube-apiserver.
    pub theirs: Option<Value>,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let show = |value: &Option<Value>| {
            value.as_ref().map_or("nothing".to_owned(), |value| shortened(&value.to_string(), 600))
        };
        write!(f, "{}\n      ours:   {}\n      theirs: {}", self.pointer, show(&self.ours), show(&self.theirs))
    }
}

/// Returns the first `length` characters of a text.
pub fn shortened(text: &str, length: usize) -> String {
    match text.char_indices().nth(length) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// Returns all differences. If the status codes differ, the only difference of the bodies that is returned is that of the message.
pub fn differences(ours: &Value, theirs: &Value) -> Vec<Difference> {
    let mut found = Vec::new();
    walk(String::new(), Some(ours), Some(theirs), &mut found);
    if found.iter().any(|difference| difference.pointer == "/code") {
        found.retain(|difference| !difference.pointer.starts_with("/body/") || difference.pointer == "/body/message");
    }
    found
}

fn walk(pointer: String, ours: Option<&Value>, theirs: Option<&Value>, found: &mut Vec<Difference>) {
    match (ours, theirs) {
        _ if ours == theirs => {}
        (Some(Value::Object(a)), Some(Value::Object(b))) => {
            for name in a.keys().chain(b.keys().filter(|name| !a.contains_key(*name))) {
                let step = name.replace('~', "~0").replace('/', "~1");
                walk(format!("{pointer}/{step}"), a.get(name), b.get(name), found);
            }
        }
        (Some(Value::Array(a)), Some(Value::Array(b))) if a.len() == b.len() => {
            for (index, (a, b)) in a.iter().zip(b).enumerate() {
                walk(format!("{pointer}/{index}"), Some(a), Some(b), found);
            }
        }
        _ => found.push(Difference { pointer, ours: ours.cloned(), theirs: theirs.cloned() }),
    }
}

/// Returns a text that is equal for differences that probably have the same cause: pointers without names and numbers, values without
/// their variable parts.
pub fn signature(differences: &[Difference]) -> String {
    let mut parts: Vec<String> = differences
        .iter()
        .map(|difference| {
            let pointer: Vec<&str> = difference
                .pointer
                .split('/')
                .map(|step| {
                    if step.len() == 1 || step.bytes().all(|b| b.is_ascii_digit()) && !step.is_empty() {
                        "#"
                    } else {
                        step
                    }
                })
                .collect();
            let kind = |value: &Option<Value>| match value {
                None => "nothing".to_owned(),
                Some(Value::String(_)) if difference.pointer.contains("/details/") => "text".to_owned(),
                Some(Value::Array(items)) => format!("[{}]", items.iter().map(outline).collect::<Vec<_>>().join(",")),
                Some(value) => outline(value),
            };
            format!("{}:{}|{}", pointer.join("/"), kind(&difference.ours), kind(&difference.theirs))
        })
        .collect();
    parts.sort();
    parts.dedup();
    parts.join(" ")
}

/// Returns a text of a value without its variable parts.
fn outline(value: &Value) -> String {
    match value {
        Value::String(text) => {
            let outside_of_quotes = text.split('"').step_by(2).collect::<Vec<_>>().join("\"");
            outside_of_quotes.chars().filter(|c| !c.is_ascii_digit()).collect()
        }
        Value::Array(_) => "[]".to_owned(),
        Value::Object(_) => "{}".to_owned(),
        other => other.to_string(),
    }
}
