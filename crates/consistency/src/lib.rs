//! Consistency checks of the service's objects, with each other and with the spans in the store.
//!
//! The checks do not use the code that they check: this crate parses addresses, adds up capacities and searches free
//! blocks itself, and depends on no other crate of the workspace. It does no I/O. The caller adds the objects of one
//! revision to an [`Inventory`], then compares claims and spans with the [`Comparison`] made from it, and prints the
//! [`Findings`].
//!
//! Memory is proportional to the numbers of pools and allocations, with about 50 bytes per allocation. Claims and spans
//! are compared one by one and not kept.

mod block;
mod comparison;
mod findings;
mod inventory;
pub mod limits;
mod names;
mod objects;
mod pools;
mod sum;
#[cfg(test)]
mod tests;

pub use self::{
    comparison::Comparison,
    findings::{Check, Counts, Findings, Outcome, Problem},
    inventory::Inventory,
};
