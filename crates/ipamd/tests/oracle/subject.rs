//! What the servers are compared by: kinds that both of them serve, and what can be drawn of them.

use apimachinery::{
    kind::{Cell, Resource},
    schema::Schema,
};
use serde_json::Value;

use crate::dice::Dice;

/// Something wrong or unusual: what it is called, where it is put, and what is put there.
pub type Oddity = (&'static str, &'static str, Value);

/// Kinds of one group and version with the same schema.
pub trait Subject: Sync {
    /// The kinds; the first is the one that lists across namespaces ask for.
    fn resources(&self) -> &'static [Resource];

    /// The namespaces in which there are objects of a namespaced kind.
    fn namespaces(&self) -> &'static [&'static str];

    /// The watches that are open over the whole run: the end of the path, what is accepted, and the selector.
    fn streams(&self) -> &'static [(&'static str, &'static str, &'static str)];

    /// Leaves out of an object what the two servers show in forms of their own that mean the same.
    fn simplify(&self, _: &mut Value) {}

    /// The fields, beside those of every object, of one of this kind that every watch lets through, with the label `tier: a`.
    fn marker(&self, kind: &str) -> Value;

    /// Whether our server writes into the status by itself, which nobody does for a CRD: that part is left out then.
    fn has_service(&self) -> bool {
        false
    }
}

/// A subject whose kinds have a spec and a status, and are CRDs for kube-apiserver.
pub trait Specs: Subject {
    /// The schema of a kind's CRD.
    fn crd_schema(&self, resource: &Resource) -> Value {
        resource.schema.clone()
    }

    /// The spec of an object of this name.
    fn spec(&self, dice: &mut Dice, name: &str) -> Value;

    /// What somebody applies who cares for a part of such a spec.
    fn applied(&self, dice: &mut Dice, name: &str) -> Value;

    /// A merge patch of a spec: other values, and nulls.
    fn changes(&self, dice: &mut Dice) -> Value;

    /// A merge patch of a spec that every object takes.
    fn small_change(&self) -> Value;

    /// A spec of this name as text, with a field that stands in it twice.
    fn doubled(&self, name: &str) -> String;

    /// A merge patch of a status.
    fn status(&self, dice: &mut Dice) -> Value;

    /// What can be wrong with, or unusual in, a spec.
    fn oddities(&self) -> Vec<Oddity>;

    /// The same of what only server-side apply refuses.
    fn misapplied(&self) -> [(&'static str, Value); 3];

    /// An operation of a JSON patch on spec or status.
    fn operation(&self, dice: &mut Dice) -> Value;

    /// Field selectors, some of them of fields that there are not.
    fn field_selectors(&self) -> &'static [&'static str];
}

/// A collection of one of the kinds.
#[derive(Clone, Debug)]
pub struct Collection {
    /// Its path.
    pub path: String,
    /// The kind in it.
    pub kind: &'static str,
}

/// Objects per collection: few, so that requests meet what others left.
pub const NAMES: [&str; 4] = ["a", "b", "c", "d"];

impl Collection {
    /// Its objects.
    pub fn targets(&self) -> Vec<String> {
        NAMES.iter().map(|name| format!("{}/{name}", self.path)).collect()
    }

    /// Whether an object in this namespace, or in none, would be in it.
    pub fn holds(&self, namespace: &str) -> bool {
        if namespace.is_empty() {
            !self.path.contains("/namespaces/")
        } else {
            self.path.contains(&format!("/namespaces/{namespace}/"))
        }
    }
}

impl dyn Subject {
    /// The kind that stands for all.
    pub fn resource(&self) -> &'static Resource {
        &self.resources()[0]
    }

    /// Group and version, as they stand in an object.
    pub fn api_version(&self) -> String {
        self.resource().api_version()
    }

    /// A version that the group does not have.
    pub fn other_version(&self) -> String {
        format!("{}/v2", self.resource().group)
    }

    /// The path of all objects of a resource.
    pub fn path(&self, plural: &str) -> String {
        format!("/apis/{}/{plural}", self.api_version())
    }

    /// The collections that requests are sent to.
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

    /// Where the age stands in a table.
    pub fn age_column(&self) -> Option<usize> {
        self.resource().columns.iter().position(|column| matches!(column.cell, Cell::Age))
    }

    /// Whether its kinds are Kubernetes' own.
    pub fn is_native(&self) -> bool {
        self.resource().is_native()
    }

    /// Whether a column of a table shows what the service wrote.
    pub fn is_service_column(&self, index: usize) -> bool {
        let shows_status = |cell| match cell {
            Cell::Pointer(pointer) => pointer.starts_with("/status/"),
            cell => matches!(cell, Cell::Computed(_)),
        };
        self.has_service() && self.resource().columns.get(index).is_some_and(|column| shows_status(column.cell))
    }

    /// The schema that our server checks objects by.
    pub fn schema(&self) -> Schema {
        Schema::for_resource(self.resource())
    }
}
