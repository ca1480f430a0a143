//! Watches over WebSockets: one message per event, from the handshake to the closing handshake, with clients that
//! follow RFC 6455 and clients that do not.

use std::time::Duration;

use apiserver::limits::{self, Limits};
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use futures::{SinkExt as _, StreamExt as _};
use http::{HeaderName, HeaderValue, Method, Response};
use http_body_util::Full;
use serde_json::{Value, json};
use store::{Revision, Store as _};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{
        Bytes, Message,
        client::IntoClientRequest as _,
        protocol::{CloseFrame, frame::coding::CloseCode},
    },
};

use crate::{
    connections::{advance_until, ends, is_ended, narrow},
    fault_injecting_store::FaultInjectingStore,
    sample_kinds::{API, BOOKS, book, shelf},
    test_server::{
        Answer, Client, Setup, TIMEOUT, TestServer, Who, advance, handshake, handshake_over, name, request, revision,
    },
};

/// The prefix of a subprotocol that is a token.
const TOKEN_PREFIX: &str = "base64url.bearer.authorization.k8s.io.";
/// A token of a member of `system:masters`, and one of a user without permissions.
const TOKENS: &str = "s3cret,jane,1,\"system:masters\"\nother,joe,2\n";
/// The headers of a valid handshake.
const HANDSHAKE: [(&str, &str); 4] = [
    ("upgrade", "websocket"),
    ("connection", "Upgrade"),
    ("sec-websocket-version", "13"),
    ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
];
/// Less than the time that a client has to confirm the end.
const AT_ONCE: Duration = Duration::from_secs(8);

/// An open WebSocket.
struct Socket(WebSocketStream<TlsStream<TcpStream>>);

impl Socket {
    async fn open(server: &TestServer, path: &str) -> Self {
        Self::open_as(Who::Admin, server, path, &[]).await.0
    }

    /// Opens a WebSocket with additional headers. Returns the response of the server, too.
    async fn open_as(
        who: Who,
        server: &TestServer,
        path: &str,
        headers: &[(&str, &str)],
    ) -> (Self, Response<Option<Vec<u8>>>) {
        Self::open_over(handshake(server.address, b"http/1.1", who).await, path, headers).await
    }

    async fn open_over(
        stream: TlsStream<TcpStream>,
        path: &str,
        headers: &[(&str, &str)],
    ) -> (Self, Response<Option<Vec<u8>>>) {
        let mut request = format!("wss://localhost{path}").into_client_request().unwrap();
        for (name, value) in headers {
            let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
            request.headers_mut().append(name, HeaderValue::from_str(value).unwrap());
        }
        let opened = timeout(TIMEOUT, client_async(request, stream)).await.expect("an answer");
        let (socket, answer) = opened.unwrap();
        (Self(socket), answer)
    }

    /// The next message.
    async fn message(&mut self) -> Option<Message> {
        timeout(TIMEOUT, self.0.next()).await.expect("a message or the end").map(Result::unwrap)
    }

    /// The object of the next event, which must have this type.
    async fn expect(&mut self, event_type: &str) -> Value {
        let message = self.message().await.unwrap_or_else(|| panic!("no {event_type}, but the end"));
        let Message::Text(text) = &message else { panic!("no text message: {message:?}") };
        assert_eq!(text.find('\n'), Some(text.len() - 1), "one event, as a line: {text:?}");
        let mut event: Value = serde_json::from_str(text).unwrap();
        assert_eq!(event["type"], event_type, "{event}");
        event["object"].take()
    }

    /// The code and the reason with which the server closes; no message may come before that.
    async fn closed(&mut self) -> (CloseCode, String) {
        let message = self.message().await;
        let Some(Message::Close(Some(frame))) = message else { panic!("not the end: {message:?}") };
        assert_eq!(self.message().await, None);
        (frame.code, frame.reason.to_string())
    }

    /// Sends bytes that need not be valid frames.
    async fn send_bytes(&mut self, bytes: &[u8]) {
        self.0.get_mut().write_all(bytes).await.unwrap();
    }
}

