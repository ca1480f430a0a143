//! Requests apart from single objects: a server that is not ready, methods, names, headers, errors.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use apimachinery::command::RequestEntropy;
use apiserver::limits::Limits;
use http::Method;
use serde_json::{Value, json};

use crate::{
    fault_injecting_store::{FaultInjectingStore, InjectedFault},
    sample_kinds::{API, BOOKS, PANICS_IN_TABLE, book, shelf},
    test_server::{Client, Setup, TestServer, Who, advance, handshake, name, revision},
};

#[tokio::test]
async fn starting_server_is_503_and_not_ready() {
    let server = TestServer::starting(Setup::default(), FaultInjectingStore::new()).await;
    for path in [format!("{API}/shelves"), BOOKS.to_owned(), format!("{BOOKS}/x"), format!("{BOOKS}?watch=true")] {
        let answer = server.get(&path).await;
        assert_eq!((answer.status, answer.header("retry-after")), (503, "1"), "{path}");
        assert_eq!(answer.json()["reason"], "ServiceUnavailable");
    }
    let write = server.client.send(Method::POST, BOOKS, &book("x", "a")).await;
    assert_eq!((write.status, write.header("retry-after")), (503, "1"));
    let ready = server.get("/readyz").await;
    assert_eq!((ready.status, ready.text().contains("[-]restore failed")), (500, true));
    let described = format!("/openapi/v3{API}");
    for path in ["/livez", "/healthz", "/version", "/apis", API, "/openapi/v3", &described, "/metrics"] {
        assert_eq!(server.get(path).await.status, 200, "{path}");
    }
    let server = server.restored().await;
    assert_eq!(server.get("/readyz").await.text(), "ok");
    assert_eq!(server.get(BOOKS).await.status, 200);
    server.server.begin_stop();
    assert_eq!(server.get("/readyz").await.status, 500);
    assert_eq!((server.get("/livez").await.status, server.get(BOOKS).await.status), (200, 200), "it still serves");
}

#[tokio::test]
async fn restart_restores_state_and_writes_nothing() {
    let store = FaultInjectingStore::new();
    let server = TestServer::starting(Setup::default(), store.clone()).await.restored().await;
    server.create(&format!("{API}/shelves"), &shelf("a", 3)).await;
    for name in ["x", "y"] {
        server.book(name).await;
    }
    server.delete(&format!("{BOOKS}/x")).await;
    let log = store.log().await;
    let again = TestServer::starting(Setup::default(), store.clone()).await.restored().await;
    assert_eq!(store.log().await, log, "a restart writes nothing");
    assert_eq!(again.book("z").await["status"]["place"], 0, "the place that was released");
    assert_eq!(again.metric("library_books{shelf=\"a\"}").await.as_deref(), Some("2"));
}

/// Another process took a place of each shelf without changing its status.
#[tokio::test]
async fn restored_status_that_differs_from_the_spans_is_counted() {
    let store = FaultInjectingStore::new();
    let server = TestServer::starting(Setup::default(), store.clone()).await.restored().await;
    let count = "ipam_restored_status_disagreements_total";
    for name in ["a", "b"] {
        server.create(&format!("{API}/shelves"), &shelf(name, 3)).await;
    }
    for name in ["a", "b"] {
        store.write_span_externally(&format!("cards/platform/attic/card-{name}"), name, 0).await;
    }
    assert_eq!(server.metric(count).await.as_deref(), Some("0"));
    let again = TestServer::starting(Setup::default(), store).await.restored().await;
    assert_eq!(again.metric(count).await.as_deref(), Some("2"));
}

#[tokio::test]
async fn unauthenticated_requests_get_only_probes() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let server = TestServer::open().await;
    for (path, code) in [("/livez", 200), ("/readyz", 200), ("/readyz/ping", 401), (BOOKS, 401), ("/version", 401)] {
        let mut stream = handshake(server.address, b"http/1.1", Who::Anonymous).await;
        let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        let answer = String::from_utf8(answer).unwrap();
        assert!(answer.starts_with(&format!("HTTP/1.1 {code} ")), "{path}: {answer}");
    }
}

