//! Clients that create and delete claims until the server ends, and a record of the responses.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use kube::{
    Api,
    api::{DeleteParams, ListParams, PostParams},
    core::DynamicObject,
};
use serde_json::Value;
use testkit::{allocated_cidr, at, claim};
use tokio::task::JoinHandle;

use super::{
    POOL, POOL_CIDR,
    support::{ServerFixture, TIMEOUT, assert_disjoint},
};

/// The number of concurrent clients.
const CLIENTS: usize = 8;

/// The prefix length of each claim.
const LENGTH: i32 = 30;

/// The state of a claim according to the responses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Known {
    /// Created, with this block.
    Live(String),
    /// Deleted, or its creation failed with nothing written.
    Gone,
    /// No response, or one that leaves the result open.
    Unknown,
}

/// The state of every claim, by name.
pub type Books = BTreeMap<String, Known>;

/// The running clients.
pub struct Load {
    books: Arc<Mutex<Books>>,
    answered: Arc<AtomicUsize>,
    clients: Vec<JoinHandle<()>>,
}

impl Load {
    /// Starts clients whose claims have names with this prefix.
    pub fn begin(front: &ServerFixture, prefix: &str) -> Self {
        let (books, answered) = (Arc::<Mutex<Books>>::default(), Arc::<AtomicUsize>::default());
        let client = |number: usize| {
            let (books, answered) = (Arc::clone(&books), Arc::clone(&answered));
            let (claims, prefix) = (testkit::claims(&front.another_client(), "default"), format!("{prefix}-{number}"));
            tokio::spawn(work(claims, prefix, books, answered))
        };
        Self { clients: (0..CLIENTS).map(client).collect(), books, answered }
    }

    /// Waits until `count` requests were answered.
    pub async fn answered(&self, count: usize) {
        let reached = async {
            while self.answered.load(Ordering::Acquire) < count {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(TIMEOUT, reached).await.unwrap_or_else(|_| panic!("fewer than {count} answers"));
    }

    /// Waits until every client has lost the server, and returns the recorded states.
    pub async fn end(self) -> Books {
        for client in self.clients {
            tokio::time::timeout(TIMEOUT, client).await.expect("a client whose server is gone ends").unwrap();
        }
        Arc::into_inner(self.books).unwrap().into_inner().unwrap()
    }
}

/// Runs one client: creates claims and deletes every third one, until the server is unreachable.
async fn work(claims: Api<DynamicObject>, prefix: String, books: Arc<Mutex<Books>>, answered: Arc<AtomicUsize>) {
    let note = |name: &str, known| drop(books.lock().unwrap().insert(name.to_owned(), known));
    for number in 0_u32.. {
        let name = format!("{prefix}-{number}");
        note(&name, Known::Unknown);
        let made = claims.create(&PostParams::default(), &claim(&name).pool(POOL).length(LENGTH).into()).await;
        match made {
            Ok(made) => note(&name, Known::Live(allocated_cidr(&made).to_owned())),
            Err(kube::Error::Api(status)) if status.message.contains("nothing was written") => note(&name, Known::Gone),
            Err(kube::Error::Api(_)) => {}
            Err(_) => return,
        }
        answered.fetch_add(1, Ordering::Release);
        if number % 3 == 0 && !delete(&claims, &name, note).await {
            return;
        }
    }
}

/// Deletes a claim; false if the server is unreachable.
async fn delete(claims: &Api<DynamicObject>, name: &str, note: impl Fn(&str, Known)) -> bool {
    let Ok(Some(claim)) = claims.get_opt(name).await else { return true };
    note(name, Known::Unknown);
    match claims.delete(name, &DeleteParams::default()).await {
        Ok(_) => note(name, Known::Gone),
        Err(kube::Error::Api(status)) if status.message.contains("nothing was written") => {
            note(name, Known::Live(allocated_cidr(&claim).to_owned()));
        }
        Err(kube::Error::Api(_)) => {}
        Err(_) => return false,
    }
    true
}

/// Asserts that every acknowledged claim is present and no unexpected one is, that each has its allocation, that no two
/// blocks overlap, and that the pool's capacity equals the sum of its claims.
pub async fn audit(front: &ServerFixture, books: &Books) {
    let by_name = async |api: &Api<DynamicObject>| {
        let items = api.list(&ListParams::default()).await.unwrap().items;
        items.into_iter().map(|object| (object.metadata.name.clone().unwrap(), object)).collect::<BTreeMap<_, _>>()
    };
    let (claims, mut allocations) = (by_name(&front.claims).await, by_name(&front.allocations).await);
    for (name, known) in books {
        let found = claims.get(name).map(allocated_cidr);
        match known {
            Known::Live(block) => assert_eq!(found, Some(block.as_str()), "{name} was acknowledged"),
            Known::Gone => assert_eq!(found, None, "{name} was rejected or deleted"),
            Known::Unknown => {}
        }
    }
    for (name, claim) in &claims {
        assert!(books.contains_key(name), "unexpected claim {name}");
        let record = at(claim, "/status/boundAllocationRef/name").as_str().unwrap();
        let record = allocations.remove(record).unwrap_or_else(|| panic!("{name} has no allocation"));
        assert_eq!(allocated_cidr(&record), allocated_cidr(claim), "{name} and its allocation");
    }
    assert!(allocations.is_empty(), "allocations without claims: {:?}", allocations.keys());
    let sum = assert_disjoint(POOL_CIDR, claims.values().map(allocated_cidr));
    let status: Value = front.status(POOL).await;
    assert_eq!(status["capacity"]["allocated"].as_u64().map(u128::from), Some(sum), "{status}");
}
