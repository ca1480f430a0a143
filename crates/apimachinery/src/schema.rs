//! Bodies and schemas: from bytes to JSON, and from JSON to what a kind may look like.
//!
//! [`decode`] finds repeated keys, [`Schema::check`] unknown fields and wrong types; whether those are refused, warned
//! about or ignored is the caller's matter (`fieldValidation`).

mod check;
mod decode;
mod meta;
mod protobuf;
mod weight;

pub use check::{Findings, Schema, Schemas, micro_time};
pub(crate) use decode::decode_element;
pub use decode::{Decoded, decode, decode_operations};
pub use meta::object_meta_schema;
pub(crate) use weight::{Budget, Exceeded, check_object_size, check_size};
