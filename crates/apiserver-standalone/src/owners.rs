//! Owner references of objects: the location of each owner, and warnings for owners that do not exist.

use apimachinery::{
    command::ObjectKey,
    kind::{Registry, State},
    object::{Object, OwnerReference},
};
use apiserver::{keys, stored_object};
use store::Store;

use crate::limits::OWNERS_LOOKED_UP_MAX;

/// The location of an owner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OwnerLocation {
    /// In this store.
    At(ObjectKey),
    /// Impossible: the owner is namespaced, and its dependent is cluster-scoped.
    InvalidScope,
    /// On another server: its kind is not served here.
    NotServed,
}

impl OwnerLocation {
    /// The location of an owner of `dependent`: in the same namespace, if its kind is namespaced.
    pub fn of<W: State>(owner: &OwnerReference, dependent: &ObjectKey, registry: &Registry<W>) -> Self {
        let Some(kind) = registry.find(&owner.api_version, &owner.kind) else { return Self::NotServed };
        let resource = kind.resource();
        if resource.namespaced && dependent.namespace.is_empty() {
            return Self::InvalidScope;
        }
        Self::At(ObjectKey {
            resource: resource.plural,
            scope: dependent.scope.clone(),
            namespace: if resource.namespaced { dependent.namespace.clone() } else { String::new() },
            name: owner.name.clone(),
        })
    }
}

/// The owner references that a write adds to an object.
#[derive(Debug)]
pub struct AddedOwners {
    dependent: ObjectKey,
    /// The first owners that the write names, and whether each is new.
    owners: Vec<(OwnerReference, bool)>,
    /// True if the write names more owners.
    has_more: bool,
}

impl AddedOwners {
    /// The owners that a write from `old` to `new` adds; `None` if there are none, or if the object is being deleted.
    pub fn of(key: &ObjectKey, old: Option<&Object>, new: &Object) -> Option<Self> {
        let known = old.map_or(&[][..], |old| &old.metadata.owner_references);
        let owners = &new.metadata.owner_references;
        if known == owners.as_slice() || new.is_terminating() {
            return None;
        }
        let is_new = |owner: &OwnerReference| !known.iter().any(|known| is_same(known, owner));
        let first = owners.iter().take(OWNERS_LOOKED_UP_MAX).map(|owner| (owner.clone(), is_new(owner)));
        let owners_of_new =
            Self { dependent: key.clone(), owners: first.collect(), has_more: owners.len() > OWNERS_LOOKED_UP_MAX };
        owners_of_new.owners.iter().any(|(_, is_new)| *is_new).then_some(owners_of_new)
    }

    /// Warnings about what the garbage collector will do because of missing owners, according to the current state of
    /// the store.
    pub async fn warnings<W: State>(&self, store: &dyn Store, registry: &Registry<W>) -> Vec<String> {
        let mut found = Vec::with_capacity(self.owners.len());
        for (owner, is_new) in &self.owners {
            let place = OwnerLocation::of(owner, &self.dependent, registry);
            let is_missing = is_missing(store, owner, &place).await;
            found.push((owner, *is_new, place, is_missing));
        }
        let fate = match found.iter().all(|(.., is_missing)| *is_missing) {
            true if self.has_more => "removes this reference, or deletes this object if none of its owners exists",
            true => "deletes this object, because none of its owners exists",
            false => "removes this reference",
        };
        let new = found.into_iter().enumerate().filter(|(_, (_, is_new, ..))| *is_new);
        new.filter_map(|(index, (owner, _, place, is_missing))| {
            let what = match place {
                OwnerLocation::InvalidScope => invalid_scope_warning(owner),
                OwnerLocation::At(place) if is_missing => missing_owner_warning(owner, &place, fate),
                OwnerLocation::At(_) | OwnerLocation::NotServed => return None,
            };
            Some(format!("metadata.ownerReferences[{index}]: {what}"))
        })
        .collect()
    }
}

fn invalid_scope_warning(OwnerReference { kind, name, .. }: &OwnerReference) -> String {
    format!(
        "{kind} \"{name}\" is namespaced, and this object is cluster-scoped; the garbage collector treats this owner as existing \
         and does not delete the object because of it: use a cluster-scoped owner"
    )
}

fn missing_owner_warning(owner: &OwnerReference, place: &ObjectKey, fate: &str) -> String {
    let OwnerReference { kind, name, uid, .. } = owner;
    let (found, advice) = match place.namespace.as_str() {
        "" => (String::new(), ""),
        namespace => (format!(" in namespace \"{namespace}\""), " (an owner must be in its dependent's namespace)"),
    };
    format!("there is no {kind} \"{name}\" with uid \"{uid}\"{found}{advice}; the garbage collector {fate}")
}

/// True if an owner does not exist. One that cannot be read is assumed to exist.
async fn is_missing(store: &dyn Store, owner: &OwnerReference, place: &OwnerLocation) -> bool {
    let OwnerLocation::At(key) = place else { return false };
    let Some(key) = keys::store_key(key) else { return true };
    match store.get(&key).await {
        Ok(Some(record)) => {
            stored_object::parse(&record.key, &record.value).is_ok_and(|found| found.metadata.uid != owner.uid)
        }
        Ok(None) => true,
        Err(_) => false,
    }
}

/// True if two references denote the same object.
fn is_same(one: &OwnerReference, other: &OwnerReference) -> bool {
    (&one.uid, &one.kind, &one.name, &one.api_version) == (&other.uid, &other.kind, &other.name, &other.api_version)
}
