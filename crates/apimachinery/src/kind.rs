//! What a service says of its kinds, and the two traits through which the rest meets them.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::{
    access::{self, Rights},
    command::{ObjectKey, Scope, Seed, Write},
    object::Object,
    occurrence::{EventContent, EventRules},
    refusal::Refusal,
    time::Time,
    view::View,
};

/// Kubernetes' own groups, as far as they are served here.
const NATIVE_GROUPS: [&str; 4] = ["", access::GROUP, "coordination.k8s.io", "events.k8s.io"];

/// A part of an object with a path of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Subresource {
    /// `/status`.
    Status,
    /// `/finalize`: `spec.finalizers` alone, of kinds that are held up by them.
    Finalize,
}

impl Subresource {
    /// As it stands in paths.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Status => "status",
            Self::Finalize => "finalize",
        }
    }

    /// What can be done with it.
    pub fn verbs(self) -> &'static [Verb] {
        match self {
            Self::Status => &[Verb::Get, Verb::Patch, Verb::Update],
            Self::Finalize => &[Verb::Update],
        }
    }
}

/// The verbs of discovery and authorisation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verb {
    /// POST on the collection.
    Create,
    /// DELETE on the object.
    Delete,
    /// DELETE on the collection.
    DeleteCollection,
    /// GET on the object.
    Get,
    /// GET on the collection.
    List,
    /// PATCH on the object.
    Patch,
    /// PUT on the object.
    Update,
    /// GET on the collection with `watch`.
    Watch,
}

impl Verb {
    /// All of them, in alphabetical order.
    pub const ALL: &[Self] = &[
        Self::Create,
        Self::Delete,
        Self::DeleteCollection,
        Self::Get,
        Self::List,
        Self::Patch,
        Self::Update,
        Self::Watch,
    ];

    /// As it stands in discovery.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Delete => "delete",
            Self::DeleteCollection => "deletecollection",
            Self::Get => "get",
            Self::List => "list",
            Self::Patch => "patch",
            Self::Update => "update",
            Self::Watch => "watch",
        }
    }
}

/// A column of `kubectl get`.
#[derive(Clone, Copy, Debug)]
pub struct Column {
    /// The heading.
    pub name: &'static str,
    /// `string`, `integer`, `number`, `boolean` or `date` (OpenAPI).
    pub column_type: &'static str,
    /// `name` for the object's name; else mostly empty.
    pub format: &'static str,
    /// For `kubectl explain`-like tools.
    pub description: &'static str,
    /// 0: always shown; above: only with `-o wide`.
    pub priority: i32,
    /// Where its cells come from.
    pub cell: Cell,
}

impl Column {
    /// The age of the object, which most tables show.
    pub const AGE: Self = Self {
        name: "Age",
        column_type: "date",
        format: "",
        description: "Time since the creation",
        priority: 0,
        cell: Cell::Age,
    };
}

/// Where the cells of a column come from.
#[derive(Clone, Copy, Debug)]
pub enum Cell {
    /// `metadata.name`.
    Name,
    /// The time since `metadata.creationTimestamp`, as kubectl writes it.
    Age,
    /// A JSON pointer below the object (`/status/phase`); nothing is an empty cell.
    Pointer(&'static str),
    /// Computed from the object.
    Computed(fn(&Object) -> Value),
    /// The time since a point in time that is computed from the object.
    Since(fn(&Object) -> Option<Time>),
}

/// What objects of a kind may be called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Names {
    /// A DNS subdomain (RFC 1123): up to 253 characters.
    Subdomain,
    /// A DNS label (RFC 1123): up to 63 characters.
    Label,
    /// Whatever can be a part of a path, up to 253 bytes: `system:masters`.
    PathSegment,
}

/// A field selector and how its value is computed.
pub type ComputedField = (&'static str, fn(&Object) -> &str);

/// Everything static about a kind.
#[derive(Clone, Debug)]
pub struct Resource {
    /// The API group; empty for the core group.
    pub group: &'static str,
    /// The API version.
    pub version: &'static str,
    /// The kind, such as `IPPool`.
    pub kind: &'static str,
    /// The plural, such as `ippools`.
    pub plural: &'static str,
    /// The singular, such as `ippool`.
    pub singular: &'static str,
    /// Short names for kubectl.
    pub short_names: &'static [&'static str],
    /// Categories for kubectl.
    pub categories: &'static [&'static str],
    /// Whether its objects live in namespaces.
    pub namespaced: bool,
    /// What it does, in alphabetical order.
    pub verbs: &'static [Verb],
    /// The parts of its objects that have paths of their own.
    pub subresources: &'static [Subresource],
    /// Field selectors beside `metadata.name` and `metadata.namespace`: path and JSON pointer are the same but for
    /// the separators (`spec.ipFamily`).
    pub selectable_fields: &'static [&'static str],
    /// More of them, of which the values are computed from the object.
    pub computed_fields: &'static [ComputedField],
    /// The columns of its table.
    pub columns: &'static [Column],
    /// What its objects may be called.
    pub names: Names,
    /// The OpenAPI v3 schema of an object: `type: object` with `description` and `properties` `spec` and `status`
    /// (without `apiVersion`, `kind` and `metadata`), no `$ref`, no `nullable`.
    pub schema: Value,
}

