//! The behaviours of claims and pools, and the history with kills, on PostgreSQL: the same files as in `it`, with one replica and
//! with three. Of three, each gets every third request, so that what one has written is read from the next.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test ends at the first surprise, in its helpers too")]
#![expect(clippy::duplicate_mod, reason = "the same tests in two places are what this is for")]

mod one;
mod three;
