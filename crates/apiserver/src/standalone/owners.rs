//! The owners that an object names: where each would be, and what becomes of an object that names one that is not there.

use apimachinery::{
    command::ObjectKey,
    kind::{Registry, World},
    object::{Object, OwnerReference},
};
use store::Store;

use crate::{api, committer, limits::OWNERS_LOOKED_UP_MAX};

/// Where an owner would be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// In this store.
    At(ObjectKey),
    /// Nowhere: it is in a namespace, and what it owns is not.
    Nowhere,
    /// With another server: its kind is not served here.
    Elsewhere,
}

impl Place {
    /// Of an owner of `dependent`: in the same namespace, if its kind has any.
    pub fn of<W: World>(owner: &OwnerReference, dependent: &ObjectKey, registry: &Registry<W>) -> Self {
        let Some(kind) = registry.find(&owner.api_version, &owner.kind) else { return Self::Elsewhere };
        let resource = kind.resource();
        if resource.namespaced && dependent.namespace.is_empty() {
            return Self::Nowhere;
        }
        Self::At(ObjectKey {
            resource: resource.plural,
            scope: dependent.scope.clone(),
            namespace: if resource.namespaced { dependent.namespace.clone() } else { String::new() },
            name: owner.name.clone(),
        })
    }
}

/// The owners of an object that a write names and the present version does not.
#[derive(Debug)]
pub struct Added {
    dependent: ObjectKey,
    /// The first of all that the write names, and whether the present version does not name them.
    owners: Vec<(OwnerReference, bool)>,
    /// Whether the write names more.
    has_more: bool,
}

impl Added {
    /// Of a write that makes `new` of `old`; `None` if it adds no owner, or if the object goes anyway.
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

    /// What the garbage collector does because of them. It acts on what it finds later; this is what it would find now.
    pub async fn warnings<W: World>(&self, store: &dyn Store, registry: &Registry<W>) -> Vec<String> {
        let mut found = Vec::with_capacity(self.owners.len());
        for (owner, is_new) in &self.owners {
            let place = Place::of(owner, &self.dependent, registry);
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
                Place::Nowhere => nowhere(owner),
                Place::At(place) if is_missing => not_there(owner, &place, fate),
                Place::At(_) | Place::Elsewhere => return None,
            };
            Some(format!("metadata.ownerReferences[{index}]: {what}"))
        })
        .collect()
    }
}

fn nowhere(OwnerReference { kind, name, .. }: &OwnerReference) -> String {
    format!(
        "{kind} \"{name}\" is in a namespace, and this object is not; the garbage collector never finds this owner and does \
         not delete the object because of it: name an owner without a namespace"
    )
}

fn not_there(owner: &OwnerReference, place: &ObjectKey, fate: &str) -> String {
    let OwnerReference { kind, name, uid, .. } = owner;
    let (found, advice) = match place.namespace.as_str() {
        "" => (String::new(), ""),
        namespace => (format!(" in namespace \"{namespace}\""), " (an owner must be in the namespace of what it owns)"),
    };
    format!("there is no {kind} \"{name}\" with uid \"{uid}\"{found}{advice}; the garbage collector {fate}")
}

/// Whether an owner is not there. What cannot be read may be.
async fn is_missing(store: &dyn Store, owner: &OwnerReference, place: &Place) -> bool {
    let Place::At(key) = place else { return false };
    let Some(key) = api::store_key(key) else { return true };
    match store.get(&key).await {
        Ok(Some(record)) => {
            committer::parse(&record.key, &record.value).is_ok_and(|found| found.metadata.uid != owner.uid)
        }
        Ok(None) => true,
        Err(_) => false,
    }
}

/// Whether two references mean the same object.
fn is_same(one: &OwnerReference, other: &OwnerReference) -> bool {
    (&one.uid, &one.kind, &one.name, &one.api_version) == (&other.uid, &other.kind, &other.name, &other.api_version)
}
