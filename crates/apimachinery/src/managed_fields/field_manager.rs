//! Field management of an API server, on top of the merge algorithm: choice of entries, fields without owner, and times
//! (`k8s.io/apimachinery/pkg/util/managedfields`).

use std::sync::{Arc, LazyLock};

use serde_json::{Map, Value};

use super::{
    conflict::{ConflictingSets, Conflicts},
    element::Path,
    entries::{EntriesError, ManagedFields, Manager, Operation, VersionedSet, entries_of, is_reset},
    last_applied,
    schema::{Schema, Type},
    set::FieldSet,
    typed::{Strictness, Typed, ValidationErrors},
    updater::{OnConflict, Updater},
    value,
};
use crate::{
    limits::APPLIERS_MAX,
    resource::Resource,
    status_error::{StatusError, StatusReason},
    time::Time,
};

/// Manager that owns the fields set before the first tracked write.
pub const BEFORE_FIRST_APPLY: &str = "before-first-apply";
/// Manager recorded if a request names none.
const UNKNOWN: &str = "unknown";

/// Fields that have no owner: set by the server or by the URL.
static NEVER_OWNED: LazyLock<FieldSet> = LazyLock::new(|| {
    let of_metadata = [
        "name",
        "namespace",
        "creationTimestamp",
        "selfLink",
        "uid",
        "clusterName",
        "generation",
        "managedFields",
        "resourceVersion",
    ];
    let top = ["apiVersion", "kind", "metadata"].map(|name| Path::fields([name]));
    top.into_iter().chain(of_metadata.map(|name| Path::fields(["metadata", name]))).collect()
});

/// Field management for the main resource or a subresource of one kind. Has no mutable state.
#[derive(Clone, Debug)]
pub struct FieldManager {
    schema: Arc<Schema>,
    api_version: String,
    kind: String,
    subresource: String,
    reset: FieldSet,
}

/// Result of an apply.
#[derive(Clone, Debug, PartialEq)]
pub struct Applied {
    /// The object, without `metadata.managedFields`, and before defaulting and validation.
    pub object: Value,
    /// The new entries of `managedFields`.
    pub managed_fields: Vec<Value>,
}

/// Errors of an apply.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ApplyError {
    /// 409: other managers own fields that would change.
    #[error("{0}")]
    Conflicts(Conflicts),
    /// 400: the configuration has another kind or version: `group/version, Kind=kind`.
    #[error("invalid object type: {0}")]
    Type(String),
    /// 400: the configuration contains `managedFields`.
    #[error("metadata.managedFields must be nil")]
    ManagedFieldsGiven,
    /// 400: the configuration does not match the schema: object, errors.
    #[error("failed to create typed patch object ({0}): {1}")]
    Config(String, ValidationErrors),
    /// 422: too many managers apply to the object.
    #[error(
        "the object has {APPLIERS_MAX} managers that apply to it, and may not have more: apply as one of them, or remove \
         entries from metadata.managedFields"
    )]
    Managers,
    /// 500: the stored object does not match the schema: object, errors.
    #[error("failed to create typed live object ({0}): {1}")]
    Live(String, ValidationErrors),
    /// 500: the stored entries cannot be decoded.
    #[error("failed to decode managed fields: {0}")]
    Entries(#[from] EntriesError),
}

impl From<ApplyError> for StatusError {
    fn from(error: ApplyError) -> Self {
        let reason = match &error {
            ApplyError::Conflicts(_) => StatusReason::Conflict,
            ApplyError::Type(_) | ApplyError::ManagedFieldsGiven | ApplyError::Config(..) => StatusReason::BadRequest,
            ApplyError::Managers => StatusReason::Invalid,
            ApplyError::Live(..) | ApplyError::Entries(_) => StatusReason::InternalError,
        };
        let mut refusal = StatusError::new(reason, error.to_string());
        if let ApplyError::Conflicts(conflicts) = &error {
            refusal.details.causes = conflicts.causes();
        }
        refusal
    }
}

impl FieldManager {
    /// Creates a field manager. Its requests do not write the paths in `reset`, including everything below them.
    pub fn new(schema: Arc<Schema>, api_version: &str, kind: &str, subresource: &str, reset: FieldSet) -> Self {
        let (api_version, kind, subresource) = (api_version.to_owned(), kind.to_owned(), subresource.to_owned());
        Self { schema, api_version, kind, subresource, reset }
    }

    /// The field manager of a main resource, whose requests do not write the status.
    pub fn for_object(resource: &Resource, schema: &Arc<Schema>) -> Self {
        let reset = FieldSet::from_iter([Path::fields(["status"])]);
        Self::new(Arc::clone(schema), &resource.api_version(), resource.kind, "", reset)
    }

