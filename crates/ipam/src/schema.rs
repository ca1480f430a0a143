//! Conversion of Rust types to the OpenAPI v3 schemas that Kubernetes clients accept.
//!
//! schemars generates JSON Schema; kubectl and the code generators need structural schemas: everything inline, no
//! `$ref`, no `null`, enumerations as plain `enum`. Only the form is converted; descriptions come from the types.
//! Printer column helpers are here as well.

use apimachinery::resource::{Cell, Column};
use schemars::{JsonSchema, generate::SchemaSettings};
use serde_json::{Map, Value};

/// Returns the schema of a kind with its `spec` and `status`.
pub(crate) fn of<T: JsonSchema>() -> Value {
    let settings = SchemaSettings::openapi3().with(|settings| {
        settings.inline_subschemas = true;
        settings.meta_schema = None;
    });
    let mut schema = settings.into_generator().into_root_schema_for::<T>().to_value();
    to_structural(&mut schema);
    schema
}

/// Converts a schema and its subschemas to the structural form.
fn to_structural(schema: &mut Value) {
    let Value::Object(keywords) = schema else {
        return;
    };
    for keyword in ["$schema", "title", "nullable", "default"] {
        keywords.remove(keyword);
    }
    // Unknown fields are pruned, as in custom resources; the schema does not reject them.
    if keywords.get("additionalProperties") == Some(&Value::Bool(false)) {
        keywords.remove("additionalProperties");
    }
    unwrap_option(keywords);
    join_lines(keywords);
    join_variants(keywords);
    if let Some(Value::Array(values)) = keywords.get_mut("enum") {
        values.retain(|value| !value.is_null());
    }
    if let Some(Value::Object(properties)) = keywords.get_mut("properties") {
        properties.values_mut().for_each(to_structural);
    }
    for inner in ["items", "additionalProperties"] {
        if let Some(schema) = keywords.get_mut(inner) {
            to_structural(schema);
        }
    }
}

/// Unwraps the schema of an `Option` of a struct: `anyOf` of the struct and `null` becomes the struct, with the field's
/// description.
fn unwrap_option(keywords: &mut Map<String, Value>) {
    let Some(Value::Array(choices)) = keywords.get_mut("anyOf") else {
        return;
    };
    choices.retain(|choice| choice["type"] != "null" && choice["enum"] != Value::Array(vec![Value::Null]));
    if let [Value::Object(only)] = choices.as_mut_slice() {
        let only = std::mem::take(only);
        keywords.remove("anyOf");
        for (keyword, value) in only {
            keywords.entry(keyword).or_insert(value);
        }
    }
}

/// Removes the line breaks of doc comments from a description. Paragraph breaks stay.
fn join_lines(keywords: &mut Map<String, Value>) {
    if let Some(Value::String(description)) = keywords.get_mut("description") {
        let paragraphs = description.split("\n\n").map(|paragraph| paragraph.replace('\n', " "));
        *description = paragraphs.collect::<Vec<_>>().join("\n\n");
    }
}

/// Converts a `oneOf` of documented single values into one `enum`. The variants' comments become a list in the
/// description, which `kubectl explain` shows.
fn join_variants(keywords: &mut Map<String, Value>) {
    let Some(Value::Array(variants)) = keywords.remove("oneOf") else {
        return;
    };
    let mut values = Vec::new();
    let mut lines = vec![keywords.get("description").and_then(Value::as_str).unwrap_or_default().to_owned()];
    for variant in variants {
        let names: Vec<Value> = variant["enum"].as_array().cloned().unwrap_or_default();
        if let (Some(name), Some(said)) = (names.first().and_then(Value::as_str), variant["description"].as_str()) {
            lines.push(format!(" - {name}: {}", said.replace('\n', " ")));
        }
        values.extend(names);
    }
    keywords.insert("type".to_owned(), "string".into());
    keywords.insert("enum".to_owned(), Value::Array(values));
    keywords.insert("description".to_owned(), lines.join("\n").into());
}

/// Builds a text column.
pub(crate) const fn column(name: &'static str, description: &'static str, priority: i32, cell: Cell) -> Column {
    Column { name, column_type: "string", format: "", description, priority, cell }
}
