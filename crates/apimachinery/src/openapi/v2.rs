//! Converts the documents to `OpenAPI` v2 (Swagger 2.0), which kube-apiserver aggregates, kubectl up to 1.28 uses for
//! validation, and Terraform reads.
//!
//! The v3 documents are the only source. Swagger has fewer keywords; unsupported ones are dropped, because one of them
//! would make the merged document of the cluster unreadable.

use serde_json::{Map, Value, json};

/// Keywords of a Swagger schema, except those with prefix `x-`.
const SCHEMA_WORDS: [&str; 29] = [
    "additionalProperties",
    "allOf",
    "default",
    "description",
    "discriminator",
    "enum",
    "example",
    "exclusiveMaximum",
    "exclusiveMinimum",
    "externalDocs",
    "format",
    "items",
    "maxItems",
    "maxLength",
    "maxProperties",
    "maximum",
    "minItems",
    "minLength",
    "minProperties",
    "minimum",
    "multipleOf",
    "pattern",
    "properties",
    "readOnly",
    "required",
    "title",
    "type",
    "uniqueItems",
    "xml",
];
/// Prefixes of schema references in v3 and in v2.
const COMPONENTS: (&str, &str) = ("#/components/schemas/", "#/definitions/");
/// Media type whose schema is used for a response.
const JSON: &str = "application/json";

/// `GET /openapi/v2`: merges v3 documents. A type that occurs in several documents must be equal in all of them.
pub fn v2(documents: &[Value]) -> Value {
    let (mut paths, mut definitions) = (Map::new(), Map::new());
    for document in documents {
        paths.extend(mapped(&document["paths"], path_item));
        definitions.extend(mapped(&document["components"]["schemas"], schema));
    }
    let info =
        documents.first().map_or_else(|| json!({"title": "", "version": ""}), |document| document["info"].clone());
    json!({"swagger": "2.0", "info": info, "paths": paths, "definitions": definitions})
}

/// Returns the map with each value converted.
fn mapped(map: &Value, change: fn(&Value) -> Value) -> Map<String, Value> {
    map.as_object().into_iter().flatten().map(|(name, value)| (name.clone(), change(value))).collect()
}

fn listed(list: &Value, change: fn(&Value) -> Value) -> Vec<Value> {
    list.as_array().into_iter().flatten().map(change).collect()
}

fn path_item(item: &Value) -> Value {
    let mut converted = mapped(item, operation);
    converted.insert("parameters".to_owned(), Value::Array(listed(&item["parameters"], parameter)));
    Value::Object(converted)
}

fn operation(operation: &Value) -> Value {
    let Some(fields) = operation.as_object() else { return Value::Null };
    let mut converted = fields.clone();
    let mut parameters = listed(&operation["parameters"], parameter);
    if let Some(body) = converted.remove("requestBody") {
        converted.insert("consumes".to_owned(), media_types(&body["content"]));
        let required = body["required"] == true;
        parameters.push(
            json!({"name": "body", "in": "body", "required": required, "schema": media_schema(&body["content"])}),
        );
    }
    converted.insert("produces".to_owned(), media_types(&operation["responses"]["200"]["content"]));
    converted.insert("parameters".to_owned(), Value::Array(parameters));
    converted.insert("responses".to_owned(), Value::Object(mapped(&operation["responses"], response)));
    Value::Object(converted)
}

/// In v2 the schema keywords of a parameter are beside its name.
fn parameter(parameter: &Value) -> Value {
    let mut converted = parameter.as_object().cloned().unwrap_or_default();
    if let Some(Value::Object(words)) = converted.remove("schema") {
        converted.extend(words);
    }
    Value::Object(converted)
}

fn response(response: &Value) -> Value {
    let mut converted = json!({"description": response["description"]});
    if response.get("content").is_some() {
        converted["schema"] = media_schema(&response["content"]);
    }
    converted
}

fn media_types(content: &Value) -> Value {
    content.as_object().into_iter().flat_map(Map::keys).map(String::as_str).collect()
}

/// The schema of the JSON form, or of the first media type.
fn media_schema(content: &Value) -> Value {
    let first = || content.as_object().and_then(|media| media.values().next());
    content.get(JSON).or_else(first).map_or(Value::Null, |media| schema(&media["schema"]))
}

fn schema(value: &Value) -> Value {
    let Some(words) = value.as_object() else { return value.clone() };
    if let Some(reference) = reference(words) {
        return reference;
    }
    let known = words.iter().filter(|(word, _)| word.starts_with("x-") || SCHEMA_WORDS.contains(&word.as_str()));
    let converted = known.map(|(word, value)| {
        let value = match word.as_str() {
            "properties" => Value::Object(mapped(value, schema)),
            "allOf" => Value::Array(listed(value, schema)),
            "items" | "additionalProperties" => schema(value),
            _ => value.clone(),
        };
        (word.clone(), value)
    });
    Value::Object(converted.collect())
}

/// Converts a reference. The description is put beside it, because readers of v2 ignore `allOf`.
fn reference(words: &Map<String, Value>) -> Option<Value> {
    let alone = match words.get("allOf").and_then(Value::as_array).map(Vec::as_slice) {
        Some([only]) => only.get("$ref"),
        _ => None,
    };
    let component = words.get("$ref").or(alone)?.as_str()?.strip_prefix(COMPONENTS.0)?;
    let mut reference = json!({"$ref": format!("{}{component}", COMPONENTS.1)});
    if let Some(description) = words.get("description") {
        reference["description"] = description.clone();
    }
    Some(reference)
}

#[cfg(test)]
mod tests;
