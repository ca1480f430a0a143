//! Decoding of bodies, and checking of JSON against the schema of a kind.
//!
//! [`decode`] finds repeated keys, [`Schema::check`] unknown fields and wrong types. The caller decides whether to
//! reject them, to warn or to ignore them (`fieldValidation`).

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