#[tokio::test]
async fn head_returns_the_headers_of_get() {
    let server = TestServer::open().await;
    server.book("x").await;
    for over_http2 in [false, true] {
        let client = Client::connect(server.address, over_http2).await;
        for path in [BOOKS, &format!("{BOOKS}/x"), &format!("{BOOKS}/missing"), "/livez", "/version"] {
            let get = client.send(Method::GET, path, &Value::Null).await;
            let head = client.send(Method::HEAD, path, &Value::Null).await;
            assert_eq!((head.status, head.body.len()), (get.status, 0), "{path}");
            for header in ["content-type", "content-length", "etag"] {
                assert_eq!(head.header(header), get.header(header), "{path} {header}");
            }
        }
        let watch = client.send(Method::HEAD, &format!("{BOOKS}?watch=true"), &Value::Null).await;
        assert_eq!((watch.status, watch.body.len()), (200, 0), "a HEAD of a watch does not wait for events");
    }
}

#[tokio::test]
async fn matching_etag_is_304() {
    let server = TestServer::open().await;
    for path in ["/apis", "/openapi/v3"] {
        let first = server.get(path).await;
        for over_http2 in [false, true] {
            let request = http::Request::get(format!("https://localhost{path}"));
            let request = request.header("host", "localhost").header("if-none-match", first.header("etag"));
            let client = Client::connect(server.address, over_http2).await;
            let again = client.request(request.body(http_body_util::Full::default()).unwrap()).await;
            assert_eq!((again.status, again.body.len()), (304, 0), "{path}");
            assert_eq!(again.header("etag"), first.header("etag"));
        }
    }
}

#[tokio::test]
async fn unsupported_methods_are_405() {
    let server = TestServer::open().await;
    let book = book("x", "a");
    for (method, path) in [
        (Method::POST, format!("{BOOKS}/x")),
        (Method::POST, format!("{BOOKS}/x/status")),
        (Method::POST, format!("{API}/books")),
        (Method::PUT, BOOKS.to_owned()),
        (Method::DELETE, format!("{BOOKS}/x/status")),
        (Method::POST, format!("{API}/namespaces/attic/cards")),
    ] {
        let answer = server.client.send(method.clone(), &path, &book).await;
        assert_eq!(answer.status, 405, "{method} {path}: {}", answer.text());
        assert_eq!(answer.json()["reason"], "MethodNotAllowed");
    }
    assert_eq!(server.get(&format!("{BOOKS}/x")).await.status, 404, "none of these requests created a book");
}

#[tokio::test]
async fn writing_to_a_document_is_405() {
    let server = TestServer::open().await;
    let documents = ["/", "/api", "/api/v1", "/apis", API, "/version", "/openapi/v2", "/openapi/v3"];
    for method in [Method::POST, Method::PUT, Method::DELETE] {
        for path in documents {
            let answer = server.client.send(method.clone(), path, &json!({})).await;
            assert_eq!(answer.status, 405, "{method} {path}: {}", answer.text());
            let said = (answer.json()["reason"].take(), answer.json()["message"].take());
            let words = "the server does not allow this method on the requested resource";
            assert_eq!(said, (json!("MethodNotAllowed"), json!(words)));
        }
        assert_eq!(
            server.client.send(method.clone(), "/healthz", &Value::Null).await.status,
            200,
            "as kube-apiserver's"
        );
        assert_eq!(server.client.send(method, "/nowhere", &Value::Null).await.status, 404);
    }
}

