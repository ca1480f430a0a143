//! The committer without a server: waiting commands are committed together and in order, and a failed commit leaves no
//! trace.

use std::{
    pin::Pin,
    sync::{Arc, RwLock, atomic::AtomicBool},
};

use apimachinery::{
    command::{Command, ObjectKey, WriteResult},
    schemas::Schemas,
    status_error::{StatusError, StatusReason},
};
use apiserver::{
    admission::NoAdmission,
    committer::{Committed, Committer, Fatal, Queue},
    limits,
    metrics::Metrics,
    watch_cache::{EventsAfter, WatchCache},
};
use futures::{future::join_all, poll};
use serde_json::Value;
use store::{Error, Key, Revision, Store};
use tokio::{
    task::{JoinError, JoinHandle},
    time::timeout,
};

use crate::{
    commands::{create, create_book, delete, dry, retitle},
    fault_injecting_store::{FaultInjectingStore, InjectedFault},
    sample_kinds::{
        self, PANICS_IN_APPLY, PANICS_IN_DECIDE, SampleState, UNREADABLE, book, book_key, shelf, shelf_key,
    },
    test_server::TIMEOUT,
};

pub type Outcome = Result<Committed, StatusError>;

/// A committer of the library that has not been started.
pub fn committer(store: Arc<dyn Store>, state: SampleState, watch_cache: WatchCache) -> Committer<SampleState> {
    let registry = sample_kinds::registry();
    let schemas = Schemas::for_registry(&registry);
    Committer {
        store,
        registry: Arc::new(registry),
        schemas: Arc::new(schemas),
        state: Arc::new(RwLock::new(state)),
        watch_cache: Arc::new(watch_cache),
        metrics: Arc::new(Metrics::default()),
        writes: Arc::default(),
        admission: Arc::new(NoAdmission),
        outdated: AtomicBool::new(false),
    }
}

/// A committer on an empty store, with access to its parts.
pub struct CommitterFixture {
    pub queue: Queue<SampleState>,
    pub store: FaultInjectingStore,
    state: Arc<RwLock<SampleState>>,
    pub watch_cache: Arc<WatchCache>,
    metrics: Arc<Metrics>,
    task: JoinHandle<Result<(), Fatal>>,
}

impl CommitterFixture {
    fn open() -> Self {
        Self::open_on(FaultInjectingStore::new(), 0)
    }

    /// A committer on this store, which has read the log up to `head`.
    pub fn open_on(store: FaultInjectingStore, head: u64) -> Self {
        let committer = committer(Arc::new(store.clone()), SampleState::default(), WatchCache::new(head, 64));
        let (state, watch_cache) = (Arc::clone(&committer.state), Arc::clone(&committer.watch_cache));
        let metrics = Arc::clone(&committer.metrics);
        let (queue, work) = committer.open();
        let task = tokio::spawn(work);
        Self { queue, store, state, watch_cache, metrics, task }
    }

    /// A committer with a shelf `a` of five places.
    pub async fn with_shelf() -> Self {
        let fixture = Self::open();
        fixture.queue.submit(create(shelf_key("a"), shelf("a", 5))).await.unwrap();
        fixture
    }

    pub fn state(&self) -> SampleState {
        self.state.read().unwrap().clone()
    }

    /// Submits a command and holds its commit until [`FaultInjectingStore::release`].
    async fn held(&self, command: Command) -> Pin<Box<impl Future<Output = Outcome>>> {
        self.held_for(InjectedFault::Held, command).await
    }

    /// Submits a command whose commit is held by this fault.
    async fn held_for(&self, fault: InjectedFault, command: Command) -> Pin<Box<impl Future<Output = Outcome>>> {
        let begun = self.store.commits().len();
        self.store.plan([fault]);
        let held = queued(&self.queue, vec![command]).await.remove(0);
        self.store.commits_begun(begun + 1).await;
        held
    }

    /// Submits all commands before the committer, which shares this thread, can take the first.
    pub async fn at_once(&self, commands: Vec<Command>) -> Vec<Outcome> {
        join_all(queued(&self.queue, commands).await).await
    }

