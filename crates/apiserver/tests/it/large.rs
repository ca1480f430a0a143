//! Large commands do not slow down others: they are prepared by their requests and not by the committer, and their
//! memory is limited in bytes everywhere.

use apimachinery::{
    command::{Action, Command, UpdateOperation},
    options::FieldValidation,
    patch::Patch,
    status_error::StatusReason,
};
use apiserver::limits::{self, Limits};
use futures::{FutureExt as _, future::join_all};
use http::Method;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::client::TlsStream;

use crate::{
    commands::{create, create_book, delete, dry, large, retitle},
    commits::{CommitterFixture, Outcome, may_repeat, object, queued, reason},
    fault_injecting_store::{FaultInjectingStore, InjectedFault},
    sample_kinds::{BOOKS, GATE, GATED, book, book_key, shelf, shelf_key},
    test_server::{Answer, Setup, TIMEOUT, TestServer, Who, handshake},
};

const LARGE: usize = 2 * limits::SMALL_BYTES_MAX;
const LARGEST: usize = limits::BODY_BYTES_MAX;

/// A committer with a book `x`, on a log that others write to.
async fn shared() -> CommitterFixture {
    let fixture = CommitterFixture::open_on(FaultInjectingStore::shared(), 0);
    fixture.queue.submit(create(shelf_key("a"), shelf("a", 5))).await.unwrap();
    fixture.queue.submit(create_book("x")).await.unwrap();
    fixture
}

/// A patch that copies a field, so that the result is larger than patch and object together.
fn copying(name: &str) -> Command {
    let patch = json!([{ "op": "copy", "from": "/spec/shelf", "path": "/spec/title" }]).to_string();
    let patch = Patch::parse("application/json-patch+json", patch.as_bytes()).unwrap();
    let change = UpdateOperation::Patch(patch, FieldValidation::Strict);
    Command { action: Action::Update { change, subresource: None }, ..retitle(name, "") }
}

fn is_conflict(outcome: &Outcome) -> bool {
    let modified = "the object has been modified; please apply your changes to the latest version and try again";
    reason(outcome) == StatusReason::Conflict && outcome.as_ref().unwrap_err().message.ends_with(modified)
}

#[tokio::test]
async fn large_changes_are_never_prepared_by_the_committer() {
    let fixture = CommitterFixture::with_shelf().await;
    fixture.queue.submit(large(create_book("x"), LARGE)).await.unwrap();
    fixture.queue.submit(large(retitle("x", ""), LARGE)).await.unwrap();
    fixture.queue.submit(retitle("x", "small, of what is large")).await.unwrap();
    fixture.queue.submit(large(retitle("x", ""), LARGE)).await.unwrap();
    fixture.queue.submit(create_book("y")).await.unwrap();
    fixture.queue.submit(copying("y")).await.unwrap();
    assert_eq!(fixture.prepared_again(), [0, 0], "each was prepared once");
    // The second is prepared before the first is decided.
    let both = fixture.at_once(vec![retitle("y", "first"), large(retitle("y", ""), LARGE)]).await;
    assert!(both.iter().all(Result::is_ok), "{both:?}");
    assert_eq!(fixture.stored(&book_key("y")).await.unwrap()["spec"]["title"].as_str().unwrap().len(), LARGE);
    assert_eq!(fixture.prepared_again(), [0, 1]);
    fixture.queue.submit(delete(book_key("x"))).await.unwrap();
    assert_eq!(fixture.prepared_again(), [0, 2], "the committer did not parse the large object");
}

#[tokio::test]
async fn concurrent_large_preparations_are_limited() {
    let fixture = CommitterFixture::with_shelf().await;
    let names = ["1", "2", "3", "4", "5", "6"];
    let large = names.map(|name| large(create(book_key(name), book(name, GATED)), LARGE));
    let waiting = queued(&fixture.queue, large.into()).await;
    let prepared = async {
        while GATE.held() < limits::LARGE_PREPARATIONS_MAX {
            // Small ones do not wait for large ones.
            fixture.queue.submit(dry(create_book("small"))).await.unwrap();
        }
    };
    timeout(TIMEOUT, prepared).await.expect("preparations");
    GATE.open();
    assert!(
        join_all(waiting).await.iter().all(|outcome| reason(outcome) == StatusReason::BadRequest),
        "there is no such shelf"
    );
    assert_eq!(GATE.held_max(), limits::LARGE_PREPARATIONS_MAX);
}

#[tokio::test]
async fn small_changes_of_a_busy_object_succeed() {
    for fixture in [CommitterFixture::with_shelf().await, shared().await] {
        drop(fixture.queue.submit(create_book("x")).await);
        let changes = (0..20).map(|count| retitle("x", &count.to_string())).collect();
        let outcomes = fixture.at_once(changes).await;
        assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
        assert_eq!(object(&outcomes[19])["metadata"]["generation"], 21);
        assert_eq!(fixture.prepared_again(), [19, 0]);
    }
}

#[tokio::test]
async fn large_change_is_prepared_again_by_its_request() {
    let fixture = shared().await;
    fixture.store.keep_busy("books/platform/attic/x", 2);
    let outcome = fixture.queue.submit(large(retitle("x", ""), LARGE)).await;
    assert_eq!(object(&outcome)["spec"]["title"].as_str().unwrap().len(), LARGE);
    assert!(object(&outcome)["metadata"]["labels"]["changed-in"].is_string(), "the changes of others are kept");
    assert_eq!(fixture.prepared_again(), [0, 2]);
}

