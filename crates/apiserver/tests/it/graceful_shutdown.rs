//! The end of connections: idle ones, and all open ones when the server shuts down.

use std::time::Duration;

use apiserver::{limits, server::COMMITTER};
use http::Method;
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

use crate::{
    fault_injecting_store::InjectedFault,
    sample_kinds::{BOOKS, book},
    test_server::{Client, Setup, TIMEOUT, TestServer, Who, advance, handshake, name},
};

/// Less than the timeout of a handshake or of a request head.
const AT_ONCE: Duration = Duration::from_secs(8);

/// Waits for the end of a connection, orderly or not.
async fn ended(mut stream: impl tokio::io::AsyncRead + Unpin) {
    let mut rest = Vec::new();
    // A reset is an end too.
    let _ = timeout(TIMEOUT, stream.read_to_end(&mut rest)).await.expect("an end");
}

#[tokio::test]
async fn shutdown_ends_idle_connections_and_watches_immediately() {
    let server = TestServer::set_up(Setup { drain: 10 * TIMEOUT, ..Setup::default() }).await;
    server.book("x").await;
    let path = format!("{BOOKS}?watch=true");
    let mut watches = Vec::new();
    let idle = Client::connect(server.address, false).await;
    assert_eq!(idle.send(Method::GET, BOOKS, &Value::Null).await.status, 200);
    for over_http2 in [false, true] {
        let client = Client::connect(server.address, over_http2).await;
        let mut watch = client.watch(&path).await;
        assert_eq!(name(&watch.expect("ADDED").await), "x");
        watches.push(watch);
    }
    let silent_tcp = TcpStream::connect(server.address).await.unwrap();
    let mut half_shaken = TcpStream::connect(server.address).await.unwrap();
    // The beginning of a TLS record that announces a ClientHello of 512 bytes.
    half_shaken.write_all(&[0x16, 0x03, 0x01, 0x02, 0x00, 0x01]).await.unwrap();
    let silent_http1 = handshake(server.address, b"http/1.1", Who::Admin).await;
    let silent_http2 = handshake(server.address, b"h2", Who::Admin).await;

    server.server.end_watches();
    server.stop.cancel();
    timeout(AT_ONCE, server.listening).await.expect("nothing waits for a timer of its own").unwrap();
    for watch in watches {
        assert_eq!(watch.rest().await, Vec::<Value>::new(), "a clean end and no ERROR");
    }
    ended(silent_tcp).await;
    ended(half_shaken).await;
    ended(silent_http1).await;
    ended(silent_http2).await;
    assert!(TcpStream::connect(server.address).await.is_err(), "the socket is closed");
}

#[tokio::test]
async fn write_in_progress_is_answered_during_shutdown() {
    let server = TestServer::open().await;
    let begun = server.store.commits().len();
    server.store.plan([InjectedFault::Held]);
    let mut writes = Vec::new();
    for over_http2 in [false, true] {
        let client = Client::connect(server.address, over_http2).await;
        let body = book(if over_http2 { "x" } else { "y" }, "a");
        writes.push(tokio::spawn(async move { client.send(Method::POST, BOOKS, &body).await }));
        server.store.commits_begun(begun + 1).await;
    }
    let under_way = "apiserver_current_inflight_requests{request_kind=\"mutating\"}";
    while server.metric(under_way).await.as_deref() != Some("2") {}
    server.stop.cancel();
    server.store.release();
    for write in writes {
        assert_eq!(timeout(TIMEOUT, write).await.unwrap().unwrap().status, 201);
    }
    timeout(TIMEOUT, server.listening).await.expect("an end").unwrap();
}

#[tokio::test]
async fn shutdown_closes_remaining_connections_at_the_deadline() {
    let server = TestServer::set_up(Setup { drain: Duration::from_millis(50), ..Setup::default() }).await;
    let mut half_asked = handshake(server.address, b"http/1.1", Who::Admin).await;
    half_asked.write_all(b"GET /livez HTTP/1.1\r\nhost: loc").await.unwrap();
    // A watch that is not ended by the server.
    let client = Client::connect(server.address, false).await;
    let _watch = client.watch(&format!("{BOOKS}?watch=true")).await;
    server.stop.cancel();
    timeout(TIMEOUT, server.listening).await.expect("an end").unwrap();
    ended(half_asked).await;
}

#[tokio::test]
async fn committer_finishes_the_commit_and_ends_after_shutdown() {
    let mut server = TestServer::set_up(Setup { drain: Duration::from_millis(50), ..Setup::default() }).await;
    let begun = server.store.commits().len();
    server.store.plan([InjectedFault::Held]);
    let mut clients = Vec::new();
    for over_http2 in [false, true] {
        let client = Client::connect(server.address, over_http2).await;
        clients.push((client.watch(&format!("{BOOKS}?watch=true")).await, client));
    }
    let client = Client::connect(server.address, true).await;
    let write = tokio::spawn(async move { client.send(Method::POST, BOOKS, &book("x", "a")).await });
    server.store.commits_begun(begun + 1).await;
    server.stop.cancel();
    timeout(TIMEOUT, server.listening).await.expect("an end").unwrap();
    assert!(write.await.unwrap_err().is_panic(), "the connection of the client is closed");
    server.store.release();
    server.tasks.stop().await;
    drop(server.server);
    timeout(TIMEOUT, server.ends.finished(COMMITTER)).await.expect("nothing holds on to the queue").unwrap();
    let written = server.store.log().await.iter().any(|entry| entry.key.as_str() == "books/platform/attic/x");
    assert!(written, "the write in progress is completed");
}

#[tokio::test]
async fn silent_connections_time_out() {
    let server = TestServer::open().await;
    let tcp = TcpStream::connect(server.address).await.unwrap();
    let http1 = handshake(server.address, b"http/1.1", Who::Admin).await;
    let http2 = handshake(server.address, b"h2", Who::Admin).await;
    let mut half_asked = handshake(server.address, b"http/1.1", Who::Admin).await;
    half_asked.write_all(b"GET /livez HTTP/1.1\r\nhost: loc").await.unwrap();
    // The response shows that the server has received the requests before it.
    assert_eq!(server.get(BOOKS).await.status, 200);
    advance(limits::HANDSHAKE_TIMEOUT.max(limits::HEADER_TIMEOUT)).await;
    tokio::join!(ended(tcp), ended(http1), ended(http2), ended(half_asked));
}

#[tokio::test]
async fn watch_during_shutdown_is_503() {
    let server = TestServer::open().await;
    server.server.end_watches();
    let answer = server.get(&format!("{BOOKS}?watch=true")).await;
    assert_eq!(
        (answer.status, answer.header("retry-after")),
        (503, "1"),
        "clients treat a stream that ends immediately as an error"
    );
    assert_eq!(server.get(BOOKS).await.status, 200);
}