    /// The events of [`WatchCache::events_after`] after `cursor`, as (key, change).
    pub fn events(&self, cursor: u64) -> Vec<(String, &'static str)> {
        let EventsAfter::Events(events, _) = self.watch_cache.events_after(cursor, "", usize::MAX, usize::MAX) else {
            panic!("the hub is large enough")
        };
        let what = |old: bool, new: bool| match (old, new) {
            (false, _) => "created",
            (true, true) => "changed",
            (true, false) => "deleted",
        };
        events.iter().map(|event| (event.key.clone(), what(event.existed(), event.exists()))).collect()
    }

    /// Waits until `books` places of the shelf `a` are taken in the decided state.
    async fn decided(&self, books: usize) {
        let decided = async {
            while self.state().books("a") != books {
                tokio::task::yield_now().await;
            }
        };
        timeout(TIMEOUT, decided).await.expect("a decision");
    }

    /// The number of commands prepared again by the committer, and by their requests.
    pub fn prepared_again(&self) -> [u64; 2] {
        let text = self.metrics.render(&[]);
        ["committer", "request"].map(|by| {
            let name = format!("ipam_commands_prepared_again_total{{by=\"{by}\"}} ");
            text.lines().find_map(|line| line.strip_prefix(&name)).map_or(0, |count| count.parse().unwrap())
        })
    }

    /// The result with which the committer ended.
    pub async fn ended(&mut self) -> Result<Result<(), Fatal>, JoinError> {
        timeout(TIMEOUT, &mut self.task).await.expect("an end")
    }

    pub async fn stored(&self, key: &ObjectKey) -> Option<Value> {
        let record = self.store.get(&Key::new(key.storage_key()).unwrap()).await.unwrap()?;
        Some(serde_json::from_slice(&record.value).unwrap())
    }
}

/// Submits all commands in this order; the first poll puts a command into the queue.
pub async fn queued(
    queue: &Queue<SampleState>,
    commands: Vec<Command>,
) -> Vec<Pin<Box<impl Future<Output = Outcome>>>> {
    let mut waiting: Vec<_> = commands.into_iter().map(|command| Box::pin(queue.submit(command))).collect();
    for outcome in &mut waiting {
        assert!(poll!(outcome).is_pending());
    }
    waiting
}

pub fn object(outcome: &Outcome) -> Value {
    let (_, bytes) = outcome.as_ref().unwrap().object.as_ref().unwrap();
    serde_json::from_slice(bytes).unwrap()
}

pub fn reason(outcome: &Outcome) -> StatusReason {
    outcome.as_ref().unwrap_err().reason
}

/// True if a client may retry the request automatically.
pub fn may_repeat(outcome: &Outcome) -> bool {
    outcome.as_ref().unwrap_err().details.retry_after_seconds > 0
}

#[tokio::test]
async fn waiting_commands_share_one_commit() {
    let fixture = CommitterFixture::with_shelf().await;
    let held = fixture.held(create(shelf_key("b"), shelf("b", 1))).await;
    let waiting = queued(&fixture.queue, ["a", "b", "c", "d", "e", "f"].map(create_book).into()).await;
    assert_eq!(fixture.store.commits(), [1, 1], "no commit starts before the previous one has finished");
    fixture.store.release();
    held.await.unwrap();
    let outcomes = join_all(waiting).await;
    // Two writes per book, and one of the shelf for all of them.
    assert_eq!(fixture.store.commits(), [1, 1, 11]);
    for (place, outcome) in outcomes[..5].iter().enumerate() {
        assert_eq!(object(outcome)["status"]["place"], place, "each command sees the places taken by those before it");
        let revision = (3 + 2 * place).to_string();
        assert_eq!(object(outcome)["metadata"]["resourceVersion"], revision, "they are written in order");
        assert_eq!(outcome.as_ref().unwrap().warnings, ["books are heavy"]);
    }
    assert_eq!(reason(&outcomes[5]), StatusReason::InsufficientStorage);
    assert_eq!(fixture.stored(&shelf_key("a")).await.unwrap()["status"]["books"], 5);
    assert_eq!(fixture.stored(&book_key("f")).await, None);
}

