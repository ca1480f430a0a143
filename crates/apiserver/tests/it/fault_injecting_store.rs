//! A store in memory that fails, hangs or loses responses on demand.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
};

use async_trait::async_trait;
use serde_json::json;
use store::{
    BulkLoad, Entry, Error, Head, Key, Page, Record, Revision, Snapshot, Span, Store, Transaction, Write, contract,
    memory::MemoryStore,
};
use tokio::sync::{Semaphore, watch};

/// A fault of a future transaction.
#[derive(Debug)]
pub enum InjectedFault {
    /// Acquiring the head's lock fails.
    Begin(Error),
    /// Acquiring the head's lock waits for [`FaultInjectingStore::release`].
    BeginHeld,
    /// Nothing is written, and the store reports the error.
    Refused(Error),
    /// All is written, and the response is lost.
    AnswerLost,
    /// All is written, and the store reports the error.
    Written(Error),
    /// Nothing is written, and the response is lost.
    CommitLost,
    /// The response is lost while the commit continues: it completes after [`FaultInjectingStore::release`].
    AnswerEarly,
    /// The commit waits for [`FaultInjectingStore::release`].
    Held,
    /// The commit waits for [`FaultInjectingStore::release`]; then nothing is written, and the store reports the error.
    HeldAndRefused(Error),
    /// Another process writes after the commit, which succeeds.
    Intruder,
}

/// The store. Clones share it.
#[derive(Clone)]
pub struct FaultInjectingStore {
    inner: MemoryStore,
    shared: Arc<Shared>,
}

struct Shared {
    faults: Mutex<VecDeque<InjectedFault>>,
    /// Reads of single objects whose keys end with this text fail, and lists whose prefix ends with it.
    blind_spot: Mutex<Option<String>>,
    /// The number of reads that have failed for this reason.
    unseen: watch::Sender<usize>,
    /// The next list below this prefix panics.
    trap: Mutex<Option<String>>,
    /// Lists below this prefix wait.
    lists_held: watch::Sender<Option<String>>,
    /// The number of lists that have waited.
    lists_waited: watch::Sender<usize>,
    /// True while reads of the head wait.
    heads_held: watch::Sender<bool>,
    /// The number of reads of the head.
    heads: watch::Sender<usize>,
    /// True while reads of single objects wait.
    reads_held: watch::Sender<bool>,
    /// The number of reads that have waited.
    reads_waited: watch::Sender<usize>,
    /// The number of attempts to acquire the head's lock.
    begins: watch::Sender<usize>,
    /// Releases held commits.
    gate: Semaphore,
    /// The number of writes of each commit that was begun, including failed ones.
    commits: watch::Sender<Vec<usize>>,
    /// The bytes of each commit.
    bytes: Mutex<Vec<usize>>,
    /// The key that another replica changes before each transaction, and the number of changes left.
    busy: Mutex<Option<(Key, usize)>>,
    others_write: bool,
}

impl Shared {
    fn see(&self, key: &str) -> Result<(), Error> {
        if self.blind_spot.lock().unwrap().as_ref().is_some_and(|spot| key.ends_with(spot)) {
            self.unseen.send_modify(|unseen| *unseen += 1);
            return Err(Error::Unavailable("it does not answer".to_owned()));
        }
        Ok(())
    }

    fn spring(&self, prefix: &str) {
        let trap = self.trap.lock().unwrap().take_if(|trap| prefix.starts_with(&**trap));
        assert_eq!(trap, None, "a trap");
    }

    async fn wait_to_list(&self, prefix: &str) {
        let goes_on = |held: &Option<String>| held.as_ref().is_none_or(|held| !prefix.starts_with(&**held));
        if !goes_on(&self.lists_held.borrow()) {
            self.lists_waited.send_modify(|waited| *waited += 1);
            self.lists_held.subscribe().wait_for(goes_on).await.unwrap();
        }
    }
}

impl FaultInjectingStore {
    pub fn new() -> Self {
        Self::of(false)
    }

    /// A store to which others may write as well.
    pub fn shared() -> Self {
        Self::of(true)
    }

    fn of(others_write: bool) -> Self {
        let shared = Shared {
            faults: Mutex::default(),
            blind_spot: Mutex::default(),
            unseen: watch::Sender::default(),
            trap: Mutex::default(),
            lists_held: watch::Sender::default(),
            lists_waited: watch::Sender::default(),
            heads_held: watch::Sender::default(),
            heads: watch::Sender::default(),
            reads_held: watch::Sender::default(),
            reads_waited: watch::Sender::default(),
            begins: watch::Sender::default(),
            gate: Semaphore::new(0),
            commits: watch::Sender::default(),
            bytes: Mutex::default(),
            busy: Mutex::default(),
            others_write,
        };
        Self { inner: MemoryStore::new(), shared: Arc::new(shared) }
    }

