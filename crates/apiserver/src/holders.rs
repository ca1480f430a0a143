//! Adds to an API error the holders of what its request needed, as far as the caller may read them.
//!
//! A decision knows that a range is taken, but not by which object. The request's task looks that up in the store
//! afterwards, so that the committer does no work for it. Holders that have released the range since are not named.

use apimachinery::{
    access::{Ask, ResourceAsk, Rights},
    command::ObjectKey,
    kind::{Holder, Registry, Resource, Verb, World},
    refusal::{Occupied, Refusal},
};
use store::{Error, Key, Store};

use crate::{api, committer, limits::HOLDERS_NAMED_MAX};

/// The API error, with the first holders of what its request needed.
pub async fn name<W: World>(
    store: &dyn Store,
    registry: &Registry<W>,
    rights: &Rights,
    mut refusal: Refusal,
) -> Refusal {
    let Some(occupied) = refusal.occupied.take() else { return refusal };
    match find(store, registry, rights, &occupied).await {
        Ok(holders) => refusal.held_by(&holders),
        Err(error) => {
            tracing::warn!(error = %error, "the holders of a taken range could not be read");
            refusal
        }
    }
}

async fn find<W: World>(
    store: &dyn Store,
    registry: &Registry<W>,
    rights: &Rights,
    Occupied { space, first, last }: &Occupied,
) -> Result<Vec<String>, Error> {
    let spans = store.holders(space, *first, *last, HOLDERS_NAMED_MAX + 1).await?;
    let mut named = Vec::new();
    for span in spans.iter().take(HOLDERS_NAMED_MAX) {
        let holder = describe(store, registry, rights, &span.holder).await?;
        named.extend(holder.filter(|holder| !named.contains(holder)));
    }
    if spans.len() > HOLDERS_NAMED_MAX {
        named.push("others".to_owned());
    }
    Ok(named)
}

/// Describes the holder of a span; `None` if it no longer exists.
async fn describe<W: World>(
    store: &dyn Store,
    registry: &Registry<W>,
    rights: &Rights,
    place: &Key,
) -> Result<Option<String>, Error> {
    let Some(key) = api::object_key(registry, place.as_str()) else {
        return Ok(Some("an object of a kind that this version of the server does not know".to_owned()));
    };
    let Some(record) = store.get(place).await? else { return Ok(None) };
    let object = committer::parse(place, &record.value)?;
    let holder = registry.get(key.resource).map(|kind| kind.holder(&key, &object));
    Ok(holder.and_then(|Holder { key, note }| Some(text(rights, registry.get(key.resource)?.resource(), &key, &note))))
}

fn text(rights: &Rights, resource: &Resource, key: &ObjectKey, note: &str) -> String {
    let kind = resource.kind;
    if !may_get(rights, resource, key) {
        return format!("an object of kind {kind} that you may not get");
    }
    let place = if resource.namespaced { format!("{}/{}", key.namespace, key.name) } else { key.name.clone() };
    if note.is_empty() { format!("{kind} {place}") } else { format!("{kind} {place} ({note})") }
}

fn may_get(rights: &Rights, resource: &Resource, key: &ObjectKey) -> bool {
    let ask = Ask::Resource(ResourceAsk {
        verb: Verb::Get.as_str(),
        group: resource.group,
        resource: resource.plural,
        name: &key.name,
        namespace: &key.namespace,
        ..ResourceAsk::default()
    });
    rights.elsewhere(&key.namespace).include(&ask)
}
