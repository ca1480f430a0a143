//! Checks that a value can be merged. Messages are those of structured-merge-diff, except where these contain Go
//! internals.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::{
    super::schema::{ListMerge, ListShape, MapShape, Scalar, Shape, Type},
    Strictness, ValidationError, ValidationErrors, item_element,
};
use crate::{
    field::{PathStep, StepName, excerpt, truncate},
    limits::{FIELD_PATH_ELEMENTS_MAX, PATH_BYTES_MAX, VALIDATION_ERRORS_MAX},
};

pub(super) fn check(of: &Type, value: &Value, strictness: Strictness) -> Result<(), ValidationErrors> {
    let mut walk = Validator { strictness, errors: Vec::new() };
    walk.check(of, value, &PathStep { parent: None, name: StepName::Root }, 0);
    if walk.errors.is_empty() { Ok(()) } else { Err(ValidationErrors(walk.errors)) }
}

struct Validator {
    strictness: Strictness,
    errors: Vec<ValidationError>,
}

impl Validator {
    fn add_error(&mut self, at: &PathStep<'_>, message: String) {
        if self.errors.len() < VALIDATION_ERRORS_MAX {
            self.errors.push(ValidationError {
                path: at.to_string(),
                message: truncate(&message, PATH_BYTES_MAX).into_owned(),
            });
        }
    }

    fn check(&mut self, of: &Type, value: &Value, at: &PathStep<'_>, depth: usize) {
        if depth > FIELD_PATH_ELEMENTS_MAX {
            return self.add_error(at, format!("nests deeper than {FIELD_PATH_ELEMENTS_MAX} levels"));
        }
        match (of.shape(value), value) {
            (Shape::Ignored, _) | (_, Value::Null) => {}
            (Shape::Scalar(scalar), _) => {
                if let Some(expected) = unexpected(scalar, value) {
                    self.add_error(at, format!("expected {expected}, got {}", excerpt(value)));
                }
            }
            (Shape::List(list), Value::Array(items)) => self.check_items(list, items, at, depth + 1),
            (Shape::Map(map), Value::Object(fields)) => self.check_fields(map, fields, at, depth + 1),
            (Shape::List(_), _) => self.add_error(at, format!("expected list, got {}", excerpt(value))),
            (Shape::Map(_), _) => self.add_error(at, format!("expected map, got {}", excerpt(value))),
        }
    }

    fn check_items(&mut self, list: ListShape<'_>, items: &[Value], at: &PathStep<'_>, depth: usize) {
        let mut seen = BTreeSet::new();
        for (index, item) in items.iter().enumerate() {
            if *list.merge == ListMerge::Atomic {
                self.check(list.of, item, &PathStep { parent: Some(at), name: StepName::Index(index) }, depth);
                continue;
            }
            let element = match item_element(list, item) {
                Ok(element) => element,
                Err(why) => return self.add_error(at, format!("element {index}: {why}")),
            };
            if self.strictness == Strictness::Strict && seen.contains(&element) {
                self.add_error(at, format!("duplicate entries for key {element}"));
            }
            self.check(list.of, item, &PathStep { parent: Some(at), name: StepName::Item(&element) }, depth);
            seen.insert(element);
        }
    }

    fn check_fields(&mut self, map: MapShape<'_>, fields: &Map<String, Value>, at: &PathStep<'_>, depth: usize) {
        for (name, value) in fields {
            let at = PathStep { parent: Some(at), name: StepName::Field(name) };
            match map.field(name) {
                Some(of) => self.check(of, value, &at, depth),
                None if self.strictness == Strictness::Strict => {
                    self.add_error(&at, "field not declared in schema".to_owned());
                }
                None => {}
            }
        }
    }
}

/// Returns the type that the scalar should have, if the value has another.
fn unexpected(scalar: Scalar, value: &Value) -> Option<&'static str> {
    let (fits, expected) = match scalar {
        Scalar::Numeric => (value.is_number(), "numeric (int or float)"),
        Scalar::Text => (value.is_string(), "string"),
        Scalar::Boolean => (value.is_boolean(), "boolean"),
        Scalar::Any => (!value.is_array() && !value.is_object(), "any scalar"),
    };
    (!fits).then_some(expected)
}