    /// A store with `count` books `x0000` and so on in the namespace `attic`, with titles of `title_bytes` bytes. Their
    /// revisions begin with 1.
    pub async fn with_books(count: usize, title_bytes: usize) -> Self {
        let store = Self::new();
        let write = |n: usize| {
            let object = json!({
                "apiVersion": "library.example.com/v1", "kind": "Book",
                "metadata": {
                    "name": format!("x{n:04}"), "namespace": "attic", "resourceVersion": (n + 1).to_string(),
                    "labels": { "third": (n % 3).to_string() },
                },
                "spec": { "title": "x".repeat(title_bytes) },
            });
            Write {
                key: Key::new(format!("books/platform/attic/x{n:04}")).unwrap(),
                value: Some(object.to_string().into()),
                expected: None,
                releases: Vec::new(),
                takes: Vec::new(),
            }
        };
        store.inner.begin().await.unwrap().commit((0..count).map(write).collect()).await.unwrap();
        store
    }

    /// Adds faults for the next transactions, in order.
    pub fn plan(&self, faults: impl IntoIterator<Item = InjectedFault>) {
        self.shared.faults.lock().unwrap().extend(faults);
    }

    /// Makes reads of single objects whose keys end with this text fail, and lists whose prefix ends with it; `None`
    /// ends that.
    pub fn blind(&self, spot: Option<&str>) {
        *self.shared.blind_spot.lock().unwrap() = spot.map(str::to_owned);
    }

    /// Waits until `count` reads have failed for this reason.
    pub async fn unseen(&self, count: usize) {
        self.shared.unseen.subscribe().wait_for(|unseen| *unseen >= count).await.unwrap();
    }

    /// Makes the next list below this prefix panic.
    pub fn panic_at(&self, prefix: &str) {
        *self.shared.trap.lock().unwrap() = Some(prefix.to_owned());
    }

    /// True if the panic has not happened yet.
    pub fn is_trapped(&self) -> bool {
        self.shared.trap.lock().unwrap().is_some()
    }

    /// Makes lists below this prefix wait; `None` releases them.
    pub fn hold_lists(&self, prefix: Option<&str>) {
        self.shared.lists_held.send_replace(prefix.map(str::to_owned));
    }

    /// Waits until `count` lists have waited.
    pub async fn lists_waited(&self, count: usize) {
        self.shared.lists_waited.subscribe().wait_for(|waited| *waited >= count).await.unwrap();
    }

    /// Makes reads of the head wait, or releases them.
    pub fn hold_heads(&self, held: bool) {
        self.shared.heads_held.send_replace(held);
    }

    /// The number of reads of the head.
    pub fn heads(&self) -> usize {
        *self.shared.heads.borrow()
    }

    /// Waits until the head has been read `count` times.
    pub async fn heads_asked(&self, count: usize) {
        self.shared.heads.subscribe().wait_for(|heads| *heads >= count).await.unwrap();
    }

    /// Makes reads of single objects wait, or releases them.
    pub fn hold_reads(&self, held: bool) {
        self.shared.reads_held.send_replace(held);
    }

    /// Waits until `count` reads have waited.
    pub async fn reads_waited(&self, count: usize) {
        self.shared.reads_waited.subscribe().wait_for(|waited| *waited >= count).await.unwrap();
    }

    /// Releases one held commit.
    pub fn release(&self) {
        self.shared.gate.add_permits(1);
    }

    /// The number of writes of each commit, in order.
    pub fn commits(&self) -> Vec<usize> {
        self.shared.commits.borrow().clone()
    }

    /// The number of bytes of each commit, in order.
    pub fn commit_bytes(&self) -> Vec<usize> {
        self.shared.bytes.lock().unwrap().clone()
    }

    /// Lets another replica change an object before each of the next `times` transactions.
    pub fn keep_busy(&self, key: &str, times: usize) {
        *self.shared.busy.lock().unwrap() = Some((Key::new(key).unwrap(), times));
    }

