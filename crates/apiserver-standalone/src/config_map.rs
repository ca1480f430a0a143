//! ConfigMap (core/v1): strings and bytes by key. The server does not interpret them; clients store data in them, as
//! Helm does with its releases (`HELM_DRIVER=configmap`).

use apimachinery::{
    command::ObjectKey,
    field::{FieldError, Path},
    kind::{Kind, PreparedObject, RequestContext},
    object::Object,
    resource::{Cell, Column, Resource, Subresource},
    status_error::StatusError,
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Map, Value, json};

use super::resources::{NAME, check, namespaced, text};
use crate::limits::{CONFIG_MAP_BYTES_MAX, CONFIG_MAP_ENTRIES_MAX, CONFIG_MAP_KEY_BYTES_MAX};

/// The plural resource.
pub const PLURAL: &str = "configmaps";
const DATA: &str = "data";
const BINARY_DATA: &str = "binaryData";

/// The kind ConfigMap.
pub struct ConfigMaps {
    resource: Resource,
}

impl ConfigMaps {
    /// The kind, with its schema.
    pub fn new() -> Self {
        Self { resource: resource() }
    }
}

impl<W> Kind<W> for ConfigMaps {
    fn resource(&self) -> &Resource {
        &self.resource
    }

    fn prepare_create(
        &self,
        key: &ObjectKey,
        object: Object,
        _: &RequestContext<'_>,
    ) -> Result<PreparedObject<W>, StatusError> {
        check(&self.resource, key, &validate(&object))?;
        Ok(PreparedObject::without_decision(object))
    }

    fn prepare_update(
        &self,
        key: &ObjectKey,
        old: &Object,
        new: Object,
        _: Option<Subresource>,
        _: &RequestContext<'_>,
    ) -> Result<PreparedObject<W>, StatusError> {
        let mut errors = validate_immutable(old, &new);
        errors.extend(validate(&new));
        check(&self.resource, key, &errors)?;
        Ok(PreparedObject::without_decision(new))
    }
}

/// The entries of `data` or `binaryData`.
fn entries<'a>(object: &'a Object, field: &str) -> impl Iterator<Item = (&'a str, &'a str)> {
    let map = object.field(field).as_object();
    map.into_iter().flatten().map(|(name, value)| (name.as_str(), value.as_str().unwrap_or_default()))
}

/// Kubernetes' `ValidateConfigMap`.
fn validate(object: &Object) -> Vec<FieldError> {
    let (mut errors, mut bytes) = (Vec::new(), 0);
    for (name, text) in entries(object, DATA) {
        let path = Path::new(DATA).key(name);
        if object.field(BINARY_DATA).get(name).is_some() {
            errors.push(FieldError::invalid(path.clone(), name, "duplicate of key present in binaryData"));
        }
        errors.extend(validate_key(path, name));
        bytes += text.len();
    }
    for (name, text) in entries(object, BINARY_DATA) {
        let path = Path::new(BINARY_DATA).key(name);
        match STANDARD.decode(text) {
            Ok(value) => bytes += value.len(),
            Err(_) => errors.push(FieldError::invalid(path.clone(), text, "must be base64, as in RFC 4648 section 4")),
        }
        errors.extend(validate_key(path, name));
    }
    if bytes > CONFIG_MAP_BYTES_MAX {
        errors
            .push(FieldError::too_long(Path::new(DATA), &format!("may not be more than {CONFIG_MAP_BYTES_MAX} bytes")));
    }
    errors
}

fn validate_key(path: Path, name: &str) -> Option<FieldError> {
    let detail = if name.len() > CONFIG_MAP_KEY_BYTES_MAX {
        format!("must be no more than {CONFIG_MAP_KEY_BYTES_MAX} characters")
    } else if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte)) {
        "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')".to_owned()
    } else if name == "." || name.starts_with("..") {
        format!("must not be '.' and must not start with '..': as a file name '{name}' could leave its directory")
    } else {
        return None;
    };
    Some(FieldError::invalid(path, name, &detail))
}

fn validate_immutable(old: &Object, new: &Object) -> Vec<FieldError> {
    if old.field("immutable") != &Value::Bool(true) {
        return Vec::new();
    }
    let contents = |object: &Object, field: &str| -> Map<String, Value> {
        object.field(field).as_object().cloned().unwrap_or_default()
    };
    let mut changed = Vec::new();
    if new.field("immutable") != old.field("immutable") {
        changed.push("immutable");
    }
    changed.extend([DATA, BINARY_DATA].into_iter().filter(|field| contents(old, field) != contents(new, field)));
    let error = |field| FieldError::forbidden(Path::new(field), "field is immutable when `immutable` is set");
    changed.into_iter().map(error).collect()
}

fn count(object: &Object) -> Value {
    Value::from(entries(object, DATA).count() + entries(object, BINARY_DATA).count())
}

fn resource() -> Resource {
    let columns = const { &[NAME, text("Data", Cell::Computed(count)), Column::AGE] };
    Resource { short_names: &["cm"], ..namespaced("ConfigMap", PLURAL, "configmap", columns, schema()) }
}

fn schema() -> Value {
    json!({
        "type": "object",
        "description": "ConfigMap stores strings and bytes by key for clients; the server does not interpret them.",
        "properties": {
            "data": {
                "type": "object", "additionalProperties": {"type": "string"}, "maxProperties": CONFIG_MAP_ENTRIES_MAX,
                "description": "Strings by key. Keys consist of letters, digits, '-', '_' and '.'. All values together have at most 1 MiB.",
            },
            "binaryData": {
                "type": "object", "additionalProperties": {"type": "string", "format": "byte"},
                "maxProperties": CONFIG_MAP_ENTRIES_MAX,
                "description": "Bytes in base64 by key. A key must not be in data as well.",
            },
            "immutable": {"type": "boolean", "description": "If true, data and binaryData cannot be changed."},
        },
    })
}
