//! What an API server does around the algorithm: which entries count, what nobody can own, and when times move
//! (`k8s.io/apimachinery/pkg/util/managedfields`).

use std::sync::{Arc, LazyLock};

use serde_json::{Map, Value};

use super::{
    conflict::{Conflicts, Contested},
    element::Path,
    entries::{EntriesError, Manager, Managers, Operation, Owned, entries_of, is_reset},
    last_applied,
    schema::{Schema, Type},
    set::FieldSet,
    typed::{Fit, Misfits, Typed},
    updater::{OnConflict, Updater},
    value,
};
use crate::{
    kind::Resource,
    limits::APPLIERS_MAX,
    refusal::{Reason, Refusal},
    time::Time,
};

/// Who is said to own what an object had before anybody was known to.
pub const BEFORE_FIRST_APPLY: &str = "before-first-apply";
/// Who is said to write when nobody says who writes.
const UNKNOWN: &str = "unknown";

/// What the server keeps by itself, or the URL says: nobody owns it.
static STRIPPED: LazyLock<FieldSet> = LazyLock::new(|| {
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

/// A place where objects of one kind are written: the object itself, or a subresource. It keeps no state.
#[derive(Clone, Debug)]
pub struct Endpoint {
    schema: Arc<Schema>,
    api_version: String,
    kind: String,
    subresource: String,
    reset: FieldSet,
}

/// What an apply makes of an object.
#[derive(Clone, Debug, PartialEq)]
pub struct Applied {
    /// The object, without `metadata.managedFields`. Nothing has been defaulted or validated.
    pub object: Value,
    /// Its new entries.
    pub managed_fields: Vec<Value>,
}

/// Why an apply is refused.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ApplyError {
    /// 409: others own what would change.
    #[error("{0}")]
    Conflicts(Conflicts),
    /// 400: the configuration is of another kind or version than the endpoint: `group/version, Kind=kind`.
    #[error("invalid object type: {0}")]
    Type(String),
    /// 400: the configuration says who owns what.
    #[error("metadata.managedFields must be nil")]
    ManagedFieldsGiven,
    /// 400: the configuration does not fit the schema. Which object, and how.
    #[error("failed to create typed patch object ({0}): {1}")]
    Config(String, Misfits),
    /// 422: a manager more would be too many.
    #[error(
        "the object has {APPLIERS_MAX} managers that apply to it, and may not have more: apply as one of them, or remove \
         entries from metadata.managedFields"
    )]
    Managers,
    /// 500: the stored object does not fit the schema. Which object, and how.
    #[error("failed to create typed live object ({0}): {1}")]
    Live(String, Misfits),
    /// 500: the stored entries cannot be read.
    #[error("failed to decode managed fields: {0}")]
    Entries(#[from] EntriesError),
}

impl From<ApplyError> for Refusal {
    fn from(error: ApplyError) -> Self {
        let reason = match &error {
            ApplyError::Conflicts(_) => Reason::Conflict,
            ApplyError::Type(_) | ApplyError::ManagedFieldsGiven | ApplyError::Config(..) => Reason::BadRequest,
            ApplyError::Managers => Reason::Invalid,
            ApplyError::Live(..) | ApplyError::Entries(_) => Reason::InternalError,
        };
        let mut refusal = Refusal::new(reason, error.to_string());
        if let ApplyError::Conflicts(conflicts) = &error {
            refusal.details.causes = conflicts.causes();
        }
        refusal
    }
}

impl Endpoint {
    /// A place where objects are written. `reset`: what is not written there, whatever a request says; all below these
    /// paths is included.
    pub fn new(schema: Arc<Schema>, api_version: &str, kind: &str, subresource: &str, reset: FieldSet) -> Self {
        let (api_version, kind, subresource) = (api_version.to_owned(), kind.to_owned(), subresource.to_owned());
        Self { schema, api_version, kind, subresource, reset }
    }

    /// Where the objects of a resource are written, without their status.
    pub fn of_object(resource: &Resource, schema: &Arc<Schema>) -> Self {
        let reset = FieldSet::from_iter([Path::fields(["status"])]);
        Self::new(Arc::clone(schema), &resource.api_version(), resource.kind, "", reset)
    }

    /// Where the status of a resource's objects is written, and nothing else of them.
    pub fn of_status(resource: &Resource, schema: &Arc<Schema>) -> Self {
        let names = match &schema.top {
            Type::Map(top) => top.fields.keys().map(String::as_str).collect(),
            _ => Vec::new(),
        };
        let reset = names.into_iter().filter(|name| *name != "status").map(|name| Path::fields([name])).collect();
        Self::new(Arc::clone(schema), &resource.api_version(), resource.kind, "status", reset)
    }

    /// The entries of an object that `manager` made of `live` by anything but apply; `live` is `None` if it created it.
    /// `new` is as it will be stored, but for the entries: those in it are the client's.
    ///
    /// The client's entries count if there are any and they can be read; `[]` or `[{}]` drops all. Through a subresource
    /// they do not count. An object that has none gets none: it is not known who owned what before.
    ///
    /// It never fails: where an object does not fit the schema, the entries stay as they are.
    pub fn update(&self, live: Option<&Value>, new: &Value, manager: &str, now: Time) -> Vec<Value> {
        let stored = live.and_then(entries_of).and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        let given = entries_of(new).filter(|_| self.subresource.is_empty());
        if given.is_none_or(|given| given.as_array().is_some_and(|given| given == stored))
            && live.is_some_and(|live| is_same_object(live, new))
        {
            return stored.to_vec();
        }
        let mut managers = managers_of(given, stored);
        if managers.is_empty() && live.is_some() {
            return Vec::new();
        }
        let nothing = Value::Object(Map::new());
        let typed = |value| self.schema.typed(value, Fit::Stored);
        let (Ok(live), Ok(new)) = (typed(live.unwrap_or(&nothing)), typed(new)) else {
            return stored.to_vec();
        };
        self.reconcile(&live, &mut managers);
        self.record_update(&live, &new, &mut managers, manager, now);
        managers.cap();
        managers.encode()
    }

