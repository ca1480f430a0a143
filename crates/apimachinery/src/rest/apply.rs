//! Server-side apply (KEP-555): the object gets the fields of the manager's configuration, and is created if it does
//! not exist.

use std::sync::Arc;

use serde_json::Value;

use super::{Proposal, WriteContext, update::DesiredState};
use crate::{
    command::Apply,
    decoding::ObjectDecoder,
    managed_fields::{Applied, OnConflict},
    object::Object,
    options::FieldValidation,
    rbac::{Attributes, ResourceAttributes},
    resource::{Subresource, Verb},
    status_error::StatusError,
};

impl<W> WriteContext<'_, W> {
    pub(super) fn apply(
        &self,
        current: Option<&Arc<Object>>,
        apply: &Apply,
        subresource: Option<Subresource>,
    ) -> Result<Proposal<W>, StatusError> {
        let Apply { config, force } = apply;
        if !config.is_object() || !config.get("metadata").is_none_or(Value::is_object) {
            return Err(StatusError::bad_request(
                "the object provided is unrecognized: it and its metadata must be JSON objects",
            ));
        }
        let meta = |name: &str| config["metadata"][name].as_str().unwrap_or_default();
        if current.is_none() {
            self.validate_implicit_create(subresource, meta("uid"))?;
            self.ctx.permissions.authorize(&self.create_attributes())?;
        }
        let live = current.map(|current| current.to_value());
        let field_manager = self.schema.field_manager(subresource);
        let on_conflict = if *force { OnConflict::Force } else { OnConflict::Fail };
        // As in Kubernetes, the error of a failed apply does not name the object.
        let Applied { object, managed_fields } = field_manager
            .apply(live.as_ref(), config, self.manager, on_conflict, self.ctx.now)
            .map_err(StatusError::from)?;
        // Unknown fields of the configuration were checked by the apply; unknown fields of the object are not the
        // caller's error.
        let validation = FieldValidation::Ignore;
        let reader = ObjectDecoder { resource: self.resource, schema: self.schema, name: &self.key.name, validation };
        let mut decoded = reader.decode_patched(object, &[])?;
        match current {
            None => {
                // As in Kubernetes, a resourceVersion is ignored if the object does not exist.
                decoded.object.metadata.resource_version.clear();
                self.check_name_and_namespace(&mut decoded.object.metadata)?;
                self.create(decoded, Some(managed_fields))
            }
            Some(current) => {
                let wanted = DesiredState { decoded, replaced: false, owners: Some(managed_fields) };
                self.update_to(current, wanted, subresource)
            }
        }
    }

    /// Authorization attributes of a create, which an update or apply that creates the object needs in addition.
    pub(super) fn create_attributes(&self) -> Attributes<'_> {
        Attributes::Resource(ResourceAttributes {
            verb: Verb::Create.as_str(),
            group: self.resource.group,
            resource: self.resource.plural,
            name: &self.key.name,
            namespace: &self.key.namespace,
            ..ResourceAttributes::default()
        })
    }

    /// Checks that an apply or update may create the missing object.
    pub(super) fn validate_implicit_create(
        &self,
        subresource: Option<Subresource>,
        uid: &str,
    ) -> Result<(), StatusError> {
        if subresource.is_some() {
            return Err(self.not_found());
        }
        if !uid.is_empty() {
            let why =
                format!("uid mismatch: the provided object specified uid {uid}, and no existing object was found");
            return Err(self.conflict(&why));
        }
        Ok(())
    }
}
