//! Checks objects against the schema of a kind, and finds unknown fields and wrong types in one pass.

use std::{
    collections::{BTreeMap, HashMap},
    ops::RangeInclusive,
    sync::Arc,
};

use serde_json::{Number, Value, json};

use crate::{
    field::{FieldError, Path, PathStep, StepName},
    limits::SCHEMA_ERRORS_MAX,
    managed_fields::{self, FieldManager},
    meta_schema::object_meta_schema,
    object::Object,
    resource::{Resource, Subresource},
    time::Time,
};

/// The compiled schema of a kind: for checking its objects and for field ownership.
#[derive(Clone, Debug)]
pub struct Schema {
    top: Node,
    object: FieldManager,
    status: FieldManager,
}

/// Result of a check. Unknown and mistyped values have been removed, so that the rest can be processed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CheckResult {
    /// Paths of unknown fields.
    pub unknown: Vec<String>,
    /// Values of a wrong type or outside an enumeration, duplicates, and missing fields.
    pub errors: Vec<FieldError>,
}

#[derive(Clone, Debug)]
enum Node {
    Object { fields: BTreeMap<String, Node>, required: Vec<String>, preserve_unknown_fields: bool },
    Map { of: Box<Node>, max: usize },
    List { of: Box<Node>, unique: Unique, max: usize },
    String { enum_values: Vec<String> },
    Time(TimeFormat),
    Integer { min: i64, max: i64, format: &'static str },
    Number,
    Boolean,
    Any,
}

/// Uniqueness of the items of a list.
#[derive(Clone, Debug)]
enum Unique {
    /// No restriction.
    No,
    /// The whole item (`x-kubernetes-list-type: set`).
    Whole,
    /// These fields, each with its default (`x-kubernetes-list-type: map`).
    Keys(Vec<(String, Value)>),
}

impl Unique {
    fn compile(schema: &Value) -> Self {
        match schema.get("x-kubernetes-list-type").and_then(Value::as_str) {
            Some("set") => Self::Whole,
            Some("map") => {
                let keys = schema["x-kubernetes-list-map-keys"].as_array().into_iter().flatten();
                let fields = &schema["items"]["properties"];
                Self::Keys(
                    keys.filter_map(Value::as_str)
                        .map(|key| (key.to_owned(), fields[key]["default"].clone()))
                        .collect(),
                )
            }
            _ => Self::No,
        }
    }

    /// The key that must be unique; `None` without restriction.
    fn of(&self, item: &Value) -> Option<Value> {
        match self {
            Self::No => None,
            Self::Whole => Some(item.clone()),
            Self::Keys(keys) => {
                let found = keys.iter().map(|(key, default)| (key.clone(), item.get(key).unwrap_or(default).clone()));
                Some(Value::Object(found.filter(|(_, value)| !value.is_null()).collect()))
            }
        }
    }
}

impl Schema {
    /// Compiles the schema of whole objects: that of the resource, with `apiVersion`, `kind` and `metadata`.
    pub fn for_resource(resource: &Resource) -> Self {
        let mut schema = resource.schema.clone();
        schema["properties"]["apiVersion"] = json!({"type": "string"});
        schema["properties"]["kind"] = json!({"type": "string"});
        schema["properties"]["metadata"] = object_meta_schema();
        let merged = Arc::new(managed_fields::Schema::compile(&schema));
        for list in ["finalizers", "ownerReferences"] {
            // These markers are for merging only; metadata validation applies its own rules.
            let list = &mut schema["properties"]["metadata"]["properties"][list];
            list["x-kubernetes-list-type"].take();
            list["items"]["required"].take();
        }
        Self {
            top: Node::compile(&schema),
            object: FieldManager::for_object(resource, &merged),
            status: FieldManager::for_status(resource, &merged),
        }
    }

    /// The field manager of the main resource or a subresource.
    pub(crate) fn field_manager(&self, subresource: Option<Subresource>) -> &FieldManager {
        match subresource {
            None | Some(Subresource::Finalize) => &self.object,
            Some(Subresource::Status) => &self.status,
        }
    }

