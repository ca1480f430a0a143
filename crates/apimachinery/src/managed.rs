//! Field ownership: `metadata.managedFields` and server-side apply (KEP-555, structured-merge-diff).
//!
//! An [`Endpoint`] is the main resource or a subresource of a kind. [`Endpoint::update`] computes the entries after a
//! write other than apply; [`Endpoint::apply`] merges a configuration into an object and computes object and entries.
//! Both are pure functions on JSON, without defaulting, validation and storage.
//!
//! The layers below: [`FieldSet`] is a set of paths with its encoding, [`Schema`] describes how objects of a kind are
//! merged, [`Typed`] is an object with its schema.
//!
//! Each kind is served in one version; entries of other versions are dropped when the object changes.
//!
//! Differences from Kubernetes: an applier that becomes owner of existing values gets a time; the oldest update entries
//! are merged without loss if their times are equal; fields that the schema no longer declares do not prevent an apply;
//! all undeclared fields of a configuration are reported, not only the first; large numbers in list keys are exact.

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
