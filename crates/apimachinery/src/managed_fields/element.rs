//! Path elements (from a map to a field, or from a list to an item), and paths.

use std::{cmp::Ordering, fmt};

use serde_json::Value;

use super::value::{self, EscapeHtml, describe};
use crate::body::decode_element;

/// A path element (structured-merge-diff `fieldpath.PathElement`).
#[derive(Clone, Debug)]
pub enum PathElement {
    /// `f:`: a field of a map or struct.
    Field(String),
    /// `k:`: the item of a list map with these key fields, sorted by name.
    Key(Vec<(String, Value)>),
    /// `v:`: the item of a set with this value.
    Value(Value),
    /// `i:`: the item at this index. Read but never created: lists other than sets and list maps are owned as a whole.
    Index(i64),
}

impl PathElement {
    /// Creates the element of a field.
    pub fn field(name: impl Into<String>) -> Self {
        Self::Field(name.into())
    }

    /// Creates the element of a list item from its key fields, in any order.
    pub fn key<K: Into<String>, V: Into<Value>>(fields: impl IntoIterator<Item = (K, V)>) -> Self {
        let mut fields: Vec<(String, Value)> = fields.into_iter().map(|(k, v)| (k.into(), v.into())).collect();
        fields.sort_by(|(left, _), (right, _)| left.cmp(right));
        Self::Key(fields)
    }

    /// Encodes the element as a key of `fieldsV1`.
    pub fn to_text(&self) -> String {
        let mut out = String::new();
        match self {
            Self::Field(name) => {
                out.push_str("f:");
                out.push_str(name);
            }
            Self::Key(fields) => {
                out.push_str("k:{");
                for (index, (name, value)) in fields.iter().enumerate() {
                    value::separate(index, &mut out);
                    value::write_string(name, EscapeHtml::No, &mut out);
                    out.push(':');
                    value::write_json(value, &mut out);
                }
                out.push('}');
            }
            Self::Value(value) => {
                out.push_str("v:");
                value::write_json(value, &mut out);
            }
            Self::Index(index) => out = format!("i:{index}"),
        }
        out
    }

    /// Decodes a key of `fieldsV1`. `None` for an unknown type of element, which must be ignored with everything below
    /// it.
    pub fn from_text(text: &str) -> Result<Option<Self>, String> {
        let (Some(kind), Some(separator)) = (text.as_bytes().first(), text.as_bytes().get(1)) else {
            return Err("key must be 2 characters long".to_owned());
        };
        if *separator != b':' {
            return Err(format!("missing colon: {text}"));
        }
        // Both bytes are ASCII, otherwise the second would not be a colon.
        let content = text.get(2..).unwrap_or_default();
        let json = || decode_element(content).map_err(|error| format!("{text}: {error}"));
        match kind {
            b'f' => Ok(Some(Self::Field(content.to_owned()))),
            b'k' => match json()? {
                Value::Object(fields) => Ok(Some(Self::key(fields))),
                Value::Null => Ok(Some(Self::Key(Vec::new()))),
                _ => Err(format!("{text}: expected an object")),
            },
            b'v' => Ok(Some(Self::Value(json()?))),
            b'i' => content.parse().map(|index| Some(Self::Index(index))).map_err(|error| format!("{text}: {error}")),
            _ => Ok(None),
        }
    }

    fn rank(&self) -> u8 {
        match self {
            Self::Field(_) => 0,
            Self::Key(_) => 1,
            Self::Value(_) => 2,
            Self::Index(_) => 3,
        }
    }
}

/// Fields, then keys, values and indices, each sorted by content. This is the order in `fieldsV1`.
impl Ord for PathElement {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Field(left), Self::Field(right)) => left.cmp(right),
            (Self::Key(left), Self::Key(right)) => {
                let pairs = left.iter().zip(right);
                let mut orders =
                    pairs.map(|((a, left), (b, right))| a.cmp(b).then_with(|| value::compare(left, right)));
                orders.find(|order| order.is_ne()).unwrap_or_else(|| left.len().cmp(&right.len()))
            }
            (Self::Value(left), Self::Value(right)) => value::compare(left, right),
            (Self::Index(left), Self::Index(right)) => left.cmp(right),
            (left, right) => left.rank().cmp(&right.rank()),
        }
    }
}

impl PartialOrd for PathElement {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for PathElement {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for PathElement {}

/// As in conflict messages: `.name`, `[name="x"]`, `[="x"]`, `[0]`.
impl fmt::Display for PathElement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Field(name) => write!(f, ".{name}"),
            Self::Key(fields) => {
                let fields = fields.iter().map(|(name, value)| format!("{name}={}", describe(value)));
                write!(f, "[{}]", fields.collect::<Vec<_>>().join(","))
            }
            Self::Value(value) => write!(f, "[={}]", describe(value)),
            Self::Index(index) => write!(f, "[{index}]"),
        }
    }
}

/// A path from the top of an object to a field or item. Formats as `.spec.list[name="x"].field`.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Path(pub Vec<PathElement>);

impl Path {
    /// The path of nested fields.
    pub fn fields<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        Self(names.into_iter().map(PathElement::field).collect())
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|element| element.fmt(f))
    }
}
