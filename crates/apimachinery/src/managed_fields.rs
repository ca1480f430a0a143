//! Field ownership: `metadata.managedFields` and server-side apply (KEP-555, structured-merge-diff).
//!
//! A [`FieldManager`] tracks the main resource or a subresource of a kind. [`FieldManager::update`] computes the
//! entries after a write other than apply; [`FieldManager::apply`] merges a configuration into an object and computes
//! object and entries. Both are pure functions on JSON, without defaulting, validation and storage.
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
mod entries;
mod field_manager;
mod last_applied;
mod schema;
mod set;
mod typed;
mod updater;
mod value;

pub(crate) use entries::equal_ignoring_timestamps;
pub(crate) use field_manager::{Applied, FieldManager};
pub(crate) use schema::Schema;
pub(crate) use updater::OnConflict;
// For the fuzz target.
pub use element::{Path, PathElement};
pub use set::FieldSet;

#[cfg(test)]
mod tests;
