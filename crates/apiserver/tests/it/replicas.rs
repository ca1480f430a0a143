//! Committers on a log that others write to as well: their decisions when another was faster, and unknown outcomes of
//! commits.

use apimachinery::status_error::StatusReason;
use apiserver::{limits, watch_cache::EventsAfter};
use futures::future::join_all;
use store::{Error, Store as _};
use tokio::time::timeout;

use crate::{
    commands::{create, create_book, delete, retitle},
    commits::{CommitterFixture, object, queued, reason},
    fault_injecting_store::{FaultInjectingStore, InjectedFault},
    sample_kinds::{book_key, shelf, shelf_key},
    test_server::TIMEOUT,
};

/// Two committers on one log, with a shelf `a` of five places.
async fn two() -> (CommitterFixture, CommitterFixture) {
    let store = FaultInjectingStore::shared();
    let (one, other) = (CommitterFixture::open_on(store.clone(), 0), CommitterFixture::open_on(store, 0));
    one.queue.submit(create(shelf_key("a"), shelf("a", 5))).await.unwrap();
    (one, other)
}

/// One committer on a log that others may write to.
async fn one() -> CommitterFixture {
    two().await.0
}

async fn follows(fixture: &CommitterFixture, head: u64) {
    let mut known = fixture.watch_cache.subscribe();
    timeout(TIMEOUT, known.wait_for(|known| *known >= head)).await.expect("it follows").unwrap();
}

#[tokio::test]
async fn replicas_decide_on_the_commits_of_each_other() {
    let (one, other) = two().await;
    assert_eq!(object(&one.queue.submit(create_book("x")).await)["status"]["place"], 0);
    assert_eq!(reason(&other.queue.submit(create_book("x")).await), StatusReason::AlreadyExists);
    assert_eq!(object(&other.queue.submit(create_book("y")).await)["status"]["place"], 1);
    assert_eq!(object(&one.queue.submit(retitle("y", "other")).await)["metadata"]["generation"], 2);
    other.queue.submit(delete(book_key("x"))).await.unwrap();
    assert_eq!(object(&one.queue.submit(create_book("z")).await)["status"]["place"], 0);
    let refused = other.queue.submit(delete(shelf_key("a"))).await.unwrap_err();
    let both = "2 book(s) stand on it; held by Card attic/card-z, held by Card attic/card-y";
    assert!(refused.message.ends_with(both), "{}", refused.message);
}

/// The kind is of a newer version; its object takes the first place of the shelf.
#[tokio::test]
async fn span_of_an_unknown_kind_is_read_before_the_next_decision() {
    let fixture = one().await;
    fixture.store.write_span_externally("ornaments/platform//o", "a", 0).await;
    assert_eq!(object(&fixture.queue.submit(create_book("x")).await)["status"]["place"], 1);
    let shelf = fixture.stored(&shelf_key("a")).await.unwrap();
    assert_eq!(shelf["status"]["books"], 2, "the shelf counts the place of the other replica");
    let refused = fixture.queue.submit(delete(shelf_key("a"))).await.unwrap_err();
    let both = "held by an object of a kind that this version of the server does not know, held by Card attic/card-x";
    assert!(refused.message.ends_with(both), "{}", refused.message);
    follows(&fixture, fixture.store.head().await.unwrap().revision.0).await;
    let EventsAfter::Events(events, _) = fixture.watch_cache.events_after(1, "", usize::MAX, usize::MAX) else {
        panic!("the hub forgot")
    };
    assert_eq!(events.iter().map(|event| event.revision).collect::<Vec<_>>(), [2, 3, 4, 5], "watches miss nothing");
}

#[tokio::test]
async fn commands_join_the_batch_while_it_waits_for_the_head() {
    let (one, other) = two().await;
    one.store.plan([InjectedFault::Held]);
    let held = queued(&other.queue, vec![create_book("x")]).await.remove(0);
    one.store.commits_begun(2).await;
    let asked = one.store.begins();
    let mut waiting = queued(&one.queue, vec![create_book("y")]).await;
    one.store.begun(asked + 1).await;
    waiting.extend(queued(&one.queue, vec![create_book("x"), create_book("z")]).await);
    one.store.release();
    assert_eq!(object(&held.await)["status"]["place"], 0);
    let [y, x, z] = join_all(waiting).await.try_into().unwrap();
    assert_eq!((&object(&y)["status"]["place"], &object(&z)["status"]["place"]), (&1.into(), &2.into()));
    assert_eq!(reason(&x), StatusReason::AlreadyExists);
    assert_eq!(one.store.commits().len(), 3, "one commit for all of them");
}

#[tokio::test]
async fn idle_replica_follows_the_log() {
    let (one, other) = two().await;
    for name in ["x", "y"] {
        one.queue.submit(create_book(name)).await.unwrap();
    }
    follows(&other, one.watch_cache.head()).await;
    assert_eq!(other.events(0), one.events(0));
    assert_eq!(other.state(), one.state());
}

#[tokio::test]
async fn commit_with_unknown_outcome_is_read_from_the_log() {
    for (fault, is_written) in [(InjectedFault::AnswerLost, true), (InjectedFault::CommitLost, false)] {
        let fixture = one().await;
        fixture.store.plan([fault]);
        let outcome = fixture.queue.submit(create_book("x")).await;
        assert_eq!(reason(&outcome), StatusReason::Timeout, "the client has to read the object");
        let again = fixture.queue.submit(create_book("x")).await;
        if is_written {
            assert_eq!(reason(&again), StatusReason::AlreadyExists);
        } else {
            assert_eq!(object(&again)["status"]["place"], 0);
        }
        assert_eq!(fixture.state().books("a"), 1);
        follows(&fixture, fixture.store.head().await.unwrap().revision.0).await;
    }
}

