//! A value, a field and a kind that only a newer version of the server knows. Compiled only with the feature `newer`,
//! for tests that run two versions on one database. Releases do not contain it.

use apimachinery::{
    command::{ObjectKey, Write},
    kind::{Context, Kind, PreparedObject, RequestContext, Span},
    object::Object,
    resource::{Column, NamePolicy, Resource, Subresource, Verb},
    status_error::StatusError,
};
use serde_json::json;

use crate::{
    GROUP, VERSION,
    names::HOLDS,
    state::{AllocatorState, span_of_hold},
};

/// A kind whose objects hold a range of addresses of a pool.
pub(crate) struct Holds {
    resource: Resource,
}

impl Holds {
    /// Builds the kind with its schema.
    pub(crate) fn new() -> Self {
        let text = json!({"type": "string"});
        let fields = json!({"pool": text, "first": text, "last": text});
        let schema = json!({"type": "object", "properties": {"spec": {"type": "object", "properties": fields}}});
        let resource = Resource {
            group: GROUP,
            version: VERSION,
            kind: "IPHold",
            plural: HOLDS,
            singular: "iphold",
            short_names: &[],
            categories: &[],
            namespaced: false,
            verbs: &[Verb::Create, Verb::Delete, Verb::Get, Verb::List, Verb::Watch],
            subresources: &[],
            selectable_fields: &[],
            computed_fields: &[],
            columns: &[Column::AGE],
            names: NamePolicy::Subdomain,
            schema,
        };
        Self { resource }
    }
}

impl Kind<AllocatorState> for Holds {
    fn resource(&self) -> &Resource {
        &self.resource
    }

    fn prepare_create(
        &self,
        _: &ObjectKey,
        object: Object,
        _: &RequestContext<'_>,
    ) -> Result<PreparedObject<AllocatorState>, StatusError> {
        Ok(PreparedObject::without_decision(object))
    }

    fn prepare_update(
        &self,
        _: &ObjectKey,
        _: &Object,
        new: Object,
        _: Option<Subresource>,
        _: &RequestContext<'_>,
    ) -> Result<PreparedObject<AllocatorState>, StatusError> {
        Ok(PreparedObject::without_decision(new))
    }

    fn spans(&self, key: &ObjectKey, object: &Object) -> Vec<Span> {
        span_of_hold(key, object).into_iter().collect()
    }
}
