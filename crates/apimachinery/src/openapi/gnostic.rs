//! Encodes the v2 document in protobuf: `openapi.v2.Document` of gnostic, the only format that kubectl 1.27 and 1.28
//! request.
//!
//! Only messages and fields that occur in our documents are defined here; the field numbers are those of gnostic's
//! `OpenAPIv2.proto`. As usual in protobuf, zero values are omitted.

use prost::{Message, Oneof};
use serde_json::Value;

/// Encodes a v2 document in protobuf.
pub fn encode(document: &Value) -> Vec<u8> {
    Document::from(document).encode_to_vec()
}

#[derive(Clone, PartialEq, Message)]
struct Document {
    #[prost(string, tag = "1")]
    swagger: String,
    #[prost(message, optional, tag = "2")]
    info: Option<Info>,
    #[prost(message, optional, tag = "8")]
    paths: Option<Paths>,
    #[prost(message, optional, tag = "9")]
    definitions: Option<NamedSchemas>,
}

#[derive(Clone, PartialEq, Message)]
struct Info {
    #[prost(string, tag = "1")]
    title: String,
    #[prost(string, tag = "2")]
    version: String,
}

#[derive(Clone, PartialEq, Message)]
struct Paths {
    #[prost(message, repeated, tag = "2")]
    path: Vec<NamedPathItem>,
}

#[derive(Clone, PartialEq, Message)]
struct NamedPathItem {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(message, optional, tag = "2")]
    value: Option<PathItem>,
}

#[derive(Clone, PartialEq, Message)]
struct PathItem {
    #[prost(message, optional, tag = "2")]
    get: Option<Operation>,
    #[prost(message, optional, tag = "3")]
    put: Option<Operation>,
    #[prost(message, optional, tag = "4")]
    post: Option<Operation>,
    #[prost(message, optional, tag = "5")]
    delete: Option<Operation>,
    #[prost(message, optional, tag = "8")]
    patch: Option<Operation>,
    #[prost(message, repeated, tag = "9")]
    parameters: Vec<ParametersItem>,
}

#[derive(Clone, PartialEq, Message)]
struct Operation {
    #[prost(string, repeated, tag = "1")]
    tags: Vec<String>,
    #[prost(string, tag = "3")]
    description: String,
    #[prost(string, tag = "5")]
    id: String,
    #[prost(string, repeated, tag = "6")]
    produces: Vec<String>,
    #[prost(string, repeated, tag = "7")]
    consumes: Vec<String>,
    #[prost(message, repeated, tag = "8")]
    parameters: Vec<ParametersItem>,
    #[prost(message, optional, tag = "9")]
    responses: Option<Responses>,
    #[prost(message, repeated, tag = "13")]
    vendor_extension: Vec<NamedAny>,
}

#[derive(Clone, PartialEq, Message)]
struct ParametersItem {
    #[prost(message, optional, tag = "1")]
    parameter: Option<Parameter>,
}

#[derive(Clone, PartialEq, Message)]
struct Parameter {
    #[prost(oneof = "ParameterPlace", tags = "1, 2")]
    place: Option<ParameterPlace>,
}

#[derive(Clone, PartialEq, Oneof)]
enum ParameterPlace {
    #[prost(message, boxed, tag = "1")]
    Body(Box<BodyParameter>),
    #[prost(message, tag = "2")]
    Elsewhere(NonBodyParameter),
}

#[derive(Clone, PartialEq, Message)]
struct BodyParameter {
    #[prost(string, tag = "2")]
    name: String,
    #[prost(string, tag = "3")]
    place: String,
    #[prost(bool, tag = "4")]
    required: bool,
    #[prost(message, optional, tag = "5")]
    schema: Option<Schema>,
}

#[derive(Clone, PartialEq, Message)]
struct NonBodyParameter {
    #[prost(oneof = "SimpleParameter", tags = "3, 4")]
    parameter: Option<SimpleParameter>,
}

#[derive(Clone, PartialEq, Oneof)]
enum SimpleParameter {
    #[prost(message, tag = "3")]
    Query(QueryParameter),
    #[prost(message, tag = "4")]
    Path(PathParameter),
}

#[derive(Clone, PartialEq, Message)]
struct QueryParameter {
    #[prost(bool, tag = "1")]
    required: bool,
    #[prost(string, tag = "2")]
    place: String,
    #[prost(string, tag = "3")]
    description: String,
    #[prost(string, tag = "4")]
    name: String,
    #[prost(string, tag = "6")]
    value_type: String,
}

#[derive(Clone, PartialEq, Message)]
struct PathParameter {
    #[prost(bool, tag = "1")]
    required: bool,
    #[prost(string, tag = "2")]
    place: String,
    #[prost(string, tag = "3")]
    description: String,
    #[prost(string, tag = "4")]
    name: String,
    #[prost(string, tag = "5")]
    value_type: String,
}

#[derive(Clone, PartialEq, Message)]
struct Responses {
    #[prost(message, repeated, tag = "1")]
    response_code: Vec<NamedResponseValue>,
}