    /// What `live` becomes when `manager` applies `config`; `live` is `None` if there is no such object yet. On what
    /// `config` says of `uid` and `resourceVersion` the caller decides.
    ///
    /// The answer to a dry run is the same: nothing here does anything.
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
        let stored = entries_of(live).and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        let mut managers = Managers::decode(stored)?;
        let config_typed = self
            .schema
            .typed(config, Fit::Exact)
            .map_err(|misfits| ApplyError::Config(self.describe(config), misfits))?;
        let live_typed =
            self.schema.typed(live, Fit::Stored).map_err(|misfits| ApplyError::Live(self.describe(live), misfits))?;
        self.reconcile(&live_typed, &mut managers);
        if stored.is_empty() {
            let empty = self.schema.made(&nothing);
            self.record_update(&empty, &live_typed, &mut managers, BEFORE_FIRST_APPLY, now);
        }
        let id = self.manager(manager, Operation::Apply);
        let is_new = !managers.0.contains_key(&id);
        let mut object = self.merge(&live_typed, &config_typed, &mut managers, &id, on_conflict)?;
        strip(&mut managers, &id);
        if is_new && managers.appliers() > APPLIERS_MAX {
            return Err(ApplyError::Managers);
        }
        // As in Kubernetes, coming to own what is there already is not a change that has a time.
        if let Some(owned) = managers.0.get_mut(&id)
            && !value::equal(&object, live)
        {
            owned.time = Some(now);
        }
        if let Some(Value::Object(metadata)) = object.get_mut("metadata") {
            metadata.remove("managedFields");
        }
        if manager == last_applied::KUBECTL {
            last_applied::refresh(&mut object, config);
        }
        Ok(Applied { object, managed_fields: managers.encode() })
    }

    /// Merges and, for `kubectl`, forgives conflicts over what it had applied on the client's side.
    fn merge(
        &self,
        live: &Typed<'_>,
        config: &Typed<'_>,
        managers: &mut Managers,
        id: &Manager,
        on_conflict: OnConflict,
    ) -> Result<Value, ApplyError> {
        let retry = (id.name == last_applied::KUBECTL).then(|| managers.clone());
        let apply = |managers: &mut Managers, on_conflict| {
            self.updater().apply(live, config, managers, (id, &self.api_version), on_conflict)
        };
        let contested = match apply(managers, on_conflict) {
            Ok(object) => return Ok(object),
            Err(contested) => contested,
        };
        let refused = |contested: Contested| ApplyError::Conflicts(contested.into());
        let forgiven = retry.is_some().then(|| last_applied::still_true(&self.schema, &self.api_version, live));
        let (Some(forgiven), Some(retry)) = (forgiven.flatten(), retry) else {
            return Err(refused(contested));
        };
        let others = contested.without(&forgiven);
        if !others.is_empty() {
            return Err(refused(others));
        }
        *managers = retry;
        apply(managers, OnConflict::TakeOver).map_err(refused)
    }

    fn record_update(&self, live: &Typed<'_>, new: &Typed<'_>, managers: &mut Managers, manager: &str, now: Time) {
        let mut gained = self.updater().update(live, new, managers);
        gained.remove(&STRIPPED);
        if gained.is_empty() {
            return;
        }
        let id = self.manager(manager, Operation::Update);
        let set = managers.0.remove(&id).map(|owned| owned.set).unwrap_or_default().join(gained);
        managers.0.insert(id, Owned { set, api_version: self.api_version.clone(), time: Some(now) });
    }

    /// Drops the entries of versions that are not served, and brings the others to today's schema.
    fn reconcile(&self, live: &Typed<'_>, managers: &mut Managers) {
        managers.0.retain(|_, owned| owned.api_version == self.api_version);
        for owned in managers.0.values_mut() {
            if let Some(set) = live.reconcile(&owned.set) {
                owned.set = set;
            }
        }
    }

    fn updater(&self) -> Updater<'_> {
        Updater { schema: &self.schema, reset: &self.reset, keeps_unowned: !self.subresource.is_empty() }
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

    /// `namespace/name; group/version, Kind=kind`.
    fn describe(&self, object: &Value) -> String {
        let text = |name: &str| object["metadata"][name].as_str().unwrap_or_default();
        format!("{}/{}; {}, Kind={}", text("namespace"), text("name"), self.api_version, self.kind)
    }
}

/// The managers that a client names, or else those that are stored. What cannot be read is as good as absent.
fn managers_of(given: Option<&Value>, stored: &[Value]) -> Managers {
    if given.is_some_and(is_reset) {
        return Managers::default();
    }
    let given = given.and_then(Value::as_array).and_then(|given| Managers::decode(given).ok());
    let given = given.filter(|managers| !managers.is_empty());
    given.unwrap_or_else(|| Managers::decode(stored).unwrap_or_default())
}

/// Takes from a manager what nobody owns.
fn strip(managers: &mut Managers, manager: &Manager) {
    if let Some(owned) = managers.0.get_mut(manager) {
        owned.set.remove(&STRIPPED);
    }
    managers.drop_idle();
}

/// Whether two objects are equal, whoever owns what.
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