#[tokio::test]
async fn forbidden_error_names_verb_resource_and_namespace() {
    let server = TestServer::open().await;
    let visitor = Client::connect_as(Who::Visitor, server.address, true).await;
    for path in ["/version", "/apis", API, "/openapi/v3", "/healthz"] {
        assert_eq!(visitor.send(Method::GET, path, &Value::Null).await.status, 200, "{path}");
    }
    let about = |name: &str| json!({ "name": name, "group": "library.example.com", "kind": "books" });
    let cannot = |verb: &str, what: &str, place: &str| {
        format!("User \"visitor\" cannot {verb} resource \"{what}\" in API group \"library.example.com\" {place}")
    };
    let (attic, cluster) = ("in the namespace \"attic\"", "at the cluster scope");
    for (method, path, name, words) in [
        (Method::GET, BOOKS.to_owned(), "", cannot("list", "books", attic)),
        (Method::GET, format!("{BOOKS}/x"), "x", cannot("get", "books", attic)),
        (Method::DELETE, format!("{BOOKS}/x"), "x", cannot("delete", "books", attic)),
        (Method::PUT, format!("{BOOKS}/x/status"), "x", cannot("update", "books/status", attic)),
        (Method::GET, format!("{API}/books?watch=true"), "", cannot("watch", "books", cluster)),
    ] {
        let answer = visitor.send(method, &path, &Value::Null).await;
        let mut status = answer.json();
        let object = if name.is_empty() { String::new() } else { format!("\"{name}\" ") };
        assert_eq!((answer.status, &status["reason"]), (403, &json!("Forbidden")));
        assert_eq!(status["message"], format!("books.library.example.com {object}is forbidden: {words}"));
        let mut expected = about(name);
        expected.as_object_mut().unwrap().retain(|_, value| value != "");
        assert_eq!(status["details"].take(), expected);
        assert_eq!(answer.header("x-content-type-options"), "nosniff");
    }
    let metrics = visitor.send(Method::GET, "/metrics", &Value::Null).await;
    let words = "forbidden: User \"visitor\" cannot get path \"/metrics\"";
    assert_eq!((metrics.status, metrics.json()["message"].take()), (403, json!(words)));
}

/// An aggregator sends these requests, in the form without aggregated discovery.
#[tokio::test]
async fn user_without_groups_may_read_discovery_and_openapi() {
    let server = TestServer::open().await;
    let visitor = Client::connect_as(Who::Visitor, server.address, true).await;
    for (path, kind) in [
        ("/api", "APIVersions"),
        ("/apis", "APIGroupList"),
        ("/apis/library.example.com", "APIGroup"),
        (API, "APIResourceList"),
    ] {
        let document = visitor.send(Method::GET, path, &Value::Null).await;
        assert_eq!((document.status, &document.json()["kind"]), (200, &json!(kind)), "{path}");
    }
    for (path, key) in [("/openapi/v2", "swagger"), ("/openapi/v3", "paths")] {
        let document = visitor.send(Method::GET, path, &Value::Null).await;
        assert!(document.status == 200 && !document.json()[key].is_null(), "{path}");
    }
}

/// Checks that a write times out after exactly `seconds` seconds while its commit hangs.
async fn times_out(server: &TestServer, seconds: u64, method: Method, body: Value) {
    let writer = Client::connect(server.address, false).await;
    let begun = server.store.commits().len();
    server.store.plan([InjectedFault::Held]);
    let write = tokio::spawn(async move { writer.send(method, BOOKS, &body).await });
    server.store.commits_begun(begun + 1).await;
    advance(Duration::from_secs(seconds - 1)).await;
    assert_eq!(server.get(BOOKS).await.status, 200, "others are answered");
    assert!(!write.is_finished(), "it has more time than that");
    advance(Duration::from_secs(1)).await;
    let late = write.await.unwrap();
    let status = late.json();
    assert_eq!((late.status, &status["reason"]), (504, &json!("Timeout")));
    let words = "Timeout: request did not complete within the allotted timeout";
    assert!(status["message"].as_str().unwrap().starts_with(words), "{status}");
    server.store.release();
}