#[derive(Clone, PartialEq, Message)]
struct NamedResponseValue {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(message, optional, tag = "2")]
    value: Option<ResponseValue>,
}

#[derive(Clone, PartialEq, Message)]
struct ResponseValue {
    #[prost(message, optional, tag = "1")]
    response: Option<Response>,
}

#[derive(Clone, PartialEq, Message)]
struct Response {
    #[prost(string, tag = "1")]
    description: String,
    #[prost(message, optional, tag = "2")]
    schema: Option<SchemaItem>,
}

#[derive(Clone, PartialEq, Message)]
struct SchemaItem {
    #[prost(message, optional, tag = "1")]
    schema: Option<Schema>,
}

/// `Definitions` and `Properties`, which have the same structure.
#[derive(Clone, PartialEq, Message)]
struct NamedSchemas {
    #[prost(message, repeated, tag = "1")]
    additional_properties: Vec<NamedSchema>,
}

#[derive(Clone, PartialEq, Message)]
struct NamedSchema {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(message, optional, tag = "2")]
    value: Option<Schema>,
}

#[derive(Clone, PartialEq, Message)]
#[expect(clippy::struct_excessive_bools, reason = "gnostic defines the fields")]
struct Schema {
    #[prost(string, tag = "1")]
    reference: String,
    #[prost(string, tag = "2")]
    format: String,
    #[prost(string, tag = "3")]
    title: String,
    #[prost(string, tag = "4")]
    description: String,
    #[prost(message, optional, tag = "5")]
    default: Option<Any>,
    #[prost(double, tag = "6")]
    multiple_of: f64,
    #[prost(double, tag = "7")]
    maximum: f64,
    #[prost(bool, tag = "8")]
    exclusive_maximum: bool,
    #[prost(double, tag = "9")]
    minimum: f64,
    #[prost(bool, tag = "10")]
    exclusive_minimum: bool,
    #[prost(int64, tag = "11")]
    max_length: i64,
    #[prost(int64, tag = "12")]
    min_length: i64,
    #[prost(string, tag = "13")]
    pattern: String,
    #[prost(int64, tag = "14")]
    max_items: i64,
    #[prost(int64, tag = "15")]
    min_items: i64,
    #[prost(bool, tag = "16")]
    unique_items: bool,
    #[prost(int64, tag = "17")]
    max_properties: i64,
    #[prost(int64, tag = "18")]
    min_properties: i64,
    #[prost(string, repeated, tag = "19")]
    required: Vec<String>,
    #[prost(message, repeated, tag = "20")]
    values: Vec<Any>,
    #[prost(message, optional, tag = "21")]
    additional_properties: Option<AdditionalProperties>,
    #[prost(message, optional, tag = "22")]
    value_type: Option<StringList>,
    #[prost(message, optional, tag = "23")]
    items: Option<Items>,
    #[prost(message, repeated, tag = "24")]
    all_of: Vec<Schema>,
    #[prost(message, optional, tag = "25")]
    properties: Option<NamedSchemas>,
    #[prost(bool, tag = "27")]
    read_only: bool,
    #[prost(message, optional, tag = "30")]
    example: Option<Any>,
    #[prost(message, repeated, tag = "31")]
    vendor_extension: Vec<NamedAny>,
}

#[derive(Clone, PartialEq, Message)]
struct AdditionalProperties {
    #[prost(oneof = "SchemaOrBool", tags = "1, 2")]
    either: Option<SchemaOrBool>,
}

#[derive(Clone, PartialEq, Oneof)]
enum SchemaOrBool {
    #[prost(message, boxed, tag = "1")]
    Schema(Box<Schema>),
    #[prost(bool, tag = "2")]
    Boolean(bool),
}

/// `TypeItem`.
#[derive(Clone, PartialEq, Message)]
struct StringList {
    #[prost(string, repeated, tag = "1")]
    value: Vec<String>,
}

/// `ItemsItem`.
#[derive(Clone, PartialEq, Message)]
struct Items {
    #[prost(message, repeated, tag = "1")]
    schema: Vec<Schema>,
}

#[derive(Clone, PartialEq, Message)]
struct NamedAny {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(message, optional, tag = "2")]
    value: Option<Any>,
}

/// Any value as YAML. JSON is valid YAML.
#[derive(Clone, PartialEq, Message)]
struct Any {
    #[prost(string, tag = "2")]
    yaml: String,
}

impl From<&Value> for Document {
    fn from(value: &Value) -> Self {
        let info = Info { title: text(&value["info"], "title"), version: text(&value["info"], "version") };
        let paths = named(&value["paths"]).map(|(name, value)| NamedPathItem { name, value: Some(value.into()) });
        Self {
            swagger: text(value, "swagger"),
            info: Some(info),
            paths: Some(Paths { path: paths.collect() }),
            definitions: value.get("definitions").map(Into::into),
        }
    }
}

impl From<&Value> for PathItem {
    fn from(value: &Value) -> Self {
        let operation = |method| value.get(method).map(Into::into);
        Self {
            get: operation("get"),
            put: operation("put"),
            post: operation("post"),
            delete: operation("delete"),
            patch: operation("patch"),
            parameters: list(value, "parameters"),
        }
    }
}

