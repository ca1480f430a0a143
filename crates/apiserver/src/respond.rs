//! Responses: bodies, headers, and the conversion of an API error to an HTTP response.

use apimachinery::{
    list_meta::ListMeta,
    negotiate::{Representation, to_yaml},
    object::Object,
    resource::Resource,
    status_error::{Status, StatusError},
    table, warning,
};
use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use http_body::Body as _;
use serde_json::Value;

use crate::{body::Body, clock};

/// JSON without a charset, which old clients do not expect.
pub const JSON: &str = "application/json";
/// Plain text, as kube-apiserver sends it.
pub const TEXT: &str = "text/plain; charset=utf-8";

/// A response with a body of a known type.
pub fn body(code: u16, content_type: &'static str, body: impl Into<Body>) -> Response<Body> {
    let mut response = Response::new(body.into());
    *response.status_mut() = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache, private"));
    response
}

/// A JSON response.
pub fn json(code: u16, value: &Value) -> Response<Body> {
    body(code, JSON, value.to_string())
}

/// A JSON response that is indented for every client, without a trailing newline: raw JSON in kube-apiserver's terms.
pub fn raw_json(value: &Value) -> Response<Body> {
    verbatim(body(200, JSON, format!("{value:#}")))
}

/// Marks a response whose bytes are sent unchanged, also to a client that requests indented JSON.
#[derive(Clone, Copy, Debug)]
pub struct Verbatim;

/// Marks the response as [`Verbatim`].
pub fn verbatim(mut response: Response<Body>) -> Response<Body> {
    response.extensions_mut().insert(Verbatim);
    response
}

/// Encodes one object as a response. `bytes` is its plain JSON.
pub fn object(
    representation: Representation,
    resource: &Resource,
    object: &Object,
    bytes: Bytes,
    code: u16,
) -> Result<Response<Body>, StatusError> {
    let content_type = representation.content_type();
    let value = match representation {
        Representation::Json => return Ok(body(code, content_type, bytes)),
        Representation::Yaml => return Ok(body(code, content_type, to_yaml(&object.to_value())?)),
        Representation::Table { v1beta1, include } => {
            let revision = object.metadata.resource_version.parse().unwrap_or_default();
            let meta = ListMeta { resource_version: revision, ..ListMeta::default() };
            table::table(resource, &[object], &meta, include, v1beta1, clock::now(), true)
        }
        Representation::Partial { v1beta1 } => table::partial(object, v1beta1),
    };
    Ok(body(code, content_type, value.to_string()))
}

/// A text response.
pub fn text(code: u16, text: impl Into<Bytes>) -> Response<Body> {
    body(code, TEXT, text)
}

/// The response for an API error.
pub fn error(refusal: &StatusError) -> Response<Body> {
    warn(status(&refusal.to_status()), &refusal.warnings)
}

/// A `Status`, with `Retry-After` if it contains a delay.
pub fn status(status: &Status) -> Response<Body> {
    let code = if status.code == 0 { 200 } else { status.code };
    let bytes = serde_json::to_vec(status).expect("a Status is strings and numbers");
    let mut response = body(code, JSON, bytes);
    let retry_after = status.details.as_ref().map_or(0, |details| details.retry_after_seconds);
    if retry_after > 0 {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(retry_after));
    }
    response
}

/// The response to HEAD: the headers of a GET.
pub fn without_body(response: Response<Body>) -> Response<Body> {
    let (mut head, body) = response.into_parts();
    if let Some(length) = body.size_hint().exact().filter(|length| *length > 0) {
        head.headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    }
    Response::from_parts(head, Body::from(Bytes::new()))
}

/// Adds `Warning` headers.
pub fn warn(mut response: Response<Body>, warnings: &[String]) -> Response<Body> {
    for text in warning::headers(warnings) {
        if let Ok(value) = HeaderValue::from_bytes(text.as_bytes()) {
            response.headers_mut().append(header::WARNING, value);
        }
    }
    response
}