#[tokio::test]
async fn write_of_one_object_times_out_after_34_seconds() {
    let server = TestServer::open().await;
    let watcher = Client::connect(server.address, false).await;
    let mut watch = watcher.watch(&format!("{BOOKS}?watch=true&resourceVersion={}", server.head().await)).await;
    times_out(&server, 34, Method::POST, book("x", "a")).await;
    assert_eq!(name(&watch.expect("ADDED").await), "x", "the write was committed, and the watch continues");
}

#[tokio::test]
async fn request_times_out_after_a_minute() {
    let server = TestServer::open().await;
    server.create(BOOKS, &book("x", "a")).await;
    times_out(&server, 60, Method::DELETE, json!({})).await;
}

/// A source of random bytes that always generates the same name, except for the draws with the numbers in `lucky`.
fn monotonous(lucky: &'static [usize]) -> Setup {
    let drawn = AtomicUsize::new(0);
    let random_source = move || {
        let number = drawn.fetch_add(1, Ordering::Relaxed);
        let mut seed = [u8::try_from(number).unwrap(); 32];
        if !lucky.contains(&number) {
            // The bytes for the letters of a name.
            seed[11..16].fill(0);
        }
        Ok(RequestEntropy(seed))
    };
    Setup { random_source: Some(Arc::new(random_source)), ..Setup::default() }
}

#[tokio::test]
async fn generated_name_that_is_taken_is_generated_again() {
    // The first draw is for the shelf and the second for the first book; then come eight, of which the last gives
    // another name, and eight that give the taken one. One more would give another name.
    let server = TestServer::set_up(monotonous(&[9, 18])).await;
    let body = json!({ "metadata": { "generateName": "x-" }, "spec": { "shelf": "a" } });
    let first = server.create(BOOKS, &body).await;
    let second = server.create(BOOKS, &body).await;
    assert_eq!(name(&first).len(), 7);
    assert_ne!(name(&first), name(&second));
    let refused = server.client.send(Method::POST, BOOKS, &body).await;
    let status = refused.json();
    assert_eq!((refused.status, refused.header("retry-after")), (409, "1"), "{}", refused.text());
    assert_eq!((&status["reason"], &status["details"]["retryAfterSeconds"]), (&json!("AlreadyExists"), &json!(1)));
    let words = "already exists, the server was not able to generate a unique name for the object";
    assert!(status["message"].as_str().unwrap().ends_with(words), "{status}");
    server.book("y").await;
}

#[tokio::test]
async fn pending_delete_is_202_with_orphan_dependents_false() {
    let server = TestServer::open().await;
    let held = |name: &str| json!({ "metadata": { "name": name, "finalizers": ["example.com/hold"] }, "spec": { "shelf": "a" } });
    for (name, code, query, options) in [
        ("a", 202, "?orphanDependents=false", Value::Null),
        ("b", 202, "", json!({ "orphanDependents": false })),
        ("c", 200, "?propagationPolicy=Background", Value::Null),
        ("d", 200, "", Value::Null),
    ] {
        server.create(BOOKS, &held(name)).await;
        for _ in 0..2 {
            let answer = server.client.send(Method::DELETE, &format!("{BOOKS}/{name}{query}"), &options).await;
            assert_eq!((answer.status, &answer.json()["kind"]), (code, &json!("Book")), "{query} {options}");
        }
    }
    server.book("e").await;
    let gone = server.client.send(Method::DELETE, &format!("{BOOKS}/e?orphanDependents=false"), &Value::Null).await;
    assert_eq!((gone.status, &gone.json()["kind"]), (200, &json!("Status")), "nothing remains to wait for");
}

