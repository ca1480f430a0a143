//! Decoding of bodies, and checking of JSON against the schema of a kind.
//!
//! [`decode`] finds repeated keys, [`Schema::check`] unknown fields and wrong types. The caller decides whether to
//! reject them, to warn or to ignore them (`fieldValidation`).

mod check;

pub use check::{CheckResult, Schema, micro_time};
