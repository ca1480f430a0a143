//! The merge algorithm: the effect of writes on ownership, and of applied configurations on objects
//! (structured-merge-diff `merge.Updater`). All sets have the same API version.

use serde_json::Value;

use super::{
    conflict::Contested,
    entries::{Manager, Managers, Owned},
    schema::Schema,
    set::FieldSet,
    typed::{Comparison, Typed},
};

/// Handling of fields that an applier changes and others own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnConflict {
    /// Reject the apply.
    Refuse,
    /// Change them, and make the applier their only owner (`force=true`).
    TakeOver,
}

/// The algorithm for the objects of one schema and one endpoint.
#[derive(Clone, Copy)]
pub(super) struct Updater<'a> {
    pub(super) schema: &'a Schema,
    /// Paths that the endpoint does not write; a request never owns them.
    pub(super) reset: &'a FieldSet,
    /// Keep unowned children when an applier stops applying their parent.
    pub(super) keeps_unowned: bool,
}

impl Updater<'_> {
    /// Records a write that changes `live` to `new`: all managers lose the changed and removed paths. Returns the paths
    /// that the writer gains.
    pub(super) fn update(&self, live: &Typed<'_>, new: &Typed<'_>, managers: &mut Managers) -> FieldSet {
        let Comparison { removed, modified, added } = live.compare(new).without(self.reset);
        let changed = modified.join(added);
        settle(managers, None, &removed, &changed);
        changed
    }

    /// Applies `config` to `live` as `manager`, and updates `managers`. After an error, `managers` must be discarded.
    pub(super) fn apply(
        &self,
        live: &Typed<'_>,
        config: &Typed<'_>,
        managers: &mut Managers,
        (manager, api_version): (&Manager, &str),
        on_conflict: OnConflict,
    ) -> Result<Value, Contested> {
        let merged = live.merge(config);
        let mut set = config.to_field_set();
        set.remove_recursively(self.reset);
        let last = managers.0.remove(manager);
        let time = last.as_ref().and_then(|last| last.time);
        let last = last.map(|last| last.set).unwrap_or_default();
        let gives_up = !last.difference(&set).is_empty();
        managers.0.insert(manager.clone(), Owned { set, api_version: api_version.to_owned(), time });
        let new = if gives_up { self.prune(merged, &last, managers) } else { merged };
        let Comparison { removed, modified, added } = live.compare(&self.schema.made(&new)).without(self.reset);
        let changed = modified.join(added);
        if on_conflict == OnConflict::Refuse {
            let contested = contested(managers, manager, &changed);
            if !contested.is_empty() {
                return Err(contested);
            }
        }
        settle(managers, Some(manager), &removed, &changed);
        Ok(new)
    }

    /// Removes what the applier owned before but not now, except paths that others own, and paths that only disappear
    /// because their parent is removed and that the applier never owned.
    fn prune(&self, merged: Value, last: &FieldSet, managers: &Managers) -> Value {
        let named = |set: &FieldSet| self.schema.with_named_parents(set);
        let paths = |value: &Value| named(&self.schema.made(value).to_field_set());
        let owned = last;
        let (last, merged_paths) = (named(owned), paths(&merged));
        let merged = self.schema.made(&merged);
        let pruned = merged.remove(&last);
        // Restore paths that any manager owns, including those of the new configuration ...
        let kept = paths(&pruned).union(&named(&managers.all_owned()));
        let pruned = merged.remove(&merged_paths.difference(&kept));
        // ... and paths that the applier never owned.
        let gone = merged_paths.difference(&paths(&pruned)).intersection(&last);
        if !self.keeps_unowned {
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
fn contested(managers: &Managers, applier: &Manager, changed: &FieldSet) -> Contested {
    let mut contested = Contested::default();
    for (manager, owned) in managers.0.iter().filter(|(manager, _)| *manager != applier) {
        contested.add(manager, owned.set.intersection(changed));
    }
    contested
}

/// Removes changed and removed paths from the sets of all managers except the applier.
fn settle(managers: &mut Managers, applier: Option<&Manager>, removed: &FieldSet, changed: &FieldSet) {
    for (_, owned) in managers.0.iter_mut().filter(|(manager, _)| Some(*manager) != applier) {
        owned.set.remove(changed);
        owned.set.remove(removed);
    }
    managers.drop_idle();
}
