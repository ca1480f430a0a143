//! Requests that a page of another site makes a browser send, and the headers that hide responses from other sites.

use bytes::Bytes;
use http::{Method, Request};
use http_body_util::Full;
use serde_json::Value;

use crate::{
    sample_kinds::{BOOKS, book},
    test_server::{Answer, Client, Setup, TestServer, Who, request},
};

/// Headers that a browser adds to a request, and whether the server accepts a write with them.
const CASES: [(&[(&str, &str)], bool); 15] = [
    (&[], true),
    (&[("sec-fetch-site", "same-origin")], true),
    (&[("sec-fetch-site", "none")], true),
    (&[("sec-fetch-site", "same-origin"), ("origin", "https://localhost")], true),
    (&[("origin", "https://localhost")], true),
    (&[("origin", "https://LOCALHOST")], true),
    (&[("origin", "https://localhost:443")], true),
    (&[("sec-fetch-site", "cross-site")], false),
    (&[("sec-fetch-site", "same-site")], false),
    (&[("sec-fetch-site", "cross-site"), ("origin", "https://localhost")], false),
    (&[("sec-fetch-site", "same-origin"), ("sec-fetch-site", "cross-site")], false),
    (&[("sec-fetch-site", "")], false),
    (&[("origin", "https://evil.example")], false),
    (&[("origin", "https://localhost:8443")], false),
    (&[("origin", "null")], false),
];

async fn send(client: &Client, method: Method, path: &str, headers: &[(&str, &str)], body: &Value) -> Answer {
    let request = request(method, path, &Value::Null);
    let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
    let text = if body.is_null() { String::new() } else { body.to_string() };
    client.request(request.body(Full::from(text)).unwrap()).await
}

#[tokio::test]
async fn cross_origin_writes_are_403_before_authentication() {
    let server = TestServer::open().await;
    for over_http2 in [false, true] {
        let client = Client::connect(server.address, over_http2).await;
        for (index, (headers, acts)) in CASES.into_iter().enumerate() {
            let name = format!("b{index}-{over_http2}");
            // Without a content type, as a page sends it that must avoid a CORS preflight request.
            let answer = send(&client, Method::POST, BOOKS, headers, &book(&name, "a")).await;
            assert_eq!(answer.status, if acts { 201 } else { 403 }, "{headers:?}: {}", answer.text());
            if !acts {
                let status = answer.json();
                assert_eq!(status["reason"], "Forbidden");
                let message = status["message"].as_str().unwrap();
                assert!(message.contains("requests from other sites are refused"), "{message}");
            }
            let found = server.get(&format!("{BOOKS}/{name}")).await.status;
            assert_eq!(found, if acts { 200 } else { 404 }, "{headers:?}");
        }
    }
    let anonymous = Client::connect_as(Who::Anonymous, server.address, false).await;
    let cross = [("sec-fetch-site", "cross-site")];
    assert_eq!(
        send(&anonymous, Method::POST, BOOKS, &cross, &book("x", "a")).await.status,
        403,
        "before authentication"
    );
    assert_eq!(send(&anonymous, Method::POST, BOOKS, &[], &book("x", "a")).await.status, 401);
}

#[tokio::test]
async fn cross_origin_writes_and_upgrades_are_403() {
    let server = TestServer::open().await;
    let book = server.book("x").await;
    let path = format!("{BOOKS}/x");
    for over_http2 in [false, true] {
        let client = Client::connect(server.address, over_http2).await;
        for method in [Method::PUT, Method::PATCH, Method::DELETE, Method::POST] {
            let answer = send(&client, method.clone(), &path, &[("sec-fetch-site", "cross-site")], &book).await;
            assert_eq!(answer.status, 403, "{method}");
        }
        for method in [Method::GET, Method::HEAD] {
            let answer = send(&client, method.clone(), &path, &[("sec-fetch-site", "cross-site")], &Value::Null).await;
            assert_eq!(answer.status, 200, "{method}: another site cannot read it");
        }
    }
    let client = Client::connect(server.address, false).await;
    let upgrade = [("upgrade", "websocket"), ("connection", "upgrade"), ("origin", "https://evil.example")];
    assert_eq!(send(&client, Method::GET, &path, &upgrade, &Value::Null).await.status, 403);
    assert_eq!(server.get(&path).await.json(), book, "nothing was changed");
}

#[tokio::test]
async fn every_response_has_the_cross_origin_headers() {
    let server = TestServer::set_up(Setup::standalone()).await;
    server.book("x").await;
    let expect = |what: &str, headers: &http::HeaderMap| {
        let header =
            |name: &str| headers.get_all(name).iter().map(|v| v.to_str().unwrap().to_owned()).collect::<Vec<_>>();
        assert_eq!(header("cross-origin-resource-policy"), ["same-origin"], "{what}");
        assert_eq!(header("x-content-type-options"), ["nosniff"], "{what}");
    };
    for over_http2 in [false, true] {
        let client = Client::connect(server.address, over_http2).await;
        let anonymous = Client::connect_as(Who::Anonymous, server.address, over_http2).await;
        for path in [
            BOOKS,
            "/livez",
            "/readyz?verbose",
            "/metrics",
            "/version",
            "/",
            "/openapi/v2",
            "/apis",
            "/nowhere",
            "/apis/library.example.com/v1/shelves/none",
            "/apis/library.example.com/v1/shelves?limit=x",
        ] {
            for client in [&client, &anonymous] {
                for method in [Method::GET, Method::HEAD, Method::OPTIONS, Method::POST] {
                    let answer = client.send(method.clone(), path, &Value::Null).await;
                    expect(&format!("{method} {path}: {}", answer.status), &answer.headers);
                }
            }
        }
        let cross = send(&client, Method::POST, BOOKS, &[("sec-fetch-site", "cross-site")], &book("y", "a")).await;
        expect("a refused write", &cross.headers);
        let watch = Request::get(format!("https://localhost{BOOKS}?watch=true")).header("host", "localhost");
        let watch = client.open(watch.body(Full::<Bytes>::default()).unwrap()).await;
        assert_eq!(watch.status(), 200);
        expect("a watch", watch.headers());
    }
}
