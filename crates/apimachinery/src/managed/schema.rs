//! How objects of a kind are merged: what its OpenAPI schema says of maps and lists, compiled.
//!
//! `x-kubernetes-list-type` (`atomic`, `set`, `map`), `x-kubernetes-list-map-keys`, `x-kubernetes-map-type` (`atomic`,
//! `granular`) and the defaults of keys count (KEP-555; `kube-openapi/pkg/schemaconv`). What has no type is deduced from
//! its value: maps are granular and lists atomic. Whether values are valid beyond that is `crate::schema`'s matter.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::{kind::Resource, schema::object_meta_schema};

/// How objects of one kind are merged.
#[derive(Clone, Debug)]
pub struct Schema {
    pub(super) top: Type,
}

/// The type of one place.
#[derive(Clone, Debug)]
pub(super) enum Type {
    Scalar(Scalar),
    List(Box<ListType>),
    Map(MapType),
    /// Whatever it is.
    Any,
    /// Not looked at: `metadata.managedFields`.
    Ignored,
}

/// What a scalar may be. Null always may be as well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scalar {
    Numeric,
    Text,
    Boolean,
    /// Any of the three.
    Any,
}

#[derive(Clone, Debug)]
pub(super) struct ListType {
    pub(super) of: Type,
    pub(super) merge: ListMerge,
}

/// How lists are merged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ListMerge {
    /// Not at all: one replaces the other.
    Atomic,
    /// Item by item, equal values being the same.
    Set,
    /// Item by item, those with the same values in these fields being the same.
    Map(Vec<String>),
}

#[derive(Clone, Debug, Default)]
pub(super) struct MapType {
    pub(super) fields: BTreeMap<String, FieldType>,
    /// The type of fields that are not declared; `None`: there may be none.
    pub(super) others: Option<Box<Type>>,
    /// Whether one replaces the other as a whole.
    pub(super) atomic: bool,
}

#[derive(Clone, Debug)]
pub(super) struct FieldType {
    pub(super) of: Type,
    /// What a missing field stands for; counts where the field is a key of a list.
    pub(super) default: Option<Value>,
}

/// A type, narrowed to a value.
#[derive(Clone, Copy)]
pub(super) enum Shape<'a> {
    Scalar(Scalar),
    List(ListShape<'a>),
    Map(MapShape<'a>),
    Ignored,
}

#[derive(Clone, Copy)]
pub(super) struct ListShape<'a> {
    pub(super) of: &'a Type,
    pub(super) merge: &'a ListMerge,
}

#[derive(Clone, Copy)]
pub(super) struct MapShape<'a> {
    declared: Option<&'a MapType>,
    pub(super) atomic: bool,
}

impl Schema {
    /// Of whole objects of a resource: its own schema, and `apiVersion`, `kind` and `metadata`.
    pub fn for_resource(resource: &Resource) -> Self {
        let mut schema = resource.schema.clone();
        schema["properties"]["apiVersion"] = json!({"type": "string"});
        schema["properties"]["kind"] = json!({"type": "string"});
        schema["properties"]["metadata"] = object_meta_schema();
        Self::compile(&schema)
    }

    /// Of what an OpenAPI v3 schema describes. It has no `$ref` in it. `metadata.managedFields`, where it is declared, is
    /// not looked at by any operation: it is about them.
    pub fn compile(schema: &Value) -> Self {
        let mut top = Type::compile(schema, Unknown::Refused);
        if let Type::Map(object) = &mut top
            && let Some(FieldType { of: Type::Map(metadata), .. }) = object.fields.get_mut("metadata")
            && let Some(managed_fields) = metadata.fields.get_mut("managedFields")
        {
            managed_fields.of = Type::Ignored;
        }
        Self { top }
    }
}

/// What becomes of fields that a struct does not declare.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Unknown {
    Kept,
    Refused,
}

