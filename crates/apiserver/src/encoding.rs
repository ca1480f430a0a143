//! The encoding of a response. JSON is indented if [`negotiate::pretty`] is true, otherwise a newline is appended;
//! a large body is compressed for clients that accept gzip. Watch events are sent unchanged.

use std::io::Write as _;

use apimachinery::{
    negotiate::{self, Indenter},
    options::Query,
};
use bytes::{Bytes, BytesMut};
use flate2::{Compression, write::GzEncoder};
use futures::{StreamExt as _, stream};
use http::{HeaderMap, HeaderValue, Request, Response, header, response};
use http_body::Body as _;

use crate::{
    body::{Body, BodyError, Content, Pieces},
    limits,
    respond::{self, Verbatim},
};

/// The encoding that a client requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResponseEncoding {
    pretty: bool,
    gzip: bool,
}

impl ResponseEncoding {
    /// The encoding for the query and headers of `request`.
    pub fn from_request<B>(request: &Request<B>) -> Self {
        let raw = request.uri().query().filter(|query| query.contains("pretty")).unwrap_or_default();
        // A query that cannot be parsed is rejected later; that response needs no special encoding.
        let query = Query::parse(raw).unwrap_or_default();
        let agent = request.headers().get(header::USER_AGENT).and_then(|agent| agent.to_str().ok());
        Self { pretty: negotiate::pretty(&query, agent), gzip: accepts_gzip(request.headers()) }
    }

    /// Applies the encoding to `response`.
    pub async fn apply(self, response: Response<Body>) -> Response<Body> {
        let (mut head, body) = response.into_parts();
        let layout = self.layout(&head);
        // A document written while it is sent has no known length, and is large.
        let large =
            !body.is_events() && body.size_hint().exact().is_none_or(|length| length > limits::COMPRESSED_BYTES_MIN);
        let mut gzip = false;
        if large && !head.headers.contains_key(header::CONTENT_ENCODING) {
            head.headers.append(header::VARY, HeaderValue::from_static("Accept-Encoding"));
            if self.gzip {
                head.headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
                gzip = true;
            }
        }
        let body = body.map(async |content| match content {
            Content::Buffered(bytes) => Content::Buffered(encode_buffered(bytes, layout, gzip).await),
            Content::Document(pieces) => Content::Document(encode_stream(pieces, layout, gzip)),
            events @ Content::Events(_) => events,
        });
        Response::from_parts(head, body.await)
    }

    fn layout(self, head: &response::Parts) -> Layout {
        if head.extensions.get::<Verbatim>().is_some() || !is_json(&head.headers) {
            Layout::Unchanged
        } else if self.pretty {
            Layout::Indented
        } else {
            Layout::WithNewline
        }
    }
}

/// The layout of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Layout {
    /// Unchanged.
    Unchanged,
    /// Compact JSON with a trailing newline.
    WithNewline,
    /// JSON with one field per line and, as kube-apiserver sends it, no trailing newline.
    Indented,
}

async fn encode_buffered(bytes: Bytes, layout: Layout, gzip: bool) -> Bytes {
    let indented = (layout == Layout::Indented).then(|| negotiate::indent(&bytes)).flatten();
    let bytes = match indented {
        Some(indented) => indented.into(),
        None if layout == Layout::Unchanged || bytes.is_empty() => bytes,
        None => with_newline(bytes),
    };
    if gzip { gzip_blocking(bytes).await } else { bytes }
}

/// The bytes with a newline. They are copied only if they are shared.
fn with_newline(bytes: Bytes) -> Bytes {
    let mut line = bytes.try_into_mut().unwrap_or_else(|shared| {
        let mut copy = BytesMut::with_capacity(shared.len() + 1);
        copy.extend_from_slice(&shared);
        copy
    });
    line.extend_from_slice(b"\n");
    line.freeze()
}

/// Encodes a document piece by piece.
fn encode_stream(pieces: Pieces, layout: Layout, gzip: bool) -> Pieces {
    let press = StreamEncoder {
        pieces,
        layout,
        indenter: Indenter::default(),
        encoder: gzip.then(|| GzEncoder::new(Vec::new(), Compression::fast())),
        is_over: false,
    };
    stream::unfold(press, |mut press| async move { press.next().await.map(|piece| (piece, press)) }).boxed()
}

/// Encodes a document while it is sent.
struct StreamEncoder {
    pieces: Pieces,
    layout: Layout,
    indenter: Indenter,
    encoder: Option<GzEncoder<Vec<u8>>>,
    is_over: bool,
}

