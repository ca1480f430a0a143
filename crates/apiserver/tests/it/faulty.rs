//! A store in memory that fails, hesitates and forgets to answer when it is told to.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
};

use async_trait::async_trait;
use serde_json::json;
use store::{
    Entry, Error, Head, Key, Load, Page, Record, Revision, Snapshot, Span, Store, Transaction, Write, contract,
    memory::MemoryStore,
};
use tokio::sync::{Semaphore, watch};

/// What happens at a coming commit.
#[derive(Debug)]
pub enum Fault {
    /// The head cannot be taken.
    Begin(Error),
    /// The head is not given before [`FaultyStore::release`].
    BeginHeld,
    /// Nothing is written, and the store says so.
    Refused(Error),
    /// All is written, and the answer is lost.
    AnswerLost,
    /// All is written, and the store says this.
    Written(Error),
    /// Nothing is written, and nobody can tell.
    CommitLost,
    /// The answer is lost while the commit still goes on: it ends when [`FaultyStore::release`] lets it.
    AnswerEarly,
    /// The commit waits for [`FaultyStore::release`].
    Held,
    /// The commit waits for [`FaultyStore::release`]; then nothing is written, and the store says so.
    HeldAndRefused(Error),
    /// The process of somebody else writes after the commit, which goes well.
    Intruder,
}

/// The store. Clones are handles on the same one.
#[derive(Clone)]
pub struct FaultyStore {
    inner: MemoryStore,
    shared: Arc<Shared>,
}

struct Shared {
    faults: Mutex<VecDeque<Fault>>,
    /// Reads of single objects whose keys end so fail, and of all under a prefix that does.
    blind_spot: Mutex<Option<String>>,
    /// How many have failed so.
    unseen: watch::Sender<usize>,
    /// A list of what is under this prefix panics once.
    trap: Mutex<Option<String>>,
    /// Lists of what is under this prefix wait.
    lists_held: watch::Sender<Option<String>>,
    /// How many have waited.
    lists_waited: watch::Sender<usize>,
    /// Whether questions for the head wait.
    heads_held: watch::Sender<bool>,
    /// How often the head was asked for.
    heads: watch::Sender<usize>,
    /// Whether reads of single objects wait.
    reads_held: watch::Sender<bool>,
    /// How many have waited.
    reads_waited: watch::Sender<usize>,
    /// How often the head was to be taken.
    begins: watch::Sender<usize>,
    /// Lets held commits go on.
    gate: Semaphore,
    /// How many writes each commit had that was begun, those that failed among them.
    commits: watch::Sender<Vec<usize>>,
    /// How many bytes they wrote.
    bytes: Mutex<Vec<usize>>,
    /// What somebody else changes whenever the head is asked for, and how often still.
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

impl FaultyStore {
    pub fn new() -> Self {
        Self::of(false)
    }

    /// One to which others may write as well.
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

    /// One in which so many books called `x0000` and so on stand in the attic, with titles of so many bytes. Their revisions begin
    /// with 1.
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

    /// What is to happen at the next transactions, one after the other.
    pub fn plan(&self, faults: impl IntoIterator<Item = Fault>) {
        self.shared.faults.lock().unwrap().extend(faults);
    }

    /// From now on single objects whose keys end so cannot be read, nor all under a prefix that does; with `None` all can.
    pub fn blind(&self, spot: Option<&str>) {
        *self.shared.blind_spot.lock().unwrap() = spot.map(str::to_owned);
    }

    /// Waits until so many reads have failed for that.
    pub async fn unseen(&self, count: usize) {
        self.shared.unseen.subscribe().wait_for(|unseen| *unseen >= count).await.unwrap();
    }

    /// The next list of what is under this prefix panics.
    pub fn panic_at(&self, prefix: &str) {
        *self.shared.trap.lock().unwrap() = Some(prefix.to_owned());
    }

    /// Whether a panic is still to come.
    pub fn is_trapped(&self) -> bool {
        self.shared.trap.lock().unwrap().is_some()
    }

    /// From now on lists of what is under this prefix wait; with `None` all go on.
    pub fn hold_lists(&self, prefix: Option<&str>) {
        self.shared.lists_held.send_replace(prefix.map(str::to_owned));
    }

    /// Waits until so many lists have had to wait.
    pub async fn lists_waited(&self, count: usize) {
        self.shared.lists_waited.subscribe().wait_for(|waited| *waited >= count).await.unwrap();
    }

    /// From now on questions for the head wait, or go on.
    pub fn hold_heads(&self, held: bool) {
        self.shared.heads_held.send_replace(held);
    }

    /// How often the head was asked for.
    pub fn heads(&self) -> usize {
        *self.shared.heads.borrow()
    }

    /// Waits until the head was asked for so often.
    pub async fn heads_asked(&self, count: usize) {
        self.shared.heads.subscribe().wait_for(|heads| *heads >= count).await.unwrap();
    }

    /// From now on reads of single objects wait, or go on.
    pub fn hold_reads(&self, held: bool) {
        self.shared.reads_held.send_replace(held);
    }

    /// Waits until so many reads have had to wait.
    pub async fn reads_waited(&self, count: usize) {
        self.shared.reads_waited.subscribe().wait_for(|waited| *waited >= count).await.unwrap();
    }

    /// Lets one held commit go on.
    pub fn release(&self) {
        self.shared.gate.add_permits(1);
    }

    /// How many writes the commits had, in order.
    pub fn commits(&self) -> Vec<usize> {
        self.shared.commits.borrow().clone()
    }

    /// How many bytes the commits wrote, in order.
    pub fn commit_bytes(&self) -> Vec<usize> {
        self.shared.bytes.lock().unwrap().clone()
    }

