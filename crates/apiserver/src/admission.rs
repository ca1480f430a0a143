//! The rules for writes that the deployment mode decides: whether namespaces are checked, and the warnings for writes.

use apimachinery::{
    command::ObjectKey, kind::Registry, object::Object, resource::Resource, rest::Existence, status_error::StatusError,
};
use futures::future::BoxFuture;
use store::Store;

/// Rules for writes, in addition to those of their kinds. The defaults are no rules.
pub trait Admission<W>: Send + Sync {
    /// The namespace that [`Self::validate_create`] needs before the object `key` is created; `None` if every object
    /// may be created.
    fn namespace_to_check(&self, _key: &ObjectKey) -> Option<ObjectKey> {
        None
    }

    /// Checks that the object `key` may be created in its namespace, which is absent if `namespace` is `None`.
    fn validate_create(
        &self,
        _resource: &Resource,
        _key: &ObjectKey,
        _namespace: Option<Existence>,
    ) -> Result<(), StatusError> {
        Ok(())
    }

    /// Reads from the store the warnings for a change from `old` to `new`; `None` if no read is needed.
    fn warnings<'a>(
        &self,
        _store: &'a dyn Store,
        _registry: &'a Registry<W>,
        _key: &ObjectKey,
        _old: Option<&Object>,
        _new: &Object,
    ) -> Option<BoxFuture<'a, Vec<String>>> {
        None
    }
}

/// No rules: the cluster in front of an aggregated API server checks namespaces and collects garbage.
pub struct NoAdmission;

impl<W> Admission<W> for NoAdmission {}
