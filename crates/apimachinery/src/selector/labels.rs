//! Label selectors, as text (`app=web,tier in (a,b),!old`) and as `meta.k8s.io/v1 LabelSelector`.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use serde_json::Value;

use crate::{
    field::{FieldError, Path, excerpt},
    limits::REQUIREMENTS_MAX,
    metadata::{is_label_value, is_qualified_name},
    status_error::StatusError,
};

/// A label selector. The default selects everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LabelSelector(Vec<Requirement>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Requirement {
    key: String,
    operator: Operator,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Operator {
    In(BTreeSet<String>),
    NotIn(BTreeSet<String>),
    Exists,
    DoesNotExist,
    GreaterThan(i64),
    LessThan(i64),
}

impl LabelSelector {
    /// Parses the text form; empty text selects everything.
    pub fn parse(text: &str) -> Result<Self, StatusError> {
        Parser { tokens: tokens(text), at: 0 }
            .selector()
            .map_err(|why| {
                StatusError::bad_request(format!("unable to parse requirement: {why} in {}", excerpt(&text.into())))
            })
            .map(Self)
    }

    /// Parses `{matchLabels, matchExpressions}` at `path`; returns all field errors.
    pub fn from_json(value: &Value, path: &Path) -> Result<Self, Vec<FieldError>> {
        let (mut requirements, mut errors) = (Vec::new(), Vec::new());
        if !(value.is_object() || value.is_null()) {
            return Err(vec![type_error(path.clone(), "object", value)]);
        }
        let labels = part(value, "matchLabels", path, "object", Value::as_object, &mut errors);
        for (key, value) in labels.into_iter().flatten() {
            let path = path.child("matchLabels");
            check_key(key, &path, &mut errors);
            let Some(value) = value.as_str() else {
                errors.push(type_error(path.key(key), "string", value));
                continue;
            };
            check_value(value, path.key(key), &mut errors);
            requirements
                .push(Requirement { key: key.clone(), operator: Operator::In(BTreeSet::from([value.to_owned()])) });
        }
        let expressions = part(value, "matchExpressions", path, "array", Value::as_array, &mut errors);
        for (index, expression) in expressions.into_iter().flatten().enumerate() {
            let path = path.child("matchExpressions").index(index);
            requirements.extend(expression_from_json(expression, &path, &mut errors));
        }
        if errors.is_empty() { Ok(Self(requirements)) } else { Err(errors) }
    }

    /// True if the labels satisfy the selector.
    pub fn matches(&self, labels: &BTreeMap<String, String>) -> bool {
        self.0.iter().all(|requirement| requirement.matches(labels.get(&requirement.key)))
    }

    /// True if it selects everything.
    pub fn is_everything(&self) -> bool {
        self.0.is_empty()
    }
}

impl Requirement {
    fn matches(&self, value: Option<&String>) -> bool {
        let number = || value.and_then(|value| value.parse::<i64>().ok());
        match &self.operator {
            Operator::In(values) => value.is_some_and(|value| values.contains(value)),
            Operator::NotIn(values) => value.is_none_or(|value| !values.contains(value)),
            Operator::Exists => value.is_some(),
            Operator::DoesNotExist => value.is_none(),
            Operator::GreaterThan(bound) => number().is_some_and(|number| number > *bound),
            Operator::LessThan(bound) => number().is_some_and(|number| number < *bound),
        }
    }
}

fn check_key(key: &str, path: &Path, errors: &mut Vec<FieldError>) {
    if let Err(why) = is_qualified_name(key) {
        errors.push(FieldError::invalid(path.clone(), key, &why));
    }
}

fn check_value(value: &str, path: Path, errors: &mut Vec<FieldError>) {
    if let Err(why) = is_label_value(value) {
        errors.push(FieldError::invalid(path, value, &why));
    }
}

fn expression_from_json(expression: &Value, path: &Path, errors: &mut Vec<FieldError>) -> Option<Requirement> {
    if !expression.is_object() {
        errors.push(type_error(path.clone(), "object", expression));
        return None;
    }
    let key = part(expression, "key", path, "string", Value::as_str, errors).unwrap_or_default();
    let name = part(expression, "operator", path, "string", Value::as_str, errors).unwrap_or_default();
    let values = values_from_json(expression, path, errors);
    let operator = match (name, values.is_empty()) {
        ("In" | "NotIn", true) => {
            let detail = "must be specified when `operator` is 'In' or 'NotIn'";
            errors.push(FieldError::required(path.child("values"), detail));
            None
        }
        ("Exists" | "DoesNotExist", false) => {
            let detail = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'";
            errors.push(FieldError::forbidden(path.child("values"), detail));
            None
        }
        ("In", _) => Some(Operator::In(values)),
        ("NotIn", _) => Some(Operator::NotIn(values)),
        ("Exists", _) => Some(Operator::Exists),
        ("DoesNotExist", _) => Some(Operator::DoesNotExist),
        (other, _) => {
            errors.push(FieldError::invalid(path.child("operator"), other, "not a valid selector operator"));
            None
        }
    };
    check_key(key, &path.child("key"), errors);
    operator.map(|operator| Requirement { key: key.to_owned(), operator })
}

fn values_from_json(expression: &Value, path: &Path, errors: &mut Vec<FieldError>) -> BTreeSet<String> {
    let mut values = BTreeSet::new();
    let items = part(expression, "values", path, "array", Value::as_array, errors);
    for (index, item) in items.into_iter().flatten().enumerate() {
        let path = path.child("values").index(index);
        match item.as_str() {
            Some(value) => check_value(value, path, errors),
            None => errors.push(type_error(path, "string", item)),
        }
        values.insert(item.as_str().unwrap_or_default().to_owned());
    }
    values
}