#[tokio::test]
async fn percent_encoded_names_are_decoded() {
    let server = TestServer::open().await;
    server.book("a.b-c").await;
    for path in [format!("{BOOKS}/a%2Eb%2dc"), format!("{API}/namespaces/%61ttic/b%6foks/a.b-c")] {
        assert_eq!(name(&server.get(&path).await.json()), "a.b-c");
    }
    for (path, code) in [
        (format!("{BOOKS}/a%2Fb"), 400),
        (format!("{BOOKS}/%2e%2e"), 400),
        (format!("{BOOKS}/a%00b"), 400),
        (format!("{BOOKS}/a%zz"), 400),
        (format!("{BOOKS}/%C3%BC"), 404),
        (format!("{BOOKS}/{}", "a".repeat(2_000)), 404),
        (format!("{API}/namespaces/{}/books/x", "a".repeat(2_000)), 404),
    ] {
        assert_eq!(server.get(&path).await.status, code, "{path}");
    }
    for namespace in ["a".repeat(2_000), "%C3%BC".to_owned(), "A".to_owned()] {
        let path = format!("{API}/namespaces/{namespace}/books");
        let answer = server.client.send(Method::POST, &path, &book("x", "a")).await;
        assert_eq!(answer.status, 422, "{}", answer.text());
    }
    let answer = server.client.send(Method::POST, BOOKS, &book(&"a".repeat(2_000), "a")).await;
    assert_eq!(answer.status, 422, "{}", answer.text());
}

#[tokio::test]
async fn panic_fails_only_its_request() {
    let server = TestServer::open().await;
    let said = json!({ "metadata": { "name": "x" }, "spec": { "shelf": "a", "title": PANICS_IN_TABLE } });
    server.create(BOOKS, &said).await;
    let request = http::Request::get(format!("https://localhost{BOOKS}/x"));
    let request = request.header("accept", "application/json;as=Table;v=v1;g=meta.k8s.io");
    let answer = server.client.request(request.body(http_body_util::Full::default()).unwrap()).await;
    assert_eq!((answer.status, &answer.json()["reason"]), (500, &json!("InternalError")));
    assert_eq!(server.get(&format!("{BOOKS}/x")).await.status, 200, "the same connection continues");
    server.book("y").await;
}

#[tokio::test]
async fn patch_errors_are_checked_in_the_order_of_kube_apiserver() {
    let server = TestServer::open().await;
    let send = async |path: &str, content_type: &str, body: &str| {
        let request = http::Request::patch(format!("https://localhost{path}")).header("content-type", content_type);
        let answer = server.client.request(request.body(body.to_owned().into()).unwrap()).await;
        answer.status
    };
    let (path, json, merge) = (format!("{BOOKS}/x"), "application/json-patch+json", "application/merge-patch+json");
    let bad_options = format!("{path}?dryRun=Some");
    for (there, expected) in [(false, 404), (true, 400)] {
        if there {
            server.book("x").await;
        }
        assert_eq!(send(&bad_options, "text/plain", "[").await, 415);
        assert_eq!(send(&bad_options, json, "[").await, 422);
        assert_eq!(send(&path, json, "[").await, 400, "it is not JSON");
        for (content_type, body) in [(json, "{}"), (json, "[1]"), (merge, "[]")] {
            assert_eq!(send(&path, content_type, body).await, expected, "{body}");
        }
    }
}

#[tokio::test]
async fn unknown_subresource_is_404() {
    let server = TestServer::open().await;
    server.book("x").await;
    let answer = server.get(&format!("{BOOKS}/x/scale")).await;
    assert_eq!((answer.status, &answer.json()["details"]["name"]), (404, &json!("x")));
}

#[tokio::test]
async fn error_response_carries_warnings() {
    let server = TestServer::open().await;
    server.book("x").await;
    let mut again = book("x", "a");
    again["spec"]["colour"] = "red".into();
    let answer = server.client.send(Method::POST, BOOKS, &again).await;
    let warning = "299 - \"unknown field \\\"spec.colour\\\"\"";
    assert_eq!((answer.status, answer.header("warning")), (409, warning));
}

