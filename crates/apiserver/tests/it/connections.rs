//! Limits of connections, and what happens to clients that exceed them or do nothing.

use std::{net::SocketAddr, time::Duration};

use apiserver::limits::{self, Limits};
use bytes::Bytes;
use http::{Method, Request};
use http_body_util::{BodyExt as _, Full};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpSocket, TcpStream},
    time::timeout,
};

use crate::{
    sample_kinds::{BOOKS, book},
    test_server::{Client, Setup, TIMEOUT, TestServer, Who, advance, handshake, handshake_over, request},
};

/// The preface of an HTTP/2 connection, and empty settings.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
const GOAWAY: u8 = 7;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const FRAME_SIZE_ERROR: u32 = 6;
const ENHANCE_YOUR_CALM: u32 = 11;

/// An HTTP/2 frame.
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// All frames until the end of the connection, or until one of this kind.
async fn frames_until(stream: &mut (impl AsyncRead + Unpin), kind: Option<u8>) -> Vec<(u8, Vec<u8>)> {
    frames_until_any(stream, kind.as_slice()).await
}

async fn frames_until_any(stream: &mut (impl AsyncRead + Unpin), kinds: &[u8]) -> Vec<(u8, Vec<u8>)> {
    let mut frames = Vec::new();
    let read = async {
        let mut head = [0; 9];
        while stream.read_exact(&mut head).await.is_ok() {
            let mut payload = vec![0; u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize];
            if stream.read_exact(&mut payload).await.is_err() {
                break;
            }
            frames.push((head[3], payload));
            if kinds.contains(&head[3]) {
                break;
            }
        }
    };
    timeout(TIMEOUT, read).await.expect("the frame or the end");
    frames
}

/// The error code of the GOAWAY frame.
fn code_of_goaway(frames: &[(u8, Vec<u8>)]) -> Option<u32> {
    let (_, payload) = frames.iter().rev().find(|(kind, _)| *kind == GOAWAY)?;
    Some(u32::from_be_bytes(payload[4..8].try_into().unwrap()))
}

/// True if the server has ended a connection; remaining bytes are discarded.
pub async fn is_ended(stream: &mut (impl AsyncRead + Unpin)) -> bool {
    let mut rest = [0; 4096];
    loop {
        match timeout(Duration::from_millis(50), stream.read(&mut rest)).await {
            Err(_) => return false,
            Ok(Ok(0) | Err(_)) => return true,
            Ok(Ok(_)) => {}
        }
    }
}

/// Advances the time in steps until the condition holds, and returns the time advanced.
pub async fn advance_until(
    server: &TestServer,
    step: Duration,
    most: Duration,
    mut is_so: impl AsyncFnMut() -> bool,
) -> Duration {
    let mut flown = Duration::ZERO;
    while !is_so().await {
        assert!(flown < most, "not within {most:?}");
        advance(step).await;
        flown += step;
        // The response shows that the server has run its timers.
        let answer = Client::connect(server.address, false).await.send(Method::GET, "/livez", &Value::Null).await;
        assert_eq!(answer.status, 200);
    }
    flown
}

pub async fn ends(server: &TestServer, reason: &str) -> u64 {
    let client = Client::connect(server.address, false).await;
    let text = client.send(Method::GET, "/metrics", &Value::Null).await.text();
    let name = format!("ipam_connection_ends_total{{reason=\"{reason}\"}} ");
    text.lines().find_map(|line| line.strip_prefix(&name)?.parse().ok()).unwrap_or(0)
}

/// A server with a list far larger than all socket buffers.
async fn with_a_long_list() -> TestServer {
    let server = TestServer::open().await;
    let annotation = "x".repeat(200 * 1024);
    for index in 0..80 {
        let mut book = book(&format!("b{index}"), "a");
        book["metadata"]["annotations"] = json!({ "text": annotation });
        server.create(BOOKS, &book).await;
    }
    server
}

/// A connection whose client has a small receive buffer.
pub async fn narrow(address: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    socket.connect(address).await.unwrap()
}

