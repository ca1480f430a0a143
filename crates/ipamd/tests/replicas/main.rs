//! The tests of claims and pools, and the history test with kills, on PostgreSQL: the same files as in `it`, with one replica and
//! with three. With three, clients send each request to the next replica, so one replica serves the reads of another's writes.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test ends at the first surprise, in its helpers too")]
#![expect(clippy::duplicate_mod, reason = "the same tests in two places are what this is for")]

mod one;
mod three;
