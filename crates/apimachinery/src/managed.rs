//! Who owns which field: `metadata.managedFields` and server-side apply (KEP-555, structured-merge-diff).
//!
//! An [`Endpoint`] is where objects of a kind are written. For every write that is no apply, [`Endpoint::update`] says what
//! the object's entries are afterwards; [`Endpoint::apply`] merges a configuration into an object and says both. They work on
//! JSON, know nothing of defaults, validation or storage, and do nothing but compute.
//!
//! Below that: [`FieldSet`] is a set of paths and its encoding, [`Schema`] says how a kind's objects are merged,
//! [`Typed`] is an object with its schema.
//!
//! One version of each kind is served: entries of other versions are dropped when the object changes.
//!
//! Where this is not as Kubernetes is: an applier who comes to own what is there already gets a time; the oldest updaters
//! are merged without a loss where times are equal; fields that a schema no longer declares do not keep an object from being
//! applied to; all undeclared fields of a configuration are named, not only the first; large numbers in the keys of lists
//! are exact.

mod codec;
mod conflict;
mod element;
mod endpoint;
mod entries;
mod last_applied;
mod schema;
mod set;
mod typed;
mod updater;
mod value;

pub use codec::FieldsError;
pub use conflict::{Conflict, Conflicts};
pub use element::{Path, PathElement};
pub use endpoint::{Applied, ApplyError, BEFORE_FIRST_APPLY, Endpoint};
pub use entries::{ANCIENT_CHANGES, EntriesError, Manager, Managers, Operation, Owned, is_same_but_for_times};
pub use schema::Schema;
pub use set::FieldSet;
pub use typed::{Comparison, Fit, Misfit, Misfits, Typed};
pub use updater::OnConflict;

#[cfg(test)]
mod tests;
