//! Lease (coordination.k8s.io/v1): a lock with a holder and a duration, used by controllers for leader election. The
//! server does not interpret leases.

use apimachinery::{
    command::ObjectKey,
    field::{FieldError, Path},
    kind::{Kind, PreparedObject, RequestContext},
    object::Object,
    resource::{Cell, Column, Resource, Subresource},
    schema::micro_time,
    status_error::StatusError,
};
use serde_json::{Value, json};

use super::resources::{NAME, check, namespaced, text};

/// The API group.
pub const GROUP: &str = "coordination.k8s.io";
/// The plural resource.
pub const PLURAL: &str = "leases";

/// The kind Lease.
pub struct Leases {
    resource: Resource,
}

impl Leases {
    /// The kind, with its schema.
    pub fn new() -> Self {
        Self { resource: resource() }
    }
}

impl<W> Kind<W> for Leases {
    fn resource(&self) -> &Resource {
        &self.resource
    }

    fn allows_create_on_update(&self) -> bool {
        true
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
        _: &Object,
        new: Object,
        _: Option<Subresource>,
        _: &RequestContext<'_>,
    ) -> Result<PreparedObject<W>, StatusError> {
        check(&self.resource, key, &validate(&new))?;
        Ok(PreparedObject::without_decision(new))
    }
}

/// Kubernetes' `ValidateLeaseSpec`.
fn validate(lease: &Object) -> Vec<FieldError> {
    let bounds = [
        ("leaseDurationSeconds", 1, "must be greater than 0"),
        ("leaseTransitions", 0, "must be greater than or equal to 0"),
    ];
    let error = |(name, least, detail): (&str, i64, &str)| {
        let value = lease.field("spec")[name].as_i64().filter(|value| *value < least)?;
        Some(FieldError::invalid(Path::new("spec").child(name), value, detail))
    };
    bounds.into_iter().filter_map(error).collect()
}

fn resource() -> Resource {
    let columns = const { &[NAME, text("Holder", Cell::Pointer("/spec/holderIdentity")), Column::AGE] };
    Resource { group: GROUP, ..namespaced("Lease", PLURAL, "lease", columns, schema()) }
}

fn schema() -> Value {
    let text = |description: &str| json!({"type": "string", "description": description});
    let integer = |description: &str| json!({"type": "integer", "format": "int32", "description": description});
    json!({
        "type": "object",
        "description": "Lease is a lock with a holder and a duration. Controllers use it for leader election; the server does not interpret it.",
        "properties": {
            "spec": {
                "type": "object",
                "description": "The holder of the lease, and its times.",
                "properties": {
                    "acquireTime": micro_time("The time when the current holder acquired the lease."),
                    "holderIdentity": text("The current holder; empty or absent if there is none."),
                    "leaseDurationSeconds": integer("Seconds after renewTime for which candidates wait before they take the lease over. Greater than 0."),
                    "leaseTransitions": integer("The number of changes of the holder. At least 0."),
                    "renewTime": micro_time("The time when the current holder last renewed the lease."),
                },
            },
        },
    })
}
