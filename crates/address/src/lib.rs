//! IP prefixes and the free space of a pool: choosing, taking and giving back blocks.
//!
//! This is the bottom of the tree: it depends on nothing, and everything that knows about
//! addresses depends on it. The same calls give the same answers, always: nothing here reads a
//! clock, draws randomness, performs I/O or keeps state outside the values it returns.
//!
//! It deliberately does not know pools by name, claims, tenants or policy. [`FreeSpace`] remembers
//! which addresses are taken, not who took them; that is the `ipam` crate's business.
#![no_std]
#![deny(clippy::arithmetic_side_effects)]

extern crate alloc;

mod block;
mod block_set;
mod buddies;
mod count;
mod family;
mod free_space;
mod parse;
mod prefix;
mod shift;

pub use count::Count;
pub use family::Family;
pub use free_space::{FreeSpace, ReleaseError, Strategy, TakeError};
pub use parse::{ParseError, Parsed, parse_address_or_cidr, parse_cidr};
pub use prefix::{Prefix, PrefixError};