impl Resource {
    /// `group/version`; of the core group the version alone.
    pub fn api_version(&self) -> String {
        api_version(self.group, self.version)
    }

    /// Whether it is one of Kubernetes' own kinds. These are older than the rules for all others: clients send them
    /// strategic merge patches and protobuf.
    pub fn is_native(&self) -> bool {
        NATIVE_GROUPS.contains(&self.group)
    }

    /// Whether its objects are replaced without a version, as Kubernetes allows of its own kinds but for leases
    /// (`AllowUnconditionalUpdate`).
    pub fn is_replaced_blindly(&self) -> bool {
        self.is_native() && self.group != "coordination.k8s.io"
    }

    /// Whether its objects have a generation, which goes up with what is desired of them. Those of Kubernetes' own that
    /// are served here have none.
    pub fn counts_generations(&self) -> bool {
        !self.is_native()
    }

    /// `plural.group`, as it stands in messages; of the core group the plural alone.
    pub fn qualified(&self) -> String {
        qualified(self.plural, self.group)
    }
}

/// `group/version`; of the core group the version alone.
pub fn api_version(group: &str, version: &str) -> String {
    if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") }
}

/// `noun.group`, as it stands in messages; of the core group the noun alone.
pub fn qualified(noun: &str, group: &str) -> String {
    if group.is_empty() { noun.to_owned() } else { format!("{noun}.{group}") }
}

/// What is known of a request where it comes in, before its turn.
#[derive(Clone, Copy, Debug)]
pub struct RequestContext<'a> {
    /// What the caller may do beside what is being done.
    pub rights: &'a Rights,
    /// The time of the request.
    pub now: Time,
    /// Whence its ids come.
    pub seed: Seed,
    /// Whether nothing will be persisted: the answer should say so where it matters.
    pub dry_run: bool,
    /// Whether the path names the object. That of a create does not, and what is allowed by name does not allow it.
    pub named: bool,
    /// The status in the body of a create, such as one restored from a backup; null otherwise. It is not stored: a kind
    /// may warn of what it says.
    pub status: &'a Value,
}

/// What a decision may know beside the world and the object.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// The time of the request.
    pub now: Time,
    /// Whence its ids come.
    pub seed: Seed,
    /// Whether nothing will be persisted: the answer should say so where it matters.
    pub dry_run: bool,
    /// The objects that [`Kind::reads`] named and that exist.
    pub related: &'a Related,
}

/// Objects read under the head's lock for one decision.
#[derive(Clone, Debug, Default)]
pub struct Related {
    /// By key; a key without an object is absent.
    pub objects: BTreeMap<ObjectKey, std::sync::Arc<Object>>,
}

/// A range of numbers, both ends included, that one object has to itself inside a named space. The store refuses
/// overlaps in one space, as the second guard behind the decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    /// The space.
    pub space: String,
    /// The first number.
    pub first: u128,
    /// The last number.
    pub last: u128,
    /// The text of the holder's [`ObjectKey`].
    pub holder: String,
}

/// Who holds a span, as a refusal names them to a caller who needed it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// The object that is named, to callers who may get it.
    pub key: ObjectKey,
    /// What else is said of it; empty: nothing.
    pub note: String,
}

/// What the decisions of a service's kinds need to know of all objects, kept in memory.
///
/// The default is the world of an empty log. It moves only by [`World::apply`], and `apply` with `old` and `new` exchanged takes a write back.
pub trait World: Default + Send + Sync + 'static {
    /// Moves on by one write; `new` carries its resourceVersion.
    fn apply(&mut self, write: &Write);

    /// The resources by whose writes it moves.
    fn moved_by() -> &'static [&'static str];

    /// The writes that sum up what happened since the last call, such as capacities: they join the same commit.
    /// They are applied like all others.
    fn settle(&self, now: Time) -> Vec<Write>;

    /// Restart, first: an object of a resource in [`World::kept`].
    fn restore_object(&mut self, key: ObjectKey, object: Object) -> Result<(), String>;

    /// Restart, then: a held span.
    fn restore_span(&mut self, span: &Span) -> Result<(), String>;

    /// The resources whose objects are kept whole and wanted at restart.
    fn kept(&self) -> &'static [&'static str];

    /// Gauges for metrics: name, help, and per labels a value.
    fn gauges(&self) -> Vec<Gauge>;
}

