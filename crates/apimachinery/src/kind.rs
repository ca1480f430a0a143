//! Definition of a service's kinds ([`Resource`], [`Kind`]) and of its in-memory state ([`State`]).

use std::collections::BTreeMap;

use serde_json::Value;

use crate::{
    command::{ObjectKey, RequestEntropy, Scope, Write},
    object::Object,
    occurrence::{EventContent, EventRules},
    rbac::Permissions,
    resource::{Resource, Subresource},
    status_error::StatusError,
    time::Time,
    view::View,
};

/// Request data available while a command is prepared, before it is queued for the committer.
#[derive(Clone, Copy, Debug)]
pub struct RequestContext<'a> {
    /// The caller's permissions, for checks beyond the request itself.
    pub permissions: &'a Permissions,
    /// The time of the request.
    pub now: Time,
    /// Random bytes for ids.
    pub entropy: RequestEntropy,
    /// True for a dry run: nothing is persisted. A kind may return a warning if the result of the real request can
    /// differ.
    pub dry_run: bool,
    /// True if the path names the object. The path of a create does not, so a rule with `resourceNames` does not allow
    /// it.
    pub name_in_path: bool,
    /// Status in the body of a create, for example restored from a backup; null otherwise. It is not stored, but a kind
    /// may return a warning about it.
    pub status: &'a Value,
}

/// Data for a decision, in addition to the decision state and the object.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// The time of the request.
    pub now: Time,
    /// Random bytes for ids.
    pub entropy: RequestEntropy,
    /// True for a dry run: nothing is persisted. A kind may return a warning if the result of the real request can
    /// differ.
    pub dry_run: bool,
    /// The existing objects among those that [`Kind::read_set`] requested.
    pub related: &'a RelatedObjects,
}

/// Objects read for one decision, while the head is locked.
#[derive(Clone, Debug, Default)]
pub struct RelatedObjects {
    /// Objects by key; a missing object has no entry.
    pub objects: BTreeMap<ObjectKey, std::sync::Arc<Object>>,
}

/// A range of numbers, both ends included, held exclusively by one object within a named space. The store rejects
/// overlapping spans in a space, independently of the decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    /// The space.
    pub space: String,
    /// The first number.
    pub first: u128,
    /// The last number.
    pub last: u128,
    /// [`ObjectKey::storage_key`] of the holder.
    pub holder: String,
}

/// The holder of a span, as an API error names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// The key of the object, which is named only to callers with permission to get it.
    pub key: ObjectKey,
    /// Additional text; may be empty.
    pub note: String,
}

/// In-memory decision state: the data about all objects that decisions of the kinds use. The default is the state of an
/// empty log. It changes only by [`State::apply`]; applying a write with `old` and `new` exchanged undoes it.
pub trait State: Default + Send + Sync + 'static {
    /// Applies one write; `new` has its resourceVersion.
    fn apply(&mut self, write: &Write);

    /// Resources whose writes change the state.
    fn observed_resources() -> &'static [&'static str];

    /// Returns derived writes, such as pool capacities, for the changes since the last call. They are part of the same
    /// commit and are applied like all others.
    fn pending_status_updates(&self, now: Time) -> Vec<Write>;

    /// Loads an object of a resource in [`State::cached_resources`] at startup, before all spans.
    fn load_object(&mut self, key: ObjectKey, object: Object) -> Result<(), String>;

    /// Loads a held span at startup, after all objects.
    fn load_span(&mut self, span: &Span) -> Result<(), String>;

    /// Resources whose objects are kept whole and are loaded at startup.
    fn cached_resources(&self) -> &'static [&'static str];

    /// Gauges for metrics.
    fn gauges(&self) -> Vec<Gauge>;
}