    /// Checks `value`: removes unknown fields and nulls, and reports unknown, mistyped and missing fields.
    pub fn check(&self, value: &mut Value) -> CheckResult {
        let mut result = CheckResult::default();
        self.top.check(value, None, &mut result);
        result
    }
}

impl Schema {
    /// True if a stored object has only fields, types and enumeration values of this schema. A newer version of the
    /// program may have stored others.
    pub fn can_represent(&self, object: &Object) -> bool {
        let Node::Object { fields, .. } = &self.top else { return true };
        let field = |(name, value): (&String, &Value)| fields.get(name).is_some_and(|node| node.can_represent(value));
        object.unknown_metadata.is_empty() && object.fields.iter().all(field)
    }
}

impl CheckResult {
    fn add_error(&mut self, error: impl FnOnce() -> FieldError) {
        if self.errors.len() < SCHEMA_ERRORS_MAX {
            self.errors.push(error());
        }
    }
}

impl Node {
    fn compile(schema: &Value) -> Self {
        let preserve_unknown_fields =
            schema.get("x-kubernetes-preserve-unknown-fields").is_some_and(|keep| keep == true);
        match schema.get("type").and_then(Value::as_str) {
            Some("object") => match (schema.get("properties"), schema.get("additionalProperties")) {
                (Some(Value::Object(fields)), _) => {
                    let fields = fields.iter().map(|(name, schema)| (name.clone(), Self::compile(schema))).collect();
                    let required = schema.get("required").and_then(Value::as_array).into_iter().flatten();
                    let required = required.filter_map(Value::as_str).map(str::to_owned).collect();
                    Self::Object { fields, required, preserve_unknown_fields }
                }
                (_, Some(of)) if of.is_object() => {
                    Self::Map { of: Box::new(Self::compile(of)), max: limit(schema, "maxProperties") }
                }
                (_, of) => {
                    let preserve_unknown_fields = preserve_unknown_fields || of.is_some_and(|of| of == true);
                    Self::Object { fields: BTreeMap::new(), required: Vec::new(), preserve_unknown_fields }
                }
            },
            Some("array") => {
                let of = Box::new(schema.get("items").map_or(Self::Any, Self::compile));
                Self::List { of, unique: Unique::compile(schema), max: limit(schema, "maxItems") }
            }
            Some("string") if schema.get("pattern").is_some_and(|pattern| pattern == MICRO_TIME_PATTERN) => {
                Self::Time(TimeFormat::Micro)
            }
            Some("string") if schema.get("format").is_some_and(|format| format == "date-time") => {
                Self::Time(TimeFormat::Any)
            }
            Some("string") => {
                let enum_values = schema.get("enum").and_then(Value::as_array).into_iter().flatten();
                Self::String { enum_values: enum_values.filter_map(Value::as_str).map(str::to_owned).collect() }
            }
            Some("integer") if schema.get("format").is_some_and(|format| format == "int32") => {
                Self::Integer { min: i32::MIN.into(), max: i32::MAX.into(), format: "int32" }
            }
            Some("integer") => Self::Integer { min: i64::MIN, max: i64::MAX, format: "int64" },
            Some("number") => Self::Number,
            Some("boolean") => Self::Boolean,
            _ => Self::Any,
        }
    }

    fn can_represent(&self, value: &Value) -> bool {
        match (self, value) {
            (Self::Any, _) | (_, Value::Null) => true,
            (Self::Object { fields, preserve_unknown_fields, .. }, Value::Object(found)) => {
                let field = |(name, value): (&String, &Value)| match fields.get(name) {
                    Some(node) => node.can_represent(value),
                    None => *preserve_unknown_fields,
                };
                found.iter().all(field)
            }
            (Self::Map { of, .. }, Value::Object(found)) => found.values().all(|value| of.can_represent(value)),
            (Self::List { of, .. }, Value::Array(items)) => items.iter().all(|item| of.can_represent(item)),
            (Self::String { enum_values }, Value::String(text)) => enum_values.is_empty() || enum_values.contains(text),
            (Self::Time(format), Value::String(text)) => format.accepts(text),
            (Self::Integer { .. }, Value::Number(number)) => number.is_i64(),
            (Self::Number, Value::Number(_)) | (Self::Boolean, Value::Bool(_)) => true,
            _ => false,
        }
    }