/// The response to a handshake with additional or different headers that is not accepted.
async fn refused_as(who: Who, server: &TestServer, path: &str, headers: &[(&str, &str)]) -> Answer {
    let client = Client::connect_as(who, server.address, false).await;
    let mut request = request(Method::GET, path, &Value::Null);
    let kept = HANDSHAKE.iter().filter(|(name, _)| !headers.iter().any(|(other, _)| name == other));
    for (name, value) in kept.chain(headers).filter(|(_, value)| !value.is_empty()) {
        request = request.header(*name, *value);
    }
    client.request(request.body(Full::default()).unwrap()).await
}

fn token(token: impl AsRef<[u8]>) -> String {
    format!("{TOKEN_PREFIX}{}", BASE64_URL_SAFE_NO_PAD.encode(token))
}

fn watch_books() -> String {
    format!("{BOOKS}?watch=true")
}

async fn with_tokens() -> TestServer {
    TestServer::set_up(Setup { tokens: TOKENS, ..Setup::default() }).await
}

/// Waits until `count` watches are open.
async fn until_open(server: &TestServer, count: &str) {
    let open = async { while server.metric("apiserver_longrunning_requests").await.as_deref() != Some(count) {} };
    timeout(TIMEOUT, open).await.unwrap_or_else(|_| panic!("never {count} watches"));
}

#[tokio::test]
async fn each_event_is_a_text_message() {
    let server = TestServer::open().await;
    let from = server.head().await;
    let path = format!("{BOOKS}?watch=true&resourceVersion={from}");
    let (mut socket, answer) = Socket::open_as(Who::Admin, &server, &path, &[]).await;
    assert_eq!(answer.headers().get("sec-websocket-protocol"), None);
    let mut lines = server.watch(&path).await;
    let created = server.book("x").await;
    // Larger than the pieces that the server hands to a connection.
    let large = json!({ "metadata": { "annotations": { "a": "x".repeat(3 * limits::PIECE_BYTES_MAX) } } });
    let changed = server.patch(&format!("{BOOKS}/x"), &large).await;
    server.delete(&format!("{BOOKS}/x")).await;
    for event_type in ["ADDED", "MODIFIED", "DELETED"] {
        let object = socket.expect(event_type).await;
        assert_eq!(lines.expect(event_type).await, object, "as in a stream of lines");
        match event_type {
            "ADDED" => assert_eq!(object, created),
            "MODIFIED" => assert_eq!(object, changed),
            _ => assert!(revision(&object) > revision(&changed)),
        }
    }
    let counted = "apiserver_request_total{verb=\"WATCH\",dry_run=\"\",group=\"library.example.com\",version=\"v1\",\
        resource=\"books\",subresource=\"\",scope=\"namespace\",component=\"apiserver\",code=\"101\"}";
    assert_eq!(server.metric(counted).await.as_deref(), Some("1"));
    let told = "apiserver_watch_events_total{group=\"library.example.com\",version=\"v1\",kind=\"Book\"}";
    assert_eq!(server.metric(told).await.as_deref(), Some("6"), "three events for each of two watches");
    assert_eq!(server.metric("ipam_connections").await.as_deref(), Some("2"), "the connection is open and counted");
}

#[tokio::test]
async fn many_events_at_once_are_separate_messages() {
    const COUNT: usize = 2_500;
    let server = TestServer::starting(Setup::default(), FaultInjectingStore::with_books(COUNT, 100).await)
        .await
        .restored()
        .await;
    let query = "watch=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true";
    for path in
        [format!("{API}/books?{query}"), format!("{API}/watch/books?resourceVersion=0&allowWatchBookmarks=true")]
    {
        let mut socket = Socket::open(&server, &path).await;
        let mut names = std::collections::BTreeSet::new();
        for _ in 0..COUNT {
            names.insert(name(&socket.expect("ADDED").await).to_owned());
        }
        assert_eq!(names.len(), COUNT);
    }
}

