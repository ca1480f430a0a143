//! Entries of `metadata.managedFields`: managers with their paths, time and API version.

use std::{cmp::Ordering, collections::BTreeMap};

use serde_json::{Map, Value, json};

use super::{codec::FieldsError, set::FieldSet};
use crate::{limits::UPDATE_MANAGERS_MAX, time::Time};

/// Manager into which the oldest update entries are merged.
pub const ANCIENT_CHANGES: &str = "ancient-changes";
/// Format of all sets.
const FIELDS_TYPE: &str = "FieldsV1";

/// Type of a manager's writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Operation {
    /// Server-side apply: fields that are no longer in the configuration are removed.
    Apply,
    /// Any other write.
    Update,
}

impl Operation {
    /// The spelling in an entry.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Apply => "Apply",
            Self::Update => "Update",
        }
    }
}

/// A manager of fields. The same name with another operation or subresource is another manager.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manager {
    /// Name, such as `kubectl`.
    pub name: String,
    /// Type of its writes.
    pub operation: Operation,
    /// API version of an updater; empty for an applier, whose entry is independent of the version.
    pub api_version: String,
    /// Subresource; empty for the main resource.
    pub subresource: String,
}

/// By name, operation and version, with subresources before the main resource. This is the order of Kubernetes, which
/// sorts by the JSON of managers.
impl Ord for Manager {
    fn cmp(&self, other: &Self) -> Ordering {
        fn key(manager: &Manager) -> (&str, Operation, &str, bool, &str) {
            let Manager { name, operation, api_version, subresource } = manager;
            (name, *operation, api_version, subresource.is_empty(), subresource)
        }
        key(self).cmp(&key(other))
    }
}

impl PartialOrd for Manager {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// The fields of a manager.
#[derive(Clone, Debug, PartialEq)]
pub struct VersionedSet {
    /// The paths.
    pub set: FieldSet,
    /// API version of the paths.
    pub api_version: String,
    /// Time of the manager's last change of the set.
    pub time: Option<Time>,
}

/// The managers of an object.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ManagedFields(pub BTreeMap<Manager, VersionedSet>);

/// Reasons why entries cannot be decoded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EntriesError {
    /// Unknown operation.
    #[error("operation must be `Apply` or `Update`")]
    Operation,
    /// No version.
    #[error("apiVersion must not be empty")]
    ApiVersion,
    /// No format.
    #[error("missing fieldsType in managed fields entry {0}")]
    FieldsTypeMissing(usize),
    /// Unknown format.
    #[error("invalid fieldsType {0:?} in managed fields entry {1}")]
    FieldsType(String, usize),
    /// Malformed time.
    #[error("invalid time {0} in managed fields entry {1}")]
    Time(Value, usize),
    /// Malformed set.
    #[error("error decoding set: {0}")]
    Fields(#[from] FieldsError),
}

impl ManagedFields {
    /// Decodes entries.
    pub fn decode(entries: &[Value]) -> Result<Self, EntriesError> {
        let mut managers = BTreeMap::new();
        for (index, entry) in entries.iter().enumerate() {
            let (manager, owned) = decode_entry(entry, index)?;
            managers.insert(manager, owned);
        }
        Ok(Self(managers))
    }

    /// Encodes the entries in the order of Kubernetes: by operation, time, manager, version and subresource.
    pub fn encode(&self) -> Vec<Value> {
        let mut entries: Vec<(&Manager, &VersionedSet)> = self.0.iter().collect();
        entries.sort_by(|(left, left_owned), (right, right_owned)| {
            let by_time = || seconds(left_owned).cmp(&seconds(right_owned));
            let by_version = || left_owned.api_version.cmp(&right_owned.api_version);
            let by_operation = left.operation.cmp(&right.operation);
            let by_name = by_operation.then_with(by_time).then_with(|| left.name.cmp(&right.name));
            by_name.then_with(by_version).then_with(|| left.subresource.cmp(&right.subresource))
        });
        entries.into_iter().map(|(manager, owned)| encode_entry(manager, owned)).collect()
    }

    /// True if there are no entries.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Removes managers without fields.
    pub(super) fn remove_empty(&mut self) {
        self.0.retain(|_, owned| !owned.set.is_empty());
    }

    /// The union of all sets.
    pub(super) fn all_owned(&self) -> FieldSet {
        FieldSet::union_all(self.0.values().map(|owned| &owned.set))
    }