impl From<&Value> for Operation {
    fn from(value: &Value) -> Self {
        let responses =
            named(&value["responses"]).map(|(name, value)| NamedResponseValue { name, value: Some(value.into()) });
        Self {
            tags: texts(value, "tags"),
            description: text(value, "description"),
            id: text(value, "operationId"),
            produces: texts(value, "produces"),
            consumes: texts(value, "consumes"),
            parameters: list(value, "parameters"),
            responses: Some(Responses { response_code: responses.collect() }),
            vendor_extension: extensions(value),
        }
    }
}

impl From<&Value> for ParametersItem {
    fn from(value: &Value) -> Self {
        let (name, place, required) = (text(value, "name"), text(value, "in"), flag(value, "required"));
        let (description, value_type) = (text(value, "description"), text(value, "type"));
        let elsewhere = |parameter| ParameterPlace::Elsewhere(NonBodyParameter { parameter: Some(parameter) });
        let place = match place.as_str() {
            "body" => {
                let schema = value.get("schema").map(Into::into);
                ParameterPlace::Body(Box::new(BodyParameter { name, place, required, schema }))
            }
            "path" => {
                elsewhere(SimpleParameter::Path(PathParameter { required, place, description, name, value_type }))
            }
            _ => elsewhere(SimpleParameter::Query(QueryParameter { required, place, description, name, value_type })),
        };
        Self { parameter: Some(Parameter { place: Some(place) }) }
    }
}

impl From<&Value> for ResponseValue {
    fn from(value: &Value) -> Self {
        let schema = value.get("schema").map(|schema| SchemaItem { schema: Some(schema.into()) });
        Self { response: Some(Response { description: text(value, "description"), schema }) }
    }
}

impl From<&Value> for NamedSchemas {
    fn from(value: &Value) -> Self {
        let schemas = named(value).map(|(name, value)| NamedSchema { name, value: Some(value.into()) });
        Self { additional_properties: schemas.collect() }
    }
}

impl From<&Value> for Schema {
    fn from(value: &Value) -> Self {
        let integer = |name| value.get(name).and_then(Value::as_i64).unwrap_or_default();
        let double = |name| value.get(name).and_then(Value::as_f64).unwrap_or_default();
        Self {
            reference: text(value, "$ref"),
            format: text(value, "format"),
            title: text(value, "title"),
            description: text(value, "description"),
            default: value.get("default").map(Into::into),
            multiple_of: double("multipleOf"),
            maximum: double("maximum"),
            exclusive_maximum: flag(value, "exclusiveMaximum"),
            minimum: double("minimum"),
            exclusive_minimum: flag(value, "exclusiveMinimum"),
            max_length: integer("maxLength"),
            min_length: integer("minLength"),
            pattern: text(value, "pattern"),
            max_items: integer("maxItems"),
            min_items: integer("minItems"),
            unique_items: flag(value, "uniqueItems"),
            max_properties: integer("maxProperties"),
            min_properties: integer("minProperties"),
            required: texts(value, "required"),
            values: list(value, "enum"),
            additional_properties: value.get("additionalProperties").map(Into::into),
            value_type: value
                .get("type")
                .map(|it| StringList { value: vec![it.as_str().unwrap_or_default().to_owned()] }),
            items: value.get("items").map(|items| Items { schema: vec![items.into()] }),
            all_of: list(value, "allOf"),
            properties: value.get("properties").map(Into::into),
            read_only: flag(value, "readOnly"),
            example: value.get("example").map(Into::into),
            vendor_extension: extensions(value),
        }
    }
}

impl From<&Value> for AdditionalProperties {
    fn from(value: &Value) -> Self {
        let either = match value {
            Value::Bool(allowed) => SchemaOrBool::Boolean(*allowed),
            schema => SchemaOrBool::Schema(Box::new(schema.into())),
        };
        Self { either: Some(either) }
    }
}

impl From<&Value> for Any {
    fn from(value: &Value) -> Self {
        Self { yaml: value.to_string() }
    }
}

fn text(value: &Value, name: &str) -> String {
    value.get(name).and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn flag(value: &Value, name: &str) -> bool {
    value.get(name).and_then(Value::as_bool).unwrap_or_default()
}

fn list<'a, T: From<&'a Value>>(value: &'a Value, name: &str) -> Vec<T> {
    value.get(name).and_then(Value::as_array).into_iter().flatten().map(Into::into).collect()
}

fn texts(value: &Value, name: &str) -> Vec<String> {
    let items = value.get(name).and_then(Value::as_array).into_iter().flatten();
    items.filter_map(Value::as_str).map(str::to_owned).collect()
}

fn named(value: &Value) -> impl Iterator<Item = (String, &Value)> {
    value.as_object().into_iter().flatten().map(|(name, value)| (name.clone(), value))
}

fn extensions(value: &Value) -> Vec<NamedAny> {
    let extensions = named(value).filter(|(name, _)| name.starts_with("x-"));
    extensions.map(|(name, value)| NamedAny { name, value: Some(value.into()) }).collect()
}

#[cfg(test)]
mod tests;