#[tokio::test]
async fn large_change_of_a_busy_object_is_a_conflict() {
    let fixture = shared().await;
    fixture.store.keep_busy("books/platform/attic/x", usize::MAX);
    let outcome = fixture.queue.submit(large(retitle("x", ""), LARGE)).await;
    assert!(is_conflict(&outcome), "{outcome:?}");
    let again = u64::try_from(limits::PREPARE_RETRIES_MAX).unwrap();
    assert_eq!(fixture.prepared_again(), [0, again]);
    let outcome = fixture.queue.submit(copying("x")).await;
    assert!(is_conflict(&outcome), "{outcome:?}");
    assert_eq!(fixture.prepared_again(), [0, 2 * again], "the patch is small, but its result may be large");
    fixture.queue.submit(retitle("x", "small")).await.unwrap();
}

#[tokio::test]
async fn commits_are_limited_in_bytes() {
    for fixture in [CommitterFixture::with_shelf().await, shared().await] {
        drop(fixture.queue.submit(delete(book_key("x"))).await);
        fixture.queue.submit(create(shelf_key("b"), shelf("b", 100))).await.unwrap();
        let before = fixture.store.commit_bytes().len();
        let books =
            ["1", "2", "3", "4", "5", "6", "7"].map(|name| large(create(book_key(name), book(name, "b")), LARGEST));
        let outcomes = fixture.at_once(books.into()).await;
        assert!(outcomes.iter().all(Result::is_ok));
        let bytes = fixture.store.commit_bytes().split_off(before);
        assert!(bytes.iter().all(|bytes| *bytes < limits::BATCH_BYTES_MAX + LARGEST + 64 * 1024), "{bytes:?}");
        assert!(bytes.iter().sum::<usize>() > 7 * LARGEST, "{bytes:?}");
    }
}

#[tokio::test]
async fn waiting_commands_are_limited_in_bytes() {
    let fixture = CommitterFixture::with_shelf().await;
    let begun = fixture.store.commits().len();
    fixture.store.plan([InjectedFault::Held]);
    fixture.store.hold_reads(true);
    let first = queued(&fixture.queue, vec![create_book("x")]).await;
    fixture.store.reads_waited(1).await;
    let deletion = || large(delete(book_key("nothing")), LARGEST);
    let room = limits::QUEUE_BYTES_MAX / (LARGEST - limits::SMALL_BYTES_MAX);
    let waiting = queued(&fixture.queue, (0..room).map(|_| deletion()).collect()).await;
    let refused = timeout(TIMEOUT, fixture.queue.submit(deletion())).await.expect("a refusal at once");
    assert_eq!((reason(&refused), may_repeat(&refused)), (StatusReason::TooManyRequests, true));
    // Large commands do not keep out small ones.
    let small = queued(&fixture.queue, vec![create_book("y")]).await;
    fixture.store.hold_reads(false);
    fixture.store.commits_begun(begun + 1).await;
    fixture.store.release();
    assert!(join_all(first.into_iter().chain(small)).await.iter().all(Result::is_ok));
    assert!(join_all(waiting).await.iter().all(|outcome| reason(outcome) == StatusReason::NotFound));
    assert_eq!(reason(&fixture.queue.submit(deletion()).await), StatusReason::NotFound, "there is room again");
}

/// A connection that has sent a request except for the last byte of its body.
async fn upload(server: &TestServer, bytes: usize) -> TlsStream<TcpStream> {
    let mut stream = handshake(server.address, b"http/1.1", Who::Admin).await;
    let head = format!(
        "POST {BOOKS} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {bytes}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(&vec![b' '; bytes - 1]).await.unwrap();
    stream.flush().await.unwrap();
    stream
}

/// Sends a dry run of a large book until the response has this status. The body of a dry run may take the bytes of an upload
/// that is not read entirely yet, and the upload is rejected: then it is sent again.
async fn try_until(server: &TestServer, status: u16, uploads: &mut [(usize, TlsStream<TcpStream>)]) -> Answer {
    let mut body = book("large", "a");
    body["spec"]["title"] = "x".repeat(LARGE).into();
    let path = format!("{BOOKS}?dryRun=All");
    let answered = async {
        loop {
            let answer = server.client.send(Method::POST, &path, &body).await;
            if answer.status == status {
                return answer;
            }
            for (bytes, stream) in &mut *uploads {
                if stream.read_u8().now_or_never().is_some() {
                    *stream = upload(server, *bytes).await;
                }
            }
        }
    };
    timeout(TIMEOUT, answered).await.expect("this answer")
}

#[tokio::test]
async fn request_bodies_in_progress_are_limited_in_bytes() {
    assert_eq!(Limits::default().bodies_bytes, limits::BODIES_BYTES_MAX);
    let limits = Limits { bodies_bytes: 2 * LARGE, ..Limits::default() };
    let server = TestServer::set_up(Setup { limits, ..Setup::default() }).await;
    let mut uploads = [(LARGE, upload(&server, LARGE).await), (2 * LARGE, upload(&server, 2 * LARGE).await)];
    let refused = try_until(&server, 429, &mut uploads).await;
    assert_eq!(refused.header("retry-after"), "1", "{}", refused.text());
    // Neither reads nor small writes are kept out by them.
    assert_eq!(server.get(BOOKS).await.status, 200);
    server.book("small").await;
    drop(uploads);
    try_until(&server, 201, &mut []).await;
}
