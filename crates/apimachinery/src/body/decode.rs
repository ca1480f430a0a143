//! Decodes bodies in JSON or YAML, and finds repeated keys, which a plain map would drop. Some Kubernetes kinds are
//! also decoded from protobuf.

use std::{
    cell::{Cell, RefCell},
    fmt,
};

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use super::{
    memory_size::{Budget, Exceeded, too_large},
    protobuf,
};
use crate::{
    field::{PathStep, StepName},
    limits::{ALIASED_NODES_MAX, DECODED_BYTES_MAX, DECODED_PATCH_BYTES_MAX, DEPTH_MAX, DUPLICATES_MAX},
    status_error::{StatusError, StatusReason},
};

/// A decoded body.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Decoded {
    /// The body; the last of repeated keys wins.
    pub value: Value,
    /// Paths of repeated keys.
    pub duplicates: Vec<String>,
}

impl From<Value> for Decoded {
    fn from(value: Value) -> Self {
        Self { value, duplicates: Vec::new() }
    }
}

/// Decodes a body. Without a content type it is JSON.
pub fn decode(content_type: Option<&str>, body: &[u8]) -> Result<Decoded, StatusError> {
    let essence = content_type.unwrap_or_default().split(';').next().unwrap_or_default().trim();
    let reading = Reading::new(DECODED_BYTES_MAX);
    match essence.to_ascii_lowercase().as_str() {
        "" | "application/json" => reading.json(body),
        "application/yaml" => reading.yaml(body),
        protobuf::MEDIA_TYPE => reading.protobuf(body),
        _ => Err(unknown_format()),
    }
}

/// Decodes a JSON patch, which may use more memory than an object.
pub fn decode_operations(body: &[u8]) -> Result<Decoded, StatusError> {
    Reading::new(DECODED_PATCH_BYTES_MAX).json(body)
}

/// Decodes a JSON value inside a field path. Its memory is limited in proportion to the length of the text.
pub(crate) fn decode_element(text: &str) -> Result<Value, serde_json::Error> {
    let reading = Reading::new(4096 + 2 * text.len());
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let value = reading.seed().deserialize(&mut deserializer)?;
    deserializer.end().map(|()| value)
}

/// State of one decoding: remaining memory budget and repeated keys.
struct Reading {
    limit: usize,
    budget: RefCell<Budget>,
    exceeded: Cell<bool>,
    duplicates: RefCell<Vec<String>>,
}

impl Reading {
    fn new(limit: usize) -> Self {
        let (exceeded, duplicates) = (Cell::new(false), RefCell::default());
        Self { limit, budget: RefCell::new(Budget::new(limit)), exceeded, duplicates }
    }

    fn seed(&self) -> Seed<'_> {
        Seed { path: None, depth: 0, reading: self }
    }

    fn json(self, body: &[u8]) -> Result<Decoded, StatusError> {
        let mut deserializer = serde_json::Deserializer::from_slice(body);
        let value = self.seed().deserialize(&mut deserializer);
        let value = value.and_then(|value| deserializer.end().map(|()| value));
        self.finish(value)
    }

    /// Decodes one YAML document. Plain scalars are resolved as in YAML 1.2: `no` is a string.
    fn yaml(self, body: &[u8]) -> Result<Decoded, StatusError> {
        let options = serde_saphyr::options! {
            alias_limits: serde_saphyr::alias_limits! { max_total_replayed_events: ALIASED_NODES_MAX },
            budget: serde_saphyr::budget! { max_depth: DEPTH_MAX },
            duplicate_keys: serde_saphyr::DuplicateKeyPolicy::PassThrough,
            emit_comments: false,
            strict_booleans: true,
            with_snippet: false,
        };
        let value = serde_saphyr::with_deserializer_from_slice_with_options(body, options, |deserializer| {
            self.seed().deserialize(deserializer)
        });
        self.finish(value)
    }

    fn protobuf(self, body: &[u8]) -> Result<Decoded, StatusError> {
        match protobuf::decode(body, &mut self.budget.borrow_mut()) {
            Ok(value) => Ok(Decoded::from(value)),
            Err(protobuf::Failure::TooLarge) => Err(too_large("body", self.limit)),
            Err(protobuf::Failure::Malformed) => Err(unknown_format()),
        }
    }

    fn finish<E: fmt::Display>(self, value: Result<Value, E>) -> Result<Decoded, StatusError> {
        match value {
            Ok(value) => Ok(Decoded { value, duplicates: self.duplicates.into_inner() }),
            Err(_) if self.exceeded.get() => Err(too_large("body", self.limit)),
            Err(error) => Err(malformed(&error.to_string())),
        }
    }
}

fn unknown_format() -> StatusError {
    StatusError::new(
        StatusReason::UnsupportedMediaType,
        "the body of the request was in an unknown format - accepted media types include: application/json, \
         application/yaml",
    )
}

fn malformed(why: &str) -> StatusError {
    StatusError::bad_request(format!("the object provided is unrecognized: {why}"))
}

#[derive(Clone, Copy)]
struct Seed<'a> {
    path: Option<&'a PathStep<'a>>,
    depth: usize,
    reading: &'a Reading,
}

impl Seed<'_> {
    fn below<E: Error>(self) -> Result<Self, E> {
        if self.depth == DEPTH_MAX {
            return Err(E::custom(format!("it nests deeper than {DEPTH_MAX} levels")));
        }
        Ok(Self { depth: self.depth + 1, ..self })
    }

    /// Charges the memory budget; decoding fails if it is exhausted.
    fn take<E: Error>(self, take: impl FnOnce(&mut Budget) -> Result<(), Exceeded>) -> Result<(), E> {
        take(&mut self.reading.budget.borrow_mut()).map_err(|Exceeded| {
            self.reading.exceeded.set(true);
            E::custom("it is too large")
        })
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

    fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
        self.take(|budget| budget.text(value.len()))?;
        Ok(value.into())
    }

    fn visit_string<E: Error>(self, value: String) -> Result<Value, E> {
        self.take(|budget| budget.text(value.len()))?;
        Ok(Value::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let below = self.below()?;
        let mut items = Vec::new();
        loop {
            let step = PathStep { parent: self.path, name: StepName::Index(items.len()) };
            match access.next_element_seed(Seed { path: Some(&step), ..below })? {
                Some(item) => {
                    self.take(Budget::item)?;
                    items.push(item);
                }
                None => break,
            }
        }
        // `Vec` allocates room for four items.
        items.shrink_to_fit();
        Ok(Value::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let below = self.below()?;
        let mut fields = Map::new();
        while let Some(key) = access.next_key::<String>()? {
            let step = PathStep { parent: self.path, name: StepName::Field(&key) };
            self.take(|budget| budget.key(&key, fields.len()))?;
            let value = access.next_value_seed(Seed { path: Some(&step), ..below })?;
            let mut duplicates = self.reading.duplicates.borrow_mut();
            if fields.contains_key(&key) && duplicates.len() < DUPLICATES_MAX {
                duplicates.push(step.to_string());
            }
            fields.insert(key, value);
        }
        Ok(Value::Object(fields))
    }
}

#[cfg(test)]
mod tests;
