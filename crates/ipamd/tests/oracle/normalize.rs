//! Normalization of answers before the comparison: values that a server generates, such as uids and times, are replaced.

use ipam::condition::{ALLOCATED, READY};
use serde_json::{Map, Value, json};

use crate::{compared_kind::ComparedKind, request::is_own, wire::Answer};

/// The rules of the comparison.
#[derive(Clone, Copy)]
pub struct Rules {
    /// The compared kinds.
    pub subject: &'static dyn ComparedKind,
    /// True if managedFields are compared.
    pub managed_fields: bool,
}

impl Rules {
    /// Normalizes an answer.
    pub fn answer(self, answer: &Answer) -> Value {
        let header = |name: &str| {
            let values = answer.headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
            Value::from(values.collect::<Vec<_>>())
        };
        json!({
            "code": answer.code,
            "contentType": header("content-type"),
            "warning": header("warning"),
            "retryAfter": header("retry-after"),
            "body": self.body(answer.json()),
        })
    }

    /// Normalizes an event.
    pub fn event(self, event: &Value) -> Value {
        json!({ "type": event["type"], "object": self.body(event["object"].clone()) })
    }

    /// Normalizes a body.
    pub fn body(self, mut body: Value) -> Value {
        match body["kind"].as_str() {
            Some("Status") => status(&mut body, self),
            Some("Table") => self.table(&mut body),
            _ => self.object(&mut body),
        }
        body
    }

    fn table(self, table: &mut Value) {
        metadata(&mut table["metadata"]);
        let columns = table["columnDefinitions"].clone();
        for row in table["rows"].as_array_mut().into_iter().flatten() {
            self.object(&mut row["object"]);
            for (index, cell) in row["cells"].as_array_mut().into_iter().flatten().enumerate() {
                // Later events of a watch have no column definitions. Their columns are the same.
                let age = ["Age", "Created At"].iter().any(|name| columns[index]["name"] == *name)
                    || (columns.is_null() && self.subject.age_column() == Some(index));
                let is_time = cell.as_str().is_some_and(|cell| cell.starts_with(|c: char| c.is_ascii_digit()));
                if age && is_time {
                    *cell = "<age>".into();
                }
                if self.subject.is_service_column(index) {
                    *cell = "<service>".into();
                }
                if let Some(name) = cell.as_str().and_then(generated) {
                    *cell = name.into();
                }
            }
        }
    }

    /// Normalizes an object or a list of objects.
    fn object(self, object: &mut Value) {
        if let Some(items) = object.get_mut("items").and_then(Value::as_array_mut) {
            for item in items {
                self.object(item);
            }
        }
        if self.subject.has_service() {
            without_service(object);
        }
        self.subject.simplify(object);
        let Some(meta) = object.get_mut("metadata") else { return };
        metadata(meta);
        let Some(meta) = meta.as_object_mut() else { return };
        if !self.managed_fields {
            meta.remove("managedFields");
        }
        if let Some(found) = meta.get_mut("managedFields")
            && let Value::Array(entries) = found
        {
            *found = managed_fields(entries);
        }
        for condition in object.pointer_mut("/status/conditions").and_then(Value::as_array_mut).into_iter().flatten() {
            if let Some(fields) = condition.as_object_mut() {
                fields.entry("lastTransitionTime").and_modify(|time| *time = "<time>".into());
            }
        }
    }
}

/// Removes from an object everything that the service has set: the status except the conditions of clients, if there are any, and
/// the managed fields of the rest of the status.
fn without_service(object: &mut Value) {
    let Some(fields) = object.as_object_mut() else { return };
    let mut status = fields.remove("status").unwrap_or_default();
    if let Some(conditions) = status["conditions"].as_array_mut() {
        conditions.retain(|condition| !is_own(condition));
        if !conditions.is_empty() {
            fields.insert("status".to_owned(), json!({ "conditions": conditions }));
        }
    }
    let entries = object.pointer_mut("/metadata/managedFields").and_then(Value::as_array_mut);
    if let Some(entries) = entries {
        entries.retain_mut(|entry| entry["subresource"] != "status" || leave_foreign(&mut entry["fieldsV1"]));
    }
}

/// Removes the conditions of the service from the managed fields of a status. Returns true if others are left.
fn leave_foreign(owned: &mut Value) -> bool {
    let Some(conditions) = owned.pointer_mut("/f:status/f:conditions").and_then(Value::as_object_mut) else {
        return false;
    };
    let own = [ALLOCATED, READY].map(|name| format!("k:{}", json!({ "type": name })));
    conditions.retain(|key, _| key != "." && !own.contains(key));
    let left = !conditions.is_empty();
    *owned = json!({ "f:status": { "f:conditions": conditions } });
    left
}