#[tokio::test]
async fn connection_over_the_limit_is_closed_immediately() {
    let limits = Limits { connections: 3, ..Limits::default() };
    let server = TestServer::set_up(Setup { limits, ..Setup::default() }).await;
    let second = Client::connect(server.address, false).await;
    let third = TcpStream::connect(server.address).await.unwrap();
    let open = "ipam_connections";
    while server.metric(open).await.as_deref() != Some("3") {}
    let mut fourth = TcpStream::connect(server.address).await.unwrap();
    let mut rest = Vec::new();
    let read = timeout(TIMEOUT, fourth.read_to_end(&mut rest)).await.expect("an end");
    assert!(read.is_err() || rest.is_empty());
    let refused = "ipam_connection_ends_total{reason=\"limit\"}";
    assert_eq!(server.metric(refused).await.as_deref(), Some("1"));
    assert_eq!(second.send(Method::GET, BOOKS, &Value::Null).await.status, 200, "the others continue");
    drop(third);
    while server.metric(open).await.as_deref() != Some("2") {}
    let next = Client::connect(server.address, false).await;
    assert_eq!(next.send(Method::GET, BOOKS, &Value::Null).await.status, 200);
}

#[tokio::test]
async fn oldest_unauthenticated_connection_is_closed_over_the_limit() {
    let limits = Limits { unauthenticated_connections: 3, ..Limits::default() };
    let server = TestServer::set_up(Setup { limits, tokens: "s3cret,jane,1", ..Setup::default() }).await;
    let known = Client::connect(server.address, false).await;
    let with_token = Client::connect_as(Who::Anonymous, server.address, false).await;
    let whoami = request(Method::GET, "/version", &Value::Null).header("authorization", "Bearer s3cret");
    assert_eq!(with_token.request(whoami.body(Full::default()).unwrap()).await.status, 200);
    let mut silent = TcpStream::connect(server.address).await.unwrap();
    let mut stranger = handshake(server.address, b"http/1.1", Who::Anonymous).await;
    let mut probe = handshake(server.address, b"http/1.1", Who::Anonymous).await;
    probe.write_all(b"GET /livez HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer wrong\r\n\r\n").await.unwrap();
    let mut answer = [0; 15];
    probe.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 200 OK", "a probe needs no credential, so its client is not authenticated");

    let mut next = Vec::new();
    for (index, oldest) in
        [&mut silent as &mut (dyn AsyncRead + Unpin), &mut stranger, &mut probe].into_iter().enumerate()
    {
        next.push(handshake(server.address, b"http/1.1", Who::Anonymous).await);
        let mut rest = Vec::new();
        let _ = timeout(TIMEOUT, oldest.read_to_end(&mut rest)).await.unwrap_or_else(|_| panic!("{index} stays"));
    }
    for client in [known, with_token] {
        let answer = client.send(Method::GET, "/livez", &Value::Null).await;
        assert_eq!(answer.status, 200, "an authenticated client stays");
    }
    for mut stream in next {
        stream.write_all(b"GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
        stream.read_exact(&mut answer).await.unwrap();
    }
    assert_eq!(ends(&server, "unknown").await, 3);
}

#[tokio::test]
async fn idle_connection_is_kept_until_the_idle_timeout() {
    let server = TestServer::open().await;
    for over_http2 in [false, true] {
        let client = Client::connect(server.address, over_http2).await;
        let mut flown = Duration::ZERO;
        for _ in 0..2 {
            assert_eq!(client.send(Method::GET, BOOKS, &Value::Null).await.status, 200, "{over_http2} {flown:?}");
            flown = advance_until(&server, Duration::from_secs(17), Duration::MAX, {
                let mut steps = 0;
                async move || {
                    steps += 1;
                    steps > 5
                }
            })
            .await;
        }
        assert_eq!(flown, Duration::from_secs(85));
        advance_until(&server, Duration::from_secs(5), limits::HTTP2_PING_INTERVAL, async || !client.is_open().await)
            .await;
    }
    // These two, and the first connection of the test.
    assert_eq!(ends(&server, "idle").await, 3);
}

#[tokio::test]
async fn slow_request_head_times_out() {
    let server = TestServer::open().await;
    let mut stream = handshake(server.address, b"http/1.1", Who::Admin).await;
    stream.write_all(b"GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    let mut answer = [0; 15];
    stream.read_exact(&mut answer).await.unwrap();
    assert!(!is_ended(&mut stream).await);
    stream.write_all(b"GET /livez HTTP/1.1\r\nhost: loc").await.unwrap();
    let step = Duration::from_secs(4);
    let flown = advance_until(&server, step, limits::IDLE_TIMEOUT, async || is_ended(&mut stream).await).await;
    assert!((limits::HEADER_TIMEOUT..=limits::HEADER_TIMEOUT + step).contains(&flown), "{flown:?}");
    assert_eq!(ends(&server, "head").await, 1);
}

#[tokio::test]
async fn slow_request_body_times_out() {
    let server = TestServer::open().await;
    let mut stream = handshake(server.address, b"http/1.1", Who::Admin).await;
    let head = format!(
        "POST {BOOKS} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 99\r\n\r\n{{"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let step = Duration::from_secs(4);
    let flown = advance_until(&server, step, limits::REQUEST_TIMEOUT, async || {
        let read = timeout(Duration::from_millis(50), stream.read_buf(&mut answer)).await;
        matches!(read, Ok(Ok(0) | Err(_))) || !answer.is_empty()
    })
    .await;
    assert!(flown <= limits::WRITE_TIMEOUT + step, "{flown:?}");
    let _ = timeout(TIMEOUT, stream.read_to_end(&mut answer)).await.expect("an end");
    let answer = String::from_utf8_lossy(&answer);
    assert!(answer.starts_with("HTTP/1.1 504 "), "{answer}");
}

#[tokio::test]
async fn connection_of_a_client_that_does_not_read_is_closed() {
    let server = with_a_long_list().await;
    let long = "/apis/library.example.com/v1/books";
    for protocol in [b"http/1.1".as_slice(), b"h2"] {
        let before = ends(&server, "send").await;
        let stream = narrow(server.address).await;
        let mut stream = handshake_over(stream, protocol, Who::Admin).await;
        if protocol == b"h2" {
            // All windows are open, and nothing is read.
            let settings = frame(SETTINGS, 0, 0, &[&[0, 4], &0x7fff_ffff_u32.to_be_bytes()[..]].concat());
            let window = frame(8, 0, 0, &0x7000_0000_u32.to_be_bytes());
            let path = [&[0x82, 0x87, 0x04, u8::try_from(long.len()).unwrap()], long.as_bytes()].concat();
            stream.write_all(&[&PREFACE[..24], &settings, &window, &frame(1, 5, 1, &path)].concat()).await.unwrap();
        } else {
            stream.write_all(format!("GET {long} HTTP/1.1\r\nhost: localhost\r\n\r\n").as_bytes()).await.unwrap();
        }
        let step = Duration::from_secs(5);
        advance_until(&server, step, 3 * limits::SEND_TIMEOUT, async || ends(&server, "send").await > before).await;
        let mut rest = Vec::new();
        let _ = timeout(TIMEOUT, stream.read_to_end(&mut rest)).await.expect("an end");
        assert!(rest.len() < 16 * 1024 * 1024, "it did not get the whole response");
    }
}

#[tokio::test]
async fn unread_http2_stream_is_reset_without_closing_the_connection() {
    let server = with_a_long_list().await;
    let client = Client::connect(server.address, true).await;
    let get = request(Method::GET, "/apis/library.example.com/v1/books", &Value::Null);
    let unread = client.open(get.body(Full::<Bytes>::default()).unwrap()).await;
    assert_eq!(unread.status(), 200);
    let mut watch = client.watch(&format!("{BOOKS}?watch=true&resourceVersion={}", server.head().await)).await;
    let step = Duration::from_secs(5);
    advance_until(&server, step, 3 * limits::SEND_TIMEOUT, async || ends(&server, "stream").await == 1).await;
    let read = timeout(TIMEOUT, unread.into_body().collect()).await.expect("an end");
    assert!(read.is_err(), "the list looks complete");
    assert_eq!(client.send(Method::GET, "/livez", &Value::Null).await.status, 200);
    server.book("next").await;
    watch.expect("ADDED").await;
    assert_eq!(ends(&server, "send").await, 0);
}

#[tokio::test]
async fn oversized_request_head_is_431() {
    let server = TestServer::open().await;
    let most = limits::HEADER_BYTES_MAX as usize;
    for (bytes, status) in [(most - 1_000, "200"), (most + 1_000, "431")] {
        let mut stream = handshake(server.address, b"http/1.1", Who::Admin).await;
        let head = format!("GET /livez HTTP/1.1\r\nhost: localhost\r\nx-filler: {}\r\n\r\n", "x".repeat(bytes));
        // The server may end the connection before it has received everything.
        let _ = stream.write_all(head.as_bytes()).await;
        let mut answer = [0; 12];
        timeout(TIMEOUT, stream.read_exact(&mut answer)).await.expect("an answer").unwrap();
        assert_eq!(String::from_utf8_lossy(&answer), format!("HTTP/1.1 {status}"));
        let client = Client::connect(server.address, true).await;
        let get = request(Method::GET, "/livez", &Value::Null).header("x-filler", "x".repeat(bytes));
        assert_eq!(client.request(get.body(Full::default()).unwrap()).await.status.to_string(), status, "HTTP/2");
    }
    assert_eq!(server.get("/livez").await.status, 200);
}

#[tokio::test]
async fn http2_settings_announce_the_limits() {
    let limits = Limits { http2_streams: 7, ..Limits::default() };
    for (limits, streams) in [(Limits::default(), 100), (limits, 7)] {
        let server = TestServer::set_up(Setup { limits, ..Setup::default() }).await;
        let mut stream = handshake(server.address, b"h2", Who::Admin).await;
        stream.write_all(PREFACE).await.unwrap();
        let (_, settings) = frames_until(&mut stream, Some(SETTINGS)).await.pop().unwrap();
        let settings = settings.chunks(6).map(|one| {
            let (id, value) = one.split_at(2);
            (u16::from_be_bytes(id.try_into().unwrap()), u32::from_be_bytes(value.try_into().unwrap()))
        });
        let settings: std::collections::BTreeMap<_, _> = settings.collect();
        assert_eq!(settings.get(&3), Some(&streams), "MAX_CONCURRENT_STREAMS");
        assert_eq!(settings.get(&4), Some(&limits::HTTP2_WINDOW_BYTES), "INITIAL_WINDOW_SIZE");
        assert_eq!(settings.get(&5).unwrap_or(&16_384), &limits::HTTP2_FRAME_BYTES_MAX, "MAX_FRAME_SIZE");
        assert_eq!(settings.get(&6), Some(&limits::HEADER_BYTES_MAX), "MAX_HEADER_LIST_SIZE");
    }
}

#[tokio::test]
async fn oversized_http2_frame_ends_its_connection() {
    let server = TestServer::open().await;
    let mut stream = handshake(server.address, b"h2", Who::Admin).await;
    stream.write_all(PREFACE).await.unwrap();
    let longest = limits::HTTP2_FRAME_BYTES_MAX as usize;
    // The frame header is enough: the server does not wait for the payload.
    stream.write_all(&frame(0, 0, 1, &vec![0; longest + 1])[..9]).await.unwrap();
    let frames = frames_until(&mut stream, None).await;
    assert_eq!(code_of_goaway(&frames), Some(FRAME_SIZE_ERROR));
}

#[tokio::test]
async fn too_many_http2_protocol_errors_end_the_connection() {
    let server = TestServer::open().await;
    let mut stream = handshake(server.address, b"h2", Who::Admin).await;
    stream.write_all(PREFACE).await.unwrap();
    frames_until(&mut stream, Some(SETTINGS)).await;
    let most = u32::try_from(limits::HTTP2_ERRORS_MAX).unwrap() + 1;
    let mut resets = 0;
    // A GET of / with a header that HTTP/2 forbids.
    let head = [&[0x82, 0x87, 0x84, 0, 10], b"connection".as_slice(), &[1], b"x"].concat();
    let code = loop {
        stream.write_all(&frame(1, 5, 2 * resets + 1, &head)).await.unwrap();
        let mut frames = frames_until_any(&mut stream, &[RST_STREAM, GOAWAY]).await;
        let code = code_of_goaway(&frames);
        if code.is_some() {
            break code;
        }
        assert_eq!(frames.pop().unwrap().0, RST_STREAM);
        resets += 1;
        assert!(resets <= most, "the connection goes on");
    };
    assert_eq!(code, Some(ENHANCE_YOUR_CALM), "after {resets} faulty streams");
}

#[tokio::test]
async fn rapid_http2_resets_end_the_connection() {
    let server = TestServer::open().await;
    let begun = ends(&server, "resets").await;
    let stream = handshake(server.address, b"h2", Who::Admin).await;
    let (mut sender, connection) = h2::client::handshake(stream).await.unwrap();
    let driven = tokio::spawn(connection);
    let mut sent = 0;
    // Watches, so that none is complete before it is reset.
    while sent < 100 * limits::RESETS_BURST {
        let uri = format!("https://localhost{BOOKS}?watch=true");
        let Ok(ready) = sender.ready().await else { break };
        sender = ready;
        let Ok((answer, mut body)) = sender.send_request(Request::get(uri).body(()).unwrap(), true) else { break };
        sent += 1;
        if sent % 10 == 0 && answer.await.is_err() {
            break;
        }
        body.send_reset(h2::Reason::CANCEL);
    }
    println!("{sent} requests were reset before their connection was ended");
    drop(timeout(TIMEOUT, driven).await.expect("the connection is ended"));
    assert!(sent <= 4 * limits::RESETS_BURST, "{sent} requests on one connection");
    while ends(&server, "resets").await == begun {}
    assert_eq!(server.get(BOOKS).await.status, 200);
}

#[tokio::test]
async fn http2_connection_without_ping_responses_is_closed() {
    let server = TestServer::open().await;
    let mut stream = handshake(server.address, b"h2", Who::Admin).await;
    let get = [&[0x82, 0x87, 0x04, 6], b"/livez".as_slice()].concat();
    stream.write_all(&[PREFACE, &frame(1, 5, 1, &get)].concat()).await.unwrap();
    frames_until(&mut stream, Some(1)).await;
    let step = Duration::from_secs(5);
    let most = limits::HTTP2_PING_INTERVAL + limits::HTTP2_PING_TIMEOUT + 2 * step;
    advance_until(&server, step, most, async || is_ended(&mut stream).await).await;
}

#[tokio::test]
async fn http1_requests_can_be_pipelined() {
    let server = TestServer::open().await;
    let mut stream = handshake(server.address, b"http/1.1", Who::Admin).await;
    let body = book("x", "a").to_string();
    let (first, second) = body.split_at(10);
    let requests = format!(
        "GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n\
         POST {BOOKS} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n\
         {:x}\r\n{first}\r\n{:x}\r\n{second}\r\n0\r\n\r\n\
         GET {BOOKS}/x HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n",
        first.len(),
        second.len(),
    );
    stream.write_all(requests.as_bytes()).await.unwrap();
    let mut answers = String::new();
    timeout(TIMEOUT, stream.read_to_string(&mut answers)).await.expect("an end").unwrap();
    let codes: Vec<_> = answers.match_indices("HTTP/1.1 ").map(|(at, _)| &answers[at + 9..at + 12]).collect();
    assert_eq!(codes, ["200", "201", "200"], "{answers}");
}

#[tokio::test]
async fn chunked_body_over_the_limit_is_413() {
    let server = TestServer::open().await;
    let mut stream = handshake(server.address, b"http/1.1", Who::Admin).await;
    let head = format!(
        "POST {BOOKS} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n"
    );
    let _ = stream.write_all(head.as_bytes()).await;
    let chunk = format!("10000\r\n{}\r\n", " ".repeat(0x1_0000));
    for _ in 0..limits::BODY_BYTES_MAX / 0x1_0000 + 2 {
        // The server may end the connection before it has received everything.
        if stream.write_all(chunk.as_bytes()).await.is_err() {
            break;
        }
    }
    let mut answer = Vec::new();
    let _ = timeout(TIMEOUT, stream.read_to_end(&mut answer)).await.expect("an end");
    assert!(answer.starts_with(b"HTTP/1.1 413 "), "{}", String::from_utf8_lossy(&answer));
}
