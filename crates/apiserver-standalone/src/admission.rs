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
use futures::future::BoxFuture;
use store::Store;

use super::{namespace, owners::AddedOwners};

/// The rules of standalone mode.
pub struct StandaloneAdmission;

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

    fn warnings<'a>(
        &self,
        store: &'a dyn Store,
        registry: &'a Registry<W>,
        key: &ObjectKey,
        old: Option<&Object>,
        new: &Object,
    ) -> Option<BoxFuture<'a, Vec<String>>> {
        let added = AddedOwners::of(key, old, new)?;
        Some(Box::pin(async move { added.warnings(store, registry).await }))
    }
}