#[tokio::test]
async fn next_commit_waits_for_one_that_was_given_up() {
    let fixture = one().await;
    fixture.store.plan([InjectedFault::AnswerEarly]);
    assert_eq!(reason(&fixture.queue.submit(create_book("x")).await), StatusReason::Timeout);
    let again = queued(&fixture.queue, vec![create_book("x")]).await.remove(0);
    assert_eq!(fixture.stored(&book_key("x")).await, None, "it has not been committed yet");
    fixture.store.release();
    assert_eq!(reason(&again.await), StatusReason::AlreadyExists);
}

#[tokio::test]
async fn next_batch_retries_after_a_store_error() {
    let fixture = one().await;
    for fault in [
        InjectedFault::Begin(Error::Unavailable("the store is gone".into())),
        InjectedFault::Refused(Error::Unavailable("the disk is full".into())),
    ] {
        let (state, log) = (fixture.state(), fixture.store.log().await);
        fixture.store.plan([fault]);
        for outcome in fixture.at_once(vec![create_book("x"), create_book("y")]).await {
            assert_eq!(reason(&outcome), StatusReason::ServiceUnavailable);
        }
        assert_eq!((fixture.state(), fixture.store.log().await), (state, log));
    }
    assert_eq!(object(&fixture.queue.submit(create_book("x")).await)["status"]["place"], 0);
}

#[tokio::test]
async fn guard_and_corruption_errors_end_the_committer() {
    for error in [Error::SpanConflict("two of one".into()), Error::Corrupt("a page is bad".into())] {
        let mut fixture = one().await;
        fixture.store.plan([InjectedFault::Refused(error)]);
        assert_eq!(reason(&fixture.queue.submit(create_book("x")).await), StatusReason::InternalError);
        let fatal = fixture.ended().await.unwrap().unwrap_err().to_string();
        assert!(fatal.contains("the state of this process differs from the store"), "{fatal}");
    }
}

#[tokio::test]
async fn corruption_in_a_shared_commit_is_reported_as_unknown_outcome() {
    for error in [Error::Corrupt("a page is bad".into()), Error::Diverged("it lost commits".into())] {
        let mut fixture = one().await;
        fixture.store.plan([InjectedFault::Written(error)]);
        let refusal = fixture.queue.submit(create_book("x")).await.unwrap_err();
        assert_eq!(refusal.reason, StatusReason::InternalError);
        assert!(refusal.message.contains("the outcome of the write is unknown"), "{}", refusal.message);
        assert!(fixture.ended().await.unwrap().is_err());
    }
}

#[tokio::test]
async fn log_that_lost_commits_ends_the_committer() {
    let mut fixture = CommitterFixture::open_on(FaultInjectingStore::shared(), 7);
    let outcome = fixture.queue.submit(create(shelf_key("a"), shelf("a", 5))).await;
    assert_eq!(reason(&outcome), StatusReason::InternalError);
    let fatal = fixture.ended().await.unwrap().unwrap_err().to_string();
    assert!(fatal.contains("the log ends at 0, and this server has read up to 7"), "{fatal}");
}

#[tokio::test]
async fn replica_lagging_by_many_entries_catches_up_before_deciding() {
    let fixture = one().await;
    let keys = (0..limits::CATCH_UP_ENTRIES_MAX + 10).map(|n| format!("books/platform/cellar/{n}"));
    fixture.store.write_many_externally(keys).await;
    let before = fixture.store.begins();
    assert_eq!(object(&fixture.queue.submit(create_book("x")).await)["status"]["place"], 0);
    assert_eq!(fixture.store.begins() - before, 2, "the head is given back while so much is read");
    follows(&fixture, fixture.store.head().await.unwrap().revision.0).await;
}

#[tokio::test]
async fn replica_lagging_by_many_bytes_catches_up_before_deciding() {
    let fixture = one().await;
    let large = (0..20).map(|n| (format!("books/platform/cellar/{n}"), vec![b' '; store::limits::PAGE_BYTES_MAX]));
    fixture.store.write_values_externally(large).await;
    let before = fixture.store.begins();
    assert_eq!(object(&fixture.queue.submit(create_book("x")).await)["status"]["place"], 0);
    assert_eq!(fixture.store.begins() - before, 2, "the head's lock is released while so much is read");
    follows(&fixture, fixture.store.head().await.unwrap().revision.0).await;
}

/// An object of an unknown kind changes before each transaction.
#[tokio::test]
async fn reloads_for_one_batch_are_limited() {
    let fixture = one().await;
    fixture.store.write_externally("ornaments/platform//o").await;
    fixture.store.keep_busy("ornaments/platform//o", limits::RELOADS_PER_BATCH_MAX);
    assert_eq!(object(&fixture.queue.submit(create_book("x")).await)["status"]["place"], 0);
    fixture.store.keep_busy("ornaments/platform//o", limits::RELOADS_PER_BATCH_MAX + 1);
    assert_eq!(reason(&fixture.queue.submit(create_book("y")).await), StatusReason::ServiceUnavailable);
    assert_eq!(object(&fixture.queue.submit(create_book("y")).await)["status"]["place"], 1);
}