    /// Checks the value and prunes its content. Returns false if the value itself must be removed.
    fn check(&self, value: &mut Value, at: Option<&PathStep<'_>>, result: &mut CheckResult) -> bool {
        let expected = match (self, &mut *value) {
            (Self::Any, _) | (Self::Number, Value::Number(_)) | (Self::Boolean, Value::Bool(_)) => return true,
            (Self::Object { fields, required, preserve_unknown_fields }, Value::Object(found)) => {
                for name in required.iter().filter(|name| found.get(*name).is_none_or(Value::is_null)) {
                    let step = PathStep { parent: at, name: StepName::Field(name) };
                    result.add_error(|| FieldError::required(path(Some(&step)), ""));
                }
                found.retain(|name, value| {
                    let node = fields.get(name).or(preserve_unknown_fields.then_some(&Self::Any));
                    check_field(node, value, &PathStep { parent: at, name: StepName::Field(name) }, result)
                });
                return true;
            }
            (Self::Map { max, .. }, Value::Object(found)) if found.len() > *max => {
                result.add_error(|| FieldError::too_many(path(at), found.len(), *max));
                return false;
            }
            (Self::List { max, .. }, Value::Array(items)) if items.len() > *max => {
                result.add_error(|| FieldError::too_many(path(at), items.len(), *max));
                return false;
            }
            (Self::Map { of, .. }, Value::Object(found)) => {
                found.retain(|key, value| {
                    check_field(Some(of.as_ref()), value, &PathStep { parent: at, name: StepName::Key(key) }, result)
                });
                return true;
            }
            (Self::List { of, unique, .. }, Value::Array(items)) => {
                check_items(of, unique, items, at, result);
                return true;
            }
            (Self::String { enum_values }, Value::String(text)) => {
                if enum_values.is_empty() || enum_values.contains(text) {
                    return true;
                }
                let enum_values: Vec<&str> = enum_values.iter().map(String::as_str).collect();
                result.add_error(|| FieldError::not_supported(path(at), text.as_str(), &enum_values));
                return false;
            }
            (Self::Integer { min, max, format }, Value::Number(number)) => match as_integer(number) {
                Some(integer) if (*min..=*max).contains(&integer) => {
                    *number = integer.into();
                    return true;
                }
                Some(_) => format,
                None if number.is_u64() => format,
                None => "integer",
            },
            (Self::Object { .. } | Self::Map { .. }, _) => "object",
            (Self::List { .. }, _) => "array",
            (Self::Time(format), Value::String(text)) => {
                if format.accepts(text) {
                    return true;
                }
                result.add_error(|| FieldError::invalid(path(at), text.as_str(), format.expected()));
                return false;
            }
            (Self::String { .. } | Self::Time(_), _) => "string",
            (Self::Integer { .. }, _) => "integer",
            (Self::Number, _) => "number",
            (Self::Boolean, _) => "boolean",
        };
        result.add_error(|| {
            let (path, found) = (path(at), type_name(value));
            let detail = format!("{path} in body must be of type {expected}: \"{found}\"");
            FieldError::type_invalid(path, found, &detail)
        });
        false
    }
}

/// Pattern of `meta/v1 MicroTime`; a schema with this pattern is checked as such.
const MICRO_TIME_PATTERN: &str = r"\.[0-9]{6}(Z|[+-][0-9]{2}:[0-9]{2})$";

/// Schema of a `meta/v1 MicroTime`.
pub fn micro_time(description: &str) -> Value {
    json!({"type": "string", "format": "date-time", "pattern": MICRO_TIME_PATTERN, "description": description})
}

/// The formats of times in RFC 3339.
#[derive(Clone, Copy, Debug)]
enum TimeFormat {
    /// Any number of digits after the second, as in `meta/v1 Time`.
    Any,
    /// Exactly six digits after the second, as Go clients require of a `meta/v1 MicroTime` (`metav1.RFC3339Micro`).
    Micro,
}

impl TimeFormat {
    fn accepts(self, text: &str) -> bool {
        let fraction = || text.split_once('.').map_or("", |(_, rest)| rest);
        let digits = || fraction().bytes().take_while(u8::is_ascii_digit).count();
        text.parse::<Time>().is_ok() && (matches!(self, Self::Any) || digits() == 6)
    }

    /// The detail of the error for a text in another format.
    fn expected(self) -> &'static str {
        match self {
            Self::Any => "must be a time as in RFC 3339: 2006-01-02T15:04:05Z",
            Self::Micro => {
                "must be a time as in RFC 3339 with six digits after the second: 2006-01-02T15:04:05.000000Z"
            }
        }
    }
}

/// Range in which all integers are exact as doubles.
const EXACT_DOUBLES: RangeInclusive<f64> = -9_007_199_254_740_991.0..=9_007_199_254_740_991.0;

/// Converts a number to an integer. As for custom resources, `24.0` and `2.4e1` are 24, because some clients only have
/// doubles.
fn as_integer(number: &Number) -> Option<i64> {
    let of_double = || {
        let double = number.as_f64().filter(|double| EXACT_DOUBLES.contains(double))?;
        double.to_string().parse().ok()
    };
    number.as_i64().or_else(of_double)
}

/// Maximum number of entries of a list or map.
fn limit(schema: &Value, keyword: &str) -> usize {
    let limit = schema.get(keyword).and_then(Value::as_u64);
    limit.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX))
}

/// Keeps the items of the right type. Duplicates are reported but kept, so that indices do not shift.
fn check_items(
    node: &Node,
    unique: &Unique,
    items: &mut Vec<Value>,
    at: Option<&PathStep<'_>>,
    result: &mut CheckResult,
) {
    let mut index = 0;
    let mut seen = HashMap::new();
    items.retain_mut(|item| {
        let step = PathStep { parent: at, name: StepName::Index(index) };
        index += 1;
        if !node.check(item, Some(&step), result) {
            return false;
        }
        let Some(key) = unique.of(item) else { return true };
        let times = seen.entry(key.to_string()).or_insert(0_usize);
        *times += 1;
        // A third occurrence is not reported again.
        if *times == 2 {
            result.add_error(|| FieldError::duplicate(path(Some(&step)), key));
        }
        true
    });
}

/// Returns true if the value stays, that is, if it is known, not null and of the right type.
fn check_field(node: Option<&Node>, value: &mut Value, step: &PathStep<'_>, result: &mut CheckResult) -> bool {
    match node {
        None => {
            if result.unknown.len() < SCHEMA_ERRORS_MAX {
                result.unknown.push(step.to_string());
            }
            false
        }
        // Go clients treat null as absent; in free-form values it may have a meaning, so it is kept.
        Some(node) if value.is_null() => matches!(node, Node::Any),
        Some(node) => node.check(value, Some(step), result),
    }
}

fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

fn path(at: Option<&PathStep<'_>>) -> Path {
    Path::new(at.map(ToString::to_string).unwrap_or_default())
}

#[cfg(test)]
mod tests;