#[tokio::test]
async fn pending_delete_is_202_with_orphan_dependents_false_in_the_body() {
    let server = TestServer::open().await;
    for (options, held, code) in [
        (json!({ "orphanDependents": false }), true, 202),
        (json!({ "propagationPolicy": "Background" }), true, 200),
        (json!({ "orphanDependents": false }), false, 200),
    ] {
        let mut said = book("x", "a");
        said["metadata"]["finalizers"] = if held { json!(["example.com/hold"]) } else { json!([]) };
        server.create(BOOKS, &said).await;
        let path = format!("{BOOKS}/x");
        assert_eq!(server.client.send(Method::DELETE, &path, &options).await.status, code, "{options}");
        if held {
            server.patch(&path, &json!({ "metadata": { "finalizers": null } })).await;
        }
    }
}

#[tokio::test]
async fn answered_write_is_visible_to_all_reads_immediately() {
    let server = TestServer::open().await;
    let mut watch = server.watch(&format!("{BOOKS}?watch=true&resourceVersion={}", server.head().await)).await;
    for n in 0..20 {
        let other = Client::connect(server.address, n % 2 == 0).await;
        let created = server.book(&format!("x{n}")).await;
        let path = format!("{BOOKS}/x{n}");
        assert_eq!(other.send(Method::GET, &path, &Value::Null).await.json(), created);
        for query in ["", "?resourceVersion=0", &format!("?resourceVersion={}", revision(&created))] {
            let list = other.send(Method::GET, &format!("{BOOKS}{query}"), &Value::Null).await.json();
            assert!(list["items"].as_array().unwrap().contains(&created), "{query}");
        }
        assert_eq!(watch.expect("ADDED").await, created);
    }
}

#[tokio::test]
async fn aborted_request_leaves_the_inflight_gauge() {
    const GAUGE: &str = "apiserver_current_inflight_requests{request_kind=\"mutating\"}";
    let server = TestServer::open().await;
    server.store.plan([InjectedFault::Held]);
    let begun = server.store.commits().len();
    let client = Client::connect(server.address, true).await;
    let write = tokio::spawn(async move { client.send(Method::POST, BOOKS, &book("x", "a")).await });
    server.store.commits_begun(begun + 1).await;
    assert_eq!(server.metric(GAUGE).await.as_deref(), Some("1"));
    write.abort();
    // The server detects the closed connection after some time.
    tokio::time::timeout(crate::test_server::TIMEOUT, async {
        while server.metric(GAUGE).await.as_deref() != Some("0") {}
    })
    .await
    .expect("the request is no longer counted");
    let place = "group=\"library.example.com\",version=\"v1\",resource=\"books\",subresource=\"\",scope=\"namespace\"";
    let aborted = format!("apiserver_request_aborts_total{{verb=\"POST\",{place}}}");
    assert_eq!(server.metric(&aborted).await.as_deref(), Some("1"));
    server.store.release();
    server.book("y").await;
    assert_eq!(server.get(&format!("{BOOKS}/x")).await.status, 200, "the write was committed");
}

#[tokio::test]
async fn single_health_check_shows_the_reason() {
    let server = TestServer::starting(Setup::default(), FaultInjectingStore::new()).await;
    for (path, code, text) in [
        ("/readyz/ping", 200, "ok"),
        ("/livez/ping", 200, "ok"),
        ("/healthz/ping", 200, "ok"),
        ("/readyz/restore", 500, "internal server error: the state is being read back from the store\n"),
        ("/readyz/store", 200, "ok"),
        ("/readyz/commits", 200, "ok"),
        ("/readyz/nothing", 404, "404 page not found\n"),
        ("/livez/restore", 404, "404 page not found\n"),
    ] {
        let answer = server.get(path).await;
        assert_eq!((answer.status, answer.text().as_str()), (code, text), "{path}");
    }
    let server = server.restored().await;
    assert_eq!(server.get("/readyz/restore").await.text(), "ok");
    let verbose = "[+]ping ok\n[+]store excluded: ok\n[+]commits ok\n[+]restore ok\n[+]shutdown ok\n\
                   warn: some health checks cannot be excluded: no matches for \"x\"\nreadyz check passed\n";
    assert_eq!(server.get("/readyz?verbose&exclude=store&exclude=x").await.text(), verbose);
}