    async fn change_busy_object(&self) {
        let key = match &mut *self.shared.busy.lock().unwrap() {
            Some((key, times)) if *times > 0 => {
                *times -= 1;
                key.clone()
            }
            _ => return,
        };
        let record = self.inner.get(&key).await.unwrap().unwrap();
        let mut object: serde_json::Value = serde_json::from_slice(&record.value).unwrap();
        let revision = self.inner.head().await.unwrap().revision.next();
        object["metadata"]["resourceVersion"] = revision.to_string().into();
        object["metadata"]["labels"] = serde_json::json!({ "changed-in": revision.to_string() });
        let write = Write {
            key,
            value: Some(object.to_string().into()),
            expected: Some(record.revision),
            releases: Vec::new(),
            takes: Vec::new(),
        };
        self.inner.begin().await.unwrap().commit(vec![write]).await.unwrap();
    }

    /// The number of attempts to acquire the head's lock.
    pub fn begins(&self) -> usize {
        *self.shared.begins.borrow()
    }

    /// Waits for `count` attempts to acquire the head's lock.
    pub async fn begun(&self, count: usize) {
        self.shared.begins.subscribe().wait_for(|begins| *begins >= count).await.unwrap();
    }

    /// Waits until `count` commits have begun.
    pub async fn commits_begun(&self, count: usize) {
        self.shared.commits.subscribe().wait_for(|commits| commits.len() >= count).await.unwrap();
    }

    /// The whole log.
    pub async fn log(&self) -> Vec<Entry> {
        contract::entries(&self.inner, Revision(0)).await
    }

    /// A write of another process.
    pub async fn write_externally(&self, key: &str) {
        self.write_many_externally([key.to_owned()]).await;
    }

    /// A write of these bytes by another process; `None` deletes.
    pub async fn write_bytes_externally(&self, key: &str, value: Option<&'static str>) {
        let key = Key::new(key).unwrap();
        let transaction = self.inner.begin().await.unwrap();
        let current = transaction.read(std::slice::from_ref(&key)).await.unwrap().remove(0);
        let expected = current.map(|record| record.revision);
        let write = Write { key, value: value.map(Into::into), expected, releases: Vec::new(), takes: Vec::new() };
        transaction.commit(vec![write]).await.unwrap();
    }

    /// A commit of several keys by another process.
    pub async fn write_many_externally(&self, keys: impl IntoIterator<Item = String>) {
        self.write_values_externally(keys.into_iter().map(|key| (key, "{}".into()))).await;
    }

    /// A commit of several keys with values by another process.
    pub async fn write_values_externally(&self, objects: impl IntoIterator<Item = (String, Vec<u8>)>) {
        let write = |(key, value): (String, Vec<u8>)| Write {
            key: Key::new(key).unwrap(),
            value: Some(value.into()),
            expected: None,
            releases: Vec::new(),
            takes: Vec::new(),
        };
        let writes = objects.into_iter().map(write).collect();
        self.inner.begin().await.unwrap().commit(writes).await.unwrap();
    }

    /// A write of another process, of an unknown kind, that takes a span.
    pub async fn write_span_externally(&self, key: &str, space: &str, number: u128) {
        let key = Key::new(key).unwrap();
        let span = Span { space: space.to_owned(), first: number, last: number, holder: key.clone() };
        let write = Write { key, value: Some("{}".into()), expected: None, releases: Vec::new(), takes: vec![span] };
        self.inner.begin().await.unwrap().commit(vec![write]).await.unwrap();
    }

    fn next_fault(&self, wanted: fn(&InjectedFault) -> bool) -> Option<InjectedFault> {
        let mut faults = self.shared.faults.lock().unwrap();
        if faults.front().is_some_and(wanted) { faults.pop_front() } else { None }
    }
}

#[async_trait]
impl Store for FaultInjectingStore {
    async fn begin(&self) -> Result<Box<dyn Transaction>, Error> {
        self.shared.begins.send_modify(|begins| *begins += 1);
        match self.next_fault(|fault| matches!(fault, InjectedFault::Begin(_) | InjectedFault::BeginHeld)) {
            Some(InjectedFault::Begin(error)) => return Err(error),
            Some(InjectedFault::BeginHeld) => self.shared.gate.acquire().await.unwrap().forget(),
            _ => {}
        }
        self.change_busy_object().await;
        let transaction = self.inner.begin().await?;
        Ok(Box::new(FaultInjectingTransaction { inner: transaction, store: self.clone() }))
    }

    fn is_shared(&self) -> bool {
        self.shared.others_write
    }

    async fn wait_for_commits(&self, known: Revision) {
        self.inner.wait_for_commits(known).await;
    }