#[tokio::test]
async fn websocket_watch_honors_accept_and_path() {
    let server = TestServer::open().await;
    for name in ["x", "y"] {
        server.book(name).await;
    }
    let table = [("accept", "application/json;as=Table;v=v1;g=meta.k8s.io")];
    let (mut socket, _) =
        Socket::open_as(Who::Admin, &server, &format!("{API}/watch/namespaces/attic/books/y"), &table).await;
    let shown = socket.expect("ADDED").await;
    assert_eq!((&shown["kind"], shown["rows"].as_array().unwrap().len()), (&json!("Table"), 1));
    assert_eq!(shown["rows"][0]["object"]["metadata"]["name"], "y");
    // Only the elements of the lists matter, not their order or case.
    let browser = [("connection", "keep-alive"), ("sec-websocket-extensions", "permessage-deflate")];
    let (mut socket, answer) = Socket::open_as(Who::Admin, &server, &watch_books(), &browser).await;
    assert_eq!(answer.headers().get("sec-websocket-extensions"), None);
    socket.expect("ADDED").await;
    let list = refused_as(Who::Admin, &server, BOOKS, &[]).await;
    assert_eq!((list.status, list.json()["kind"].clone()), (200, json!("BookList")), "only a watch can be a WebSocket");
    let stream = format!("{BOOKS}?watch=true&timeoutSeconds=1");
    for (name, value) in [("connection", "keep-alive"), ("upgrade", "h2c")] {
        let stream = refused_as(Who::Admin, &server, &stream, &[(name, value)]).await;
        assert_eq!((stream.status, stream.text().lines().count()), (200, 2), "{name}: {value}");
    }
}

#[tokio::test]
async fn first_offered_subprotocol_is_selected() {
    let server = TestServer::open().await;
    for (offered, answered) in [
        (&["base64.binary.k8s.io"][..], "base64.binary.k8s.io"),
        (&["a, b"], "a"),
        (&["a", "b"], "a"),
        (&[" ,, a"], "a"),
    ] {
        let headers: Vec<_> = offered.iter().map(|one| ("sec-websocket-protocol", *one)).collect();
        let (mut socket, answer) = Socket::open_as(Who::Admin, &server, &watch_books(), &headers).await;
        assert_eq!(answer.headers()["sec-websocket-protocol"], answered, "{offered:?}");
        server.book("x").await;
        socket.expect("ADDED").await;
        server.delete(&format!("{BOOKS}/x")).await;
    }
}

#[tokio::test]
async fn subprotocol_token_authenticates_and_is_not_selected() {
    let server = with_tokens().await;
    server.book("x").await;
    let token = token("s3cret");
    for offered in [
        &[format!("{token}, base64.binary.k8s.io")][..],
        &[format!("base64.binary.k8s.io,{token}")],
        &["base64.binary.k8s.io".to_owned(), token.clone()],
    ] {
        let headers: Vec<_> = offered.iter().map(|one| ("sec-websocket-protocol", one.as_str())).collect();
        let (mut socket, answer) = Socket::open_as(Who::Anonymous, &server, &watch_books(), &headers).await;
        let answered: Vec<_> = answer.headers().get_all("sec-websocket-protocol").iter().collect();
        assert_eq!(answered, ["base64.binary.k8s.io"], "{offered:?}");
        assert!(!format!("{:?}", answer.headers()).contains(&token), "the token is not shown");
        assert_eq!(name(&socket.expect("ADDED").await), "x");
    }
    let header = [("authorization", "Bearer s3cret")];
    let (mut socket, _) = Socket::open_as(Who::Anonymous, &server, &watch_books(), &header).await;
    socket.expect("ADDED").await;
}

