//! Where two values differ.

use std::fmt;

use serde_json::Value;

/// One place where the answers differ. What is absent is null: a server that answers null where the other answers
/// nothing is told apart by the text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Where.
    pub pointer: String,
    /// What our server says there; `None` is nothing.
    pub ours: Option<Value>,
    /// What kube-apiserver says there.
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

/// The beginning of a text.
pub fn shortened(text: &str, length: usize) -> String {
    match text.char_indices().nth(length) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// All differences. Of answers with different codes the bodies have nothing in common: only what they say is of interest.
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

/// The same for differences that are most likely one: places without names and numbers, values without what varies.
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

/// A value without what varies.
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
