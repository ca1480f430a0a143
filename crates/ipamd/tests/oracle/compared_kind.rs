//! The kinds by which the servers are compared, and random values of their fields.

use apimachinery::{
    resource::{Cell, Resource},
    schema::Schema,
};
use serde_json::Value;

use crate::rng::Rng;

/// A wrong or unusual value of one field: a label for reports, the JSON pointer of the field, and the value.
pub type Mutation = (&'static str, &'static str, Value);

/// Kinds of one group and version with the same schema.
pub trait ComparedKind: Sync {
    /// The kinds. Lists across namespaces are of the first.
    fn resources(&self) -> &'static [Resource];

    /// The namespaces of the objects of namespaced kinds.
    fn namespaces(&self) -> &'static [&'static str];

    /// The watches that are open for the whole run: the end of the path, the `Accept` header, and the selector.
    fn streams(&self) -> &'static [(&'static str, &'static str, &'static str)];

    /// Removes the parts of an object that the two servers represent differently with the same meaning.
    fn simplify(&self, _: &mut Value) {}

    /// The fields, without the metadata, of an object of this kind that with the label `tier: a` matches the selectors of all watches.
    fn marker(&self, kind: &str) -> Value;

    /// True if our server writes the status. No controller does so for a CRD, so that part of the status is not compared.
    fn has_service(&self) -> bool {
        false
    }
}

/// A subject whose kinds have a spec and a status, and which kube-apiserver serves as CRDs.
pub trait Specs: ComparedKind {
    /// Returns the schema of the CRD of a kind.
    fn crd_schema(&self, resource: &Resource) -> Value {
        resource.schema.clone()
    }

    /// Generates the spec of an object with this name.
    fn spec(&self, rng: &mut Rng, name: &str) -> Value;

    /// Generates a part of such a spec for server-side apply.
    fn applied(&self, rng: &mut Rng, name: &str) -> Value;

    /// Generates a merge patch of a spec: other values, and nulls.
    fn changes(&self, rng: &mut Rng) -> Value;

    /// Returns a merge patch of a spec that is valid for every object.
    fn small_change(&self) -> Value;

    /// Returns the spec of an object with this name as text, with a duplicate field.
    fn doubled(&self, name: &str) -> String;

    /// Generates a merge patch of a status.
    fn status(&self, rng: &mut Rng) -> Value;

    /// Returns wrong or unusual values for fields of a spec.
    fn mutations(&self) -> Vec<Mutation>;

    /// Returns pointers and values that only server-side apply rejects.
    fn misapplied(&self) -> [(&'static str, Value); 3];

    /// Generates an operation of a JSON patch on spec or status.
    fn operation(&self, rng: &mut Rng) -> Value;

    /// Returns field selectors, some of them for unsupported fields.
    fn field_selectors(&self) -> &'static [&'static str];
}

/// A collection of one of the kinds.
#[derive(Clone, Debug)]
pub struct Collection {
    /// The path of the collection.
    pub path: String,
    /// The kind of its objects.
    pub kind: &'static str,
}

/// The names of the objects in a collection. There are few, so that many requests are for the same object.
pub const NAMES: [&str; 4] = ["a", "b", "c", "d"];

impl Collection {
    /// Returns the paths of its objects.
    pub fn targets(&self) -> Vec<String> {
        NAMES.iter().map(|name| format!("{}/{name}", self.path)).collect()
    }

    /// True if objects of this namespace are in it; an empty text is for cluster-scoped objects.
    pub fn holds(&self, namespace: &str) -> bool {
        if namespace.is_empty() {
            !self.path.contains("/namespaces/")
        } else {
            self.path.contains(&format!("/namespaces/{namespace}/"))
        }
    }
}

impl dyn ComparedKind {
    /// Returns the first kind.
    pub fn resource(&self) -> &'static Resource {
        &self.resources()[0]
    }

    /// Returns the `apiVersion` of the objects.
    pub fn api_version(&self) -> String {
        self.resource().api_version()
    }

    /// Returns an `apiVersion` with a version that the group does not have.
    pub fn other_version(&self) -> String {
        format!("{}/v2", self.resource().group)
    }

    /// Returns the path of all objects of a resource.
    pub fn path(&self, plural: &str) -> String {
        format!("/apis/{}/{plural}", self.api_version())
    }

    /// Returns the collections that requests are sent to.
    pub fn collections(&self) -> Vec<Collection> {
        let of = |resource: &Resource| -> Vec<Collection> {
            let (plural, kind) = (resource.plural, resource.kind);
            if resource.namespaced {
                let path = |namespace| self.path(&format!("namespaces/{namespace}/{plural}"));
                self.namespaces().iter().map(|namespace| Collection { path: path(namespace), kind }).collect()
            } else {
                vec![Collection { path: self.path(plural), kind }]
            }
        };
        self.resources().iter().flat_map(of).collect()
    }

    /// Returns the index of the age column of a table.
    pub fn age_column(&self) -> Option<usize> {
        self.resource().columns.iter().position(|column| matches!(column.cell, Cell::Age))
    }

    /// True if the kinds are built-in kinds of Kubernetes.
    pub fn is_native(&self) -> bool {
        self.resource().is_native()
    }

    /// True if a column of a table shows a value that the service has written.
    pub fn is_service_column(&self, index: usize) -> bool {
        let shows_status = |cell| match cell {
            Cell::Pointer(pointer) => pointer.starts_with("/status/"),
            cell => matches!(cell, Cell::Computed(_)),
        };
        self.has_service() && self.resource().columns.get(index).is_some_and(|column| shows_status(column.cell))
    }

    /// Returns the schema with which our server validates objects.
    pub fn schema(&self) -> Schema {
        Schema::for_resource(self.resource())
    }
}