/// One family of gauges.
#[derive(Clone, Debug)]
pub struct Gauge {
    /// Metric name.
    pub name: &'static str,
    /// Description, with the unit.
    pub help: &'static str,
    /// Labels and value of each sample.
    pub samples: Vec<(Vec<(&'static str, String)>, f64)>,
}

/// Rules of a kind. All methods are pure; [`crate::rest`] does the generic part before and after.
///
/// [`Kind::prepare_create`] and [`Kind::prepare_update`] default and validate without the decision state, on the task
/// of the request, in parallel with other requests. The remaining part ([`DecideFn`]) runs in the committer, one command
/// at a time, and delays all writers: it uses the decision state and should compute nothing that could be computed
/// before.
pub trait Kind<W>: Send + Sync {
    /// The static description.
    fn resource(&self) -> &Resource;

    /// Conversion, if objects of this kind are stored as another kind of the same plural ([`Registry::with_views`]).
    /// The rules of this kind get objects in the served form, and do not use the decision state.
    fn view(&self) -> Option<&'static View> {
        None
    }

    /// True if a PUT of a missing object creates it (`AllowCreateOnUpdate` in Kubernetes).
    fn allows_create_on_update(&self) -> bool {
        false
    }

    /// Rules for events about changes of objects of this kind.
    fn event_rules(&self) -> Option<&dyn EventRules> {
        None
    }

    /// The event about the object that an API error regards ([`StatusError::regarding`]), when a request for `key` failed
    /// with it.
    fn event_for_error(&self, key: &ObjectKey, refusal: &StatusError) -> Option<EventContent> {
        let _ = (key, refusal);
        None
    }

    /// Keys of the other objects that a decision about `key` reads.
    fn read_set(&self, key: &ObjectKey) -> Vec<ObjectKey> {
        let _ = key;
        Vec::new()
    }

    /// Defaults and validates a new object. Its metadata is complete, unknown fields are removed, types match the
    /// schema, and there is no `status`. It is called even if the metadata is invalid, so that one response reports all
    /// field errors.
    fn prepare_create(
        &self,
        key: &ObjectKey,
        object: Object,
        ctx: &RequestContext<'_>,
    ) -> Result<PreparedObject<W>, StatusError>;

    /// Defaults and validates a change of `old`. `new` has the system metadata of `old`; for the main resource it also
    /// has its status, for `/status` its spec.
    fn prepare_update(
        &self,
        key: &ObjectKey,
        old: &Object,
        new: Object,
        subresource: Option<Subresource>,
        ctx: &RequestContext<'_>,
    ) -> Result<PreparedObject<W>, StatusError>;

    /// Checks that `object` may be deleted. Called before it is marked as terminating, and again before it is deleted.
    fn validate_delete(
        &self,
        state: &W,
        key: &ObjectKey,
        object: &Object,
        ctx: &Context<'_>,
    ) -> Result<(), StatusError> {
        let _ = (state, key, object, ctx);
        Ok(())
    }

    /// True if something other than `metadata.finalizers` delays the deletion of `object`.
    fn has_extra_finalizers(&self, object: &Object) -> bool {
        let _ = object;
        false
    }

    /// True if objects of this kind are created and deleted only in the decisions of others. The garbage collector
    /// ignores them.
    fn is_managed_by_owner(&self) -> bool {
        false
    }

    /// Effect of a namespace deletion on objects of this kind besides deleting them, as text for the conditions
    /// of the namespace.
    fn namespace_deletion_note(&self) -> Option<&'static str> {
        None
    }

    /// Changes an object whose deletion waits for finalizers, such as to `phase: Releasing`.
    fn mark_terminating(&self, object: &mut Object) {
        let _ = object;
    }

    /// Returns the secondary writes for the deletion of `object`.
    fn delete(
        &self,
        state: &W,
        key: &ObjectKey,
        object: &Object,
        ctx: &Context<'_>,
    ) -> Result<Vec<Write>, StatusError> {
        let _ = (state, key, object, ctx);
        Ok(Vec::new())
    }

    /// Spans held by an object. A write acquires and releases the difference between old and new.
    fn spans(&self, key: &ObjectKey, object: &Object) -> Vec<Span> {
        let _ = (key, object);
        Vec::new()
    }

    /// The object that an API error names as holder of the spans of `object`: by default `object` itself.
    fn holder(&self, key: &ObjectKey, object: &Object) -> Holder {
        let _ = object;
        Holder { key: key.clone(), note: String::new() }
    }
}

/// An object after validation without the decision state, and the function that completes it with the decision state.
pub struct PreparedObject<W> {
    /// The object, without the fields that the decision sets.
    pub object: Object,
    /// For the `Warning` header.
    pub warnings: Vec<String>,
    /// Completes the object; `None` if it is complete.
    pub decide: Option<DecideFn<W>>,
}