#[tokio::test]
async fn invalid_subprotocol_token_is_401_despite_other_credentials() {
    let server = with_tokens().await;
    let good = token("s3cret");
    let header = ("authorization", "Bearer s3cret");
    for (offered, words) in [
        (good.clone(), "the only subprotocol"),
        (format!("{good}, {good}, a"), "several"),
        (format!("{good}, {}, a", token("other")), "several"),
        (format!("{good}=, a"), "base64url"),
        (format!("{TOKEN_PREFIX}***, a"), "base64url"),
        (format!("{}, a", token([0xff, 0xfe])), "UTF-8"),
        (format!("{}, a", token("wrong")), "Unauthorized"),
        (format!("{}, a", token("s3cret ")), "Unauthorized"),
        (format!("{TOKEN_PREFIX}, a"), "Unauthorized"),
    ] {
        for who in [Who::Anonymous, Who::Admin] {
            let answer =
                refused_as(who, &server, &watch_books(), &[("sec-websocket-protocol", &offered), header]).await;
            assert_eq!(answer.status, 401, "{offered} {}", answer.text());
            let status = answer.json();
            let message = status["message"].as_str().unwrap();
            assert_eq!(status["reason"], "Unauthorized");
            assert!(message.starts_with("Unauthorized") && message.contains(words), "{message}");
        }
    }
    // Without the upgrade it is an ordinary header.
    let offered = format!("{}, a", token("wrong"));
    assert_eq!(server.get_with(BOOKS, &[("sec-websocket-protocol", &offered)]).await.status, 200);
}

#[tokio::test]
async fn cross_origin_websocket_needs_a_subprotocol_token() {
    let server = with_tokens().await;
    let (hers, his) = (format!("{}, a", token("s3cret")), format!("{}, a", token("other")));
    for origin in [
        ("origin", "https://evil.example"),
        ("origin", "null"),
        ("origin", "https://localhost:8443"),
        ("sec-fetch-site", "cross-site"),
    ] {
        for more in [("x", "y"), ("sec-websocket-protocol", "a"), ("authorization", "Bearer s3cret")] {
            let answer = refused_as(Who::Admin, &server, &watch_books(), &[origin, more]).await;
            assert_eq!(answer.status, 403, "{origin:?} {more:?} {}", answer.text());
            assert!(answer.text().contains("requests from other sites are refused"), "{}", answer.text());
        }
        let hers = [origin, ("sec-websocket-protocol", &hers)];
        Socket::open_as(Who::Anonymous, &server, &watch_books(), &hers).await;
        Socket::open_as(Who::Visitor, &server, &watch_books(), &hers).await;
        let his = [origin, ("sec-websocket-protocol", &his)];
        let answer = refused_as(Who::Admin, &server, &watch_books(), &his).await;
        assert_eq!(answer.status, 403, "the certificate is not used");
        assert!(answer.text().contains("User \\\"joe\\\" cannot"), "{}", answer.text());
    }
    for origin in ["https://localhost", "https://LOCALHOST:443"] {
        Socket::open_as(Who::Admin, &server, &watch_books(), &[("origin", origin)]).await;
    }
    // A request that is not a WebSocket handshake is not exempt: a page could send it in other ways.
    for (name, value) in [("upgrade", "h2c"), ("connection", "keep-alive")] {
        let headers = [("origin", "https://evil.example"), (name, value), ("sec-websocket-protocol", &hers)];
        assert_eq!(refused_as(Who::Anonymous, &server, &watch_books(), &headers).await.status, 403, "{name}: {value}");
    }
    let posted = request(Method::POST, BOOKS, &book("x", "a"));
    let headers = HANDSHAKE.into_iter().chain([("origin", "https://evil.example"), ("sec-websocket-protocol", &hers)]);
    let posted = headers.fold(posted, |posted, (name, value)| posted.header(name, value));
    let client = Client::connect(server.address, false).await;
    let answer = client.request(posted.body(Full::from(book("x", "a").to_string())).unwrap()).await;
    assert_eq!(answer.status, 403, "{}", answer.text());
}

