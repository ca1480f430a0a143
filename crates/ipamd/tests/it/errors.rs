//! API errors that do not depend on the kind: each is a Status with its own code and reason.

use http::Method;
use serde_json::json;
use testkit::{claim, pool};

use crate::support::{ALLOCATIONS, API, CLAIMS, POOLS, ServerFixture, assert_refused, failure};

#[tokio::test]
async fn requests_without_credentials_are_401() {
    let front = ServerFixture::open().await;
    let stranger = front.server.http_anonymous();
    for path in [POOLS, CLAIMS, "/apis", API, "/openapi/v3", "/metrics", "/api", "/nowhere"] {
        let answer = stranger.get(path).await.unwrap();
        assert_refused(&failure(&answer), 401, "Unauthorized", &["Unauthorized"]);
    }
    let post = stranger.send_json(Method::POST, POOLS, &pool("p").cidr("10.0.0.0/8").into()).await.unwrap();
    assert_eq!(failure(&post).code, 401);
    let token = http::Request::get(POOLS).header("authorization", "Bearer forged").body("").unwrap();
    assert_eq!(failure(&stranger.send(token).await.unwrap()).code, 401, "a bad token is not an anonymous user");
    let proxied =
        http::Request::get(POOLS).header("x-remote-user", "admin").header("x-remote-group", "system:masters").body("");
    assert_eq!(failure(&stranger.send(proxied.unwrap()).await.unwrap()).code, 401, "headers are not credentials");
    assert_eq!(front.everything().await, json!([[], [], []]));
}

#[tokio::test]
async fn missing_objects_and_paths_are_404() {
    let front = ServerFixture::open().await;
    for (path, resource) in [(POOLS, "ippools"), (CLAIMS, "ipclaims"), (ALLOCATIONS, "ipallocations")] {
        let status = failure(&front.get(&format!("{path}/missing")).await);
        assert_refused(&status, 404, "NotFound", &[&format!("{resource}.ipam.miloapis.com \"missing\" not found")]);
        let details = status.details.unwrap();
        assert_eq!(
            (details.name.as_str(), details.group.as_str(), details.kind.as_str()),
            ("missing", "ipam.miloapis.com", resource)
        );
    }
    for path in [
        "/nowhere",
        "/apis/other.example.com/v1",
        &format!("{API}/ipthings"),
        "/apis/ipam.miloapis.com/v9/ippools",
        &format!("{POOLS}/a/scale"),
    ] {
        assert_eq!(front.get(path).await.status, 404, "{path}");
    }
}

#[tokio::test]
async fn unsupported_verbs_are_405() {
    let front = ServerFixture::open().await;
    let claim = claim("a").pool("root").length(24);
    for (method, path) in [
        (Method::POST, format!("{API}/ipclaims")),
        (Method::POST, ALLOCATIONS.to_owned()),
        (Method::PUT, format!("{ALLOCATIONS}/a")),
        (Method::PUT, CLAIMS.to_owned()),
        (Method::PATCH, CLAIMS.to_owned()),
        (Method::POST, format!("{CLAIMS}/a")),
        (Method::DELETE, format!("{CLAIMS}/a/status")),
        (Method::POST, format!("{CLAIMS}/a/status")),
    ] {
        let answer = front.http.send_json(method.clone(), &path, &claim.clone().into()).await.unwrap();
        let status = failure(&answer);
        assert_eq!(
            (status.code, status.reason.as_str()),
            (405, "MethodNotAllowed"),
            "{method} {path}: {}",
            status.message
        );
    }
    for method in ["TRACE", "OPTIONS", "BREW"] {
        let answer = front.send(method.parse().unwrap(), POOLS, &[], "").await;
        assert_eq!(failure(&answer).code, 405, "{method}");
    }
}

#[tokio::test]
async fn unsupported_accept_header_is_406() {
    let front = ServerFixture::open().await;
    for accept in [
        "text/html",
        "application/vnd.kubernetes.protobuf",
        "application/cbor",
        "application/json;as=Chart;g=meta.k8s.io;v=v1",
    ] {
        assert_refused(
            &failure(&front.get_as(POOLS, accept).await),
            406,
            "NotAcceptable",
            &["only the following media types are accepted", "application/json"],
        );
    }
    for accept in ["*/*", "", "application/*", "text/html, application/json;q=0.1", "application/json; charset=utf-8"] {
        assert_eq!(front.get_as(POOLS, accept).await.status, 200, "{accept:?}");
    }
}

