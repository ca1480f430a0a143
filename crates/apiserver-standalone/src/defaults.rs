//! The objects that a standalone server creates at its start.

use std::collections::BTreeSet;

use apimachinery::{
    body::Decoded,
    command::{ObjectKey, Scope},
    decoding::ObjectDecoder,
    kind::{State, key_prefix},
    options::FieldValidation,
    request::NAMESPACES,
};
use apiserver::context::ApiContext;
use serde_json::{Value, json};
use store::Key;

use super::{
    log_follower::{self, ReconcileError},
    namespace, rbac,
};

/// Creates the default namespaces, the namespaces of existing objects that were stored before namespaces were served,
/// and the default roles.
pub async fn ensure<W: State>(api: &ApiContext<W>) -> Result<(), ReconcileError> {
    let mut names = BTreeSet::from(namespace::PROTECTED.map(str::to_owned));
    for kind in api.registry.iter().filter(|kind| kind.resource().namespaced) {
        names.extend(namespaces_in_use(api, kind.resource().plural).await?);
    }
    for name in names {
        create_if_absent(api, NAMESPACES, json!({"metadata": {"name": name}})).await?;
    }
    for (resource, object) in rbac::defaults(&api.registry) {
        create_if_absent(api, resource, object).await?;
    }
    Ok(())
}

/// The namespaces that contain objects of a resource: one read for each.
async fn namespaces_in_use<W: State>(api: &ApiContext<W>, resource: &str) -> Result<Vec<String>, store::Error> {
    let prefix = key_prefix(resource, &Scope::platform(), None);
    let (mut names, mut after) = (Vec::new(), None);
    loop {
        let page = api.store.list(&prefix, after.as_ref(), None, 1).await?;
        let Some(record) = page.records.first() else { return Ok(names) };
        let name = record.key.as_str()[prefix.len()..].split('/').next().unwrap_or_default().to_owned();
        // `0` follows `/` in ASCII, so this key sorts after all keys of this namespace and before those of the next.
        after = Some(Key::new(format!("{prefix}{name}0")).expect("it is shorter than a key that is there"));
        names.push(name);
    }
}

/// Creates a cluster-scoped object, unless it exists.
async fn create_if_absent<W: State>(api: &ApiContext<W>, plural: &str, value: Value) -> Result<(), ReconcileError> {
    let resource = api.registry.get(plural).expect("a standalone server has it").resource();
    let name = value["metadata"]["name"].as_str().unwrap_or_default().to_owned();
    let decoder =
        ObjectDecoder { resource, schema: api.schemas.get(resource), name: &name, validation: FieldValidation::Strict };
    let object = decoder.decode_body(Decoded { value, duplicates: Vec::new() }).map_err(ReconcileError::Refused)?;
    let key = ObjectKey { resource: resource.plural, scope: Scope::platform(), namespace: String::new(), name };
    log_follower::create(api, key, object, "ipam").await
}
