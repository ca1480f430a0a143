//! Two kinds without rules, one namespaced and one cluster-scoped. Their schema has everything that the generic part must
//! support: nested objects, maps, lists of each type, free-form objects. The CRDs are generated from the same description.

use apimachinery::{
    command::{ObjectKey, Write},
    kind::{self, Gauge, Kind, PreparedObject, Registry, RequestContext, Span},
    object::Object,
    resource::{Cell, Column, NamePolicy, Resource, Subresource, Verb},
    status_error::StatusError,
    time::Time,
};
use serde_json::{Value, json};

/// The group of both kinds.
const GROUP: &str = "oracle.example.com";
/// Their version.
const VERSION: &str = "v1";

/// An empty decision state.
#[derive(Default)]
pub struct Nothing;

impl kind::State for Nothing {
    fn apply(&mut self, _: &Write) {}

    fn observed_resources() -> &'static [&'static str] {
        &[]
    }

    fn pending_status_updates(&self, _: Time) -> Vec<Write> {
        Vec::new()
    }

    fn load_object(&mut self, _: ObjectKey, _: Object) -> Result<(), String> {
        Ok(())
    }

    fn load_span(&mut self, _: &Span) -> Result<(), String> {
        Ok(())
    }

    fn cached_resources(&self) -> &'static [&'static str] {
        &[]
    }

    fn gauges(&self) -> Vec<Gauge> {
        Vec::new()
    }
}

/// Returns a registry with both kinds.
pub fn registry() -> Registry<Nothing> {
    Registry::new(vec![Box::new(Plain(widgets())), Box::new(Plain(gadgets()))])
}

/// A kind that accepts everything that its schema accepts, and sets the defaults of the schema, as kube-apiserver does for CRDs.
struct Plain(Resource);

impl Plain {
    fn prepared(&self, mut object: Object) -> PreparedObject<Nothing> {
        for field in ["spec", "status"] {
            let mut value = object.field(field).clone();
            if !value.is_null() {
                fill_in(&self.0.schema["properties"][field], &mut value);
                object.set_field(field, value);
            }
        }
        PreparedObject::without_decision(object)
    }
}

impl Kind<Nothing> for Plain {
    fn resource(&self) -> &Resource {
        &self.0
    }

    fn prepare_create(
        &self,
        _: &ObjectKey,
        object: Object,
        _: &RequestContext<'_>,
    ) -> Result<PreparedObject<Nothing>, StatusError> {
        Ok(self.prepared(object))
    }

    fn prepare_update(
        &self,
        _: &ObjectKey,
        _: &Object,
        new: Object,
        _: Option<Subresource>,
        _: &RequestContext<'_>,
    ) -> Result<PreparedObject<Nothing>, StatusError> {
        Ok(self.prepared(new))
    }
}

fn fill_in(schema: &Value, value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for (name, schema) in schema["properties"].as_object().into_iter().flatten() {
                if let (None, Some(default)) = (fields.get(name), schema.get("default")) {
                    fields.insert(name.clone(), default.clone());
                }
                if let Some(value) = fields.get_mut(name) {
                    fill_in(schema, value);
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| fill_in(&schema["items"], item)),
        _ => {}
    }
}

/// The namespaced kind.
pub fn widgets() -> Resource {
    Resource {
        group: GROUP,
        version: VERSION,
        kind: "Widget",
        plural: "widgets",
        singular: "widget",
        short_names: &["wd"],
        categories: &[],
        namespaced: true,
        verbs: Verb::ALL,
        subresources: &[Subresource::Status],
        selectable_fields: &["spec.color", "spec.text", "status.phase"],
        computed_fields: &[],
        columns: const {
            &[
                column("Name", "string", Cell::Name),
                column("Text", "string", Cell::Pointer("/spec/text")),
                column("Count", "integer", Cell::Pointer("/spec/count")),
                column("Flag", "boolean", Cell::Pointer("/spec/flag")),
                column("Phase", "string", Cell::Pointer("/status/phase")),
                column("Age", "date", Cell::Age),
            ]
        },
        names: NamePolicy::Subdomain,
        schema: schema(),
    }
}

/// The cluster-scoped kind.
pub fn gadgets() -> Resource {
    Resource {
        kind: "Gadget",
        plural: "gadgets",
        singular: "gadget",
        short_names: &["gd"],
        namespaced: false,
        ..widgets()
    }
}

const fn column(name: &'static str, column_type: &'static str, cell: Cell) -> Column {
    let (format, description) = match cell {
        Cell::Name => ("name", NAME),
        Cell::Age => ("", "The age."),
        _ => ("", "A field."),
    };
    Column { name, column_type, format, description, priority: 0, cell }
}

/// The description of `metadata.name` in the OpenAPI documents of Kubernetes.
const NAME: &str = "Name must be unique within a namespace. Is required when creating resources, although some resources may allow a client to request the generation of an appropriate name automatically. Name is primarily intended for creation idempotence and configuration definition. Cannot be updated. More info: https://kubernetes.io/docs/concepts/overview/working-with-objects/names#names";

fn schema() -> Value {
    let text = json!({ "type": "string" });
    let whole = json!({ "type": "integer", "format": "int64" });
    let texts = |list_type: &str| json!({ "type": "array", "items": text, "x-kubernetes-list-type": list_type });
    let keyed = |keys: Value, fields: Value, required: Value| {
        let items = json!({ "type": "object", "properties": fields, "required": required });
        json!({ "type": "array", "items": items, "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": keys })
    };
    let spec = json!({
        "text": text,
        "count": whole,
        "small": { "type": "integer", "format": "int32" },
        "ratio": { "type": "number" },
        "flag": { "type": "boolean" },
        "color": { "type": "string", "enum": ["red", "green", "blue"] },
        "nested": { "type": "object", "properties": {
            "a": text,
            "b": whole,
            "deep": { "type": "object", "properties": { "x": text, "y": { "type": "array", "items": whole } } },
        } },
        "whole": { "type": "object", "x-kubernetes-map-type": "atomic", "properties": { "a": text, "b": text } },
        "params": { "type": "object", "additionalProperties": text },
        "set": texts("set"),
        "list": texts("atomic"),
        "items": keyed(json!(["name"]), json!({ "name": text, "value": text, "tags": texts("set") }), json!(["name"])),
        "ports": keyed(
            json!(["port", "protocol"]),
            json!({ "port": whole, "protocol": { "type": "string", "default": "TCP" }, "title": text }),
            json!(["port"]),
        ),
        "free": { "type": "object", "x-kubernetes-preserve-unknown-fields": true },
        "mode": { "type": "string", "default": "plain" },
    });
    let condition = json!({
        "type": text, "status": text, "reason": text, "message": text,
        "lastTransitionTime": { "type": "string", "format": "date-time" }, "observedGeneration": whole,
    });
    let status = json!({
        "phase": text,
        "observedGeneration": whole,
        "conditions": keyed(json!(["type"]), condition, json!(["type", "status"])),
    });
    json!({
        "type": "object",
        "description": "A thing to compare servers with.",
        "properties": {
            "spec": { "type": "object", "properties": spec },
            "status": { "type": "object", "properties": status },
        },
    })
}