impl Type {
    fn compile(schema: &Value, outside: Unknown) -> Self {
        let keeps = schema.get("x-kubernetes-preserve-unknown-fields").is_some_and(|keeps| keeps == true);
        let unknown = if keeps { Unknown::Kept } else { outside };
        let format = schema.get("format").and_then(Value::as_str).unwrap_or_default();
        match schema.get("type").and_then(Value::as_str) {
            Some("object") => Self::compile_map(schema, unknown),
            Some("array") => Self::compile_list(schema, unknown),
            Some("integer" | "number") => Self::Scalar(Scalar::Numeric),
            Some("boolean") => Self::Scalar(Scalar::Boolean),
            Some("string") if matches!(format, "" | "byte") => Self::Scalar(Scalar::Text),
            Some("string") => Self::Scalar(Scalar::Any),
            _ if schema.get("properties").is_some() => Self::compile_map(schema, unknown),
            _ if schema.get("items").is_some() => Self::compile_list(schema, unknown),
            _ => Self::Any,
        }
    }

    fn compile_map(schema: &Value, unknown: Unknown) -> Self {
        let properties = schema.get("properties").and_then(Value::as_object).into_iter().flatten();
        let fields: BTreeMap<String, FieldType> = properties
            .map(|(name, schema)| {
                let default = schema.get("default").filter(|default| !default.is_null()).cloned();
                (name.clone(), FieldType { of: Self::compile(schema, unknown), default })
            })
            .collect();
        let others = match schema.get("additionalProperties") {
            Some(of @ Value::Object(_)) => Some(Self::compile(of, unknown)),
            Some(Value::Bool(true)) => Some(Self::Any),
            Some(_) => None,
            None => (unknown == Unknown::Kept || fields.is_empty()).then_some(Self::Any),
        };
        let atomic = schema.get("x-kubernetes-map-type").is_some_and(|kind| kind == "atomic");
        Self::Map(MapType { fields, others: others.map(Box::new), atomic })
    }

    fn compile_list(schema: &Value, unknown: Unknown) -> Self {
        let of = schema.get("items").map_or(Self::Any, |items| Self::compile(items, unknown));
        let merge = match schema.get("x-kubernetes-list-type").and_then(Value::as_str) {
            Some("set") => ListMerge::Set,
            Some("map") => {
                let keys = schema.get("x-kubernetes-list-map-keys").and_then(Value::as_array);
                let keys = keys.into_iter().flatten().filter_map(Value::as_str);
                ListMerge::Map(keys.map(str::to_owned).collect())
            }
            _ => ListMerge::Atomic,
        };
        Self::List(Box::new(ListType { of, merge }))
    }

    /// What the type says of this value. A value that does not fit has the shape that it should have.
    pub(super) fn shape(&self, value: &Value) -> Shape<'_> {
        match self {
            Self::Scalar(scalar) => Shape::Scalar(*scalar),
            Self::List(list) => Shape::List(ListShape { of: &list.of, merge: &list.merge }),
            Self::Map(map) => Shape::Map(MapShape { declared: Some(map), atomic: map.atomic }),
            Self::Ignored => Shape::Ignored,
            Self::Any => match value {
                Value::Array(_) => Shape::List(ListShape { of: &Self::Any, merge: &ListMerge::Atomic }),
                Value::Object(_) | Value::Null => Shape::Map(MapShape { declared: None, atomic: false }),
                _ => Shape::Scalar(Scalar::Any),
            },
        }
    }
}

impl Shape<'_> {
    /// Whether two shapes of one type are the same.
    pub(super) fn is_like(self, other: Shape<'_>) -> bool {
        std::mem::discriminant(&self) == std::mem::discriminant(&other)
    }
}

impl<'a> MapShape<'a> {
    /// The type of a field; `None` if it cannot be there.
    pub(super) fn field(self, name: &str) -> Option<&'a Type> {
        let Some(map) = self.declared else {
            return Some(&Type::Any);
        };
        map.fields.get(name).map(|field| &field.of).or(map.others.as_deref())
    }

    /// Whether the field is declared by its name.
    pub(super) fn declares(self, name: &str) -> bool {
        self.declared.is_some_and(|map| map.fields.contains_key(name))
    }

    /// Whether nothing at all is declared: its content is deduced.
    pub(super) fn is_deduced(self) -> bool {
        self.declared.is_none_or(|map| map.fields.is_empty() && matches!(map.others.as_deref(), Some(Type::Any)))
    }
}

impl Type {
    /// What a missing field of this map stands for.
    pub(super) fn default_of(&self, field: &str) -> Option<&Value> {
        match self {
            Self::Map(map) => map.fields.get(field)?.default.as_ref(),
            _ => None,
        }
    }
}