#[tokio::test]
async fn invalid_handshakes_are_rejected_before_the_upgrade() {
    let server = TestServer::open().await;
    let path = watch_books();
    for (path, headers, status, words) in [
        (path.clone(), [("sec-websocket-key", "")], 400, "Sec-WebSocket-Key"),
        (path.clone(), [("sec-websocket-version", "8")], 400, "Sec-WebSocket-Version must be 13"),
        (path.clone(), [("sec-websocket-version", "")], 400, "Sec-WebSocket-Version must be 13"),
        (format!("{path}&labelSelector=a%3D%3D%3Db"), [("x", "y")], 400, "unable to parse"),
        (format!("{API}/nowhere?watch=true"), [("x", "y")], 404, "404 page not found"),
        (path.clone(), [("impersonate-user", "jim")], 403, "jim"),
    ] {
        let answer = refused_as(Who::Admin, &server, &path, &headers).await;
        assert_eq!(answer.status, status, "{path} {headers:?} {}", answer.text());
        assert!(answer.text().contains(words), "{}", answer.text());
        let version = if words.contains("Version") { "13" } else { "" };
        assert_eq!(answer.header("sec-websocket-version"), version);
    }
    assert_eq!(refused_as(Who::Visitor, &server, &path, &[]).await.status, 403);
    assert_eq!(refused_as(Who::Anonymous, &server, &path, &[]).await.status, 401);
    assert_eq!(server.metric("apiserver_longrunning_requests").await.as_deref(), Some("0"));
    server.server.end_watches();
    let answer = refused_as(Who::Admin, &server, &path, &[]).await;
    assert_eq!((answer.status, answer.header("retry-after")), (503, "1"));
}

#[tokio::test]
async fn connection_continues_after_a_rejected_handshake() {
    let server = TestServer::open().await;
    let mut stream = handshake(server.address, b"http/1.1", Who::Admin).await;
    let requests = format!(
        "GET {BOOKS}?watch=true HTTP/1.1\r\nhost: localhost\r\nupgrade: websocket\r\nconnection: Upgrade\r\n\r\n\
         GET /livez HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n"
    );
    stream.write_all(requests.as_bytes()).await.unwrap();
    let mut answers = Vec::new();
    let _ = timeout(TIMEOUT, stream.read_to_end(&mut answers)).await.expect("an end");
    let answers = String::from_utf8(answers).unwrap();
    let codes: Vec<_> = answers.match_indices("HTTP/1.1 ").map(|(at, _)| &answers[at + 9..at + 12]).collect();
    assert_eq!(codes, ["400", "200"], "{answers}");
}

#[tokio::test]
async fn watch_of_compacted_history_sends_410_and_closes() {
    let limits = Limits { recent_events: 8, ..Limits::default() };
    let server = TestServer::set_up(Setup { limits, ..Setup::default() }).await;
    for n in 0..4 {
        server.book(&format!("x{n}")).await;
    }
    server.store.compact(Revision(server.head().await)).await.unwrap();
    let mut socket = Socket::open(&server, &format!("{BOOKS}?watch=true&resourceVersion=3")).await;
    let status = socket.expect("ERROR").await;
    assert_eq!(
        (&status["kind"], &status["code"], &status["reason"]),
        (&json!("Status"), &json!(410), &json!("Expired"))
    );
    assert_eq!(socket.closed().await.0, CloseCode::Normal);
}

#[tokio::test]
async fn each_end_sends_its_close_code_and_frees_a_permit() {
    let limits = Limits { watches: 1, ..Limits::default() };
    let server = TestServer::set_up(Setup { limits, ..Setup::default() }).await;
    let mut timed = Socket::open(&server, &format!("{BOOKS}?watch=true&timeoutSeconds=1")).await;
    assert_eq!(timed.closed().await, (CloseCode::Normal, String::new()));

    until_open(&server, "0").await;
    let mut closing = Socket::open(&server, &watch_books()).await;
    let refused = refused_as(Who::Admin, &server, &watch_books(), &[]).await;
    assert_eq!((refused.status, refused.header("retry-after")), (429, "1"));
    let frame = CloseFrame { code: CloseCode::Library(4321), reason: "enough".into() };
    closing.0.close(Some(frame)).await.unwrap();
    assert_eq!(
        closing.closed().await,
        (CloseCode::Library(4321), "enough".to_owned()),
        "the close frame is returned unchanged"
    );

    until_open(&server, "0").await;
    let gone = Socket::open(&server, &watch_books()).await;
    until_open(&server, "1").await;
    drop(gone);
    until_open(&server, "0").await;

    let mut stopped = Socket::open(&server, &watch_books()).await;
    server.server.end_watches();
    assert_eq!(stopped.closed().await, (CloseCode::Away, "the server ends its watches".to_owned()));
}