impl StreamEncoder {
    async fn next(&mut self) -> Option<Result<Bytes, BodyError>> {
        while !self.is_over {
            let formed = match self.pieces.next().await {
                Some(Ok(piece)) => self.push(piece),
                Some(Err(broken)) => {
                    self.is_over = true;
                    return Some(Err(broken));
                }
                None => {
                    self.is_over = true;
                    self.end()
                }
            };
            // The compressor buffers its output, so a piece may yield nothing.
            if !formed.is_empty() {
                return Some(Ok(formed));
            }
        }
        None
    }

    fn push(&mut self, mut piece: Bytes) -> Bytes {
        if self.layout == Layout::Indented {
            let mut indented = Vec::with_capacity(piece.len() * 2);
            self.indenter.push(&piece, &mut indented);
            piece = indented.into();
        }
        let Some(encoder) = &mut self.encoder else { return piece };
        encoder.write_all(&piece).expect("writing to memory does not fail");
        std::mem::take(encoder.get_mut()).into()
    }

    fn end(&mut self) -> Bytes {
        let newline: &'static [u8] = if self.layout == Layout::WithNewline { b"\n" } else { b"" };
        let last = self.push(Bytes::from_static(newline));
        match self.encoder.take() {
            Some(encoder) => [last, finish(encoder)].concat().into(),
            None => last,
        }
    }
}

/// True if the client accepts gzip; several header lines count as one list.
pub fn accepts_gzip(headers: &HeaderMap) -> bool {
    let lines: Vec<&str> =
        headers.get_all(header::ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok()).collect();
    negotiate::accepts_gzip(Some(&lines.join(",")))
}

/// Compresses with the fastest level.
pub fn gzip(bytes: &[u8]) -> Bytes {
    let mut encoder = GzEncoder::new(Vec::with_capacity(bytes.len() / 4), Compression::fast());
    encoder.write_all(bytes).expect("writing to memory does not fail");
    finish(encoder)
}

fn finish(encoder: GzEncoder<Vec<u8>>) -> Bytes {
    encoder.finish().expect("writing to memory does not fail").into()
}

/// Compresses on a blocking thread, because a long list takes many milliseconds.
async fn gzip_blocking(bytes: Bytes) -> Bytes {
    let compressed = tokio::task::spawn_blocking(move || gzip(&bytes)).await;
    compressed.expect("the thread runs to its end: compressing does not panic")
}

