//! Kinds of a cluster that have no objects here. They are served because clients fail without them: k9s without
//! secrets, Argo and Terraform without custom resource definitions.

use apimachinery::{
    command::{ObjectKey, Write},
    kind::{Context, Kind, PreparedObject, RequestContext},
    object::Object,
    resource::{Cell, Column, Resource, Subresource, Verb},
    status_error::{StatusError, StatusReason},
};
use serde_json::{Value, json};

use super::resources::{NAME, namespaced, text};

/// The verbs of kinds without objects.
const VERBS: &[Verb] = &[Verb::Get, Verb::List, Verb::Watch];

/// A kind without objects.
pub struct StubKind(pub Resource);

impl<W> Kind<W> for StubKind {
    fn resource(&self) -> &Resource {
        &self.0
    }

    fn prepare_create(
        &self,
        _: &ObjectKey,
        _: Object,
        _: &RequestContext<'_>,
    ) -> Result<PreparedObject<W>, StatusError> {
        Err(read_only(&self.0))
    }

    fn prepare_update(
        &self,
        _: &ObjectKey,
        _: &Object,
        _: Object,
        _: Option<Subresource>,
        _: &RequestContext<'_>,
    ) -> Result<PreparedObject<W>, StatusError> {
        Err(read_only(&self.0))
    }

    fn validate_delete(&self, _: &W, _: &ObjectKey, _: &Object, _: &Context<'_>) -> Result<(), StatusError> {
        Err(read_only(&self.0))
    }

    fn delete(&self, _: &W, _: &ObjectKey, _: &Object, _: &Context<'_>) -> Result<Vec<Write>, StatusError> {
        Err(read_only(&self.0))
    }
}

fn read_only(resource: &Resource) -> StatusError {
    StatusError::new(
        StatusReason::MethodNotAllowed,
        format!("this server does not store {}", resource.group_resource()),
    )
}

/// All such kinds.
pub fn resources() -> Vec<Resource> {
    vec![secrets(), definitions()]
}

fn secrets() -> Resource {
    let schema = schema("Secret stores secret data. This server stores none.", &["type"], &["data", "stringData"]);
    let columns = const { &[NAME, text("Type", Cell::Pointer("/type")), Column::AGE] };
    Resource {
        // `kubectl get all` fails if no kind has this category. The service's kinds are not in it, because of `kubectl
        // delete all`.
        categories: &["all"],
        verbs: VERBS,
        selectable_fields: &["type"],
        ..namespaced("Secret", "secrets", "secret", columns, schema)
    }
}

fn definitions() -> Resource {
    let description = "CustomResourceDefinition defines a kind. This server does not support them.";
    let schema = schema(description, &[], &["spec", "status"]);
    let columns = const { &[NAME, Column::AGE] };
    Resource {
        group: "apiextensions.k8s.io",
        short_names: &["crd", "crds"],
        categories: &["api-extensions"],
        namespaced: false,
        verbs: VERBS,
        ..namespaced(
            "CustomResourceDefinition",
            "customresourcedefinitions",
            "customresourcedefinition",
            columns,
            schema,
        )
    }
}

/// A schema of string fields and of objects without a description.
fn schema(description: &str, texts: &[&str], objects: &[&str]) -> Value {
    let texts = texts.iter().map(|name| ((*name).to_owned(), json!({"type": "string"})));
    let anything = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    let objects = objects.iter().map(|name| ((*name).to_owned(), anything.clone()));
    let properties: serde_json::Map<String, Value> = texts.chain(objects).collect();
    json!({"type": "object", "description": description, "properties": properties})
}
