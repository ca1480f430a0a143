//! Tests of the store through the trait and through the file.

#![expect(clippy::unwrap_used, reason = "tests may stop at the first surprise")]

mod backup;
mod contract;
mod crash;
mod full_disk;
mod guard;
mod opening;

use std::path::Path;
use std::process::Command;

use bytes::Bytes;
use store::{Key, Store, Write};
use store_sqlite::SqliteStore;

fn open(path: &Path) -> SqliteStore {
    SqliteStore::open(path).expect("a store at this path")
}

fn create(text: &str, value: impl Into<Bytes>) -> Write {
    let key = Key::new(text).expect("a short key");
    Write { key, value: Some(value.into()), expected: None, releases: vec![], takes: vec![] }
}

async fn commit(store: &SqliteStore, writes: Vec<Write>) -> Result<(), store::Error> {
    store.begin().await?.commit(writes).await
}

/// Returns a command that runs `test` of this binary as a child process, with `variable` set.
fn again(test: &str, variable: &str, value: &Path) -> Command {
    let this = std::env::current_exe().expect("this test's own path");
    let mut command = Command::new(this);
    command.args(["--exact", test, "--nocapture", "--test-threads=1"]).env(variable, value);
    command
}
