//! Migration from client-side to server-side apply: `kubectl` keeps the last configuration of a client-side apply in an
//! annotation.
//!
//! Applies only to a manager with exactly this name; another name opts out.

use serde_json::Value;

use super::{
    schema::Schema,
    set::FieldSet,
    typed::{Strictness, Typed},
    value,
};
use crate::{body::decode, limits::ANNOTATIONS_BYTES_MAX};

/// The manager for which the annotation is used.
pub(super) const KUBECTL: &str = "kubectl";
/// Annotation with the last configuration of a client-side apply.
const ANNOTATION: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// The paths whose values still equal the last client-side apply; `None` if the annotation is missing or unusable.
pub(super) fn unchanged_since_last_applied(schema: &Schema, api_version: &str, live: &Typed<'_>) -> Option<FieldSet> {
    let text = live.value().pointer("/metadata/annotations")?.get(ANNOTATION)?.as_str()?;
    let last = decode(None, text.as_bytes()).ok()?.value;
    if last.get("apiVersion")? != api_version {
        return None;
    }
    let live = schema.typed(live.value(), Strictness::Strict).ok()?;
    let last = schema.typed(&last, Strictness::Strict).ok()?;
    let comparison = last.compare(&live);
    let same = last.to_field_set().difference(&comparison.modified);
    Some(same.difference(&comparison.added).difference(&comparison.removed))
}

/// Sets the annotation to the configuration, if the annotation is present.
pub(super) fn update_last_applied(object: &mut Value, config: &Value) {
    let Some(annotations) = object.pointer_mut("/metadata/annotations").and_then(Value::as_object_mut) else {
        return;
    };
    if annotations.get(ANNOTATION).and_then(Value::as_str).is_none_or(str::is_empty) {
        return;
    }
    let mut config = config.clone();
    match config.pointer_mut("/metadata/annotations") {
        Some(Value::Object(given)) => drop(given.remove(ANNOTATION)),
        Some(_) => drop(config["metadata"].as_object_mut().map(|metadata| metadata.remove("annotations"))),
        None => {}
    }
    let mut text = String::new();
    value::write_json(&config, &mut text);
    text.push('\n');
    annotations.insert(ANNOTATION.to_owned(), text.into());
    let size = |(key, value): (&String, &Value)| key.len() + value.as_str().map_or(0, str::len);
    if annotations.iter().map(size).sum::<usize>() > ANNOTATIONS_BYTES_MAX {
        annotations.remove(ANNOTATION);
    }
}
