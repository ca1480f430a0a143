//! Tests of the public API, in one binary.
//!
//! `parse`, `prefix`, `count` and `free_space` are tables and boundary cases; `history` compares random operations with
//! the reference model in `tests/model`.

#[path = "../model/mod.rs"]
mod model;

mod count;
mod free_space;
mod history;
mod parse;
mod prefix;
