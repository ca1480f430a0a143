//! The contract suite, run on the memory model itself.

use std::sync::Arc;

use store::Store;
use store::memory::MemoryStore;

async fn open() -> (Arc<dyn Store>, ()) {
    (Arc::new(MemoryStore::new()), ())
}

store::contract_tests!(open);
