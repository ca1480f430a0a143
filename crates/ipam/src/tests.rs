//! The rules of the contract, one by one, and random histories against a slow and obvious model.
#![expect(clippy::needless_raw_string_hashes, reason = "expect-test writes them")]

mod allocations;
mod claims;
mod events;
mod harness;
mod histories;
mod model;
mod newer;
mod pools;
mod selectors;
mod wire;
