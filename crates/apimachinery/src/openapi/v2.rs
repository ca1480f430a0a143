//! The same documents in `OpenAPI` v2, which is Swagger 2.0: what kube-apiserver merges into its own, what kubectl up to 1.28
//! validates with, what Terraform reads.
//!
//! It is made from the documents of v3, so the two never differ in what they say. Swagger knows fewer words: what it has no
//! word for is left out, because one word too many makes the merged document of a whole cluster unreadable.

use serde_json::{Map, Value, json};

/// The words that a schema may have, beside those that begin with `x-`.
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
/// Where v3 keeps schemas, and where v2 does.
const COMPONENTS: (&str, &str) = ("#/components/schemas/", "#/definitions/");
/// The media type whose schema stands for an answer.
const JSON: &str = "application/json";

/// `GET /openapi/v2`: the documents of v3 as one. Types that several of them have are alike in all.
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

/// A map with each of its values changed.
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

/// What v3 says of a parameter's schema stands beside its name here.
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

/// The schema of a body: of its JSON, or of whatever form it comes in.
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

/// A reference as v2 writes it. The description of what refers stands beside it: readers of v2 do not look into an `allOf`.
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