#[tokio::test]
async fn oversized_body_is_413() {
    let front = ServerFixture::open().await;
    let mut long: serde_json::Value = pool("p").cidr("10.0.0.0/8").into();
    long["metadata"]["annotations"] = json!({ "long": "x".repeat(3 << 20) });
    let status = failure(&front.post(POOLS, long).await);
    assert_refused(&status, 413, "RequestEntityTooLarge", &["limit is 3145728"]);
    let mut annotated: serde_json::Value = pool("p").cidr("10.0.0.0/8").into();
    annotated["metadata"]["annotations"] = json!({ "long": "x".repeat(300 << 10) });
    assert_refused(&failure(&front.post(POOLS, annotated).await), 422, "Invalid", &["metadata.annotations"]);
    assert_eq!(front.everything().await, json!([[], [], []]));
}

#[tokio::test]
async fn oversized_request_header_is_431() {
    let front = ServerFixture::open().await;
    let long = "x".repeat(apiserver::limits::HEADER_BYTES_MAX as usize);
    for http in [front.server.http(), front.server.http().over_http2()] {
        let request = http::Request::get(POOLS).header("x-long", long.as_str()).body("").unwrap();
        assert_eq!(http.send(request).await.unwrap().status, 431);
    }
}

#[tokio::test]
async fn malformed_body_is_bad_request() {
    let front = ServerFixture::open().await;
    for body in ["", "{", "[]", "null", "7", "\"text\"", "{\"spec\":", "not json", "{} {}", "\u{0}"] {
        let answer = front.send(Method::POST, POOLS, &[("content-type", "application/json")], body).await;
        let status = failure(&answer);
        assert!([400, 422].contains(&status.code), "{body:?}: {status:?}");
    }
    assert_eq!(front.everything().await, json!([[], [], []]));
}

#[tokio::test]
async fn unsupported_content_type_is_415() {
    let front = ServerFixture::open().await;
    let body = serde_json::Value::from(pool("p").cidr("10.0.0.0/8")).to_string();
    for media in ["text/plain", "application/vnd.kubernetes.protobuf", "application/xml", "nonsense"] {
        let answer = front.send(Method::POST, POOLS, &[("content-type", media)], body.clone()).await;
        assert_refused(&failure(&answer), 415, "UnsupportedMediaType", &["application/json"]);
    }
    assert_eq!(front.everything().await, json!([[], [], []]));
    let parameters =
        front.send(Method::POST, POOLS, &[("content-type", "application/json; charset=utf-8")], body.clone()).await;
    assert_eq!(parameters.status, 201, "{}", parameters.text());
    let none = front.send(Method::POST, POOLS, &[], body.replace("\"p\"", "\"q\"").replace("10.0", "11.0")).await;
    assert_eq!(none.status, 201, "without a content type, the body is JSON: {}", none.text());
}

#[tokio::test]
async fn responses_have_audit_id_and_cache_control() {
    let front = ServerFixture::open().await;
    for path in [POOLS, &format!("{POOLS}/missing")] {
        let answer = front.get(path).await;
        assert_eq!(answer.header("cache-control"), Some("no-cache, private"));
        assert_eq!(answer.header("audit-id").map(str::len), Some(36), "a UUID");
    }
    let id = "11111111-2222-4333-8444-555555555555";
    let echoed = front.send(Method::GET, POOLS, &[("audit-id", id)], "").await;
    assert_eq!(echoed.header("audit-id"), Some(id));
}

#[tokio::test]
async fn head_returns_get_headers_without_body() {
    let front = ServerFixture::open().await;
    for path in [POOLS, "/apis", "/version"] {
        let (head, get) = (front.send(Method::HEAD, path, &[], "").await, front.get(path).await);
        assert_eq!(
            (head.status, head.body.len(), head.header("content-type")),
            (get.status, 0, get.header("content-type")),
            "{path}"
        );
    }
    assert_eq!(front.send(Method::HEAD, &format!("{POOLS}/missing"), &[], "").await.status, 404);
}

#[tokio::test]
async fn http2_and_http1_responses_are_equal() {
    let front = ServerFixture::open().await;
    let second = front.server.http().over_http2();
    let made = second.send_json(Method::POST, POOLS, &pool("p").cidr("10.0.0.0/8").into()).await.unwrap();
    assert_eq!(made.status, 201, "{}", made.text());
    let (one, two) = (front.get(POOLS).await, second.get(POOLS).await.unwrap());
    assert_eq!((one.status, one.body), (two.status, two.body));
}
