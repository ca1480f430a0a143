//! Documents that describe the API, and the encoding of responses: ETags, gzip, indented JSON.

use std::io::Read as _;

use bytes::Bytes;
use flate2::read::GzDecoder;
use http::Method;
use serde_json::{Value, json};

use crate::{
    sample_kinds::{API, BOOKS, shelf},
    test_server::TestServer,
};

const V2: &str = "/openapi/v2";
const V3: &str = "/openapi/v3/apis/library.example.com/v1";
const JSON: &str = "application/json";
const PROTOBUF: &str = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf";
/// The only media type that kubectl 1.27 and 1.28 accept.
const PROTOBUF_ASKED: &str = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf";

fn unzipped(bytes: &Bytes) -> Vec<u8> {
    let mut plain = Vec::new();
    GzDecoder::new(&bytes[..]).read_to_end(&mut plain).unwrap();
    plain
}

#[tokio::test]
async fn openapi_v2_is_served_as_json_and_protobuf() {
    let server = TestServer::open().await;
    for accept in [JSON, "*/*", "application/*", "text/html, application/json;q=0.1"] {
        let answer = server.get_with(V2, &[("accept", accept)]).await;
        assert_eq!((answer.status, answer.header("content-type")), (200, JSON), "{accept}");
        assert_eq!(answer.json()["swagger"], "2.0");
    }
    let json = server.get(V2).await;
    assert_eq!(json.header("content-type"), JSON, "JSON is the default");
    let protobuf = server.get_with(V2, &[("accept", PROTOBUF_ASKED)]).await;
    assert_eq!((protobuf.status, protobuf.header("content-type")), (200, PROTOBUF));
    assert!(protobuf.body.starts_with(b"\x0a\x032.0\x12"), "the first field is the version of swagger");
    assert_ne!(protobuf.header("etag"), json.header("etag"));
    for accept in [PROTOBUF, &format!("{PROTOBUF_ASKED}, {JSON}")] {
        assert_eq!(server.get_with(V2, &[("accept", accept)]).await.body, protobuf.body, "{accept}");
    }
    let old = server.get_with("/swagger-2.0.0.pb-v1", &[("accept", "application/json")]).await;
    assert_eq!((old.header("content-type"), &old.body), (PROTOBUF, &protobuf.body));
    for path in [V2, V3, "/openapi/v3"] {
        let refused = server.get_with(path, &[("accept", "text/html")]).await;
        assert_eq!((refused.status, refused.json()["reason"].as_str()), (406, Some("NotAcceptable")), "{path}");
    }
}

#[tokio::test]
async fn documents_have_etags_and_answer_304() {
    let server = TestServer::open().await;
    for (path, accept) in [(V2, JSON), (V2, PROTOBUF_ASKED), (V3, JSON), ("/openapi/v3", JSON), ("/apis", JSON)] {
        let first = server.get_with(path, &[("accept", accept)]).await;
        let tag = first.header("etag").to_owned();
        assert!(tag.len() > 2 && tag.starts_with('"') && tag.ends_with('"'), "{path}: {tag}");
        assert!(first.header("vary").contains("Accept"), "{path}");
        for known in [tag.clone(), format!("\"other\", {tag}"), format!("W/{tag}"), "*".to_owned()] {
            let again = server.get_with(path, &[("accept", accept), ("if-none-match", &known)]).await;
            assert_eq!((again.status, again.header("etag"), again.body.len()), (304, &*tag, 0), "{path} {known}");
        }
        let changed = server.get_with(path, &[("accept", accept), ("if-none-match", "\"other\"")]).await;
        assert_eq!((changed.status, &changed.body), (200, &first.body), "{path}");
    }
}

#[tokio::test]
async fn openapi_is_gzipped_regardless_of_size() {
    let server = TestServer::open().await;
    for (path, accept) in [(V2, JSON), (V2, PROTOBUF_ASKED), (V3, JSON), ("/openapi/v3", JSON)] {
        let plain = server.get_with(path, &[("accept", accept)]).await;
        assert_eq!(plain.header("content-encoding"), "");
        let small = server.get_with(path, &[("accept", accept), ("accept-encoding", "gzip")]).await;
        assert_eq!((small.header("content-encoding"), small.header("vary")), ("gzip", "Accept, Accept-Encoding"));
        assert_eq!(unzipped(&small.body), plain.body, "{path}");
        assert_eq!(small.header("etag"), plain.header("etag"));
        let refused = server.get_with(path, &[("accept", accept), ("accept-encoding", "gzip;q=0")]).await;
        assert_eq!((refused.header("content-encoding"), &refused.body), ("", &plain.body), "{path}");
        let tag = plain.header("etag");
        let known =
            server.get_with(path, &[("accept", accept), ("accept-encoding", "gzip"), ("if-none-match", tag)]).await;
        assert_eq!((known.status, known.header("content-encoding")), (304, ""));
    }
}

