//! Whether the objects of the service agree with each other, and with the spans that the store keeps for them.
//!
//! The checks are independent of the code that they check: this crate parses addresses, adds up capacities and searches free
//! blocks by itself, and depends on no other crate of the workspace. It does no I/O. The caller feeds the objects of one
//! moment to an [`Inventory`], then claims and spans to the [`Comparison`] made from it, and prints the [`Findings`].
//!
//! Memory is bounded by the number of pools and allocations, about 50 bytes for each allocation. Claims and spans are compared
//! as they come and not kept.

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
