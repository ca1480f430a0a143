//! The resource, object and verb that the path of a request addresses.

use std::sync::Arc;

use apimachinery::{
    command::{ObjectKey, Scope},
    kind::{Kind, Registry, key_prefix},
    object::Object,
    request::{NAMESPACES, ResourceTarget},
    resource::{Resource, Subresource, Verb, group_resource},
    schema::Schema,
    schemas::Schemas,
    status_error::{StatusError, StatusReason},
    view::View,
};
use bytes::Bytes;

/// The resource, object and verb that a request addresses.
pub struct RequestScope<'a, W> {
    /// The kind.
    pub kind: &'a dyn Kind<W>,
    /// The static description of the kind.
    pub resource: &'a Resource,
    /// The schema of its objects.
    pub schema: &'a Schema,
    /// The scope: the platform or a tenant.
    pub scope: Scope,
    /// The namespace, if the path names one.
    pub namespace: Option<String>,
    /// The name, if the request is about one object. A watch may name it in the path or in a selector.
    pub name: Option<String>,
    /// The subresource, if the path names one.
    pub subresource: Option<Subresource>,
    /// The verb.
    pub verb: Verb,
}

impl<'a, W> RequestScope<'a, W> {
    /// Resolves `target`; `None` if no such path is served.
    pub fn resolve(
        registry: &'a Registry<W>,
        schemas: &'a Schemas,
        target: &ResourceTarget,
    ) -> Result<Option<Self>, StatusError> {
        let Some(kind) = registry.find_served(&target.group, &target.resource) else { return Ok(None) };
        let resource = kind.resource();
        // The path of a Namespace contains its name as both namespace and name.
        let namespace = target.namespace.clone().filter(|_| !is_namespace(target));
        if target.version != resource.version || (namespace.is_some() && !resource.namespaced) {
            return Ok(None);
        }
        let subresource = subresource(resource, target)?;
        let collection = matches!(target.verb, Verb::List | Verb::Watch | Verb::DeleteCollection | Verb::Create);
        let needs_namespace = resource.namespaced && !matches!(target.verb, Verb::List | Verb::Watch);
        if needs_namespace && target.namespace.is_none() {
            return if collection { Err(method_not_supported(target)) } else { Ok(None) };
        }
        let offered = match subresource {
            None => resource.verbs.contains(&target.verb),
            Some(part) => part.verbs().contains(&target.verb),
        };
        // Create takes the name from the body; update and patch need it in the path.
        let misplaced = match target.verb {
            Verb::Create => target.name.is_some(),
            Verb::Update | Verb::Patch => target.name.is_none(),
            _ => false,
        };
        if !offered || misplaced {
            return Err(method_not_supported(target));
        }
        Ok(Some(Self {
            kind,
            resource,
            schema: schemas.get(resource),
            scope: Scope::platform(),
            namespace,
            name: target.name.clone().filter(|_| !collection || target.verb == Verb::Watch),
            subresource,
            verb: target.verb,
        }))
    }

    /// The key of the object `name`.
    pub fn key(&self, name: &str) -> ObjectKey {
        ObjectKey {
            resource: self.resource.plural,
            scope: self.scope.clone(),
            namespace: self.namespace.clone().unwrap_or_default(),
            name: name.to_owned(),
        }
    }

    /// The key prefix of all objects that a collection request may return.
    pub fn prefix(&self) -> String {
        let namespace = if self.resource.namespaced { self.namespace.as_deref() } else { Some("") };
        key_prefix(self.resource.plural, &self.scope, namespace)
    }

    /// The view in which this API version serves its objects; `None` if they are served as stored.
    pub fn view(&self) -> Option<&'static View> {
        self.kind.view()
    }

    /// The object and its plain JSON, converted to the served API version.
    pub fn apply_view(&self, object: Arc<Object>, bytes: Bytes) -> (Arc<Object>, Bytes) {
        let Some(view) = self.view() else { return (object, bytes) };
        let shown = view.to_served(Object::clone(&object));
        let bytes = shown.to_bytes().into();
        (Arc::new(shown), bytes)
    }

    /// 404 for the object `name`.
    pub fn not_found(&self, name: &str) -> StatusError {
        StatusError::not_found(self.resource.group, self.resource.plural, name)
    }
}

/// The subresource that the path names. An unknown one is a 404 for the object, as with custom resources.
fn subresource(resource: &Resource, target: &ResourceTarget) -> Result<Option<Subresource>, StatusError> {
    let Some(part) = target.subresource.as_deref() else { return Ok(None) };
    let known = resource.subresources.iter().find(|known| known.as_str() == part).copied();
    let name = target.name.as_deref().unwrap_or_default();
    known.map(Some).ok_or_else(|| StatusError::not_found(resource.group, resource.plural, name))
}

fn is_namespace(target: &ResourceTarget) -> bool {
    target.group.is_empty() && target.resource == NAMESPACES
}

fn method_not_supported(target: &ResourceTarget) -> StatusError {
    let verb = target.verb.as_str();
    let what = group_resource(&target.resource, &target.group);
    let message = format!("{verb} is not supported on resources of kind \"{what}\"");
    StatusError::new(StatusReason::MethodNotAllowed, message).with_details(&target.group, &target.resource, "")
}