#[tokio::test]
async fn object_can_be_changed_deleted_and_recreated_in_one_commit() {
    let fixture = CommitterFixture::with_shelf().await;
    fixture.queue.submit(create_book("x")).await.unwrap();
    let before = fixture.watch_cache.head();
    let outcomes = fixture
        .at_once(vec![
            retitle("x", "one"),
            retitle("x", "two"),
            create_book("x"),
            delete(book_key("x")),
            retitle("x", "three"),
            create_book("x"),
            delete(shelf_key("a")),
        ])
        .await;
    assert_eq!(
        fixture.store.commits().last(),
        Some(&6),
        "two changes, two deletions, two creations; the count of the shelf stays the same"
    );
    assert_eq!(object(&outcomes[1])["spec"]["title"], "two");
    assert_eq!(object(&outcomes[1])["metadata"]["generation"], 3);
    assert_eq!(reason(&outcomes[2]), StatusReason::AlreadyExists);
    assert!(matches!(outcomes[3].as_ref().unwrap().answer, WriteResult::Deleted(_)));
    assert_eq!(reason(&outcomes[4]), StatusReason::NotFound);
    assert_eq!(object(&outcomes[5])["spec"]["title"], "x");
    assert_eq!(reason(&outcomes[6]), StatusReason::Conflict);
    let (book, card) = ("books/platform/attic/x".to_owned(), "cards/platform/attic/card-x".to_owned());
    assert_eq!(
        fixture.events(before),
        [
            (book.clone(), "changed"),
            (book.clone(), "changed"),
            (book.clone(), "deleted"),
            (card.clone(), "deleted"),
            (book, "created"),
            (card, "created"),
        ]
    );
}

#[tokio::test]
async fn conflict_names_the_current_holders_of_a_span() {
    let fixture = CommitterFixture::with_shelf().await;
    for name in ["x", "y"] {
        fixture.queue.submit(create_book(name)).await.unwrap();
    }
    let outcomes = fixture.at_once(vec![delete(book_key("x")), delete(shelf_key("a")), create_book("z")]).await;
    let refused = outcomes[1].as_ref().unwrap_err();
    let both = "1 book(s) stand on it; held by Card attic/card-z, held by Card attic/card-y";
    assert!(refused.message.ends_with(both), "{}", refused.message);
}

#[tokio::test]
async fn answered_write_is_in_store_and_watch_cache() {
    let fixture = CommitterFixture::with_shelf().await;
    let outcome = fixture.queue.submit(create_book("x")).await;
    let revision = object(&outcome)["metadata"]["resourceVersion"].as_str().unwrap().parse().unwrap();
    assert!(fixture.watch_cache.head() > revision, "the watch cache has the write, and that of the shelf after it");
    assert_eq!(fixture.stored(&book_key("x")).await.unwrap(), object(&outcome));
    let at = fixture.store.list("books/", None, Some(Revision(revision)), 10).await.unwrap();
    assert_eq!(
        at.revision.0,
        fixture.watch_cache.head(),
        "a read at a revision inside a commit includes the whole commit"
    );
}

#[tokio::test]
async fn failed_commit_changes_neither_state_nor_log() {
    let refused = [
        (InjectedFault::Refused(Error::Unavailable("the disk is full".into())), StatusReason::ServiceUnavailable, true),
        (InjectedFault::CommitLost, StatusReason::ServiceUnavailable, true),
        (InjectedFault::Begin(Error::Unavailable("the store is gone".into())), StatusReason::ServiceUnavailable, true),
        (InjectedFault::Refused(Error::SpanConflict("two of one".into())), StatusReason::InternalError, false),
        (InjectedFault::Refused(Error::Corrupt("a page is bad".into())), StatusReason::InternalError, false),
        (InjectedFault::Begin(Error::Corrupt("a page is bad".into())), StatusReason::InternalError, false),
        (
            InjectedFault::Refused(Error::Precondition { key: Key::new("k").unwrap(), expected: None, found: None }),
            StatusReason::InternalError,
            false,
        ),
    ];
    let fixture = CommitterFixture::with_shelf().await;
    fixture.queue.submit(create_book("x")).await.unwrap();
    let (state, log) = (fixture.state(), fixture.store.log().await);
    for (fault, expected, repeat) in refused {
        let what = format!("{fault:?}");
        fixture.store.plan([fault]);
        let commands = vec![
            create(shelf_key("b"), shelf("b", 1)),
            create_book("y"),
            retitle("x", "other"),
            delete(book_key("x")),
            create_book("x"),
            dry(create_book("z")),
            create_book("y"),
        ];
        for outcome in fixture.at_once(commands).await {
            assert_eq!((reason(&outcome), may_repeat(&outcome)), (expected, repeat), "{what}");
        }
        assert_eq!(fixture.state(), state, "{what}");
        assert_eq!(fixture.store.log().await, log, "{what}");
        assert_eq!(fixture.watch_cache.head(), log.last().unwrap().revision.0, "{what}");
    }
    let outcome = fixture.queue.submit(create_book("y")).await;
    assert_eq!(object(&outcome)["status"]["place"], 1, "the state is as before the failures");
}