#[tokio::test]
async fn openapi_v3_with_hash_is_immutable_and_old_hashes_redirect() {
    let server = TestServer::open().await;
    let root = server.get("/openapi/v3").await.json();
    let url = root["paths"]["apis/library.example.com/v1"]["serverRelativeURL"].as_str().unwrap().to_owned();
    let answer = server.get(&url).await;
    assert_eq!((answer.status, answer.header("cache-control")), (200, "public, immutable"));
    let expires = jiff::fmt::rfc2822::parse(answer.header("expires")).unwrap().timestamp();
    let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs();
    let ahead = u64::try_from(expires.as_second()).unwrap() - now;
    assert!((31_535_900..=31_536_000).contains(&ahead), "{ahead} s");
    assert!(answer.header("expires").ends_with(" GMT"), "{}", answer.header("expires"));
    let without = server.get(V3).await;
    assert_eq!((without.status, without.header("expires"), &without.body), (200, "", &answer.body));
    let stale = server.get(&format!("{V3}?hash=00")).await;
    assert_eq!((stale.status, stale.header("location")), (301, &*url));
}

#[tokio::test]
async fn large_responses_are_gzipped_on_request() {
    let server = TestServer::open().await;
    server.book("first").await;
    let gzip = [("accept-encoding", "gzip")];
    let short = server.get_with(BOOKS, &gzip).await;
    assert_eq!((short.header("content-encoding"), short.header("vary")), ("", ""));
    let mut large = shelf("large", 3);
    large["metadata"]["annotations"] = json!({"text": "text".repeat(40_000)});
    server.create(&format!("{API}/shelves"), &large).await;
    for path in [format!("{API}/shelves"), format!("{API}/shelves/large")] {
        let plain = server.get(&path).await;
        assert_eq!((plain.header("content-encoding"), plain.header("vary")), ("", "Accept-Encoding"));
        let small = server.get_with(&path, &gzip).await;
        assert_eq!((small.header("content-encoding"), small.header("vary")), ("gzip", "Accept-Encoding"));
        assert_eq!((small.header("content-type"), unzipped(&small.body)), (JSON, plain.body.to_vec()));
        assert!(small.body.len() < plain.body.len() / 10, "{} of {}", small.body.len(), plain.body.len());
        let unwanted = server.get_with(&path, &[("accept-encoding", "gzip;q=0, br")]).await;
        assert_eq!((unwanted.header("content-encoding"), &unwanted.body), ("", &plain.body));
    }
    let watch = server.get_with(&format!("{API}/shelves?watch=true&timeoutSeconds=1&resourceVersion=0"), &gzip).await;
    assert_eq!((watch.status, watch.header("content-encoding")), (200, ""));
    assert!(watch.body.len() > 160_000 && watch.body.starts_with(b"{"), "{} bytes", watch.body.len());
}

#[tokio::test]
async fn json_is_indented_for_curl_and_pretty() {
    let server = TestServer::open().await;
    let path = format!("{API}/shelves/a");
    let plain = server.get(&path).await;
    assert_eq!(plain.text().find('\n'), Some(plain.body.len() - 1), "one line");
    let indented = serde_json::to_string_pretty(&plain.json()).unwrap().len();
    let curl = [("user-agent", "curl/8.14.1")];
    for answer in [server.get(&format!("{path}?pretty=true")).await, server.get_with(&path, &curl).await] {
        assert!(answer.text().starts_with("{\n  \""), "{}", answer.text());
        assert_eq!((answer.json(), answer.body.len()), (plain.json(), indented));
    }
    assert_eq!(server.get_with(&format!("{path}?pretty=false"), &curl).await.body, plain.body);
    assert!(
        server.get_with(&format!("{API}/shelves/none"), &curl).await.text().starts_with("{\n  \"kind\": \"Status\"")
    );
    assert!(server.get_with("/version", &curl).await.text().starts_with("{\n  \""));
    let yaml = [("user-agent", "curl/8.14.1"), ("accept", "application/yaml")];
    assert!(server.get_with(&path, &yaml).await.text().starts_with("apiVersion: library.example.com/v1\n"));
    let watched = server.get_with(&format!("{API}/shelves?watch=true&timeoutSeconds=1&resourceVersion=0"), &curl).await;
    let events = watched.text();
    assert!(events.lines().all(|line| serde_json::from_str::<Value>(line).is_ok()), "{events}");
}

#[tokio::test]
async fn discovery_accepts_a_trailing_slash_and_head() {
    let server = TestServer::open().await;
    for path in ["/api", "/apis", "/apis/library.example.com", API, "/version", "/openapi/v3", "/openapi/v2", "/api/v1"]
    {
        let (plain, slash) = (server.get(path).await, server.get(&format!("{path}/")).await);
        assert_eq!((plain.status, slash.status, &slash.body), (200, 200, &plain.body), "{path}");
        let head = server.client.send(Method::HEAD, path, &Value::Null).await;
        assert_eq!((head.status, head.body.len()), (200, 0), "{path}");
        for name in ["content-type", "content-length", "etag", "vary"] {
            let length = plain.body.len().to_string();
            let expected = if name == "content-length" { &length } else { plain.header(name) };
            assert_eq!(head.header(name), expected, "{path} {name}");
        }
    }
}

#[tokio::test]
async fn root_lists_all_served_paths() {
    let server = TestServer::open().await;
    let root = server.get("/").await.json();
    let paths: Vec<&str> = root["paths"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    assert!(paths.is_sorted() && paths.contains(&API) && paths.contains(&V3), "{paths:?}");
    for path in paths {
        assert_eq!(server.get(path).await.status, 200, "{path}");
    }
}
