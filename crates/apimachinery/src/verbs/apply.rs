//! Server-side apply (KEP-555): the object gets the fields of the manager's configuration, and is created if it does
//! not exist.

use std::sync::Arc;

use serde_json::Value;

use super::{Case, Proposal, update::Wanted};
use crate::{
    access::{Ask, ResourceAsk},
    command::Apply,
    draft::Reader,
    kind::{Subresource, Verb},
    managed::{Applied, OnConflict},
    object::Object,
    options::FieldValidation,
    refusal::Refusal,
};

impl<W> Case<'_, W> {
    pub(super) fn apply(
        &self,
        current: Option<&Arc<Object>>,
        apply: &Apply,
        subresource: Option<Subresource>,
    ) -> Result<Proposal<W>, Refusal> {
        let Apply { config, force } = apply;
        if !config.is_object() || !config.get("metadata").is_none_or(Value::is_object) {
            return Err(Refusal::bad_request(
                "the object provided is unrecognized: it and its metadata must be JSON objects",
            ));
        }
        let meta = |name: &str| config["metadata"][name].as_str().unwrap_or_default();
        if current.is_none() {
            self.may_begin(subresource, meta("uid"))?;
            self.ctx.rights.require(&self.creation())?;
        }
        let live = current.map(|current| current.to_value());
        let endpoint = self.schema.endpoint(subresource);
        let on_conflict = if *force { OnConflict::TakeOver } else { OnConflict::Refuse };
        // As in Kubernetes, the error of a failed apply does not name the object.
        let Applied { object, managed_fields } =
            endpoint.apply(live.as_ref(), config, self.manager, on_conflict, self.ctx.now).map_err(Refusal::from)?;
        // Unknown fields of the configuration were checked by the apply; unknown fields of the object are not the
        // caller's error.
        let validation = FieldValidation::Ignore;
        let reader = Reader { resource: self.resource, schema: self.schema, name: &self.key.name, validation };
        let mut draft = reader.patched(object, &[])?;
        match current {
            None => {
                // As in Kubernetes, a resourceVersion is ignored if the object does not exist.
                draft.object.metadata.resource_version.clear();
                self.check_place(&mut draft.object.metadata)?;
                self.create(draft, Some(managed_fields))
            }
            Some(current) => {
                let wanted = Wanted { draft, replaced: false, owners: Some(managed_fields) };
                self.change(current, wanted, subresource)
            }
        }
    }

    /// Authorization attributes of a create, which an update or apply that creates the object needs in addition.
    pub(super) fn creation(&self) -> Ask<'_> {
        Ask::Resource(ResourceAsk {
            verb: Verb::Create.as_str(),
            group: self.resource.group,
            resource: self.resource.plural,
            name: &self.key.name,
            namespace: &self.key.namespace,
            ..ResourceAsk::default()
        })
    }

    /// Checks that an apply or update may create the missing object.
    pub(super) fn may_begin(&self, subresource: Option<Subresource>, uid: &str) -> Result<(), Refusal> {
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
