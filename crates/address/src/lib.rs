//! IP prefixes and the free space of a pool.
//!
//! This crate depends on no other crate of the workspace. It is deterministic: no clock, no randomness, no I/O, no
//! global state.
//!
//! It has no notion of pool names, claims, tenants or policies. [`FreeSpace`] stores which addresses are allocated, not
//! for which object; that is done by the `ipam` crate.
#![no_std]
#![deny(clippy::arithmetic_side_effects)]

extern crate alloc;

mod bits;
mod block;
mod block_set;
mod buddy_allocator;
mod count;
mod family;
mod free_space;
mod parse;
mod prefix;

pub use count::Count;
pub use family::Family;
pub use free_space::{AllocateError, FreeSpace, ReleaseError, Strategy};
pub use parse::{ParseError, Parsed, parse_address_or_cidr, parse_cidr};
pub use prefix::{Prefix, PrefixError};
