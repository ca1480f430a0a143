//! Namespace (core/v1), and the rule that no object can be created in a namespace that is missing or terminating.

use apimachinery::{
    command::{ObjectKey, Scope},
    kind::{Context, Kind, PreparedObject, RequestContext},
    limits::FINALIZERS_MAX,
    object::Object,
    request::NAMESPACES,
    resource::{Cell, Column, NamePolicy, Resource, Subresource, Verb},
    rest::Existence,
    status_error::{Cause, StatusError, StatusReason},
};
use serde_json::{Value, json};

use super::resources::{NAME, namespaced, text};
use crate::limits::NAMESPACE_CONDITIONS_MAX;

/// The common key prefix of all namespaces, and of no other objects.
pub const PREFIX: &str = "namespaces/";
/// The finalizer that keeps a namespace until it is empty.
pub const FINALIZER: &str = "kubernetes";
/// The default namespaces, which cannot be deleted.
pub const PROTECTED: [&str; 2] = ["default", "kube-system"];
/// The label with the name of a namespace, for selectors.
const NAME_LABEL: &str = "kubernetes.io/metadata.name";

/// The key of a namespace.
pub fn key(scope: &Scope, name: &str) -> ObjectKey {
    ObjectKey { resource: NAMESPACES, scope: scope.clone(), namespace: String::new(), name: name.to_owned() }
}

/// Checks that an object may be created in a namespace (the admission plugin NamespaceLifecycle of kube-apiserver).
pub fn validate_lifecycle(
    resource: &Resource,
    object: &ObjectKey,
    namespace: Option<Existence>,
) -> Result<(), StatusError> {
    match namespace.unwrap_or(Existence::Absent) {
        Existence::Live => Ok(()),
        Existence::Terminating => Err(terminating(resource, object)),
        Existence::Absent => Err(StatusError::not_found("", NAMESPACES, &object.namespace)),
    }
}

fn terminating(resource: &Resource, object: &ObjectKey) -> StatusError {
    let ObjectKey { namespace, name, .. } = object;
    let message = format!(
        "{} \"{name}\" is forbidden: unable to create new content in namespace {namespace} because it is being terminated",
        resource.group_resource()
    );
    let mut refusal =
        StatusError::new(StatusReason::Forbidden, message).with_details(resource.group, resource.plural, name);
    refusal.details.causes.push(Cause {
        reason: "NamespaceTerminating".to_owned(),
        message: format!("namespace {namespace} is being terminated"),
        field: "metadata.namespace".to_owned(),
    });
    refusal
}

/// The finalizers in the spec of a namespace.
pub fn finalizers(namespace: &Object) -> Vec<&str> {
    let list = namespace.field("spec").get("finalizers").and_then(Value::as_array);
    list.into_iter().flatten().filter_map(Value::as_str).collect()
}

/// The kind Namespace.
pub struct Namespaces {
    resource: Resource,
}

impl Namespaces {
    /// The kind, with its schema.
    pub fn new() -> Self {
        Self { resource: resource() }
    }
}

impl<W> Kind<W> for Namespaces {
    fn resource(&self) -> &Resource {
        &self.resource
    }

    fn prepare_create(
        &self,
        key: &ObjectKey,
        mut object: Object,
        _: &RequestContext<'_>,
    ) -> Result<PreparedObject<W>, StatusError> {
        let mut finalizers: Vec<Value> = finalizers(&object).into_iter().map(Value::from).collect();
        if !finalizers.iter().any(|name| name == FINALIZER) {
            finalizers.push(FINALIZER.into());
        }
        object.set_field("spec", json!({"finalizers": finalizers}));
        object.set_field("status", json!({"phase": "Active"}));
        Ok(with_name_label(key, object))
    }

    /// The finalizers in the spec can be changed only by `/finalize`, and the phase only by the server.
    fn prepare_update(
        &self,
        key: &ObjectKey,
        old: &Object,
        mut new: Object,
        subresource: Option<Subresource>,
        _: &RequestContext<'_>,
    ) -> Result<PreparedObject<W>, StatusError> {
        if subresource != Some(Subresource::Finalize) {
            new.set_field("spec", old.field("spec").clone());
        }
        let phase = if new.is_terminating() { "Terminating" } else { "Active" };
        let mut status = new.field("status").as_object().cloned().unwrap_or_default();
        status.insert("phase".to_owned(), phase.into());
        new.set_field("status", Value::Object(status));
        Ok(with_name_label(key, new))
    }

    fn validate_delete(&self, _: &W, key: &ObjectKey, _: &Object, _: &Context<'_>) -> Result<(), StatusError> {
        if !PROTECTED.contains(&key.name.as_str()) {
            return Ok(());
        }
        let message = format!("{NAMESPACES} \"{}\" is forbidden: this namespace may not be deleted", key.name);
        Err(StatusError::new(StatusReason::Forbidden, message).with_details("", NAMESPACES, &key.name))
    }

    fn has_extra_finalizers(&self, object: &Object) -> bool {
        !finalizers(object).is_empty()
    }

    fn mark_terminating(&self, object: &mut Object) {
        let mut status = object.field("status").as_object().cloned().unwrap_or_default();
        status.insert("phase".to_owned(), "Terminating".into());
        object.set_field("status", Value::Object(status));
    }
}

fn with_name_label<W>(key: &ObjectKey, mut object: Object) -> PreparedObject<W> {
    object.metadata.labels.insert(NAME_LABEL.to_owned(), key.name.clone());
    PreparedObject::without_decision(object)
}

fn resource() -> Resource {
    let columns = const { &[NAME, text("Status", Cell::Pointer("/status/phase")), Column::AGE] };
    Resource {
        short_names: &["ns"],
        namespaced: false,
        verbs: &[Verb::Create, Verb::Delete, Verb::Get, Verb::List, Verb::Patch, Verb::Update, Verb::Watch],
        subresources: &[Subresource::Finalize, Subresource::Status],
        selectable_fields: &["status.phase"],
        names: NamePolicy::Label,
        ..namespaced("Namespace", NAMESPACES, "namespace", columns, schema())
    }
}

fn schema() -> Value {
    let text = |description: &str| json!({"type": "string", "description": description});
    json!({
        "type": "object",
        "description": "Namespace provides a scope for names: claims of different namespaces may have the same name. Deleting one deletes all objects in it, including those that otherwise outlive their owners, such as retained allocations.",
        "properties": {
            "spec": {
                "type": "object",
                "description": "The desired state of the namespace.",
                "properties": {
                    "finalizers": {
                        "type": "array", "items": {"type": "string"}, "maxItems": FINALIZERS_MAX,
                        "x-kubernetes-list-type": "atomic",
                        "description": "Finalizers that must be removed before the namespace is deleted. The server adds its own, and removes it when the namespace is empty.",
                    },
                },
            },
            "status": {
                "type": "object",
                "description": "The observed state of the namespace.",
                "properties": {
                    "phase": text("Active, or Terminating while the objects in it are being deleted."),
                    "conditions": {
                        "type": "array", "maxItems": NAMESPACE_CONDITIONS_MAX,
                        "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"],
                        "description": "Conditions of the namespace, by type.",
                        "items": {
                            "type": "object",
                            "description": "A condition of the namespace.",
                            "required": ["type", "status"],
                            "properties": {
                                "lastTransitionTime": {
                                    "type": "string", "format": "date-time", "description": "The time when the status last changed.",
                                },
                                "message": text("A description for people."),
                                "reason": text("The reason of the status, in one word."),
                                "status": text("True, False or Unknown."),
                                "type": text("The type of the condition."),
                            },
                        },
                    },
                },
            },
        },
    })
}
