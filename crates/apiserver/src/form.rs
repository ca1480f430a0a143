//! The form in which a finished answer leaves: indented for people, compressed for who wants it. Streams leave as they are.

use std::io::Write as _;

use apimachinery::{negotiate, options::Query};
use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use http::{HeaderMap, HeaderValue, Request, Response, header};
use http_body::Body as _;
use http_body_util::{BodyExt as _, Either};

use crate::{limits, respond, serve::Body};

/// What a client wishes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Form {
    pretty: bool,
    gzip: bool,
}

impl Form {
    /// What the client of `request` wishes.
    pub fn of<B>(request: &Request<B>) -> Self {
        let raw = request.uri().query().filter(|query| query.contains("pretty")).unwrap_or_default();
        // A query that cannot be read is refused in time; the refusal needs no form.
        let query = Query::parse(raw).unwrap_or_default();
        let agent = request.headers().get(header::USER_AGENT).and_then(|agent| agent.to_str().ok());
        Self { pretty: negotiate::pretty(&query, agent), gzip: accepts_gzip(request.headers()) }
    }

    /// Gives `response` this form.
    pub async fn give(self, response: Response<Body>) -> Response<Body> {
        let (mut head, body) = response.into_parts();
        let Either::Left(whole) = body else { return Response::from_parts(head, body) };
        let indents = self.pretty && is_plain_json(&head.headers);
        let large = whole.size_hint().lower() > limits::COMPRESSED_BYTES_MIN;
        if !indents && !large {
            return Response::from_parts(head, Either::Left(whole));
        }
        let Ok(collected) = whole.collect().await;
        let mut bytes = collected.to_bytes();
        if let Some(indented) = indents.then(|| negotiate::indent(&bytes)).flatten() {
            bytes = indented.into();
        }
        if large && !head.headers.contains_key(header::CONTENT_ENCODING) {
            head.headers.append(header::VARY, HeaderValue::from_static("Accept-Encoding"));
            if self.gzip {
                head.headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
                bytes = gzip_aside(bytes).await;
            }
        }
        Response::from_parts(head, Either::Left(bytes.into()))
    }
}

/// Whether a client takes gzip; several lines count as one list.
pub fn accepts_gzip(headers: &HeaderMap) -> bool {
    let lines: Vec<&str> =
        headers.get_all(header::ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok()).collect();
    negotiate::accepts_gzip(Some(&lines.join(",")))
}

/// Compresses quickly rather than well.
pub fn gzip(bytes: &[u8]) -> Bytes {
    let mut encoder = GzEncoder::new(Vec::with_capacity(bytes.len() / 4), Compression::fast());
    let compressed = encoder.write_all(bytes).and_then(|()| encoder.finish());
    compressed.expect("writing to memory does not fail").into()
}

/// The same in a thread where it holds nobody up: a long list takes many milliseconds.
async fn gzip_aside(bytes: Bytes) -> Bytes {
    let compressed = tokio::task::spawn_blocking(move || gzip(&bytes)).await;
    compressed.expect("the thread runs to its end: compressing does not panic")
}

/// Whether the body is JSON that may be laid out anew. What carries a tag is known by its bytes.
fn is_plain_json(headers: &HeaderMap) -> bool {
    let json = headers.get(header::CONTENT_TYPE).is_some_and(|media| media == respond::JSON);
    json && !headers.contains_key(header::ETAG)
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    fn request(headers: &[(&str, &str)], uri: &str) -> Form {
        let builder = headers.iter().fold(Request::get(uri), |builder, (name, value)| builder.header(*name, *value));
        Form::of(&builder.body(()).unwrap())
    }

    async fn given(form: Form, response: Response<Body>) -> (HeaderMap, Bytes) {
        let (head, body) = form.give(response).await.into_parts();
        (head.headers, body.collect().await.unwrap().to_bytes())
    }

    #[test]
    fn wishes_are_in_the_query_and_the_headers() {
        let all = request(&[("accept-encoding", "br"), ("accept-encoding", "gzip")], "/x?a=b&pretty=true");
        assert_eq!(all, Form { pretty: true, gzip: true });
        assert_eq!(request(&[], "/x?a=pretty"), Form { pretty: false, gzip: false });
        assert_eq!(request(&[("user-agent", "curl/8")], "/x"), Form { pretty: true, gzip: false });
    }

    #[tokio::test]
    async fn large_bodies_are_compressed_and_small_ones_are_not() {
        let form = Form { pretty: false, gzip: true };
        let long = "x".repeat(usize::try_from(limits::COMPRESSED_BYTES_MIN).unwrap());
        let (headers, body) = given(form, respond::body(200, respond::JSON, long.clone())).await;
        assert_eq!((headers.get("content-encoding"), headers.get("vary"), &body[..]), (None, None, long.as_bytes()));
        let longer = format!("{long}x");
        let (headers, body) = given(form, respond::body(200, respond::JSON, longer.clone())).await;
        assert!(headers["content-encoding"] == "gzip" && headers["vary"] == "Accept-Encoding", "{headers:?}");
        let mut back = String::new();
        flate2::read::GzDecoder::new(&body[..]).read_to_string(&mut back).unwrap();
        assert_eq!(back, longer);
        let plain = Form { gzip: false, ..form };
        let (headers, body) = given(plain, respond::body(200, respond::JSON, longer.clone())).await;
        assert!(!headers.contains_key("content-encoding") && headers["vary"] == "Accept-Encoding", "{headers:?}");
        assert_eq!(body, longer);
    }

    #[tokio::test]
    async fn what_is_compressed_already_stays() {
        let form = Form { pretty: false, gzip: true };
        let long = "x".repeat(usize::try_from(limits::COMPRESSED_BYTES_MIN).unwrap() + 1);
        let mut response = respond::body(200, respond::JSON, long.clone());
        response.headers_mut().insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        assert_eq!(given(form, response).await.1, long);
    }

    #[tokio::test]
    async fn only_json_without_a_tag_is_indented() {
        let form = Form { pretty: true, gzip: false };
        assert_eq!(given(form, respond::body(200, respond::JSON, "{\"a\":[]}")).await.1, "{\n  \"a\": []\n}");
        for media in ["application/yaml", respond::TEXT] {
            assert_eq!(given(form, respond::body(200, media, "{\"a\":[]}")).await.1, "{\"a\":[]}", "{media}");
        }
        let mut tagged = respond::body(200, respond::JSON, "{\"a\":[]}");
        tagged.headers_mut().insert(header::ETAG, HeaderValue::from_static("\"x\""));
        assert_eq!(given(form, tagged).await.1, "{\"a\":[]}");
    }
}
