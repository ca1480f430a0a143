//! Merge behavior of a kind, compiled from its OpenAPI schema.
//!
//! Relevant are `x-kubernetes-list-type` (`atomic`, `set`, `map`), `x-kubernetes-list-map-keys`,
//! `x-kubernetes-map-type` (`atomic`, `granular`) and the defaults of key fields (KEP-555;
//! `kube-openapi/pkg/schemaconv`). Without a type, the behavior is deduced from the value: maps are granular and lists
//! atomic. Other validation is up to `crate::schema`.

use std::collections::BTreeMap;

use serde_json::Value;

/// Merge behavior of the objects of one kind.
#[derive(Clone, Debug)]
pub struct Schema {
    pub(super) top: Type,
}

/// Type of a value.
#[derive(Clone, Debug)]
pub(super) enum Type {
    Scalar(Scalar),
    List(Box<ListType>),
    Map(MapType),
    /// Any type.
    Any,
    /// Excluded from all operations: `metadata.managedFields`.
    Ignored,
}

/// Type of a scalar. Null is always allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scalar {
    Numeric,
    Text,
    Boolean,
    /// Numeric, text or boolean.
    Any,
}

#[derive(Clone, Debug)]
pub(super) struct ListType {
    pub(super) of: Type,
    pub(super) merge: ListMerge,
}

/// Merge behavior of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ListMerge {
    /// Replaced as a whole.
    Atomic,
    /// Merged item by item; items are identified by value.
    Set,
    /// Merged item by item; items are identified by these key fields.
    Map(Vec<String>),
}

#[derive(Clone, Debug, Default)]
pub(super) struct MapType {
    pub(super) fields: BTreeMap<String, FieldType>,
    /// Type of undeclared fields; `None` if not allowed.
    pub(super) others: Option<Box<Type>>,
    /// Replaced as a whole.
    pub(super) atomic: bool,
}

#[derive(Clone, Debug)]
pub(super) struct FieldType {
    pub(super) of: Type,
    /// Value of a missing field; used if the field is a list key.
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
    /// Compiles an OpenAPI v3 schema without `$ref`. `metadata.managedFields`, if declared, is excluded from all
    /// operations.
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

/// Treatment of fields that a struct does not declare.
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

    /// Narrows the type to a value. For a mismatched value, the declared shape is returned.
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
    /// True if both are of the same shape.
    pub(super) fn is_like(self, other: Shape<'_>) -> bool {
        std::mem::discriminant(&self) == std::mem::discriminant(&other)
    }
}

impl<'a> MapShape<'a> {
    /// The type of a field; `None` if the field is not allowed.
    pub(super) fn field(self, name: &str) -> Option<&'a Type> {
        let Some(map) = self.declared else {
            return Some(&Type::Any);
        };
        map.fields.get(name).map(|field| &field.of).or(map.others.as_deref())
    }

    /// True if the field is declared by name.
    pub(super) fn declares(self, name: &str) -> bool {
        self.declared.is_some_and(|map| map.fields.contains_key(name))
    }

    /// True if nothing is declared, so that the content is deduced.
    pub(super) fn is_deduced(self) -> bool {
        self.declared.is_none_or(|map| map.fields.is_empty() && matches!(map.others.as_deref(), Some(Type::Any)))
    }
}

impl Type {
    /// The default of a field of this map.
    pub(super) fn default_of(&self, field: &str) -> Option<&Value> {
        match self {
            Self::Map(map) => map.fields.get(field)?.default.as_ref(),
            _ => None,
        }
    }
}