#[tokio::test]
async fn failed_tls_handshakes_are_counted() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    const COUNTER: &str = "apiserver_tls_handshake_errors_total";
    let server = TestServer::open().await;
    assert_eq!(server.metric(COUNTER).await.as_deref(), Some("0"));
    for count in 1..3 {
        let mut stream = tokio::net::TcpStream::connect(server.address).await.unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
        // It is counted before the connection is closed.
        let _ = stream.read_to_end(&mut Vec::new()).await;
        assert_eq!(server.metric(COUNTER).await, Some(count.to_string()));
    }
}

#[tokio::test]
async fn process_build_and_health_metrics_are_served() {
    let server = TestServer::starting(Setup::default(), FaultInjectingStore::new()).await;
    let check = async |server: &TestServer, name: &str, probe: &str| {
        server.metric(&format!("kubernetes_healthcheck{{name=\"{name}\",type=\"{probe}\"}}")).await
    };
    assert_eq!(check(&server, "restore", "readyz").await.as_deref(), Some("0"));
    let server = server.restored().await;
    for (name, probe) in [("restore", "readyz"), ("store", "readyz"), ("commits", "readyz"), ("ping", "livez")] {
        assert_eq!(check(&server, name, probe).await.as_deref(), Some("1"), "{name}");
    }
    let version = server.get("/version").await.json();
    let build = server.metric("kubernetes_build_info").await.unwrap();
    assert!(build.contains(&format!("git_version={}", version["gitVersion"])) && build.ends_with("} 1"), "{build}");
    for (name, least) in [
        ("process_cpu_seconds_total", 0.0),
        // The year 2020.
        ("process_start_time_seconds", 1_577_836_800.0),
        ("process_resident_memory_bytes", 1e6),
        ("process_open_fds", 4.0),
    ] {
        let value: f64 = server.metric(name).await.unwrap_or_else(|| panic!("no {name}")).parse().unwrap();
        assert!(value >= least, "{name} is {value}");
    }
}

#[tokio::test]
async fn request_rejected_with_429_is_counted() {
    let limits = Limits { mutating_requests: 0, ..Limits::default() };
    let server =
        TestServer::starting(Setup { limits, ..Setup::default() }, FaultInjectingStore::new()).await.restored().await;
    assert_eq!(server.client.send(Method::POST, BOOKS, &book("x", "a")).await.status, 429);
    let place = "group=\"library.example.com\",version=\"v1\",resource=\"books\",subresource=\"\",scope=\"namespace\"";
    let counter =
        format!("apiserver_request_terminations_total{{verb=\"POST\",{place},component=\"apiserver\",code=\"429\"}}");
    assert_eq!(server.metric(&counter).await.as_deref(), Some("1"));
}

#[tokio::test]
async fn self_subject_review_counts_as_a_mutating_request() {
    let limits = Limits { mutating_requests: 0, ..Limits::default() };
    let server = TestServer::starting(Setup { limits, ..Setup::standalone() }, FaultInjectingStore::new())
        .await
        .restored()
        .await;
    let path = "/apis/authentication.k8s.io/v1/selfsubjectreviews";
    let body = json!({ "apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview" });
    assert_eq!(server.client.send(Method::POST, path, &body).await.status, 429);
}

