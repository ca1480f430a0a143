//! The tests of concurrent claims and pools, and the history test with kills, on PostgreSQL with three replicas: some of
//! the files of `it`. Clients send each request to the next replica, so one replica serves the reads of another's writes.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test ends at the first surprise, in its helpers too")]

mod three;
