//! Server-side apply (KEP-555): a manager says which fields it wants and how; the object is made if there is none.

use std::sync::Arc;

use serde_json::Value;

use super::{Case, update::Wanted};
use crate::{
    command::{Apply, Decision},
    draft::Reader,
    kind::Subresource,
    managed::{Applied, ApplyError, OnConflict},
    object::Object,
    options::FieldValidation,
    refusal::Refusal,
};

impl<W> Case<'_, W> {
    pub(super) fn apply(
        &self,
        current: Option<&Arc<Object>>,
        apply: Apply,
        subresource: Option<Subresource>,
    ) -> Result<Decision, Refusal> {
        let Apply { mut config, force } = apply;
        if !config.is_object() || !config.get("metadata").is_none_or(Value::is_object) {
            return Err(Refusal::bad_request(
                "the object provided is unrecognized: it and its metadata must be JSON objects",
            ));
        }
        let meta = |name: &str| config["metadata"][name].as_str().unwrap_or_default();
        if current.is_none() {
            self.may_begin(subresource, meta("uid"), meta("resourceVersion"))?;
        }
        match meta("name") {
            "" => config["metadata"]["name"] = Value::String(self.key.name.clone()),
            name if name != self.key.name => return Err(self.other_name(name)),
            _ => {}
        }
        let live = current.map(|current| current.to_value());
        let endpoint = self.schema.endpoint(subresource);
        let on_conflict = if force { OnConflict::TakeOver } else { OnConflict::Refuse };
        let applied = endpoint.apply(live.as_ref(), &config, self.manager, on_conflict, self.ctx.now);
        let Applied { object, managed_fields } = applied.map_err(|error| match error {
            // As in Kubernetes: the causes alone.
            ApplyError::Conflicts(_) => error.into(),
            _ => self.about_this(error.into()),
        })?;
        // What the configuration has is known to the schema; what only the object has is not the applier's fault.
        let validation = FieldValidation::Ignore;
        let reader = Reader { resource: self.resource, schema: self.schema, name: &self.key.name, validation };
        let draft = reader.patched(object, &[])?;
        match current {
            None => self.create(draft, None, Some(managed_fields)),
            Some(current) => {
                let wanted = Wanted { draft, replaced: false, owners: Some(managed_fields) };
                self.change(current, wanted, subresource)
            }
        }
    }

    /// Whether an object may be made by applying it.
    fn may_begin(&self, subresource: Option<Subresource>, uid: &str, version: &str) -> Result<(), Refusal> {
        if subresource.is_some() {
            return Err(self.not_found());
        }
        if !uid.is_empty() {
            let why =
                format!("uid mismatch: the provided object specified uid {uid}, and no existing object was found");
            return Err(self.conflict(&why));
        }
        if !version.is_empty() {
            return Err(self.conflict("a resourceVersion was specified, and no existing object was found"));
        }
        Ok(())
    }
}
