//! Bodies: JSON or YAML, with the repeated keys that a plain map would hide; a few kinds of Kubernetes' own in protobuf.

use std::{cell::RefCell, fmt};

use serde::de::{Deserialize, DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use super::protobuf;
use crate::refusal::{Reason, Refusal};

/// How deep a body may nest, and what a patch makes of an object.
pub(crate) const DEPTH_MAX: usize = 64;
/// Repeated keys that are reported; a body may have millions.
const DUPLICATES_MAX: usize = 100;
/// How many nodes the aliases of a YAML body may stand for, all together: a few lines of aliases to aliases would
/// otherwise become gigabytes.
const ALIASED_NODES_MAX: usize = 10_000;

/// A decoded body.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Decoded {
    /// The body; of a repeated key the last value counts.
    pub value: Value,
    /// The paths of repeated keys.
    pub duplicates: Vec<String>,
}

impl From<Value> for Decoded {
    fn from(value: Value) -> Self {
        Self { value, duplicates: Vec::new() }
    }
}

impl<'de> Deserialize<'de> for Decoded {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let duplicates = RefCell::default();
        let value = Seed { path: None, depth: 0, duplicates: &duplicates }.deserialize(deserializer)?;
        Ok(Self { value, duplicates: duplicates.into_inner() })
    }
}

/// Decodes a body. No content type is JSON.
pub fn decode(content_type: Option<&str>, body: &[u8]) -> Result<Decoded, Refusal> {
    let essence = content_type.unwrap_or_default().split(';').next().unwrap_or_default().trim();
    match essence.to_ascii_lowercase().as_str() {
        "" | "application/json" => serde_json::from_slice(body).map_err(|error| malformed(&error.to_string())),
        "application/yaml" => decode_yaml(body),
        protobuf::MEDIA_TYPE => protobuf::decode(body).map(Decoded::from).ok_or_else(unknown_format),
        _ => Err(unknown_format()),
    }
}

fn unknown_format() -> Refusal {
    Refusal::new(
        Reason::UnsupportedMediaType,
        "the body of the request was in an unknown format - accepted media types include: application/json, \
         application/yaml",
    )
}

/// One YAML document. Plain scalars mean what they mean in YAML 1.2: `no` is text.
fn decode_yaml(body: &[u8]) -> Result<Decoded, Refusal> {
    let options = serde_saphyr::options! {
        alias_limits: serde_saphyr::alias_limits! { max_total_replayed_events: ALIASED_NODES_MAX },
        budget: serde_saphyr::budget! { max_depth: DEPTH_MAX },
        duplicate_keys: serde_saphyr::DuplicateKeyPolicy::PassThrough,
        emit_comments: false,
        strict_booleans: true,
        with_snippet: false,
    };
    serde_saphyr::from_slice_with_options(body, options).map_err(|error| malformed(&error.to_string()))
}

fn malformed(why: &str) -> Refusal {
    Refusal::bad_request(format!("the object provided is unrecognized: {why}"))
}

/// The way from the top to a value, as a list on the stack.
struct Step<'a> {
    parent: Option<&'a Step<'a>>,
    name: Name<'a>,
}

enum Name<'a> {
    Key(&'a str),
    Index(usize),
}

impl fmt::Display for Step<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(parent) = self.parent {
            parent.fmt(f)?;
        }
        match self.name {
            Name::Key(key) if self.parent.is_none() => f.write_str(key),
            Name::Key(key) => write!(f, ".{key}"),
            Name::Index(index) => write!(f, "[{index}]"),
        }
    }
}

#[derive(Clone, Copy)]
struct Seed<'a> {
    path: Option<&'a Step<'a>>,
    depth: usize,
    duplicates: &'a RefCell<Vec<String>>,
}

impl Seed<'_> {
    fn below<E: Error>(self) -> Result<Self, E> {
        if self.depth == DEPTH_MAX {
            return Err(E::custom(format!("it nests deeper than {DEPTH_MAX} levels")));
        }
        Ok(Self { depth: self.depth + 1, ..self })
    }
}

impl<'de> DeserializeSeed<'de> for Seed<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Seed<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("not a finite number"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let below = self.below()?;
        let mut items = Vec::new();
        loop {
            let step = Step { parent: self.path, name: Name::Index(items.len()) };
            match access.next_element_seed(Seed { path: Some(&step), ..below })? {
                Some(item) => items.push(item),
                None => return Ok(Value::Array(items)),
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let below = self.below()?;
        let mut fields = Map::new();
        while let Some(key) = access.next_key::<String>()? {
            let step = Step { parent: self.path, name: Name::Key(&key) };
            let value = access.next_value_seed(Seed { path: Some(&step), ..below })?;
            if fields.contains_key(&key) && self.duplicates.borrow().len() < DUPLICATES_MAX {
                self.duplicates.borrow_mut().push(step.to_string());
            }
            fields.insert(key, value);
        }
        Ok(Value::Object(fields))
    }
}

#[cfg(test)]
mod tests;