/// Reads the optional field `name` of `value`; adds a field error if it has the wrong type.
fn part<'a, T>(
    value: &'a Value,
    name: &str,
    path: &Path,
    expected: &str,
    read: impl Fn(&'a Value) -> Option<T>,
    errors: &mut Vec<FieldError>,
) -> Option<T> {
    let found = value.get(name).filter(|found| !found.is_null())?;
    let part = read(found);
    if part.is_none() {
        errors.push(type_error(path.child(name), expected, found));
    }
    part
}

fn type_error(path: Path, expected: &str, value: &Value) -> FieldError {
    FieldError::type_invalid(path, value.clone(), &format!("must be of type {expected}"))
}

impl fmt::Display for LabelSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, Requirement { key, operator }) in self.0.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            match operator {
                Operator::In(values) => write!(f, "{comma}{key} in ({})", joined(values)),
                Operator::NotIn(values) => write!(f, "{comma}{key} notin ({})", joined(values)),
                Operator::Exists => write!(f, "{comma}{key}"),
                Operator::DoesNotExist => write!(f, "{comma}!{key}"),
                Operator::GreaterThan(bound) => write!(f, "{comma}{key}>{bound}"),
                Operator::LessThan(bound) => write!(f, "{comma}{key}<{bound}"),
            }?;
        }
        Ok(())
    }
}

fn joined(values: &BTreeSet<String>) -> String {
    values.iter().map(String::as_str).collect::<Vec<_>>().join(",")
}

/// Splits the text form into words and punctuation.
fn tokens(text: &str) -> Vec<&str> {
    let mut tokens = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let length = match first {
            '=' if rest.starts_with("==") => 2,
            '!' if rest.starts_with("!=") => 2,
            '=' | '!' | '(' | ')' | ',' | '>' | '<' => 1,
            _ => rest.find(|c: char| c.is_whitespace() || "=!(),<>".contains(c)).unwrap_or(rest.len()),
        };
        let (token, behind) = rest.split_at(length);
        tokens.push(token);
        rest = behind.trim_start();
    }
    tokens
}

struct Parser<'a> {
    tokens: Vec<&'a str>,
    at: usize,
}

impl<'a> Parser<'a> {
    fn selector(mut self) -> Result<Vec<Requirement>, String> {
        let mut requirements = Vec::new();
        if self.tokens.is_empty() {
            return Ok(requirements);
        }
        loop {
            if requirements.len() == REQUIREMENTS_MAX {
                return Err(format!("there are more than {REQUIREMENTS_MAX} requirements"));
            }
            requirements.push(self.requirement()?);
            match self.next() {
                None => return Ok(requirements),
                Some(",") => {}
                Some(other) => return Err(format!("found {other:?}, expected: ',' or the end")),
            }
        }
    }

    fn requirement(&mut self) -> Result<Requirement, String> {
        if self.peek() == Some("!") {
            self.at += 1;
            let key = self.key()?;
            return Ok(Requirement { key, operator: Operator::DoesNotExist });
        }
        let key = self.key()?;
        let operator = match self.peek() {
            None | Some(",") => Operator::Exists,
            Some("=" | "==") => Operator::In(BTreeSet::from([self.parse_value()?])),
            Some("!=") => Operator::NotIn(BTreeSet::from([self.parse_value()?])),
            Some(">") => Operator::GreaterThan(self.parse_number()?),
            Some("<") => Operator::LessThan(self.parse_number()?),
            Some("in") => Operator::In(self.parse_values()?),
            Some("notin") => Operator::NotIn(self.parse_values()?),
            Some(other) => {
                return Err(format!("found {other:?}, expected: in, notin, =, ==, !=, > or <"));
            }
        };
        Ok(Requirement { key, operator })
    }

    fn key(&mut self) -> Result<String, String> {
        let key = self.next().ok_or("found the end, expected: a label key")?;
        is_qualified_name(key).map_err(|why| format!("invalid label key {key:?}: {why}"))?;
        Ok(key.to_owned())
    }

    /// The value after an operator; may be empty.
    fn parse_value(&mut self) -> Result<String, String> {
        self.at += 1;
        self.value()
    }

    fn value(&mut self) -> Result<String, String> {
        match self.peek() {
            None | Some("," | ")") => Ok(String::new()),
            Some(value) => {
                self.at += 1;
                is_label_value(value).map_err(|why| format!("invalid label value {value:?}: {why}"))?;
                Ok(value.to_owned())
            }
        }
    }

    fn parse_number(&mut self) -> Result<i64, String> {
        let value = self.parse_value()?;
        value.parse().map_err(|_| format!("{value:?} must be an integer for > and <"))
    }

    fn parse_values(&mut self) -> Result<BTreeSet<String>, String> {
        self.at += 1;
        if self.next() != Some("(") {
            return Err("expected: '(' after in or notin".to_owned());
        }
        let mut values = BTreeSet::new();
        loop {
            values.insert(self.value()?);
            match self.next() {
                Some(",") => {}
                Some(")") => return Ok(values),
                other => return Err(format!("found {other:?}, expected: ',' or ')'")),
            }
        }
    }

    fn peek(&self) -> Option<&'a str> {
        self.tokens.get(self.at).copied()
    }

    fn next(&mut self) -> Option<&'a str> {
        let token = self.peek()?;
        self.at += 1;
        Some(token)
    }
}
