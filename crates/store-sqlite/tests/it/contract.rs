//! The contract suite, run on a file.

use std::sync::Arc;

use store::Store;
use store_sqlite::SqliteStore;
use tempfile::TempDir;

async fn open() -> (Arc<dyn Store>, TempDir) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let store = SqliteStore::open(directory.path().join("data.db")).expect("a new store");
    (Arc::new(store), directory)
}

store::contract_tests!(open);
