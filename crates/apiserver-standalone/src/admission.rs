//! The rules for writes in standalone mode: a namespace must exist and must not be terminating, and owners should exist.

use apimachinery::{
    command::ObjectKey,
    kind::{Registry, State},
    object::Object,
    resource::Resource,
    rest::Existence,
    status_error::StatusError,
};
use apiserver::admission::Admission;
use async_trait::async_trait;
use store::Store;

use super::{namespace, owners::AddedOwners};

/// The rules of standalone mode.
pub struct StandaloneAdmission;

#[async_trait]
impl<W: State> Admission<W> for StandaloneAdmission {
    fn namespace_to_check(&self, key: &ObjectKey) -> Option<ObjectKey> {
        (!key.namespace.is_empty()).then(|| namespace::key(&key.scope, &key.namespace))
    }

    fn validate_create(
        &self,
        resource: &Resource,
        key: &ObjectKey,
        namespace: Option<Existence>,
    ) -> Result<(), StatusError> {
        namespace::validate_lifecycle(resource, key, namespace)
    }

    async fn warnings(
        &self,
        store: &dyn Store,
        registry: &Registry<W>,
        key: &ObjectKey,
        old: Option<&Object>,
        new: &Object,
    ) -> Vec<String> {
        match AddedOwners::of(key, old, new) {
            Some(added) => added.warnings(store, registry).await,
            None => Vec::new(),
        }
    }
}