/// One family of gauges.
#[derive(Clone, Debug)]
pub struct Gauge {
    /// Metric name.
    pub name: &'static str,
    /// What it says, with its unit.
    pub help: &'static str,
    /// Labels and value of each.
    pub samples: Vec<(Vec<(&'static str, String)>, f64)>,
}

/// A kind's own rules. All methods are pure; [`crate::verbs`] has done the generic part before, and does the rest after.
///
/// What needs no world is done where the request comes in, beside other requests: [`Kind::prepare_create`] and
/// [`Kind::prepare_update`] default and validate. What they leave to be decided ([`Decide`]) runs in the committer, one
/// command at a time, and costs every writer its time: it looks into the world and computes nothing that could have been
/// computed before.
pub trait Kind<W>: Send + Sync {
    /// What is static about it.
    fn resource(&self) -> &Resource;

    /// How objects of this kind are shown, if they are stored as another kind of the same plural
    /// ([`Registry::with_views`]). The rules of this kind see them as they are shown, and leave nothing to the world.
    fn view(&self) -> Option<&'static View> {
        None
    }

    /// Whether replacing an object that is not there creates it (`AllowCreateOnUpdate` in Kubernetes).
    fn is_made_by_updates(&self) -> bool {
        false
    }

    /// Which changes of objects of this kind make events.
    fn event_rules(&self) -> Option<&dyn EventRules> {
        None
    }

    /// The event about the object that a refusal regards ([`Refusal::regarding`]), when `key` was refused.
    fn event_of_refusal(&self, key: &ObjectKey, refusal: &Refusal) -> Option<EventContent> {
        let _ = (key, refusal);
        None
    }

    /// The objects that the decision about `key` wants to see beside that of `key`.
    fn reads(&self, key: &ObjectKey) -> Vec<ObjectKey> {
        let _ = key;
        Vec::new()
    }

    /// Defaults and validates a new object. Its metadata is complete, unknown fields are gone, types agree with the
    /// schema, and there is no `status`. If its metadata is at fault nothing comes of it: the kind is asked for all the
    /// same, so that one answer names all that is wrong.
    fn prepare_create(&self, key: &ObjectKey, object: Object, ctx: &RequestContext<'_>)
    -> Result<Prepared<W>, Refusal>;

    /// Defaults and validates a change of `old`. `new` has `old`'s system metadata; through the main resource it also has
    /// its status, through `/status` it has its spec.
    fn prepare_update(
        &self,
        key: &ObjectKey,
        old: &Object,
        new: Object,
        subresource: Option<Subresource>,
        ctx: &RequestContext<'_>,
    ) -> Result<Prepared<W>, Refusal>;

    /// Whether `object` may begin to go. Called before it is marked as terminating, and again before it is gone.
    fn may_delete(&self, world: &W, key: &ObjectKey, object: &Object, ctx: &Context<'_>) -> Result<(), Refusal> {
        let _ = (world, key, object, ctx);
        Ok(())
    }

    /// Whether something beside the finalizers of its metadata holds the deletion of `object` up.
    fn is_held(&self, object: &Object) -> bool {
        let _ = object;
        false
    }

    /// Whether objects of this kind come and go with others by the decisions of those alone. A garbage collector then
    /// leaves them alone, whatever owners they name.
    fn follows(&self) -> bool {
        false
    }

    /// What the deletion of a namespace does with objects of this kind beside deleting them. The conditions of the namespace
    /// say it.
    fn end_with_namespace(&self) -> Option<&'static str> {
        None
    }

    /// Marks an object whose finalizers hold its deletion up (`phase: Releasing`).
    fn mark_terminating(&self, object: &mut Object) {
        let _ = object;
    }

    /// What else changes when `object` goes.
    fn delete(&self, world: &W, key: &ObjectKey, object: &Object, ctx: &Context<'_>) -> Result<Vec<Write>, Refusal> {
        let _ = (world, key, object, ctx);
        Ok(Vec::new())
    }

    /// The spans that an object holds; what a write takes and gives back is the difference.
    fn holds(&self, key: &ObjectKey, object: &Object) -> Vec<Span> {
        let _ = (key, object);
        Vec::new()
    }

    /// Who is named as the holder of the spans of `object`: itself, unless it holds them for another.
    fn holder(&self, key: &ObjectKey, object: &Object) -> Holder {
        let _ = object;
        Holder { key: key.clone(), note: String::new() }
    }
}

/// An object that is valid by itself, and what is left to decide about it.
pub struct Prepared<W> {
    /// The object as it shall be, as far as that can be told without the world.
    pub object: Object,
    /// For the `Warning` header.
    pub warnings: Vec<String>,
    /// What is left; `None`: nothing.
    pub decide: Option<Decide<W>>,
}

/// The part of a kind's rules for one object that needs the world. What it adds to the object has no field manager.
pub type Decide<W> = Box<dyn FnOnce(&W, &ObjectKey, Object, &Context<'_>) -> Result<Decided, Refusal> + Send>;

impl<W> Prepared<W> {
    /// Nothing is left to decide.
    pub fn complete(object: Object) -> Self {
        Self { object, warnings: Vec::new(), decide: None }
    }

    /// The world decides the rest.
    pub fn undecided(
        object: Object,
        decide: impl FnOnce(&W, &ObjectKey, Object, &Context<'_>) -> Result<Decided, Refusal> + Send + 'static,
    ) -> Self {
        Self { object, warnings: Vec::new(), decide: Some(Box::new(decide)) }
    }
}

/// What a kind decided about one object.
#[derive(Clone, Debug, Default)]
pub struct Decided {
    /// The object as it shall be.
    pub object: Object,
    /// What else changes with it.
    pub companions: Vec<Write>,
    /// For the `Warning` header.
    pub warnings: Vec<String>,
}

/// The kinds of a service. No two of which objects are stored have the same plural, in any groups: keys begin with it.
pub struct Registry<W> {
    kinds: Vec<Box<dyn Kind<W>>>,
    views: Vec<Box<dyn Kind<W>>>,
    questions: Vec<Resource>,
}

impl<W> Registry<W> {
    /// The registry of these kinds.
    pub fn new(kinds: Vec<Box<dyn Kind<W>>>) -> Self {
        Self { kinds, views: Vec::new(), questions: Vec::new() }
    }

    /// And these.
    #[must_use]
    pub fn with(mut self, kinds: impl IntoIterator<Item = Box<dyn Kind<W>>>) -> Self {
        for kind in kinds {
            let plural = kind.resource().plural;
            assert!(self.get(plural).is_none(), "there are two kinds of {plural}");
            self.kinds.push(kind);
        }
        self
    }

    /// And these, whose objects are stored as others' of the same plural, and shown in another group ([`Kind::view`]).
    #[must_use]
    pub fn with_views(mut self, views: impl IntoIterator<Item = Box<dyn Kind<W>>>) -> Self {
        for view in views {
            let plural = view.resource().plural;
            assert!(
                view.view().is_some() && self.get(plural).is_some(),
                "there is nothing that {plural} are stored as"
            );
            self.views.push(view);
        }
        self
    }

    /// And these, which are described with the others but answered elsewhere: they are created to ask something, and
    /// nothing of them is stored.
    #[must_use]
    pub fn with_questions(mut self, questions: impl IntoIterator<Item = Resource>) -> Self {
        self.questions.extend(questions);
        self
    }

    /// All kinds of which objects are stored, in the order in which they were registered.
    pub fn iter(&self) -> impl Iterator<Item = &dyn Kind<W>> {
        self.kinds.iter().map(AsRef::as_ref)
    }

    /// The kind as which objects of a plural resource are stored.
    pub fn get(&self, plural: &str) -> Option<&dyn Kind<W>> {
        self.iter().find(|kind| kind.resource().plural == plural)
    }

    /// The same, or the kind of this view of it.
    pub fn seen_by(&self, plural: &str, view: Option<&View>) -> Option<&dyn Kind<W>> {
        let Some(View { shown, .. }) = view else { return self.get(plural) };
        let views = self.views.iter().map(AsRef::as_ref);
        views
            .filter(|kind| kind.resource().plural == plural)
            .find(|kind| kind.view().is_some_and(|known| known.shown == *shown))
    }

    /// Every kind that is served: those of which objects are stored, and views of them.
    pub fn served(&self) -> impl Iterator<Item = &dyn Kind<W>> {
        self.iter().chain(self.views.iter().map(AsRef::as_ref))
    }

    /// The kind that is served in a group under a plural.
    pub fn find_served(&self, group: &str, plural: &str) -> Option<&dyn Kind<W>> {
        self.served().find(|kind| kind.resource().group == group && kind.resource().plural == plural)
    }

    /// The kind that an owner reference means.
    pub fn find(&self, api_version: &str, kind: &str) -> Option<&dyn Kind<W>> {
        self.served().find(|known| known.resource().kind == kind && known.resource().api_version() == api_version)
    }

    /// Everything that is described to clients.
    pub fn resources(&self) -> impl Iterator<Item = &Resource> {
        self.served().map(Kind::resource).chain(&self.questions)
    }

    /// Every group and version, in the order in which their first kinds were registered.
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

/// The text of a prefix that covers all objects of a resource in a scope, and in a namespace if one is given.
pub fn key_prefix(resource: &str, scope: &Scope, namespace: Option<&str>) -> String {
    match namespace {
        Some(namespace) => format!("{resource}/{}/{namespace}/", scope.as_str()),
        None => format!("{resource}/{}/", scope.as_str()),
    }
}
