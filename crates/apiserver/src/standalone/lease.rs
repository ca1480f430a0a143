//! Lease (coordination.k8s.io/v1): a lock with a holder and a duration, used by controllers for leader election. The
//! server does not interpret leases.

use apimachinery::{
    command::ObjectKey,
    field::{Fault, Path},
    kind::{Cell, Column, Kind, Names, Prepared, RequestContext, Resource, Subresource, Verb},
    object::Object,
    refusal::Refusal,
    schema::micro_time,
};
use serde_json::{Value, json};

use super::empty::{NAME, text};

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

    fn is_made_by_updates(&self) -> bool {
        true
    }

    fn prepare_create(&self, key: &ObjectKey, object: Object, _: &RequestContext<'_>) -> Result<Prepared<W>, Refusal> {
        judge(key, object)
    }

    fn prepare_update(
        &self,
        key: &ObjectKey,
        _: &Object,
        new: Object,
        _: Option<Subresource>,
        _: &RequestContext<'_>,
    ) -> Result<Prepared<W>, Refusal> {
        judge(key, new)
    }
}

fn judge<W>(key: &ObjectKey, object: Object) -> Result<Prepared<W>, Refusal> {
    let faults = faults_of(&object);
    if faults.is_empty() {
        Ok(Prepared::complete(object))
    } else {
        Err(Refusal::invalid(GROUP, "Lease", &key.name, &faults))
    }
}

/// Kubernetes' `ValidateLeaseSpec`.
fn faults_of(lease: &Object) -> Vec<Fault> {
    let bounds = [
        ("leaseDurationSeconds", 1, "must be greater than 0"),
        ("leaseTransitions", 0, "must be greater than or equal to 0"),
    ];
    let fault = |(name, least, detail): (&str, i64, &str)| {
        let value = lease.field("spec")[name].as_i64().filter(|value| *value < least)?;
        Some(Fault::invalid(Path::new("spec").child(name), value, detail))
    };
    bounds.into_iter().filter_map(fault).collect()
}

fn resource() -> Resource {
    Resource {
        group: GROUP,
        version: "v1",
        kind: "Lease",
        plural: PLURAL,
        singular: "lease",
        short_names: &[],
        categories: &[],
        namespaced: true,
        verbs: Verb::ALL,
        subresources: &[],
        selectable_fields: &[],
        computed_fields: &[],
        columns: const { &[NAME, text("Holder", Cell::Pointer("/spec/holderIdentity")), Column::AGE] },
        names: Names::Subdomain,
        schema: schema(),
    }
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
