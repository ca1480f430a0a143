//! The algorithm: what a write makes of the ownership of fields, and what an applied configuration makes of an object
//! (structured-merge-diff `merge.Updater`). All sets are of one version of the API.

use serde_json::Value;

use super::{
    conflict::Contested,
    entries::{Manager, Managers, Owned},
    schema::Schema,
    set::FieldSet,
    typed::{Comparison, Typed},
};

/// What happens to fields that an applier wants to change and others own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnConflict {
    /// Nothing: the apply is refused.
    Refuse,
    /// They change, and the applier is their only owner (`force=true`).
    TakeOver,
}

/// The algorithm for the objects of one schema, written through one endpoint.
#[derive(Clone, Copy)]
pub(super) struct Updater<'a> {
    pub(super) schema: &'a Schema,
    /// What the endpoint does not write: whatever a request says of these paths, it does not own them.
    pub(super) reset: &'a FieldSet,
    /// Whether what nobody owns stays where an applier gives up what lies around it.
    pub(super) keeps_unowned: bool,
}

impl Updater<'_> {
    /// Takes note of a write that makes `new` of `live`: everyone loses what it changed or removed. What whoever wrote it
    /// gains is returned.
    pub(super) fn update(&self, live: &Typed<'_>, new: &Typed<'_>, managers: &mut Managers) -> FieldSet {
        let Comparison { removed, modified, added } = live.compare(new).without(self.reset);
        let changed = modified.join(added);
        settle(managers, None, &removed, &changed);
        changed
    }

    /// What `live` becomes when `manager` applies `config`, and who owns what then. After a refusal `managers` is of no use.
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

    /// Without what the applier owned before and does not own now, unless others own it, or it is in something that goes
    /// and was never the applier's.
    fn prune(&self, merged: Value, last: &FieldSet, managers: &Managers) -> Value {
        let named = |set: &FieldSet| self.schema.with_named_parents(set);
        let paths = |value: &Value| named(&self.schema.made(value).to_field_set());
        let owned = last;
        let (last, merged_paths) = (named(owned), paths(&merged));
        let merged = self.schema.made(&merged);
        let pruned = merged.remove(&last);
        // Back comes what anyone owns, the applier's new configuration included ...
        let kept = paths(&pruned).union(&named(&managers.all_owned()));
        let pruned = merged.remove(&merged_paths.difference(&kept));
        // ... and what was never the applier's to remove.
        let gone = merged_paths.difference(&paths(&pruned)).intersection(&last);
        if !self.keeps_unowned {
            return merged.remove(&gone);
        }
        // A struct or a list that is only on the way to what goes stays for what nobody owns in it. (In Kubernetes it
        // goes; but there everything in a status is somebody's. What the service writes by itself is nobody's here.)
        let unowned = merged.to_field_set().difference(&gone);
        let on_the_way = named(&unowned).difference(owned);
        merged.remove(&gone.difference(&on_the_way))
    }
}

/// What others own of what changed.
fn contested(managers: &Managers, applier: &Manager, changed: &FieldSet) -> Contested {
    let mut contested = Contested::default();
    for (manager, owned) in managers.0.iter().filter(|(manager, _)| *manager != applier) {
        contested.add(manager, owned.set.intersection(changed));
    }
    contested
}

/// Takes what changed, and what is gone, from everyone but the applier.
fn settle(managers: &mut Managers, applier: Option<&Manager>, removed: &FieldSet, changed: &FieldSet) {
    for (_, owned) in managers.0.iter_mut().filter(|(manager, _)| Some(*manager) != applier) {
        owned.set.remove(changed);
        owned.set.remove(removed);
    }
    managers.drop_idle();
}
