//! The rules for writes that the deployment mode decides: whether namespaces are checked, and the warnings for writes.

use apimachinery::{
    command::ObjectKey, kind::Registry, object::Object, resource::Resource, rest::Existence, status_error::StatusError,
};
use async_trait::async_trait;
use store::Store;

/// Rules for writes, in addition to those of their kinds.
#[async_trait]
pub trait Admission<W>: Send + Sync {
    /// The namespace that [`Self::validate_create`] needs before the object `key` is created; `None` if every object
    /// may be created.
    fn namespace_to_check(&self, key: &ObjectKey) -> Option<ObjectKey>;

    /// Checks that the object `key` may be created in its namespace, which is absent if `namespace` is `None`.
    fn validate_create(
        &self,
        resource: &Resource,
        key: &ObjectKey,
        namespace: Option<Existence>,
    ) -> Result<(), StatusError>;

    /// The warnings for a change from `old` to `new`, according to the current state of the store.
    async fn warnings(
        &self,
        store: &dyn Store,
        registry: &Registry<W>,
        key: &ObjectKey,
        old: Option<&Object>,
        new: &Object,
    ) -> Vec<String>;
}

/// No rules: the cluster in front of an aggregated API server checks namespaces and collects garbage.
pub struct NoAdmission;

#[async_trait]
impl<W: Sync> Admission<W> for NoAdmission {
    fn namespace_to_check(&self, _: &ObjectKey) -> Option<ObjectKey> {
        None
    }

    fn validate_create(&self, _: &Resource, _: &ObjectKey, _: Option<Existence>) -> Result<(), StatusError> {
        Ok(())
    }

    async fn warnings(
        &self,
        _: &dyn Store,
        _: &Registry<W>,
        _: &ObjectKey,
        _: Option<&Object>,
        _: &Object,
    ) -> Vec<String> {
        Vec::new()
    }
}
