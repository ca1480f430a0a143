//! Adds to an API error for a taken range those holders of the range that the caller has permission to read.
//!
//! A decision detects that a range is taken, but not by which object. The request's task reads the holders from the
//! store afterwards, so that the committer does no work for it. Holders that have released the range since are not
//! named.

use apimachinery::{
    command::ObjectKey,
    kind::{Holder, Registry, State},
    rbac::{Attributes, Permissions, ResourceAttributes},
    resource::{Resource, Verb},
    status_error::{OccupiedRange, StatusError},
};
use store::{Error, Key, Store};

use crate::{keys, limits::HOLDERS_NAMED_MAX, stored_object};

/// Returns the API error with up to [`HOLDERS_NAMED_MAX`] holders of the range that the request needed (`occupied`). If
/// they cannot be read, this is logged and the error is returned without holders.
pub async fn name_holders<W: State>(
    store: &dyn Store,
    registry: &Registry<W>,
    permissions: &Permissions,
    mut refusal: StatusError,
) -> StatusError {
    let Some(occupied) = refusal.occupied.take() else { return refusal };
    match find(store, registry, permissions, &occupied).await {
        Ok(holders) => refusal.with_holders(&holders),
        Err(error) => {
            tracing::warn!(error = %error, "the holders of a taken range could not be read");
            refusal
        }
    }
}

async fn find<W: State>(
    store: &dyn Store,
    registry: &Registry<W>,
    permissions: &Permissions,
    OccupiedRange { space, first, last }: &OccupiedRange,
) -> Result<Vec<String>, Error> {
    let spans = store.overlapping_spans(space, *first, *last, HOLDERS_NAMED_MAX + 1).await?;
    let mut named = Vec::new();
    for span in spans.iter().take(HOLDERS_NAMED_MAX) {
        let holder = describe(store, registry, permissions, &span.holder).await?;
        named.extend(holder.filter(|holder| !named.contains(holder)));
    }
    if spans.len() > HOLDERS_NAMED_MAX {
        named.push("others".to_owned());
    }
    Ok(named)
}

/// Describes the holder of a span; `None` if it no longer exists.
async fn describe<W: State>(
    store: &dyn Store,
    registry: &Registry<W>,
    permissions: &Permissions,
    place: &Key,
) -> Result<Option<String>, Error> {
    let Some(key) = keys::object_key(registry, place.as_str()) else {
        return Ok(Some("an object of a kind that this version of the server does not know".to_owned()));
    };
    let Some(record) = store.get(place).await? else { return Ok(None) };
    let object = stored_object::parse(place, &record.value)?;
    let holder = registry.get(key.resource).map(|kind| kind.holder(&key, &object));
    Ok(holder
        .and_then(|Holder { key, note }| Some(text(permissions, registry.get(key.resource)?.resource(), &key, &note))))
}

fn text(permissions: &Permissions, resource: &Resource, key: &ObjectKey, note: &str) -> String {
    let kind = resource.kind;
    if !may_get(permissions, resource, key) {
        return format!("an object of kind {kind} that you may not get");
    }
    let place = if resource.namespaced { format!("{}/{}", key.namespace, key.name) } else { key.name.clone() };
    if note.is_empty() { format!("{kind} {place}") } else { format!("{kind} {place} ({note})") }
}

fn may_get(permissions: &Permissions, resource: &Resource, key: &ObjectKey) -> bool {
    let attributes = Attributes::Resource(ResourceAttributes {
        verb: Verb::Get.as_str(),
        group: resource.group,
        resource: resource.plural,
        name: &key.name,
        namespace: &key.namespace,
        ..ResourceAttributes::default()
    });
    permissions.in_namespace(&key.namespace).allows(&attributes)
}