    /// The field manager of `/status`, whose requests write only the status.
    pub fn for_status(resource: &Resource, schema: &Arc<Schema>) -> Self {
        let names = match &schema.top {
            Type::Map(top) => top.fields.keys().map(String::as_str).collect(),
            _ => Vec::new(),
        };
        let reset = names.into_iter().filter(|name| *name != "status").map(|name| Path::fields([name])).collect();
        Self::new(Arc::clone(schema), &resource.api_version(), resource.kind, "status", reset)
    }

    /// Returns the entries of an object after a write other than apply by `manager`; `live` is `None` for a create.
    /// `new` is the object to store, except that its entries are those of the client.
    ///
    /// The client's entries are used if present and decodable; `[]` or `[{}]` removes all entries. They are ignored for
    /// a subresource. An object without entries gets none, because the owners of its fields are unknown.
    ///
    /// Never fails: if an object does not match the schema, the stored entries are returned.
    pub fn update(&self, live: Option<&Value>, new: &Value, manager: &str, now: Time) -> Vec<Value> {
        let from_store = live.and_then(entries_of).and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        let from_client = entries_of(new).filter(|_| self.subresource.is_empty());
        if from_client
            .is_none_or(|from_client| from_client.as_array().is_some_and(|from_client| from_client == from_store))
            && live.is_some_and(|live| is_same_object(live, new))
        {
            return from_store.to_vec();
        }
        let mut managers = managers_of(from_client, from_store);
        if managers.is_empty() && live.is_some() {
            return Vec::new();
        }
        let nothing = Value::Object(Map::new());
        let typed = |value| self.schema.typed(value, Strictness::AllowDuplicates);
        let (Ok(live), Ok(new)) = (typed(live.unwrap_or(&nothing)), typed(new)) else {
            return from_store.to_vec();
        };
        self.reconcile(&live, &mut managers);
        self.record_update(&live, &new, &mut managers, manager, now);
        managers.cap_updaters();
        managers.encode()
    }

    /// Applies `config` to `live` as `manager`; `live` is `None` if the object does not exist. The caller checks `uid`
    /// and `resourceVersion` of `config`.
    pub fn apply(
        &self,
        live: Option<&Value>,
        config: &Value,
        manager: &str,
        on_conflict: OnConflict,
        now: Time,
    ) -> Result<Applied, ApplyError> {
        self.check_type(config)?;
        let nothing = Value::Object(Map::new());
        let live = live.unwrap_or(&nothing);
        let from_store = entries_of(live).and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        let mut managers = ManagedFields::decode(from_store)?;
        let config_typed = self
            .schema
            .typed(config, Strictness::Strict)
            .map_err(|errors| ApplyError::Config(self.describe(config), errors))?;
        let live_typed = self
            .schema
            .typed(live, Strictness::AllowDuplicates)
            .map_err(|errors| ApplyError::Live(self.describe(live), errors))?;
        self.reconcile(&live_typed, &mut managers);
        if from_store.is_empty() {
            let empty = self.schema.typed_unchecked(&nothing);
            self.record_update(&empty, &live_typed, &mut managers, BEFORE_FIRST_APPLY, now);
        }
        let id = self.manager(manager, Operation::Apply);
        let is_new = !managers.0.contains_key(&id);
        let mut object = self.merge(&live_typed, &config_typed, &mut managers, &id, on_conflict)?;
        strip(&mut managers, &id);
        if is_new && managers.appliers() > APPLIERS_MAX {
            return Err(ApplyError::Managers);
        }
        // As in Kubernetes, becoming owner of existing values does not set a time.
        if let Some(owned) = managers.0.get_mut(&id)
            && !value::equal(&object, live)
        {
            owned.time = Some(now);
        }
        if let Some(Value::Object(metadata)) = object.get_mut("metadata") {
            metadata.remove("managedFields");
        }
        if manager == last_applied::KUBECTL {
            last_applied::update_last_applied(&mut object, config);
        }
        Ok(Applied { object, managed_fields: managers.encode() })
    }