#[tokio::test(start_paused = true)]
async fn next_batch_is_decided_during_a_commit() {
    let fixture = CommitterFixture::with_shelf().await;
    fixture.queue.submit(create_book("w")).await.unwrap();
    let held = fixture.held(create_book("x")).await;
    let mut waiting = queued(&fixture.queue, vec![create_book("y"), retitle("w", "other")]).await;
    fixture.decided(3).await;
    // Commands that arrive later still join the waiting batch.
    let later = vec![create_book("x"), delete(book_key("y")), create_book("z"), create_book("v")];
    waiting.extend(queued(&fixture.queue, later).await);
    fixture.decided(4).await;
    assert!(poll!(&mut waiting[0]).is_pending(), "decided is not durable");
    assert_eq!(
        (fixture.store.commits(), fixture.watch_cache.head()),
        (vec![1, 3, 3], 4),
        "nothing of the second batch has been committed"
    );
    fixture.store.release();
    assert_eq!(object(&held.await)["status"]["place"], 1);
    let outcomes = join_all(waiting).await;
    assert_eq!(object(&outcomes[0])["status"]["place"], 2, "the decision saw a write that was not yet durable");
    assert_eq!(object(&outcomes[1])["metadata"]["generation"], 2);
    assert_eq!(reason(&outcomes[2]), StatusReason::AlreadyExists);
    assert_eq!(object(&outcomes[4])["status"]["place"], 2);
    assert_eq!(fixture.store.commits(), [1, 3, 3, 10], "one commit for all waiting commands");
    assert_eq!(fixture.watch_cache.head(), fixture.store.log().await.last().unwrap().revision.0);
}