fn metadata(meta: &mut Value) {
    let Value::Object(meta) = meta else { return };
    let mark = |meta: &mut Map<String, Value>, name: &str, mark: &str| {
        if let Some(value) = meta.get_mut(name).filter(|value| value.as_str().is_some_and(|text| !text.is_empty())) {
            *value = mark.into();
        }
    };
    for (name, text) in [
        ("uid", "<uid>"),
        ("resourceVersion", "<version>"),
        ("creationTimestamp", "<time>"),
        ("deletionTimestamp", "<time>"),
        ("continue", "<token>"),
    ] {
        mark(meta, name, text);
    }
    if let Some(name) = meta.get("name").and_then(Value::as_str).and_then(generated) {
        meta.insert("name".to_owned(), name.into());
    }
}

/// Returns a placeholder if the name was generated from the `generateName` of these tests.
pub fn generated(name: &str) -> Option<String> {
    let rest = name.strip_prefix("made-")?;
    (rest.len() == 5).then(|| "made-<suffix>".to_owned())
}

/// Converts managed fields to a map by operation, manager and subresource. Times, and therefore the order of the entries, may differ
/// between the two servers, so the map records only whether the order is right.
fn managed_fields(entries: &[Value]) -> Value {
    let text = |entry: &Value, name: &str| entry[name].as_str().unwrap_or_default().to_owned();
    let by_time = |entry: &Value| (text(entry, "operation"), text(entry, "time"), text(entry, "manager"));
    let mut keyed = Map::new();
    if !entries.is_sorted_by_key(by_time) {
        keyed.insert("not in order".to_owned(), true.into());
    }
    for entry in entries {
        let mut key = ["operation", "manager", "subresource"].map(|name| text(entry, name)).join(" ");
        while keyed.contains_key(&key) {
            key.push('+');
        }
        let mut entry = entry.clone();
        if let Some(time) = entry.get_mut("time") {
            *time = "<time>".into();
        }
        keyed.insert(key, entry);
    }
    keyed.into()
}

fn status(status: &mut Value, rules: Rules) {
    for pointer in ["/message", "/details/causes"] {
        let Some(found) = status.pointer_mut(pointer) else { continue };
        each_text(found, &neutral);
        if rules.subject.has_service() {
            // The conditions of the service come first, so the indices differ.
            each_text(found, &|text| without_index(text, "status.conditions["));
        }
    }
    if let Some(details) = status.get_mut("details").and_then(Value::as_object_mut) {
        details.entry("uid").and_modify(|uid| *uid = "<uid>".into());
        if let Some(name) = details.get("name").and_then(Value::as_str).and_then(generated) {
            details.insert("name".to_owned(), name.into());
        }
    }
}

fn each_text(value: &mut Value, change: &dyn Fn(&str) -> String) {
    match value {
        Value::String(text) => *text = change(text),
        Value::Array(items) => items.iter_mut().for_each(|item| each_text(item, change)),
        Value::Object(fields) => fields.values_mut().for_each(|field| each_text(field, change)),
        _ => {}
    }
}

/// Removes the number after each `list` from a text.
fn without_index(text: &str, list: &str) -> String {
    let mut parts = text.split(list);
    let start = parts.next().unwrap_or_default().to_owned();
    parts.fold(start, |out, part| out + list + part.trim_start_matches(|c: char| c.is_ascii_digit()))
}

/// Replaces uids, times and resourceVersions in a message.
fn neutral(text: &str) -> String {
    let is_word = |c: char| c.is_ascii_alphanumeric() || "-:.".contains(c);
    let mut out = String::new();
    let mut word = String::new();
    for c in text.chars().map(Some).chain([None]) {
        if let Some(c) = c.filter(|c| is_word(*c)) {
            word.push(c);
            continue;
        }
        out += &neutral_word(&word, &out);
        word.clear();
        out.extend(c);
    }
    out
}

fn neutral_word(word: &str, before: &str) -> String {
    let core = word.trim_end_matches([':', '.']);
    let end = &word[core.len()..];
    let about_version =
        ["precondition: ", "object meta: ", "resource version: ", "current: ", "precondition (", "record ("]
            .iter()
            .any(|text| before.ends_with(text));
    let neutral = if core.len() == 36 && core.bytes().filter(|byte| *byte == b'-').count() == 4 {
        "<uid>"
    } else if core.len() == 20 && core.ends_with('Z') && core.as_bytes()[10] == b'T' {
        "<time>"
    } else if about_version && !core.is_empty() && core.bytes().all(|byte| byte.is_ascii_digit()) {
        "<version>"
    } else {
        return word.to_owned();
    };
    format!("{neutral}{end}")
}
