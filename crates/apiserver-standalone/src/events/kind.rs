//! The kind Event in its two versions.

use apimachinery::{
    command::ObjectKey,
    kind::{Kind, PreparedObject, RequestContext},
    object::Object,
    resource::{Resource, Subresource},
    status_error::StatusError,
    view::View,
};

use super::super::resources::{check as check_errors, namespaced};
use super::{
    GROUP, PLURAL, VIEW,
    check::{self, EventCase},
    columns::{COLUMNS, source},
    schema,
};

/// A version of the kind.
pub struct Events {
    resource: Resource,
    view: Option<&'static View>,
}

impl Events {
    /// The stored version.
    pub fn stored() -> Self {
        Self { resource: resource(), view: None }
    }

    /// The newer version.
    pub fn shown() -> Self {
        let resource = Resource {
            group: GROUP,
            selectable_fields: &[
                "reason",
                "regarding.apiVersion",
                "regarding.fieldPath",
                "regarding.kind",
                "regarding.name",
                "regarding.namespace",
                "regarding.resourceVersion",
                "regarding.uid",
                "reportingController",
                "type",
            ],
            computed_fields: &[],
            schema: schema::of(Some(&VIEW)),
            ..resource()
        };
        Self { resource, view: Some(&VIEW) }
    }
}

impl<W> Kind<W> for Events {
    fn resource(&self) -> &Resource {
        &self.resource
    }

    fn view(&self) -> Option<&'static View> {
        self.view
    }

    fn allows_create_on_update(&self) -> bool {
        true
    }

    fn prepare_create(
        &self,
        key: &ObjectKey,
        event: Object,
        _: &RequestContext<'_>,
    ) -> Result<PreparedObject<W>, StatusError> {
        let errors = check::create(&EventCase { event: &event, view: self.view });
        check_errors(&self.resource, key, &errors)?;
        Ok(PreparedObject::without_decision(event))
    }

    fn prepare_update(
        &self,
        key: &ObjectKey,
        old: &Object,
        new: Object,
        _: Option<Subresource>,
        _: &RequestContext<'_>,
    ) -> Result<PreparedObject<W>, StatusError> {
        let errors = check::update(old, &EventCase { event: &new, view: self.view });
        check_errors(&self.resource, key, &errors)?;
        Ok(PreparedObject::without_decision(new))
    }
}

fn resource() -> Resource {
    Resource {
        short_names: &["ev"],
        selectable_fields: &[
            "involvedObject.apiVersion",
            "involvedObject.fieldPath",
            "involvedObject.kind",
            "involvedObject.name",
            "involvedObject.namespace",
            "involvedObject.resourceVersion",
            "involvedObject.uid",
            "reason",
            "reportingComponent",
            "type",
        ],
        computed_fields: const { &[("source", source)] },
        ..namespaced("Event", PLURAL, "event", COLUMNS, schema::of(None))
    }
}
