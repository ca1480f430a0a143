//! The admin server with correct and incorrect clients.

use std::{fs, future};

use bytes::Bytes;
use store::{Key, Store as _, Write};
use tempfile::TempDir;
use tokio::io::AsyncWriteExt as _;

use super::*;

/// Returns the shared state of a server whose store takes several steps to back up.
async fn shared(directory: &TempDir) -> Shared {
    let store = SqliteStore::open(directory.path().join("ipam.db")).unwrap();
    let write = |number: u32| Write {
        key: Key::new(format!("k{number:03}")).unwrap(),
        value: Some(Bytes::from(vec![b'v'; 100_000])),
        expected: None,
        releases: vec![],
        takes: vec![],
    };
    store.begin().await.unwrap().commit((0..150).map(write).collect()).await.unwrap();
    Shared::new(Some(Arc::new(store)), CancellationToken::new())
}

/// Sends `sent` to a server and returns all lines of the response.
async fn answer(shared: Shared, sent: &[u8]) -> Vec<Event> {
    let (mut caller, stream) = UnixStream::pair().unwrap();
    let server = tokio::spawn(serve(stream, Arc::new(shared)));
    caller.write_all(sent).await.unwrap();
    let mut events = Vec::new();
    let mut reader = BufReader::new(caller);
    while let Some(event) = protocol::receive(&mut reader).await.unwrap() {
        events.push(event);
    }
    server.await.unwrap();
    events
}

fn request(to: &Path) -> Vec<u8> {
    let mut line = serde_json::to_vec(&Request::Backup { to: to.to_owned() }).unwrap();
    line.push(b'\n');
    line
}

#[track_caller]
fn assert_refused(events: &[Event], words: &str) {
    let Some(Event::Refused { message }) = events.last() else { panic!("{events:?}") };
    assert!(message.contains(words), "{message}");
}

#[tokio::test]
async fn backup_request_creates_file_and_returns_revision() {
    let directory = tempfile::tempdir().unwrap();
    let to = directory.path().join("copy.db");
    let events = answer(shared(&directory).await, &request(&to)).await;
    assert_eq!(events.last(), Some(&Event::Done { revision: 150 }), "{events:?}");
    assert!(to.exists());
    let again = answer(shared_again(&directory), &request(&to)).await;
    assert_refused(&again, "exists already");
}

fn shared_again(directory: &TempDir) -> Shared {
    let store = SqliteStore::open(directory.path().join("ipam.db")).unwrap();
    Shared::new(Some(Arc::new(store)), CancellationToken::new())
}

#[tokio::test]
async fn invalid_requests_get_an_error_with_the_reason() {
    let directory = tempfile::tempdir().unwrap();
    shared(&directory).await;
    for (sent, words) in [
        (&b"nonsense\n"[..], "invalid request"),
        (b"{\"backup\":{}}\n", "missing field `to`"),
        (b"{\"backup\":{\"to\":\"copy.db\"}}\n", "not an absolute path"),
        (b"{\"backup\":{\"to\":\"/nowhere/at/all/copy.db\"}}\n", "/nowhere/at/all"),
    ] {
        assert_refused(&answer(shared_again(&directory), sent).await, words);
    }
    assert_refused(&answer(Shared::new(None, CancellationToken::new()), &request(Path::new("/b"))).await, "pg_dump");
}

#[tokio::test]
async fn request_line_over_the_limit_is_rejected() {
    let line = vec![b' '; usize::try_from(crate::limits::ADMIN_LINE_BYTES_MAX).unwrap() + 1];
    let (mut caller, stream) = UnixStream::pair().unwrap();
    let server = tokio::spawn(serve(stream, Arc::new(Shared::new(None, CancellationToken::new()))));
    // The server stops reading at the limit, so this write may fail.
    let _ = caller.write_all(&line).await;
    let mut reader = BufReader::new(caller);
    assert_refused(&[protocol::receive(&mut reader).await.unwrap().unwrap()], "too long");
    server.await.unwrap();
}