    /// Has somebody else change an object before each of so many coming transactions.
    pub fn keep_busy(&self, key: &str, times: usize) {
        *self.shared.busy.lock().unwrap() = Some((Key::new(key).unwrap(), times));
    }

    async fn change_what_is_busy(&self) {
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

    /// How often the head was to be taken.
    pub fn begins(&self) -> usize {
        *self.shared.begins.borrow()
    }

    /// Waits until the head was to be taken so often.
    pub async fn begun(&self, count: usize) {
        self.shared.begins.subscribe().wait_for(|begins| *begins >= count).await.unwrap();
    }

    /// Waits until so many commits have begun.
    pub async fn commits_begun(&self, count: usize) {
        self.shared.commits.subscribe().wait_for(|commits| commits.len() >= count).await.unwrap();
    }

    /// The whole log.
    pub async fn log(&self) -> Vec<Entry> {
        contract::entries(&self.inner, Revision(0)).await
    }

    /// A write that nobody of the server made.
    pub async fn write_behind_the_back(&self, key: &str) {
        self.write_many_behind_the_back([key.to_owned()]).await;
    }

    /// A write of these bytes that nobody of the server made; `None` deletes.
    pub async fn write_bytes_behind_the_back(&self, key: &str, value: Option<&'static str>) {
        let key = Key::new(key).unwrap();
        let transaction = self.inner.begin().await.unwrap();
        let current = transaction.read(std::slice::from_ref(&key)).await.unwrap().remove(0);
        let expected = current.map(|record| record.revision);
        let write = Write { key, value: value.map(Into::into), expected, releases: Vec::new(), takes: Vec::new() };
        transaction.commit(vec![write]).await.unwrap();
    }

    /// The same, of so many keys in one commit.
    pub async fn write_many_behind_the_back(&self, keys: impl IntoIterator<Item = String>) {
        self.write_values_behind_the_back(keys.into_iter().map(|key| (key, "{}".into()))).await;
    }

    /// The same with values.
    pub async fn write_values_behind_the_back(&self, objects: impl IntoIterator<Item = (String, Vec<u8>)>) {
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

    /// A write that no kind of the server made and that takes a span.
    pub async fn write_span_behind_the_back(&self, key: &str, space: &str, number: u128) {
        let key = Key::new(key).unwrap();
        let span = Span { space: space.to_owned(), first: number, last: number, holder: key.clone() };
        let write = Write { key, value: Some("{}".into()), expected: None, releases: Vec::new(), takes: vec![span] };
        self.inner.begin().await.unwrap().commit(vec![write]).await.unwrap();
    }

    fn next_fault(&self, wanted: fn(&Fault) -> bool) -> Option<Fault> {
        let mut faults = self.shared.faults.lock().unwrap();
        if faults.front().is_some_and(wanted) { faults.pop_front() } else { None }
    }
}

#[async_trait]
impl Store for FaultyStore {
    async fn begin(&self) -> Result<Box<dyn Transaction>, Error> {
        self.shared.begins.send_modify(|begins| *begins += 1);
        match self.next_fault(|fault| matches!(fault, Fault::Begin(_) | Fault::BeginHeld)) {
            Some(Fault::Begin(error)) => return Err(error),
            Some(Fault::BeginHeld) => self.shared.gate.acquire().await.unwrap().forget(),
            _ => {}
        }
        self.change_what_is_busy().await;
        let transaction = self.inner.begin().await?;
        Ok(Box::new(FaultyTransaction { inner: transaction, store: self.clone() }))
    }

    fn is_shared(&self) -> bool {
        self.shared.others_write
    }

    async fn changed(&self, known: Revision) {
        self.inner.changed(known).await;
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

    async fn holders(&self, space: &str, first: u128, last: u128, limit: usize) -> Result<Vec<Span>, Error> {
        self.inner.holders(space, first, last, limit).await
    }

    async fn compact(&self, revision: Revision) -> Result<(), Error> {
        self.inner.compact(revision).await
    }

    async fn snapshot(&self) -> Result<Box<dyn Snapshot>, Error> {
        self.inner.snapshot().await
    }

    async fn load(&self) -> Result<Box<dyn Load>, Error> {
        self.inner.load().await
    }

    async fn jump(&self, by: u64) -> Result<Revision, Error> {
        self.inner.jump(by).await
    }
}

struct FaultyTransaction {
    inner: Box<dyn Transaction>,
    store: FaultyStore,
}

#[async_trait]
impl Transaction for FaultyTransaction {
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
        let unknown = || Err(Error::Unknown("the connection was lost".to_owned()));
        match store.next_fault(|fault| !matches!(fault, Fault::Begin(_) | Fault::BeginHeld)) {
            None | Some(Fault::Begin(_) | Fault::BeginHeld) => inner.commit(writes).await,
            Some(Fault::Refused(error)) => Err(error),
            Some(Fault::CommitLost) => unknown(),
            Some(Fault::AnswerLost) => {
                inner.commit(writes).await?;
                unknown()
            }
            Some(Fault::Written(error)) => {
                inner.commit(writes).await?;
                Err(error)
            }
            Some(Fault::AnswerEarly) => {
                tokio::spawn(async move {
                    store.shared.gate.acquire().await.unwrap().forget();
                    inner.commit(writes).await.unwrap();
                });
                unknown()
            }
            Some(Fault::Held) => {
                store.shared.gate.acquire().await.unwrap().forget();
                inner.commit(writes).await
            }
            Some(Fault::HeldAndRefused(error)) => {
                store.shared.gate.acquire().await.unwrap().forget();
                Err(error)
            }
            Some(Fault::Intruder) => {
                inner.commit(writes).await?;
                store.write_behind_the_back("elsewhere/platform//x").await;
                Ok(())
            }
        }
    }
}