#[tokio::test]
async fn shutdown_waits_only_for_the_closing_handshake() {
    let server = TestServer::set_up(Setup { drain: 10 * TIMEOUT, ..Setup::default() }).await;
    let mut socket = Socket::open(&server, &watch_books()).await;
    server.server.end_watches();
    server.stop.cancel();
    assert_eq!(socket.closed().await.0, CloseCode::Away);
    timeout(AT_ONCE, server.listening).await.expect("nothing waits for a timer of its own").unwrap();
}

#[tokio::test]
async fn closing_handshake_times_out() {
    let server = TestServer::open().await;
    let mut silent = Socket::open(&server, &watch_books()).await;
    server.server.end_watches();
    until_open(&server, "0").await;
    let step = Duration::from_secs(2);
    let most = limits::CLOSE_TIMEOUT + 2 * step;
    let flown = advance_until(&server, step, most, async || is_ended(silent.0.get_mut()).await).await;
    assert!(flown + step >= limits::CLOSE_TIMEOUT, "it had the whole timeout: {flown:?}");
}

#[tokio::test]
async fn pings_are_answered_and_messages_are_ignored() {
    let server = TestServer::open().await;
    let mut socket = Socket::open(&server, &watch_books()).await;
    let longest = "x".repeat(limits::WEBSOCKET_MESSAGE_BYTES_MAX);
    for message in [
        Message::text("{\"kind\":\"nonsense\"}"),
        Message::binary(&b"\xff\0"[..]),
        Message::text(longest),
        Message::Pong(Bytes::from_static(b"unasked")),
        Message::Ping(Bytes::from_static(b"are you there?")),
    ] {
        socket.0.send(message).await.unwrap();
    }
    assert_eq!(socket.message().await, Some(Message::Pong(Bytes::from_static(b"are you there?"))));
    for n in 0..500_u32 {
        socket.0.feed(Message::Ping(Bytes::from(n.to_string()))).await.unwrap();
    }
    socket.0.flush().await.unwrap();
    for n in 0..500_u32 {
        assert_eq!(socket.message().await, Some(Message::Pong(Bytes::from(n.to_string()))));
    }
    // A message in several frames, with a ping in between, each masked with zeros.
    socket.send_bytes(&[0x01, 0x81, 0, 0, 0, 0, b'a', 0x89, 0x80, 0, 0, 0, 0, 0x80, 0x81, 0, 0, 0, 0, b'b']).await;
    assert_eq!(socket.message().await, Some(Message::Pong(Bytes::new())));
    server.book("x").await;
    assert_eq!(name(&socket.expect("ADDED").await), "x");
}