#[tokio::test]
async fn commit_finishes_while_the_next_batch_waits_for_a_read() {
    let fixture = CommitterFixture::with_shelf().await;
    let first = fixture.held(create_book("x")).await;
    fixture.store.hold_reads(true);
    let second = queued(&fixture.queue, vec![create_book("y")]).await.remove(0);
    fixture.store.reads_waited(1).await;
    fixture.store.release();
    timeout(TIMEOUT, first).await.expect("the commit does not wait for the read").unwrap();
    fixture.store.hold_reads(false);
    second.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn failed_batch_fails_the_batch_decided_on_top_of_it() {
    let fixture = CommitterFixture::with_shelf().await;
    fixture.queue.submit(create_book("w")).await.unwrap();
    let (state, log) = (fixture.state(), fixture.store.log().await);
    let full = Error::Unavailable("the disk is full".into());
    let held = fixture.held_for(InjectedFault::HeldAndRefused(full), create_book("x")).await;
    let commands =
        vec![create_book("y"), retitle("w", "other"), delete(book_key("w")), dry(create_book("z")), create_book("v")];
    let waiting = queued(&fixture.queue, commands).await;
    fixture.decided(3).await;
    fixture.store.release();
    for outcome in [vec![held.await], join_all(waiting).await].concat() {
        assert_eq!((reason(&outcome), may_repeat(&outcome)), (StatusReason::ServiceUnavailable, true));
    }
    assert_eq!((fixture.state(), fixture.store.log().await), (state, log.clone()));
    assert_eq!(fixture.watch_cache.head(), log.last().unwrap().revision.0);
    let outcome = fixture.queue.submit(create_book("y")).await;
    assert_eq!(object(&outcome)["status"]["place"], 1, "the state is as before the failure");
}

#[tokio::test]
async fn commit_with_a_lost_response_is_resolved_by_the_head() {
    let fixture = CommitterFixture::with_shelf().await;
    fixture.store.plan([InjectedFault::AnswerLost]);
    let outcome = fixture.queue.submit(create_book("x")).await;
    assert_eq!(fixture.stored(&book_key("x")).await.unwrap(), object(&outcome));
    assert_eq!(fixture.watch_cache.head(), 4);
    fixture.queue.submit(create_book("y")).await.unwrap();
}

#[tokio::test]
async fn commit_that_continues_after_a_lost_response_is_awaited() {
    let fixture = CommitterFixture::with_shelf().await;
    fixture.store.plan([InjectedFault::AnswerEarly]);
    let outcome = queued(&fixture.queue, vec![create_book("x")]).await.remove(0);
    fixture.store.commits_begun(2).await;
    assert_eq!(fixture.stored(&book_key("x")).await, None, "it has not been committed yet");
    fixture.store.release();
    let outcome = outcome.await;
    assert_eq!(fixture.stored(&book_key("x")).await.unwrap(), object(&outcome));
    fixture.queue.submit(create_book("y")).await.unwrap();
}

#[tokio::test]
async fn corruption_error_of_a_written_commit_is_resolved_as_success() {
    let fixture = CommitterFixture::with_shelf().await;
    fixture.store.plan([InjectedFault::Written(Error::Corrupt("a page is bad".into()))]);
    let outcome = fixture.queue.submit(create_book("x")).await;
    assert_eq!(
        fixture.stored(&book_key("x")).await.unwrap(),
        object(&outcome),
        "it was written, and the answer says so"
    );
    fixture.queue.submit(create_book("y")).await.unwrap();
}

#[tokio::test]
async fn unresolvable_commit_outcome_ends_the_committer() {
    let mut fixture = CommitterFixture::with_shelf().await;
    fixture.store.plan([InjectedFault::AnswerLost, InjectedFault::Begin(Error::Unavailable("gone".into()))]);
    for outcome in fixture.at_once(vec![create_book("x"), create_book("y")]).await {
        assert_eq!((reason(&outcome), may_repeat(&outcome)), (StatusReason::InternalError, false));
        assert!(outcome.unwrap_err().message.contains("outcome is unknown"));
    }
    assert!(fixture.ended().await.unwrap().is_err());
    let after = fixture.queue.submit(create_book("y")).await;
    assert_eq!((reason(&after), may_repeat(&after)), (StatusReason::ServiceUnavailable, true));
}

#[tokio::test]
async fn foreign_write_to_an_unshared_log_ends_the_committer() {
    let mut fixture = CommitterFixture::with_shelf().await;
    fixture.store.plan([InjectedFault::Intruder]);
    fixture.queue.submit(create_book("x")).await.unwrap();
    let outcome = fixture.queue.submit(create_book("y")).await;
    assert_eq!((reason(&outcome), may_repeat(&outcome)), (StatusReason::InternalError, false));
    assert!(outcome.unwrap_err().message.contains("nothing was written"));
    let fatal = fixture.ended().await.unwrap().unwrap_err().to_string();
    assert!(fatal.contains("another program writes to it"), "{fatal}");
    assert_eq!(fixture.stored(&book_key("y")).await, None);
}

#[tokio::test]
async fn panic_in_a_decision_fails_only_its_command() {
    let fixture = CommitterFixture::with_shelf().await;
    let held = fixture.held(create_book("w")).await;
    let commands = vec![create_book("x"), create(book_key("u"), book("u", PANICS_IN_DECIDE)), create_book("y")];
    let waiting = queued(&fixture.queue, commands).await;
    fixture.store.release();
    held.await.unwrap();
    let outcomes = join_all(waiting).await;
    assert!(outcomes[0].is_ok() && outcomes[2].is_ok(), "{outcomes:?}");
    assert_eq!((reason(&outcomes[1]), may_repeat(&outcomes[1])), (StatusReason::InternalError, false));
    assert_eq!(fixture.stored(&book_key("u")).await, None);
    fixture.queue.submit(create_book("z")).await.unwrap();
}

#[tokio::test]
async fn panic_in_apply_ends_the_committer_and_answers_all_callers() {
    let mut fixture = CommitterFixture::with_shelf().await;
    let held = fixture.held(create_book("w")).await;
    let commands =
        vec![create_book("x"), create(shelf_key(PANICS_IN_APPLY), shelf(PANICS_IN_APPLY, 1)), create_book("y")];
    let waiting = queued(&fixture.queue, commands).await;
    fixture.store.release();
    held.await.unwrap();
    for outcome in join_all(waiting).await {
        assert_eq!((reason(&outcome), may_repeat(&outcome)), (StatusReason::InternalError, false));
    }
    assert!(fixture.ended().await.unwrap_err().is_panic());
    assert_eq!(fixture.stored(&book_key("x")).await, None);
    assert_eq!(reason(&fixture.queue.submit(create_book("z")).await), StatusReason::ServiceUnavailable);
}

#[tokio::test(start_paused = true)]
async fn commit_holds_no_more_commands_than_the_batch_limit() {
    let fixture = CommitterFixture::open();
    let room = u32::try_from(limits::BATCH_COMMANDS_MAX).unwrap() + 3;
    let held = fixture.held(create(shelf_key("a"), shelf("a", room))).await;
    let books = (0..room).map(|n| create_book(&format!("b{n}"))).collect();
    let waiting = queued(&fixture.queue, books).await;
    fixture.decided(limits::BATCH_COMMANDS_MAX).await;
    fixture.store.release();
    held.await.unwrap();
    assert!(join_all(waiting).await.iter().all(Result::is_ok));
    // Two writes per book, and one of the shelf.
    assert_eq!(fixture.store.commits(), [1, 2 * limits::BATCH_COMMANDS_MAX + 1, 2 * 3 + 1]);
}

#[tokio::test]
async fn full_queue_is_429_immediately_and_retryable() {
    let fixture = CommitterFixture::with_shelf().await;
    let held = fixture.held(create_book("w")).await;
    let commands = (0..limits::QUEUE_COMMANDS_MAX).map(|_| dry(create_book("x"))).collect();
    let waiting = queued(&fixture.queue, commands).await;
    let outcome = fixture.queue.submit(create_book("y")).await;
    assert_eq!((reason(&outcome), may_repeat(&outcome)), (StatusReason::TooManyRequests, true));
    fixture.store.release();
    held.await.unwrap();
    assert!(join_all(waiting).await.iter().all(Result::is_ok), "those that wait are answered");
    assert_eq!(fixture.stored(&book_key("y")).await, None);
    fixture.queue.submit(create_book("y")).await.unwrap();
}

#[tokio::test]
async fn dry_run_sees_the_batch_and_writes_nothing() {
    let fixture = CommitterFixture::with_shelf().await;
    fixture.queue.submit(create_book("x")).await.unwrap();
    let (state, log) = (fixture.state(), fixture.store.log().await);
    for command in
        [create_book("y"), retitle("x", "other"), delete(book_key("x")), create(shelf_key("b"), shelf("b", 1))]
    {
        fixture.queue.submit(dry(command)).await.unwrap();
    }
    assert_eq!((fixture.state(), fixture.store.log().await), (state, log));
    let outcomes = fixture
        .at_once(vec![
            create_book("y"),
            dry(create_book("z")),
            dry(create_book("z")),
            create_book("z"),
            dry(retitle("x", "t")),
        ])
        .await;
    let places: Vec<_> = outcomes.iter().map(|outcome| object(outcome)["status"]["place"].clone()).collect();
    assert_eq!(places, [1, 2, 2, 2, 0]);
    assert_eq!(
        object(&outcomes[1])["metadata"].get("resourceVersion"),
        None,
        "an object that does not exist has no version"
    );
    let stored = fixture.stored(&book_key("x")).await.unwrap();
    let version = &stored["metadata"]["resourceVersion"];
    assert_eq!(&object(&outcomes[4])["metadata"]["resourceVersion"], version, "it keeps the stored version");
    assert_eq!(stored["spec"]["title"], "x");
    assert_eq!(fixture.store.commits().last(), Some(&5));
}

#[tokio::test]
async fn panic_in_a_preparation_fails_only_its_command() {
    let fixture = CommitterFixture::with_shelf().await;
    let outcome = fixture.queue.submit(create(book_key("u"), book("u", UNREADABLE))).await;
    assert_eq!((reason(&outcome), may_repeat(&outcome)), (StatusReason::InternalError, false));
    fixture.queue.submit(create_book("x")).await.unwrap();
}

#[tokio::test]
async fn undecided_command_of_a_disconnected_caller_is_not_executed() {
    let fixture = CommitterFixture::with_shelf().await;
    let held = fixture.held(create_book("x")).await;
    drop((held, queued(&fixture.queue, vec![create_book("y")]).await));
    fixture.store.release();
    fixture.queue.submit(create_book("z")).await.unwrap();
    assert!(fixture.stored(&book_key("x")).await.is_some(), "it was being committed");
    assert_eq!(fixture.stored(&book_key("y")).await, None, "its caller has disconnected");
}

/// The results for the callers of a store that hangs, and what is written when it continues.
#[tokio::test(start_paused = true)]
async fn nothing_is_written_for_callers_that_timed_out_while_the_store_hung() {
    let fixture = CommitterFixture::with_shelf().await;
    let held = fixture.held(create_book("v")).await;
    // These are decided immediately, on top of the commit that hangs.
    let ahead = queued(&fixture.queue, vec![create_book("w"), create_book("x")]).await;
    fixture.decided(3).await;
    tokio::time::advance(limits::DECIDED_AHEAD_TIME_MAX * 2).await;
    // These wait: y is not decided any more.
    let mut waiting = queued(&fixture.queue, vec![create_book("y"), create_book("z")]).await;
    let y = waiting.remove(0);
    let mut ahead = ahead.into_iter();
    let (w, x) = (ahead.next().unwrap(), ahead.next().unwrap());
    // The callers of w and y have timed out.
    drop((w, y));
    let state = fixture.state();
    fixture.store.release();
    held.await.unwrap();
    let x = x.await;
    assert_eq!((reason(&x), may_repeat(&x)), (StatusReason::ServiceUnavailable, true), "it was decided on top of w");
    let z = waiting.remove(0).await;
    assert_eq!(object(&z)["status"]["place"], 1, "nothing was taken by w and x");
    assert_eq!(state.books("a"), 3);
    for (name, is_there) in [("v", true), ("w", false), ("x", false), ("y", false), ("z", true)] {
        assert_eq!(fixture.stored(&book_key(name)).await.is_some(), is_there, "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn batch_is_not_written_if_a_caller_timed_out_waiting_for_the_head() {
    let fixture = CommitterFixture::with_shelf().await;
    fixture.store.plan([InjectedFault::BeginHeld]);
    let mut waiting = queued(&fixture.queue, vec![create_book("x"), create_book("y")]).await;
    fixture.store.begun(2).await;
    drop(waiting.remove(0));
    tokio::time::advance(limits::DECIDED_AHEAD_TIME_MAX * 2).await;
    fixture.store.release();
    let y = waiting.remove(0).await;
    assert_eq!((reason(&y), may_repeat(&y)), (StatusReason::ServiceUnavailable, true));
    assert_eq!(fixture.state().books("a"), 0);
    assert_eq!(fixture.store.commits(), [1], "nothing was written");
    fixture.queue.submit(create_book("y")).await.unwrap();
}

#[tokio::test]
async fn committer_ends_when_its_queue_is_closed() {
    let fixture = CommitterFixture::with_shelf().await;
    let held = fixture.held(create_book("x")).await;
    drop(held);
    let CommitterFixture { queue, store, task, .. } = fixture;
    drop(queue);
    store.release();
    timeout(TIMEOUT, task).await.expect("an end").unwrap().unwrap();
    let key = Key::new(book_key("x").storage_key()).unwrap();
    assert!(store.get(&key).await.unwrap().is_some(), "it was being committed");
}
