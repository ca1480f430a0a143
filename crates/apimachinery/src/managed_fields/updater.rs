//! The merge algorithm: the effect of writes on ownership, and of applied configurations on objects
//! (structured-merge-diff `merge.Updater`). All sets have the same API version.

use serde_json::Value;

use super::{
    conflict::ConflictingSets,
    entries::{ManagedFields, Manager, VersionedSet},
    schema::Schema,
    set::FieldSet,
    typed::{Comparison, Typed},
};

/// Handling of fields that an applier changes and others own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnConflict {
    /// Reject the apply.
    Fail,
    /// Change them, and make the applier their only owner (`force=true`).
    Force,
}

/// The algorithm for the objects of one schema and one [`super::FieldManager`].
#[derive(Clone, Copy)]
pub(super) struct Updater<'a> {
    pub(super) schema: &'a Schema,
    /// Paths that requests do not write and therefore never own.
    pub(super) reset: &'a FieldSet,
    /// Keep unowned children when an applier stops applying their parent.
    pub(super) keep_unowned: bool,
}

impl Updater<'_> {
    /// Records a write that changes `live` to `new`: all managers lose the changed and removed paths. Returns the paths
    /// that the writer gains.
    pub(super) fn update(&self, live: &Typed<'_>, new: &Typed<'_>, managers: &mut ManagedFields) -> FieldSet {
        let Comparison { removed, modified, added } = live.compare(new).without(self.reset);
        let changed = modified.join(added);
        remove_lost_fields(managers, None, &removed, &changed);
        changed
    }

    /// Applies `config` to `live` as `manager`, and updates `managers`. After an error, `managers` must be discarded.
    pub(super) fn apply(
        &self,
        live: &Typed<'_>,
        config: &Typed<'_>,
        managers: &mut ManagedFields,
        (manager, api_version): (&Manager, &str),
        on_conflict: OnConflict,
    ) -> Result<Value, ConflictingSets> {
        let merged = live.merge(config);
        let mut set = config.to_field_set();
        set.remove_recursively(self.reset);
        let last = managers.0.remove(manager);
        let time = last.as_ref().and_then(|last| last.time);
        let last = last.map(|last| last.set).unwrap_or_default();
        let removes_fields = !last.difference(&set).is_empty();
        managers.0.insert(manager.clone(), VersionedSet { set, api_version: api_version.to_owned(), time });
        let new = if removes_fields { self.prune(merged, &last, managers) } else { merged };
        let Comparison { removed, modified, added } =
            live.compare(&self.schema.typed_unchecked(&new)).without(self.reset);
        let changed = modified.join(added);
        if on_conflict == OnConflict::Fail {
            let conflicting = find_conflicts(managers, manager, &changed);
            if !conflicting.is_empty() {
                return Err(conflicting);
            }
        }
        remove_lost_fields(managers, Some(manager), &removed, &changed);
        Ok(new)
    }

    /// Removes what the applier owned before but not now, except paths that others own, and paths that only disappear
    /// because their parent is removed and that the applier never owned.
    fn prune(&self, merged: Value, last: &FieldSet, managers: &ManagedFields) -> Value {
        let named = |set: &FieldSet| self.schema.with_named_parents(set);
        let paths = |value: &Value| named(&self.schema.typed_unchecked(value).to_field_set());
        let owned = last;
        let (last, merged_paths) = (named(owned), paths(&merged));
        let merged = self.schema.typed_unchecked(&merged);
        let pruned = merged.remove(&last);
        // Restore paths that any manager owns, including those of the new configuration ...
        let kept = paths(&pruned).union(&named(&managers.all_owned()));
        let pruned = merged.remove(&merged_paths.difference(&kept));
        // ... and paths that the applier never owned.
        let gone = merged_paths.difference(&paths(&pruned)).intersection(&last);
        if !self.keep_unowned {
            return merged.remove(&gone);
        }
        // Parents that would be removed only because of their children stay if they contain unowned fields. (Kubernetes
        // removes them; but there every field of a status has an owner. Here fields that the service writes itself have
        // none.)
        let unowned = merged.to_field_set().difference(&gone);
        let on_the_way = named(&unowned).difference(owned);
        merged.remove(&gone.difference(&on_the_way))
    }
}

/// The changed paths that other managers own.
fn find_conflicts(managers: &ManagedFields, applier: &Manager, changed: &FieldSet) -> ConflictingSets {
    let mut conflicting = ConflictingSets::default();
    for (manager, owned) in managers.0.iter().filter(|(manager, _)| *manager != applier) {
        conflicting.add(manager, owned.set.intersection(changed));
    }
    conflicting
}

/// Removes changed and removed paths from the sets of all managers except the applier.
fn remove_lost_fields(managers: &mut ManagedFields, applier: Option<&Manager>, removed: &FieldSet, changed: &FieldSet) {
    for (_, owned) in managers.0.iter_mut().filter(|(manager, _)| Some(*manager) != applier) {
        owned.set.remove(changed);
        owned.set.remove(removed);
    }
    managers.remove_empty();
}