#[tokio::test]
async fn protocol_violation_closes_only_its_connection() {
    const MASK: [u8; 4] = [0; 4];
    let server = TestServer::open().await;
    let mut bystander = Socket::open(&server, &watch_books()).await;
    let long = u16::try_from(limits::WEBSOCKET_MESSAGE_BYTES_MAX + 1).unwrap().to_be_bytes();
    let half = u16::try_from(limits::WEBSOCKET_MESSAGE_BYTES_MAX / 2 + 1).unwrap();
    let part = |opcode: u8| [&[opcode, 0xfe], &half.to_be_bytes()[..], &MASK, &vec![b'x'; half.into()]].concat();
    for (what, bytes, code) in [
        ("a frame without a mask", vec![0x81, 0x01, b'x'], CloseCode::Protocol),
        ("an unknown kind of frame", [&[0x83, 0x80], &MASK[..]].concat(), CloseCode::Protocol),
        ("an extension that was not agreed on", [&[0xc1, 0x80], &MASK[..]].concat(), CloseCode::Protocol),
        ("a continuation of nothing", [&[0x80, 0x80], &MASK[..]].concat(), CloseCode::Protocol),
        ("a ping in pieces", [&[0x09, 0x80], &MASK[..]].concat(), CloseCode::Protocol),
        ("a long ping", [&[0x89, 0xfe, 0, 126], &MASK[..], &[b'x'; 126]].concat(), CloseCode::Protocol),
        ("a close frame with half a code", [&[0x88, 0x81], &MASK[..], &[3]].concat(), CloseCode::Protocol),
        (
            "a close frame with a code that is never sent",
            [&[0x88, 0x82], &MASK[..], &[3, 0xed]].concat(),
            CloseCode::Protocol,
        ),
        ("text that is not UTF-8", [&[0x81, 0x81], &MASK[..], &[0xff]].concat(), CloseCode::Invalid),
        ("a long message", [&[0x82, 0xfe], &long[..], &MASK].concat(), CloseCode::Size),
        ("a message without end", [&[0x82, 0xff, 0x7f], &[0xff; 7][..], &MASK].concat(), CloseCode::Size),
        ("a long message in pieces", [part(0x02), part(0x00)].concat(), CloseCode::Size),
        ("HTTP", b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n".to_vec(), CloseCode::Protocol),
    ] {
        let mut socket = Socket::open(&server, &watch_books()).await;
        socket.send_bytes(&bytes).await;
        let (ended_with, reason) = socket.closed().await;
        assert_eq!(ended_with, code, "{what}: {reason}");
        assert!(!reason.is_empty(), "{what}");
    }
    until_open(&server, "1").await;
    server.book("x").await;
    assert_eq!(name(&bystander.expect("ADDED").await), "x");
}

#[tokio::test]
async fn incomplete_frame_does_not_block_events() {
    let server = TestServer::open().await;
    let mut socket = Socket::open(&server, &watch_books()).await;
    socket.send_bytes(&[0x81, 0xfe, 0x0f]).await;
    server.book("x").await;
    assert_eq!(name(&socket.expect("ADDED").await), "x");
    server.server.end_watches();
    assert_eq!(socket.message().await.map(|message| message.is_close()), Some(true));
}

#[tokio::test]
async fn websocket_of_a_client_that_does_not_read_is_closed() {
    const COUNT: usize = 1_000;
    let server = TestServer::starting(Setup::default(), FaultInjectingStore::with_books(COUNT, 16 * 1024).await)
        .await
        .restored()
        .await;
    let stream = handshake_over(narrow(server.address).await, b"http/1.1", Who::Admin).await;
    let path = format!("{API}/books?watch=true&resourceVersion=0");
    let (mut asleep, _) = Socket::open_over(stream, &path, &[]).await;
    let mut awake = Socket::open(&server, &path).await;
    for _ in 0..COUNT {
        awake.expect("ADDED").await;
    }
    let before = ends(&server, "send").await;
    let step = Duration::from_secs(5);
    advance_until(&server, step, 3 * limits::SEND_TIMEOUT, async || ends(&server, "send").await > before).await;
    until_open(&server, "1").await;
    let mut rest = Vec::new();
    let _ = timeout(TIMEOUT, asleep.0.get_mut().read_to_end(&mut rest)).await.expect("an end");
    assert!(rest.len() < COUNT * 16 * 1024, "it did not get all events");
    server.create(&format!("{API}/shelves"), &shelf("a", 100_000)).await;
    server.book("next").await;
    assert_eq!(name(&awake.expect("ADDED").await), "next");
}

#[tokio::test]
async fn idle_websocket_stays_open_as_long_as_its_watch() {
    let server = TestServer::open().await;
    let path = format!("{BOOKS}?watch=true&allowWatchBookmarks=true&timeoutSeconds=3600");
    let mut socket = Socket::open(&server, &path).await;
    for _ in 0..10 {
        advance(Duration::from_mins(1)).await;
        socket.expect("BOOKMARK").await;
    }
    server.book("x").await;
    socket.expect("ADDED").await;
}
