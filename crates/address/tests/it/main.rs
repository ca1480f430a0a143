//! Every test of the crate, as one binary: what its users can observe, nothing of its inside.
//!
//! `parse`, `prefix`, `count` and `free_space` are tables and the ends of the space; `history`
//! compares long random histories with the slow model in `tests/model`.

#[path = "../model/mod.rs"]
mod model;

mod count;
mod free_space;
mod history;
mod parse;
mod prefix;
