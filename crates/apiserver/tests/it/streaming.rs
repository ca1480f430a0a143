//! Lists without a limit: streamed page by page, and aborted instead of truncated.

use std::io::Read as _;

use apimachinery::negotiate;
use apiserver::limits::{self, Limits};
use bytes::Bytes;
use http::{Method, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use serde_json::{Value, json};
use store::{Revision, Store as _};

use crate::{
    fault_injecting_store::FaultInjectingStore,
    sample_kinds::{API, BOOKS, shelf},
    test_server::{Client, Setup, TestServer, advance, request},
};

/// More than two pages.
const MANY: usize = 2 * limits::PAGE_RECORDS_MAX + 500;
/// More than the buffers of connections, windows and pages together: 300 books of 64 KiB.
const LARGE: (usize, usize) = (300, 64 * 1024);
const TABLE: &str = "application/json;as=Table;v=v1;g=meta.k8s.io";
const PARTIAL: &str = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io";

async fn with_books((count, title_bytes): (usize, usize)) -> TestServer {
    open(Setup::default(), count, title_bytes).await
}

async fn open(setup: Setup, count: usize, title_bytes: usize) -> TestServer {
    let store = FaultInjectingStore::with_books(count, title_bytes).await;
    TestServer::starting(setup, store).await.restored().await
}

/// All items of a paged list.
async fn paged(server: &TestServer, query: &str, accept: &str, place: &str) -> Vec<Value> {
    let (mut items, mut token) = (Vec::new(), String::new());
    loop {
        let path = format!("{BOOKS}?limit=400&continue={token}{query}");
        let list = server.get_with(&path, &[("accept", accept)]).await.json();
        items.extend(list[place].as_array().unwrap().iter().cloned());
        token = list["metadata"]["continue"].as_str().unwrap_or_default().to_owned();
        if token.is_empty() {
            return items;
        }
    }
}

#[tokio::test]
async fn unlimited_list_is_streamed_and_equals_its_pages() {
    let server = with_books((MANY, 1_000)).await;
    let revision = server.head().await.to_string();
    for query in ["", "&labelSelector=third%3D1", "&fieldSelector=metadata.name!%3Dx0007"] {
        for (accept, kind, place) in [
            ("application/json", "BookList", "items"),
            (TABLE, "Table", "rows"),
            (PARTIAL, "PartialObjectMetadataList", "items"),
        ] {
            let answer = server.get_with(&format!("{BOOKS}?{query}"), &[("accept", accept)]).await;
            assert_eq!((answer.status, answer.header("content-length")), (200, ""), "{accept}");
            let list = answer.json();
            assert_eq!(list["kind"], kind);
            assert_eq!(
                list["metadata"],
                json!({ "resourceVersion": revision }),
                "one snapshot, without a continue token"
            );
            assert_eq!(list["columnDefinitions"].is_array(), kind == "Table");
            let expected = paged(&server, query, accept, place).await;
            assert!(expected.len() > MANY / 4);
            assert!(list[place].as_array() == Some(&expected), "{accept}, {query}: other items than the pages have");
        }
    }
}

#[tokio::test]
async fn streamed_list_supports_every_encoding() {
    let server = with_books((MANY, 100)).await;
    let plain = server.get(BOOKS).await;
    let plain_list = plain.json();
    assert_eq!(plain.header("vary"), "Accept-Encoding");
    let pretty = server.get(&format!("{BOOKS}?pretty=true")).await;
    assert!(pretty.body == negotiate::indent(&plain.body).unwrap(), "indented like a response that is not streamed");
    let gzip = server.get_with(BOOKS, &[("accept-encoding", "gzip")]).await;
    assert_eq!(gzip.header("content-encoding"), "gzip");
    let mut unpacked = Vec::new();
    flate2::read::GzDecoder::new(&gzip.body[..]).read_to_end(&mut unpacked).unwrap();
    assert!(unpacked == plain.body, "the same bytes");
    assert!(gzip.body.len() < plain.body.len() / 5);
    let yaml = server.get_with(BOOKS, &[("accept", "application/yaml")]).await;
    assert_eq!((yaml.header("content-type"), yaml.header("content-length")), ("application/yaml", ""));
    let parsed: Value = serde_saphyr::from_slice(&yaml.body).unwrap();
    assert!(parsed == plain_list, "YAML has the same contents");
    let over_http1 = Client::connect(server.address, false).await.send(Method::GET, BOOKS, &Value::Null).await;
    assert_eq!(over_http1.header("transfer-encoding"), "chunked");
    assert!(over_http1.body == plain.body);
    let head = server.client.send(Method::HEAD, BOOKS, &Value::Null).await;
    assert_eq!((head.status, head.body.len(), head.header("content-length")), (200, 0, ""));
}

#[tokio::test]
async fn short_list_has_a_content_length() {
    let server = with_books((3, 10)).await;
    let answer = server.get(BOOKS).await;
    assert_eq!(answer.header("content-length"), answer.body.len().to_string());
    let empty = server.get(&format!("{BOOKS}?labelSelector=none")).await;
    assert_eq!(empty.json()["items"], json!([]));
}

/// A list whose first piece has been read.
async fn begun(client: &Client, path: &str) -> (Response<Incoming>, Vec<u8>) {
    let request = request(Method::GET, path, &Value::Null).body(Full::<Bytes>::default()).unwrap();
    let mut answer = client.open(request).await;
    assert_eq!(answer.status(), 200);
    let first = answer.frame().await.unwrap().unwrap().into_data().unwrap();
    (answer, first.into())
}

/// The rest of a response, and whether it is complete.
async fn rest((mut answer, mut bytes): (Response<Incoming>, Vec<u8>)) -> (Vec<u8>, bool) {
    while let Some(frame) = answer.frame().await {
        match frame {
            Ok(frame) => bytes.extend_from_slice(&frame.into_data().unwrap()),
            Err(_) => return (bytes, false),
        }
    }
    (bytes, true)
}

/// Checks that a list is aborted, and is not a valid document.
async fn assert_broken(list: (Response<Incoming>, Vec<u8>)) {
    let (bytes, is_whole) = rest(list).await;
    assert!(!is_whole, "it ends like a complete response, after {} bytes", bytes.len());
    assert!(serde_json::from_slice::<Value>(&bytes).is_err());
}

#[tokio::test]
async fn streamed_list_is_aborted_when_its_revision_is_compacted() {
    for over_http2 in [false, true] {
        let server = with_books(LARGE).await;
        let client = Client::connect(server.address, over_http2).await;
        let kept = begun(&client, BOOKS).await;
        assert!(rest(kept).await.1, "a list without a fault is complete");
        let list = begun(&client, BOOKS).await;
        server.create(&format!("{API}/shelves"), &shelf("z", 1)).await;
        server.store.compact(Revision(server.head().await)).await.unwrap();
        assert_broken(list).await;
    }
}

#[tokio::test]
async fn streamed_list_is_aborted_when_the_store_fails() {
    for over_http2 in [false, true] {
        let server = with_books(LARGE).await;
        let client = Client::connect(server.address, over_http2).await;
        let list = begun(&client, BOOKS).await;
        server.store.blind(Some("attic/"));
        assert_broken(list).await;
        let client = Client::connect(server.address, over_http2).await;
        let refused = client.send(Method::GET, BOOKS, &Value::Null).await;
        assert_eq!(
            (refused.status, &refused.json()["reason"]),
            (503, &json!("ServiceUnavailable")),
            "an error before the first byte is a status code"
        );
    }
}

#[tokio::test]
async fn streamed_list_is_aborted_when_it_is_read_too_slowly() {
    assert!(limits::LIST_TIME_MAX < limits::HISTORY_AGE_MIN);
    let server = with_books(LARGE).await;
    let list = begun(&server.client, BOOKS).await;
    advance(limits::LIST_TIME_MAX).await;
    assert_broken(list).await;
    let asked = begun(&server.client, &format!("{BOOKS}?timeout=30s")).await;
    advance(std::time::Duration::from_secs(31)).await;
    assert_broken(asked).await;
}

#[tokio::test]
async fn response_keeps_its_permit_until_its_last_byte_is_sent() {
    let limits = Limits { read_requests: 1, ..Limits::default() };
    for path in [BOOKS.to_owned(), format!("{BOOKS}?limit=30")] {
        for ends in [true, false] {
            let server = open(Setup { limits, ..Setup::default() }, LARGE.0, LARGE.1).await;
            assert_eq!(
                server.client.send(Method::HEAD, &path, &Value::Null).await.status,
                200,
                "a HEAD holds no permit"
            );
            let reader = Client::connect(server.address, true).await;
            let list = begun(&reader, &path).await;
            let one = format!("{BOOKS}/x0000");
            let refused = server.get(&one).await;
            assert_eq!((refused.status, refused.header("retry-after")), (429, "1"), "{path}");
            let in_flight = "apiserver_current_inflight_requests{request_kind=\"readOnly\"}";
            assert_eq!(server.metric(in_flight).await.as_deref(), Some("2"), "the list and this request");
            if ends {
                assert!(rest(list).await.1);
                assert_eq!(server.get(&one).await.status, 200, "{path}");
            } else {
                // The server detects a disconnected client when the connection is closed.
                drop((list, reader));
                while server.get(&one).await.status != 200 {}
            }
        }
    }
}

#[tokio::test]
async fn streamed_list_is_measured_after_its_last_byte() {
    let server = with_books(LARGE).await;
    let labels = "verb=\"LIST\",group=\"library.example.com\",version=\"v1\",resource=\"books\"";
    let count = format!("apiserver_response_sizes_count{{{labels}");
    assert_eq!(server.metric(&count).await, None);
    let list = begun(&server.client, BOOKS).await;
    assert_eq!(server.metric(&count).await, None);
    assert!(rest(list).await.1);
    assert!(server.metric(&count).await.unwrap().ends_with(" 1"));
}