/// True if the media type of the body is JSON, with or without parameters.
fn is_json(headers: &HeaderMap) -> bool {
    let media = headers.get(header::CONTENT_TYPE).and_then(|media| media.to_str().ok());
    media.and_then(|media| media.split(';').next()).is_some_and(|media| media == respond::JSON)
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use http_body_util::BodyExt as _;

    use super::*;

    fn request(headers: &[(&str, &str)], uri: &str) -> ResponseEncoding {
        let builder = headers.iter().fold(Request::get(uri), |builder, (name, value)| builder.header(*name, *value));
        ResponseEncoding::from_request(&builder.body(()).unwrap())
    }

    async fn given(form: ResponseEncoding, response: Response<Body>) -> (HeaderMap, Bytes) {
        let (head, body) = form.apply(response).await.into_parts();
        (head.headers, body.collect().await.unwrap().to_bytes())
    }

    #[test]
    fn pretty_and_gzip_are_read_from_query_and_headers() {
        let all = request(&[("accept-encoding", "br"), ("accept-encoding", "gzip")], "/x?a=b&pretty=true");
        assert_eq!(all, ResponseEncoding { pretty: true, gzip: true });
        assert_eq!(request(&[], "/x?a=pretty"), ResponseEncoding { pretty: false, gzip: false });
        assert_eq!(request(&[("user-agent", "curl/8")], "/x"), ResponseEncoding { pretty: true, gzip: false });
    }

    #[tokio::test]
    async fn large_bodies_are_compressed_and_small_ones_are_not() {
        let form = ResponseEncoding { pretty: false, gzip: true };
        let long = "x".repeat(usize::try_from(limits::COMPRESSED_BYTES_MIN).unwrap());
        let (headers, body) = given(form, respond::body(200, respond::TEXT, long.clone())).await;
        assert_eq!((headers.get("content-encoding"), headers.get("vary"), &body[..]), (None, None, long.as_bytes()));
        let longer = format!("{long}x");
        let (headers, body) = given(form, respond::body(200, respond::TEXT, longer.clone())).await;
        assert!(headers["content-encoding"] == "gzip" && headers["vary"] == "Accept-Encoding", "{headers:?}");
        let mut back = String::new();
        flate2::read::GzDecoder::new(&body[..]).read_to_string(&mut back).unwrap();
        assert_eq!(back, longer);
        let plain = ResponseEncoding { gzip: false, ..form };
        let (headers, body) = given(plain, respond::body(200, respond::TEXT, longer.clone())).await;
        assert!(!headers.contains_key("content-encoding") && headers["vary"] == "Accept-Encoding", "{headers:?}");
        assert_eq!(body, longer);
    }

    #[tokio::test]
    async fn streamed_document_is_indented_and_compressed_piece_by_piece() {
        let text = format!("{{\"items\":[{}]}}", vec!["{\"a\":\"b\"}"; 50_000].join(","));
        let indented = negotiate::indent(text.as_bytes()).unwrap();
        let line = format!("{text}\n").into_bytes();
        for (pretty, gzip) in [(false, false), (true, false), (false, true), (true, true)] {
            let pieces: Vec<_> = text.as_bytes().chunks(1_000).map(|piece| Ok(Bytes::copy_from_slice(piece))).collect();
            let response = respond::body(200, respond::JSON, Body::document(stream::iter(pieces)));
            let (headers, body) = given(ResponseEncoding { pretty, gzip }, response).await;
            assert_eq!(headers["vary"], "Accept-Encoding");
            assert_eq!(headers.contains_key("content-encoding"), gzip);
            let mut back = Vec::new();
            if gzip {
                flate2::read::GzDecoder::new(&body[..]).read_to_end(&mut back).unwrap();
            } else {
                back = body.into();
            }
            assert_eq!(&back, if pretty { &indented } else { &line }, "pretty {pretty}, gzip {gzip}");
        }
    }

    #[tokio::test]
    async fn document_error_is_kept_with_every_encoding() {
        for (pretty, gzip) in [(false, false), (true, false), (false, true), (true, true)] {
            let pieces = stream::iter([Ok(Bytes::from("[1,")), Err(BodyError("x".to_owned())), Ok(Bytes::from("2]"))]);
            let response = respond::body(200, respond::JSON, Body::document(pieces));
            let broken =
                ResponseEncoding { pretty, gzip }.apply(response).await.into_body().collect().await.unwrap_err();
            assert_eq!(broken, BodyError("x".to_owned()));
        }
    }

    #[tokio::test]
    async fn watch_events_are_neither_indented_nor_compressed() {
        let events = stream::iter([Bytes::from("{\"a\":1}\n")]);
        let response = respond::body(200, respond::JSON, Body::events(events));
        let (headers, body) = given(ResponseEncoding { pretty: true, gzip: true }, response).await;
        assert_eq!(
            (headers.get("vary"), headers.get("content-encoding"), &body[..]),
            (None, None, &b"{\"a\":1}\n"[..])
        );
    }

    #[tokio::test]
    async fn compressed_response_is_not_compressed_again() {
        let form = ResponseEncoding { pretty: false, gzip: true };
        let long = "x".repeat(usize::try_from(limits::COMPRESSED_BYTES_MIN).unwrap() + 1);
        let mut response = respond::verbatim(respond::body(200, respond::JSON, long.clone()));
        response.headers_mut().insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        assert_eq!(given(form, response).await.1, long);
    }

    #[tokio::test]
    async fn json_is_indented_or_ends_with_a_newline() {
        let given = async |pretty, media: &'static str, text: &'static str| {
            given(ResponseEncoding { pretty, gzip: false }, respond::body(200, media, text)).await.1
        };
        for media in [respond::JSON, "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"] {
            assert_eq!(given(true, media, "{\"a\":[]}").await, "{\n  \"a\": []\n}", "{media}");
            assert_eq!(given(false, media, "{\"a\":[]}").await, "{\"a\":[]}\n", "{media}");
            assert_eq!(given(false, media, "").await, "", "{media}");
        }
        for media in ["application/yaml", "application/json-seq", respond::TEXT] {
            for pretty in [false, true] {
                assert_eq!(given(pretty, media, "{\"a\":[]}").await, "{\"a\":[]}", "{media}");
            }
        }
    }

    #[tokio::test]
    async fn adding_a_newline_does_not_change_shared_bytes() {
        let shared = Bytes::from("{}".to_owned());
        let form = ResponseEncoding { pretty: false, gzip: false };
        assert_eq!(given(form, respond::body(200, respond::JSON, shared.clone())).await.1, "{}\n");
        assert_eq!(shared, "{}");
    }

    #[tokio::test]
    async fn verbatim_response_is_not_reformatted() {
        for pretty in [false, true] {
            let response = respond::verbatim(respond::body(200, respond::JSON, "{\"a\":[]}"));
            assert_eq!(given(ResponseEncoding { pretty, gzip: false }, response).await.1, "{\"a\":[]}");
        }
    }
}