/// The part of a kind's rules that needs the decision state. Fields that it adds to the object have no field manager.
pub type DecideFn<W> =
    Box<dyn FnOnce(&W, &ObjectKey, Object, &Context<'_>) -> Result<MutationResult, StatusError> + Send>;

impl<W> PreparedObject<W> {
    /// A complete object: the decision state is not needed.
    pub fn without_decision(object: Object) -> Self {
        Self { object, warnings: Vec::new(), decide: None }
    }

    /// An object that `decide` completes or rejects in the committer, with the decision state.
    pub fn with_decision(
        object: Object,
        decide: impl FnOnce(&W, &ObjectKey, Object, &Context<'_>) -> Result<MutationResult, StatusError> + Send + 'static,
    ) -> Self {
        Self { object, warnings: Vec::new(), decide: Some(Box::new(decide)) }
    }
}

/// The result of a kind's decision about one object.
#[derive(Clone, Debug, Default)]
pub struct MutationResult {
    /// The object to store.
    pub object: Object,
    /// Secondary writes.
    pub secondary_writes: Vec<Write>,
    /// For the `Warning` header.
    pub warnings: Vec<String>,
}

/// The kinds of a service. Stored kinds have distinct plurals, even in different groups, because keys begin with the
/// plural.
pub struct Registry<W> {
    kinds: Vec<Box<dyn Kind<W>>>,
    views: Vec<Box<dyn Kind<W>>>,
    virtual_resources: Vec<Resource>,
}

impl<W> Registry<W> {
    /// A registry of these kinds.
    pub fn new(kinds: Vec<Box<dyn Kind<W>>>) -> Self {
        Self { kinds, views: Vec::new(), virtual_resources: Vec::new() }
    }

    /// Adds stored kinds. Panics if a plural is registered already.
    #[must_use]
    pub fn with(mut self, kinds: impl IntoIterator<Item = Box<dyn Kind<W>>>) -> Self {
        for kind in kinds {
            let plural = kind.resource().plural;
            assert!(self.get(plural).is_none(), "{plural} is registered twice");
            self.kinds.push(kind);
        }
        self
    }

    /// Adds kinds whose objects are stored as another kind of the same plural, and served in another group
    /// ([`Kind::view`]).
    #[must_use]
    pub fn with_views(mut self, views: impl IntoIterator<Item = Box<dyn Kind<W>>>) -> Self {
        for view in views {
            let plural = view.resource().plural;
            assert!(view.view().is_some() && self.get(plural).is_some(), "{plural} has no view, or no stored kind");
            self.views.push(view);
        }
        self
    }

    /// Adds kinds that are part of discovery and OpenAPI but are served elsewhere: only create is supported, and no
    /// object is stored (reviews).
    #[must_use]
    pub fn with_virtual_resources(mut self, virtual_resources: impl IntoIterator<Item = Resource>) -> Self {
        self.virtual_resources.extend(virtual_resources);
        self
    }

    /// All stored kinds, in the order of registration.
    pub fn iter(&self) -> impl Iterator<Item = &dyn Kind<W>> {
        self.kinds.iter().map(AsRef::as_ref)
    }

    /// The stored kind of a plural.
    pub fn get(&self, plural: &str) -> Option<&dyn Kind<W>> {
        self.iter().find(|kind| kind.resource().plural == plural)
    }

    /// The kind of this view of a plural; without a view, the stored kind.
    pub fn find_view(&self, plural: &str, view: Option<&View>) -> Option<&dyn Kind<W>> {
        let Some(View { served, .. }) = view else { return self.get(plural) };
        let views = self.views.iter().map(AsRef::as_ref);
        views
            .filter(|kind| kind.resource().plural == plural)
            .find(|kind| kind.view().is_some_and(|known| known.served == *served))
    }

    /// All served kinds: the stored ones, then the views.
    pub fn served(&self) -> impl Iterator<Item = &dyn Kind<W>> {
        self.iter().chain(self.views.iter().map(AsRef::as_ref))
    }

    /// The served kind of a group and plural.
    pub fn find_served(&self, group: &str, plural: &str) -> Option<&dyn Kind<W>> {
        self.served().find(|kind| kind.resource().group == group && kind.resource().plural == plural)
    }

    /// The kind that an owner reference names.
    pub fn find(&self, api_version: &str, kind: &str) -> Option<&dyn Kind<W>> {
        self.served().find(|known| known.resource().kind == kind && known.resource().api_version() == api_version)
    }

    /// All resources in discovery and OpenAPI.
    pub fn resources(&self) -> impl Iterator<Item = &Resource> {
        self.served().map(Kind::resource).chain(&self.virtual_resources)
    }

    /// All groups and versions, in the order of registration of their first kinds.
    pub fn group_versions(&self) -> Vec<(&'static str, &'static str)> {
        let mut found = Vec::new();
        for Resource { group, version, .. } in self.resources() {
            if !found.contains(&(*group, *version)) {
                found.push((*group, *version));
            }
        }
        found
    }
}

/// Prefix of the keys of all objects of a resource in a scope, optionally in one namespace.
pub fn key_prefix(resource: &str, scope: &Scope, namespace: Option<&str>) -> String {
    match namespace {
        Some(namespace) => format!("{resource}/{}/{namespace}/", scope.as_str()),
        None => format!("{resource}/{}/", scope.as_str()),
    }
}