#[tokio::test]
async fn request_metrics_have_the_labels_of_kube_apiserver() {
    let server = TestServer::open().await;
    let dry_run = server.client.send(Method::POST, &format!("{BOOKS}?dryRun=All"), &book("x", "a")).await;
    assert_eq!(dry_run.status, 201, "{}", dry_run.text());
    server.book("x").await;
    let place = "group=\"library.example.com\",version=\"v1\",resource=\"books\",subresource=\"\",scope=\"namespace\"";
    for (name, value) in [
        (
            format!(
                "apiserver_request_total{{verb=\"POST\",dry_run=\"\",{place},component=\"apiserver\",code=\"201\"}}"
            ),
            "1",
        ),
        (
            format!(
                "apiserver_request_total{{verb=\"POST\",dry_run=\"All\",{place},component=\"apiserver\",code=\"201\"}}"
            ),
            "1",
        ),
        (
            format!(
                "apiserver_request_duration_seconds_count{{verb=\"POST\",dry_run=\"All\",{place},component=\"apiserver\"}}"
            ),
            "1",
        ),
        (format!("apiserver_request_sli_duration_seconds_count{{verb=\"POST\",{place},component=\"apiserver\"}}"), "2"),
        (format!("apiserver_response_sizes_count{{verb=\"POST\",{place},component=\"apiserver\"}}"), "2"),
    ] {
        assert_eq!(server.metric(&name).await.as_deref(), Some(value), "{name}");
    }
}

#[tokio::test]
async fn timed_out_write_is_not_committed_after_the_store_recovers() {
    let server = TestServer::open().await;
    server.store.plan([InjectedFault::Held]);
    let begun = server.store.commits().len();
    let held = tokio::spawn({
        let client = server.client.clone();
        async move { client.send(Method::POST, BOOKS, &book("held", "a")).await }
    });
    server.store.commits_begun(begun + 1).await;
    // Longer than `limits::DECIDED_AHEAD_TIME_MAX`: the first is decided immediately, the second stays in the queue.
    for name in ["decided", "queued"] {
        let answer = server.client.send(Method::POST, &format!("{BOOKS}?timeout=1100ms"), &book(name, "a")).await;
        assert_eq!((answer.status, answer.json()["reason"].as_str()), (504, Some("Timeout")), "{name}");
    }
    server.store.release();
    assert_eq!(held.await.unwrap().status, 201);
    assert_eq!(server.book("after").await["status"]["place"], 1, "nothing was taken by those that timed out");
    for name in ["decided", "queued"] {
        assert_eq!(server.get(&format!("{BOOKS}/{name}")).await.status, 404, "{name}");
    }
}

#[tokio::test]
async fn errors_found_in_preparation_do_not_wait_for_a_commit() {
    let server = TestServer::set_up(Setup::standalone()).await;
    let book_x = server.book("x").await;
    server.store.plan([InjectedFault::Held]);
    let begun = server.store.commits().len();
    let held = tokio::spawn({
        let client = server.client.clone();
        async move { client.send(Method::POST, BOOKS, &book("held", "a")).await }
    });
    server.store.commits_begun(begun + 1).await;
    let path = format!("{BOOKS}/x");
    let mut invalid = book("new", "a");
    invalid["metadata"]["labels"] = json!({ "-": "" });
    let mut outdated = book_x.clone();
    outdated["metadata"]["resourceVersion"] = json!("1");
    let mut other = book_x;
    other["metadata"]["name"] = json!("y");
    let cellar = format!("{API}/namespaces/cellar/books");
    for (method, path, body, code) in [
        (Method::POST, BOOKS, &invalid, 422),
        (Method::POST, &format!("{BOOKS}?dryRun=All"), &invalid, 422),
        // The missing namespace takes precedence.
        (Method::POST, &cellar, &invalid, 404),
        (Method::PUT, &path, &outdated, 409),
        (Method::PUT, &path, &other, 400),
        (Method::PUT, &format!("{BOOKS}/none"), &book("none", "a"), 404),
    ] {
        let answer = server.client.send(method, path, body).await;
        assert_eq!(answer.status, code, "{}", answer.text());
    }
    assert!(!held.is_finished(), "the commit was still going on");
    server.store.release();
    assert_eq!(held.await.unwrap().status, 201);
}
