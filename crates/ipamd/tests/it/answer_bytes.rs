//! The exact bytes of responses: the final newline as kube-apiserver writes it, and the matching headers.

use std::io::Read as _;

use flate2::read::GzDecoder;
use http::Method;
use serde_json::{Value, json};
use testkit::{Answer, claim};

use crate::support::{API, CLAIMS, POOLS, ServerFixture, TIMEOUT};

const TABLE: &str = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";
const PARTIAL: &str = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1";
const AGGREGATED: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";

/// Asserts that the body is compact JSON followed by one newline.
#[track_caller]
fn assert_line(answer: &Answer, what: &str) {
    let text = answer.text();
    let (json, rest) = text.split_once('\n').unwrap_or_else(|| panic!("{what} has no newline: {text}"));
    assert_eq!(rest, "", "{what} has text after its newline");
    serde_json::from_str::<Value>(json).unwrap();
    assert_eq!(answer.header("content-length"), Some(&*text.len().to_string()), "{what}");
}

#[tokio::test]
async fn compact_json_responses_end_with_one_newline() {
    let front = ServerFixture::with_pool().await;
    let wanted = json!({ "metadata": { "name": "a" }, "spec": { "poolRef": { "name": "root" }, "prefixLength": 24 } });
    assert_line(&front.post(CLAIMS, wanted.clone()).await, "a create");
    assert_line(&front.post(CLAIMS, wanted).await, "a refusal");
    let one = format!("{CLAIMS}/a");
    assert_line(&front.patch(&one, "merge", &json!({ "metadata": { "labels": { "x": "y" } } })).await, "a patch");
    let v1 = format!("{API}/");
    for (path, accept) in [
        (&*one, "application/json"),
        (&one, TABLE),
        (&one, PARTIAL),
        (CLAIMS, "application/json"),
        (CLAIMS, TABLE),
        (POOLS, "*/*"),
        ("/api", "application/json"),
        ("/api/v1", "application/json"),
        ("/apis", "application/json"),
        ("/apis", AGGREGATED),
        (&v1, "application/json"),
        ("/apis/ipam.miloapis.com", "application/json"),
        (&format!("{CLAIMS}/nothing"), "application/json"),
        (&format!("{CLAIMS}?fieldSelector=x%3Dy"), "application/json"),
        ("/openapi/v2", "image/png"),
    ] {
        assert_line(&front.get_as(path, accept).await, &format!("{path} as {accept}"));
    }
    let review = json!({ "spec": { "resourceAttributes": { "verb": "get", "resource": "ippools" } } });
    assert_line(&front.post("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", review).await, "a review");
    assert_line(&front.server.http_anonymous().get(CLAIMS).await.unwrap(), "a 401");
    let head = front.send(Method::HEAD, &one, &[], "").await;
    let length = front.get(&one).await.body.len();
    assert_eq!((head.body.len(), head.header("content-length")), (0, Some(&*length.to_string())));
    assert_line(&front.send(Method::DELETE, &one, &[], "").await, "a deletion");
}

#[tokio::test]
async fn indented_json_and_documents_have_no_trailing_newline() {
    let front = ServerFixture::with_pool().await;
    for path in [&format!("{POOLS}/root?pretty=1"), &format!("{POOLS}?pretty=true"), &"/apis?pretty=1".to_owned()] {
        let text = front.get(path).await.text();
        assert!(text.starts_with("{\n  \"") && text.ends_with("\n}"), "{path}: {text}");
    }
    for path in ["/version", "/"] {
        let text = front.get(path).await.text();
        assert!(text.starts_with("{\n  \"") && text.ends_with("\n}"), "{path}: {text}");
        assert_eq!(front.get(&format!("{path}?pretty=0")).await.text(), text, "{path} has one form");
    }
    for path in ["/openapi/v2", "/openapi/v3", "/openapi/v3/apis/ipam.miloapis.com/v1alpha1"] {
        let text = front.get(path).await.text();
        assert!(!text.contains('\n') && text.ends_with('}'), "{path}");
        assert_eq!(front.get(&format!("{path}?pretty=1")).await.text(), text, "{path} has one form");
    }
    let yaml = front.get_as(&format!("{POOLS}/root"), "application/yaml").await.text();
    assert!(yaml.ends_with('\n') && !yaml.ends_with("\n\n"), "{yaml}");
    assert_eq!(
        (front.get("/healthz").await.text(), front.get("/readyz/ping").await.text()),
        ("ok".into(), "ok".into())
    );
}

#[tokio::test]
async fn gzip_list_decompresses_to_the_plain_response() {
    let front = ServerFixture::with_pool().await;
    for index in 0..2 {
        // With the annotations, the list exceeds the size from which responses are compressed.
        let mut object = Value::from(claim(&format!("c{index}")).pool("root").length(24));
        object["metadata"]["annotations"] = json!({ "note": "x".repeat(100_000) });
        assert_eq!(front.post(CLAIMS, object).await.status, 201);
    }
    let plain = front.get(CLAIMS).await;
    let small = front.send(Method::GET, CLAIMS, &[("accept-encoding", "gzip")], "").await;
    assert_eq!(small.header("content-encoding"), Some("gzip"));
    let mut unzipped = Vec::new();
    GzDecoder::new(&small.body[..]).read_to_end(&mut unzipped).unwrap();
    assert!(plain.body.ends_with(b"]}\n"));
    assert_eq!(unzipped, plain.body);
}

#[tokio::test]
async fn watch_events_are_newline_delimited_json() {
    let front = ServerFixture::with_pool().await;
    let request = http::Request::get(format!("{POOLS}?watch=true")).body(bytes::Bytes::new()).unwrap();
    let mut stream = front.http.open(request).await.unwrap();
    let line = stream.line(TIMEOUT).await.unwrap().unwrap();
    let event: Value = serde_json::from_slice(&line).unwrap();
    assert_eq!((&event["type"], &event["object"]["metadata"]["name"]), (&json!("ADDED"), &json!("root")));
}
