//! The contract suite, run on a database.

use std::sync::Arc;

use store::Store;

async fn open() -> (Arc<dyn Store>, ()) {
    (Arc::new(crate::open().await), ())
}

store::contract_tests!(open);
