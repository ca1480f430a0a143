//! Server-side apply (KEP-555): a manager says which fields it wants and how; the object is made if there is none.

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
        // As in Kubernetes: what is said of an apply that fails does not name the object.
        let Applied { object, managed_fields } =
            endpoint.apply(live.as_ref(), config, self.manager, on_conflict, self.ctx.now).map_err(Refusal::from)?;
        // What the configuration has is known to the schema; what only the object has is not the applier's fault.
        let validation = FieldValidation::Ignore;
        let reader = Reader { resource: self.resource, schema: self.schema, name: &self.key.name, validation };
        let mut draft = reader.patched(object, &[])?;
        match current {
            None => {
                // A version that the object should have had is as good as none.
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

    /// What a write that was allowed as a change, and creates the object, must be allowed as, too.
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

    /// Whether an object that is not there may be made by what changes it.
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
