//! Tests of each rule, and property tests against a simple reference model.
#![expect(clippy::needless_raw_string_hashes, reason = "expect-test writes them")]

mod allocations;
mod claims;
mod events;
mod harness;
mod model;
mod newer;
mod pools;
mod properties;
mod selectors;
mod wire;