#[tokio::test]
async fn client_without_request_gets_timeout_error() {
    let shared = Shared { patience: Duration::from_millis(50), ..Shared::new(None, CancellationToken::new()) };
    assert_refused(&answer(shared, b"{\"backup\"").await, "in time");
}

#[tokio::test]
async fn concurrent_backup_is_rejected() {
    let directory = tempfile::tempdir().unwrap();
    let shared = shared(&directory).await;
    let _first = prepare(Path::new("/a"), &shared).unwrap();
    let error = prepare(Path::new("/b"), &shared).err().unwrap();
    assert!(error.contains("another backup"), "{error}");
}

#[tokio::test]
async fn backup_is_canceled_when_client_disconnects() {
    let directory = tempfile::tempdir().unwrap();
    let shared = shared(&directory).await;
    let (_caller, stream) = UnixStream::pair().unwrap();
    let (_reader, mut writer) = stream.into_split();
    let store = shared.store.as_ref().unwrap();
    let to = directory.path().join("copy.db");
    let done = copy(store, &to, &CancellationToken::new(), future::ready(()), &mut writer).await;
    assert!(matches!(done, Err(BackupError::GivenUp)), "{done:?}");
    let left = fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    assert!(left.into_iter().all(|name| !name.starts_with("copy")));
}

#[tokio::test]
async fn backup_is_canceled_when_server_stops() {
    let directory = tempfile::tempdir().unwrap();
    let shared = shared(&directory).await;
    shared.stop.cancel();
    let (caller, stream) = UnixStream::pair().unwrap();
    let (_reader, writer) = stream.into_split();
    back_up(&directory.path().join("copy.db"), &shared, future::pending(), writer).await;
    let (mut reader, mut events) = (BufReader::new(caller), Vec::new());
    while let Ok(Some(event)) = protocol::receive(&mut reader).await {
        events.push(event);
        if matches!(events.last(), Some(Event::Refused { .. })) {
            break;
        }
    }
    assert_refused(&events, "the server stops");
    assert!(!directory.path().join("copy.db").exists());
}

/// The client has sent no request, and its timeout is far away.
#[tokio::test]
async fn silent_client_does_not_delay_shutdown() {
    let shared = Shared { patience: Duration::from_hours(1), ..Shared::new(None, CancellationToken::new()) };
    let (_caller, stream) = UnixStream::pair().unwrap();
    shared.stop.cancel();
    timeout(Duration::from_secs(20), serve(stream, Arc::new(shared))).await.unwrap();
}

#[tokio::test]
async fn only_root_and_server_user_are_allowed() {
    assert!(is_allowed(0) && is_allowed(rustix::process::geteuid().as_raw()));
    assert!(!is_allowed(rustix::process::geteuid().as_raw() + 1));
}

#[tokio::test]
async fn connections_over_the_limit_wait() {
    let directory = tempfile::tempdir().unwrap();
    let admin = Admin::start(directory.path(), None).unwrap();
    let mut callers = Vec::new();
    for _ in 0..ADMIN_CONNECTIONS_MAX {
        callers.push(socket::connect(directory.path()).await.unwrap().unwrap());
    }
    let mut late = socket::connect(directory.path()).await.unwrap().unwrap();
    late.write_all(&request(Path::new("/b"))).await.unwrap();
    let mut reader = BufReader::new(late);
    let waiting = timeout(Duration::from_millis(200), protocol::receive::<Event>(&mut reader)).await;
    assert!(waiting.is_err(), "{waiting:?}");
    callers.pop();
    let served = timeout(Duration::from_secs(20), protocol::receive::<Event>(&mut reader)).await.unwrap();
    assert_refused(&[served.unwrap().unwrap()], "PostgreSQL");
    drop((callers, reader));
    admin.stop().await;
    assert!(!directory.path().join(socket::NAME).exists());
}
