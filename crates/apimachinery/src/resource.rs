//! Static description of a kind: names, verbs, subresources, table columns, selectable fields and schema.

use serde_json::Value;

use crate::{object::Object, time::Time};

/// The API group of roles and bindings.
pub const RBAC_GROUP: &str = "rbac.authorization.k8s.io";

/// Kubernetes API groups that are served here.
const NATIVE_GROUPS: [&str; 4] = ["", RBAC_GROUP, "coordination.k8s.io", "events.k8s.io"];

/// A subresource of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Subresource {
    /// `/status`.
    Status,
    /// `/finalize`: only `spec.finalizers`, for kinds whose deletion waits for these.
    Finalize,
}

impl Subresource {
    /// The name in paths.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Status => "status",
            Self::Finalize => "finalize",
        }
    }

    /// The verbs that it supports.
    pub fn verbs(self) -> &'static [Verb] {
        match self {
            Self::Status => &[Verb::Get, Verb::Patch, Verb::Update],
            Self::Finalize => &[Verb::Update],
        }
    }
}

/// Verbs of discovery and authorization.
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

    /// The name in discovery.
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
    /// `name` for the object's name; otherwise usually empty.
    pub format: &'static str,
    /// Description for clients.
    pub description: &'static str,
    /// 0: always shown; greater: shown with `-o wide` only.
    pub priority: i32,
    /// Source of the cells.
    pub cell: Cell,
}

impl Column {
    /// Age of the object.
    pub const AGE: Self = Self {
        name: "Age",
        column_type: "date",
        format: "",
        description: "Time since creation",
        priority: 0,
        cell: Cell::Age,
    };
}

/// Source of the cells of a column.
#[derive(Clone, Copy, Debug)]
pub enum Cell {
    /// `metadata.name`.
    Name,
    /// The time since `metadata.creationTimestamp`, as kubectl writes it.
    Age,
    /// A JSON pointer into the object (`/status/phase`); the cell is empty if there is no value.
    Pointer(&'static str),
    /// Computed from the object.
    Computed(fn(&Object) -> Value),
    /// The time since a point in time that is computed from the object.
    Since(fn(&Object) -> Option<Time>),
}

/// Rule for the names of a kind's objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NamePolicy {
    /// A DNS subdomain (RFC 1123): up to 253 characters.
    Subdomain,
    /// A DNS label (RFC 1123): up to 63 characters.
    Label,
    /// Any text that can be a path segment, such as `system:masters`, up to 253 bytes.
    PathSegment,
}

/// A field selector and the function that computes its value.
pub type ComputedField = (&'static str, fn(&Object) -> &str);

/// Static description of a kind.
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
    /// True if its objects are namespaced.
    pub namespaced: bool,
    /// Supported verbs, in alphabetical order.
    pub verbs: &'static [Verb],
    /// Subresources.
    pub subresources: &'static [Subresource],
    /// Field selectors in addition to `metadata.name` and `metadata.namespace`, as paths such as `spec.ipFamily`. The
    /// JSON pointer is the same with `/` as separator.
    pub selectable_fields: &'static [&'static str],
    /// Field selectors whose values are computed from the object.
    pub computed_fields: &'static [ComputedField],
    /// Columns of its table.
    pub columns: &'static [Column],
    /// Rule for the names of its objects.
    pub names: NamePolicy,
    /// The OpenAPI v3 schema of an object: `type: object` with `description` and `properties` `spec` and `status`
    /// (without `apiVersion`, `kind` and `metadata`), no `$ref`, no `nullable`.
    pub schema: Value,
}

impl Resource {
    /// `group/version`; for the core group only the version.
    pub fn api_version(&self) -> String {
        api_version(self.group, self.version)
    }

    /// True for Kubernetes' own kinds. Clients send these strategic merge patches and protobuf.
    pub fn is_native(&self) -> bool {
        NATIVE_GROUPS.contains(&self.group)
    }

    /// True if PUT without a resourceVersion is allowed, as for Kubernetes' own kinds except leases
    /// (`AllowUnconditionalUpdate`).
    pub fn allows_unconditional_update(&self) -> bool {
        self.is_native() && self.group != "coordination.k8s.io"
    }

    /// True if its objects have `metadata.generation`. The Kubernetes kinds served here have none.
    pub fn has_generation(&self) -> bool {
        !self.is_native()
    }

    /// `plural.group` for messages; for the core group only the plural.
    pub fn group_resource(&self) -> String {
        group_resource(self.plural, self.group)
    }
}

/// `group/version`; for the core group only the version.
pub fn api_version(group: &str, version: &str) -> String {
    if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") }
}

/// `noun.group` for messages; for the core group only the noun.
pub fn group_resource(noun: &str, group: &str) -> String {
    if group.is_empty() { noun.to_owned() } else { format!("{noun}.{group}") }
}
