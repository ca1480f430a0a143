//! Decoding of bodies, and checking of JSON against the schema of a kind.
//!
//! [`decode`] finds repeated keys, [`Schema::check`] unknown fields and wrong types. The caller decides whether to
//! reject them, to warn or to ignore them (`fieldValidation`).

mod check;
mod decode;
mod memory_size;
mod meta;
mod protobuf;

pub use check::{CheckResult, Schema, Schemas, micro_time};
pub(crate) use decode::decode_element;
pub use decode::{Decoded, decode, decode_operations};
pub(crate) use memory_size::{Budget, Exceeded, check_object_size, check_size};
pub use meta::object_meta_schema;