    async fn head(&self) -> Result<Head, Error> {
        self.shared.heads.send_modify(|heads| *heads += 1);
        self.shared.heads_held.subscribe().wait_for(|held| !held).await.unwrap();
        self.inner.head().await
    }

    async fn get(&self, key: &Key) -> Result<Option<Record>, Error> {
        self.shared.see(key.as_str())?;
        self.inner.get(key).await
    }

    async fn read(&self, keys: &[Key]) -> Result<Vec<Option<Record>>, Error> {
        if *self.shared.reads_held.borrow() {
            self.shared.reads_waited.send_modify(|waited| *waited += 1);
            self.shared.reads_held.subscribe().wait_for(|held| !held).await.unwrap();
        }
        self.inner.read(keys).await
    }

    async fn list(&self, prefix: &str, after: Option<&Key>, at: Option<Revision>, limit: usize) -> Result<Page, Error> {
        self.shared.see(prefix)?;
        self.shared.spring(prefix);
        self.shared.wait_to_list(prefix).await;
        self.inner.list(prefix, after, at, limit).await
    }

    async fn count(&self, prefix: &str, after: Option<&Key>, at: Revision, limit: usize) -> Result<usize, Error> {
        self.inner.count(prefix, after, at, limit).await
    }

    async fn tail(&self, after: Revision, limit: usize) -> Result<Vec<Entry>, Error> {
        self.inner.tail(after, limit).await
    }

    async fn overlapping_spans(&self, space: &str, first: u128, last: u128, limit: usize) -> Result<Vec<Span>, Error> {
        self.inner.overlapping_spans(space, first, last, limit).await
    }

    async fn compact(&self, revision: Revision) -> Result<(), Error> {
        self.inner.compact(revision).await
    }

    async fn snapshot(&self) -> Result<Box<dyn Snapshot>, Error> {
        self.inner.snapshot().await
    }

    async fn bulk_load(&self) -> Result<Box<dyn BulkLoad>, Error> {
        self.inner.bulk_load().await
    }

    async fn advance_revision(&self, by: u64) -> Result<Revision, Error> {
        self.inner.advance_revision(by).await
    }
}

struct FaultInjectingTransaction {
    inner: Box<dyn Transaction>,
    store: FaultInjectingStore,
}

#[async_trait]
impl Transaction for FaultInjectingTransaction {
    fn head(&self) -> Revision {
        self.inner.head()
    }

    async fn read(&self, keys: &[Key]) -> Result<Vec<Option<Record>>, Error> {
        self.inner.read(keys).await
    }

    async fn tail(&self, after: Revision, limit: usize) -> Result<Vec<Entry>, Error> {
        self.inner.tail(after, limit).await
    }

    async fn commit(self: Box<Self>, writes: Vec<Write>) -> Result<(), Error> {
        let Self { inner, store } = *self;
        store.shared.commits.send_modify(|commits| commits.push(writes.len()));
        let bytes = writes.iter().filter_map(|write| write.value.as_ref()).map(bytes::Bytes::len).sum();
        store.shared.bytes.lock().unwrap().push(bytes);
        let unknown = || Err(Error::OutcomeUnknown("the connection was lost".to_owned()));
        match store.next_fault(|fault| !matches!(fault, InjectedFault::Begin(_) | InjectedFault::BeginHeld)) {
            None | Some(InjectedFault::Begin(_) | InjectedFault::BeginHeld) => inner.commit(writes).await,
            Some(InjectedFault::Refused(error)) => Err(error),
            Some(InjectedFault::CommitLost) => unknown(),
            Some(InjectedFault::AnswerLost) => {
                inner.commit(writes).await?;
                unknown()
            }
            Some(InjectedFault::Written(error)) => {
                inner.commit(writes).await?;
                Err(error)
            }
            Some(InjectedFault::AnswerEarly) => {
                tokio::spawn(async move {
                    store.shared.gate.acquire().await.unwrap().forget();
                    inner.commit(writes).await.unwrap();
                });
                unknown()
            }
            Some(InjectedFault::Held) => {
                store.shared.gate.acquire().await.unwrap().forget();
                inner.commit(writes).await
            }
            Some(InjectedFault::HeldAndRefused(error)) => {
                store.shared.gate.acquire().await.unwrap().forget();
                Err(error)
            }
            Some(InjectedFault::Intruder) => {
                inner.commit(writes).await?;
                store.write_externally("elsewhere/platform//x").await;
                Ok(())
            }
        }
    }
}