    /// Merges. For manager `kubectl`, ignores conflicts on fields with the value of its last client-side apply.
    fn merge(
        &self,
        live: &Typed<'_>,
        config: &Typed<'_>,
        managers: &mut ManagedFields,
        id: &Manager,
        on_conflict: OnConflict,
    ) -> Result<Value, ApplyError> {
        let retry = (id.name == last_applied::KUBECTL).then(|| managers.clone());
        let apply = |managers: &mut ManagedFields, on_conflict| {
            self.updater().apply(live, config, managers, (id, &self.api_version), on_conflict)
        };
        let conflicting = match apply(managers, on_conflict) {
            Ok(object) => return Ok(object),
            Err(conflicting) => conflicting,
        };
        let refused = |conflicting: ConflictingSets| ApplyError::Conflicts(conflicting.into());
        let ignored_conflicts =
            retry.is_some().then(|| last_applied::unchanged_since_last_applied(&self.schema, &self.api_version, live));
        let (Some(ignored_conflicts), Some(retry)) = (ignored_conflicts.flatten(), retry) else {
            return Err(refused(conflicting));
        };
        let others = conflicting.without(&ignored_conflicts);
        if !others.is_empty() {
            return Err(refused(others));
        }
        *managers = retry;
        apply(managers, OnConflict::Force).map_err(refused)
    }

    fn record_update(&self, live: &Typed<'_>, new: &Typed<'_>, managers: &mut ManagedFields, manager: &str, now: Time) {
        let mut gained = self.updater().update(live, new, managers);
        gained.remove(&NEVER_OWNED);
        if gained.is_empty() {
            return;
        }
        let id = self.manager(manager, Operation::Update);
        let set = managers.0.remove(&id).map(|owned| owned.set).unwrap_or_default().join(gained);
        managers.0.insert(id, VersionedSet { set, api_version: self.api_version.clone(), time: Some(now) });
    }

    /// Drops entries of other versions, and converts the others to the current schema.
    fn reconcile(&self, live: &Typed<'_>, managers: &mut ManagedFields) {
        managers.0.retain(|_, owned| owned.api_version == self.api_version);
        for owned in managers.0.values_mut() {
            if let Some(set) = live.reconcile(&owned.set) {
                owned.set = set;
            }
        }
    }

    fn updater(&self) -> Updater<'_> {
        Updater { schema: &self.schema, reset: &self.reset, keep_unowned: !self.subresource.is_empty() }
    }

    fn manager(&self, name: &str, operation: Operation) -> Manager {
        Manager {
            name: if name.is_empty() { UNKNOWN } else { name }.to_owned(),
            operation,
            api_version: if operation == Operation::Update { self.api_version.clone() } else { String::new() },
            subresource: self.subresource.clone(),
        }
    }

    fn check_type(&self, config: &Value) -> Result<(), ApplyError> {
        let text = |name: &str| config.get(name).and_then(Value::as_str).unwrap_or_default();
        if (text("apiVersion"), text("kind")) != (&self.api_version, &self.kind) {
            return Err(ApplyError::Type(format!("{}, Kind={}", text("apiVersion"), text("kind"))));
        }
        if entries_of(config).is_some() {
            return Err(ApplyError::ManagedFieldsGiven);
        }
        Ok(())
    }

    /// Formats `namespace/name; group/version, Kind=kind`.
    fn describe(&self, object: &Value) -> String {
        let text = |name: &str| object["metadata"][name].as_str().unwrap_or_default();
        format!("{}/{}; {}, Kind={}", text("namespace"), text("name"), self.api_version, self.kind)
    }
}

/// The managers in the client's entries, or the stored ones. Entries that cannot be decoded count as absent.
fn managers_of(from_client: Option<&Value>, from_store: &[Value]) -> ManagedFields {
    if from_client.is_some_and(is_reset) {
        return ManagedFields::default();
    }
    let from_client =
        from_client.and_then(Value::as_array).and_then(|from_client| ManagedFields::decode(from_client).ok());
    let from_client = from_client.filter(|managers| !managers.is_empty());
    from_client.unwrap_or_else(|| ManagedFields::decode(from_store).unwrap_or_default())
}

/// Removes the fields without owner from a manager's set.
fn strip(managers: &mut ManagedFields, manager: &Manager) {
    if let Some(owned) = managers.0.get_mut(manager) {
        owned.set.remove(&NEVER_OWNED);
    }
    managers.remove_empty();
}

/// True if two objects are equal except for `managedFields`.
fn is_same_object(left: &Value, right: &Value) -> bool {
    fn same(left: Option<&Map<String, Value>>, right: Option<&Map<String, Value>>, except: &str) -> Option<bool> {
        let (left, right) = (left?, right?);
        let others = |map: &Map<String, Value>| map.len() - usize::from(map.contains_key(except));
        let same = |(name, value): (&String, &Value)| name == except || right.get(name) == Some(value);
        Some(others(left) == others(right) && left.iter().all(same))
    }
    let (left_metadata, right_metadata) = (&left["metadata"], &right["metadata"]);
    same(left.as_object(), right.as_object(), "metadata") == Some(true)
        && same(left_metadata.as_object(), right_metadata.as_object(), "managedFields") == Some(true)
}
