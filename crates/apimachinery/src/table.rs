//! Tables for `kubectl get`, and `PartialObjectMetadata` for controllers.

use std::borrow::Borrow;

use serde_json::{Value, json};

use crate::{
    list_meta::ListMeta,
    negotiate::IncludeObject,
    object::Object,
    resource::{Cell, Column, Resource},
    time::Time,
};

/// Converts objects to a `meta.k8s.io Table`. `with_columns` includes the column definitions; in a watch only the first
/// event has them.
pub fn table<O: Borrow<Object>>(
    resource: &Resource,
    objects: &[O],
    meta: &ListMeta,
    include: IncludeObject,
    v1beta1: bool,
    now: Time,
    with_columns: bool,
) -> Value {
    let columns = if with_columns { definitions(resource) } else { Value::Null };
    let rows: Vec<Value> = objects.iter().map(|object| row(resource, object.borrow(), include, v1beta1, now)).collect();
    json!({
        "kind": "Table",
        "apiVersion": meta_version(v1beta1),
        "metadata": meta.to_value(),
        "columnDefinitions": columns,
        "rows": rows,
    })
}

/// Converts an object to a `PartialObjectMetadata`.
pub fn partial(object: &Object, v1beta1: bool) -> Value {
    json!({
        "kind": "PartialObjectMetadata",
        "apiVersion": meta_version(v1beta1),
        "metadata": object.metadata,
    })
}

/// Formats a duration as kubectl formats ages: with two units while the smaller is relevant, such as `45s`, `3h12m`,
/// `5d` (`k8s.io/apimachinery/pkg/util/duration`).
pub fn human_duration(seconds: i64) -> String {
    const MINUTE: i64 = 60;
    const HOUR: i64 = 60 * MINUTE;
    const DAY: i64 = 24 * HOUR;
    const YEAR: i64 = 365 * DAY;
    match seconds {
        // Clocks may differ by about a second.
        i64::MIN..-1 => "<invalid>".to_owned(),
        -1 => "0s".to_owned(),
        0..120 => format!("{seconds}s"),
        120..600 => two_units(seconds, (MINUTE, "m"), (1, "s")),
        600..10_800 => format!("{}m", seconds / MINUTE),
        10_800..28_800 => two_units(seconds, (HOUR, "h"), (MINUTE, "m")),
        28_800..172_800 => format!("{}h", seconds / HOUR),
        172_800..691_200 => two_units(seconds, (DAY, "d"), (HOUR, "h")),
        691_200..63_072_000 => format!("{}d", seconds / DAY),
        63_072_000..252_288_000 => two_units(seconds, (YEAR, "y"), (DAY, "d")),
        252_288_000.. => format!("{}y", seconds / YEAR),
    }
}

/// `3h12m`, or `3h` if the smaller unit is zero.
fn two_units(seconds: i64, (large, large_name): (i64, &str), (small, small_name): (i64, &str)) -> String {
    match seconds % large / small {
        0 => format!("{}{large_name}", seconds / large),
        rest => format!("{}{large_name}{rest}{small_name}", seconds / large),
    }
}

/// The `meta.k8s.io` version of tables and partial metadata.
pub fn meta_version(v1beta1: bool) -> &'static str {
    if v1beta1 { "meta.k8s.io/v1beta1" } else { "meta.k8s.io/v1" }
}

/// Column definitions of a table.
pub fn definitions(resource: &Resource) -> Value {
    resource.columns.iter().map(definition).collect()
}

fn definition(column: &Column) -> Value {
    json!({
        "name": column.name,
        "type": column.column_type,
        "format": column.format,
        "description": column.description,
        "priority": column.priority,
    })
}

/// The table row of an object.
pub fn row(resource: &Resource, object: &Object, include: IncludeObject, v1beta1: bool, now: Time) -> Value {
    let cells: Vec<Value> = resource.columns.iter().map(|column| cell(column, object, now)).collect();
    let object = match include {
        IncludeObject::Metadata => partial(object, v1beta1),
        IncludeObject::Object => object.to_value(),
        IncludeObject::None => Value::Null,
    };
    json!({"cells": cells, "object": object})
}

fn cell(column: &Column, object: &Object, now: Time) -> Value {
    match column.cell {
        Cell::Name => Value::from(object.metadata.name.as_str()),
        Cell::Age => Value::from(age(object.metadata.creation_timestamp, now)),
        Cell::Pointer(pointer) => typed(column.column_type, find(object, pointer), now),
        Cell::Computed(compute) => compute(object),
        Cell::Since(compute) => Value::from(age(compute(object), now)),
    }
}

/// Formats the time since `since`. Without a time, as in a bookmark, it is `<unknown>`.
fn age(since: Option<Time>, now: Time) -> String {
    since.map_or_else(|| "<unknown>".to_owned(), |since| human_duration(now.as_second() - since.as_second()))
}

/// The value at a JSON pointer in an object.
fn find(object: &Object, pointer: &str) -> Value {
    let path = pointer.strip_prefix('/').unwrap_or(pointer);
    let (top, rest) =
        path.split_once('/').map_or((path, ""), |(top, rest)| (top, &path[path.len() - rest.len() - 1..]));
    if top == "metadata" {
        return json!(object.metadata).pointer(rest).cloned().unwrap_or_default();
    }
    object.field(top).pointer(rest).cloned().unwrap_or_default()
}

/// Converts a value to a cell of a column type, as Kubernetes does for custom resources. kubectl prints cells
/// unchanged, and nothing for `null`.
fn typed(column_type: &str, value: Value, now: Time) -> Value {
    match (column_type, value) {
        (_, Value::Null) => Value::Null,
        ("date", Value::String(text)) => match text.parse() {
            Ok(since) => Value::from(age(Some(since), now)),
            Err(_) => Value::from("<invalid>"),
        },
        ("integer", Value::Number(number)) => {
            number.as_i64().map_or_else(|| number.as_u64().map_or(Value::Null, Value::from), Value::from)
        }
        ("string", value @ Value::String(_))
        | ("number", value @ Value::Number(_))
        | ("boolean", value @ Value::Bool(_)) => value,
        ("string", value) => Value::from(value.to_string()),
        _ => Value::Null,
    }
}

#[cfg(test)]
mod tests;