    /// Merges the oldest updaters of each version until at most [`UPDATE_MANAGERS_MAX`] are left.
    pub(super) fn cap_updaters(&mut self) {
        let mut updaters: Vec<&Manager> =
            self.0.keys().filter(|manager| manager.operation == Operation::Update).collect();
        let mut surplus = updaters.len().saturating_sub(UPDATE_MANAGERS_MAX);
        if surplus == 0 {
            return;
        }
        updaters.sort_by_key(|manager| (self.0.get(manager).map_or(0, seconds), *manager));
        let updaters: Vec<Manager> = updaters.into_iter().cloned().collect();
        // The first updater of each version keeps its name until there is a second one to merge with.
        let mut firsts: BTreeMap<String, Manager> = BTreeMap::new();
        let mut buckets: BTreeMap<Manager, Vec<Manager>> = BTreeMap::new();
        for manager in updaters {
            let Some(first) = firsts.get(&manager.api_version) else {
                firsts.insert(manager.api_version.clone(), manager);
                continue;
            };
            if surplus == 0 {
                break;
            }
            let bucket = Manager {
                name: ANCIENT_CHANGES.to_owned(),
                operation: Operation::Update,
                api_version: manager.api_version.clone(),
                subresource: String::new(),
            };
            buckets.entry(bucket.clone()).or_default().extend([first.clone(), manager]);
            firsts.insert(bucket.api_version.clone(), bucket);
            surplus -= 1;
        }
        for (bucket, managers) in buckets {
            self.merge(&managers, bucket);
        }
    }
}

impl ManagedFields {
    /// Merges these managers, and `into` if present, into `into`, with the latest of their times.
    fn merge(&mut self, managers: &[Manager], into: Manager) {
        let merged: Vec<VersionedSet> =
            [&into].into_iter().chain(managers).filter_map(|name| self.0.remove(name)).collect();
        let Some(VersionedSet { api_version, mut time, .. }) = merged.first().cloned() else { return };
        for owned in &merged {
            if time.map_or(0, Time::as_second) < seconds(owned) {
                time = owned.time;
            }
        }
        let set = FieldSet::union_all(merged.iter().map(|owned| &owned.set));
        self.0.insert(into, VersionedSet { set, api_version, time });
    }

    /// Number of managers that apply.
    pub(super) fn appliers(&self) -> usize {
        self.0.keys().filter(|manager| manager.operation == Operation::Apply).count()
    }
}

/// Seconds since the Unix epoch; 0 without a time.
fn seconds(owned: &VersionedSet) -> i64 {
    owned.time.map_or(0, Time::as_second)
}

fn decode_entry(entry: &Value, index: usize) -> Result<(Manager, VersionedSet), EntriesError> {
    let text = |name: &str| entry.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let operation = match text("operation").as_str() {
        "Apply" => Operation::Apply,
        "Update" => Operation::Update,
        _ => return Err(EntriesError::Operation),
    };
    let api_version = text("apiVersion");
    if api_version.is_empty() {
        return Err(EntriesError::ApiVersion);
    }
    match text("fieldsType").as_str() {
        FIELDS_TYPE => {}
        "" => return Err(EntriesError::FieldsTypeMissing(index)),
        other => return Err(EntriesError::FieldsType(other.to_owned(), index)),
    }
    let time = match entry.get("time") {
        None | Some(Value::Null) => None,
        Some(time) => {
            let parsed = time.as_str().and_then(|time| time.parse().ok());
            Some(parsed.ok_or_else(|| EntriesError::Time(time.clone(), index))?)
        }
    };
    let set = FieldSet::from_fields_v1(entry.get("fieldsV1").unwrap_or(&Value::Null))?;
    let manager = Manager {
        name: text("manager"),
        operation,
        api_version: if operation == Operation::Update { api_version.clone() } else { String::new() },
        subresource: text("subresource"),
    };
    Ok((manager, VersionedSet { set, api_version, time }))
}

fn encode_entry(manager: &Manager, owned: &VersionedSet) -> Value {
    let mut entry = Map::new();
    let mut put = |name: &str, text: &str| {
        if !text.is_empty() {
            entry.insert(name.to_owned(), text.into());
        }
    };
    put("apiVersion", &owned.api_version);
    put("fieldsType", FIELDS_TYPE);
    put("manager", &manager.name);
    put("operation", manager.operation.as_str());
    put("subresource", &manager.subresource);
    if let Some(time) = owned.time {
        put("time", &time.to_string());
    }
    entry.insert("fieldsV1".to_owned(), owned.set.to_fields_v1());
    Value::Object(entry)
}

/// True if two lists of entries differ only in times. Callers then keep the stored list, so that the update is a no-op.
pub fn equal_ignoring_timestamps(left: &[Value], right: &[Value]) -> bool {
    // The order of entries depends on their times.
    fn sorted(entries: &[Value]) -> Vec<String> {
        let text = |entry: &Value| {
            let mut entry = entry.clone();
            entry.as_object_mut().map(|fields| fields.remove("time"));
            entry.to_string()
        };
        let mut texts: Vec<String> = entries.iter().map(text).collect();
        texts.sort_unstable();
        texts
    }
    left == right || (left.len() == right.len() && sorted(left) == sorted(right))
}

/// The entries in `metadata.managedFields` of an object, if any.
pub(super) fn entries_of(object: &Value) -> Option<&Value> {
    object.get("metadata")?.get("managedFields").filter(|entries| !entries.is_null())
}

/// True if the client removes all entries: `[]`, or `[{}]` from clients that cannot send an empty list.
pub(super) fn is_reset(entries: &Value) -> bool {
    *entries == json!([]) || *entries == json!([{}])
}
