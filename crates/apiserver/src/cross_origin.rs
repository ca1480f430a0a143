//! Protection against cross-origin requests: a page of another site can neither read nor change objects.
//!
//! A browser adds its user's client certificate to requests that pages of other sites cause. Such a page cannot read
//! the responses, but a write takes effect without one. The rule is that of Go's `http.CrossOriginProtection`: browsers
//! mark their requests with `Sec-Fetch-Site`, or at least with `Origin`; other clients send neither. WebSocket clients
//! send `Origin`, too, with the host of their server.
//!
//! A page of another site may open a WebSocket with a token among its subprotocols: its user gave the token to the
//! page, and the credentials that a browser adds are ignored for that request ([`websocket`]).

use apimachinery::status_error::{StatusError, StatusReason};
use http::{HeaderMap, HeaderName, HeaderValue, Method, header, request::Parts};

use crate::websocket;

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
const CROSS_ORIGIN_RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");

/// Rejects a request that writes, or that upgrades the connection, if a page of another site caused it.
///
/// # Errors
/// 403 for such a request.
pub fn guard(request: &Parts) -> Result<(), StatusError> {
    if is_safe(request) || websocket::carries_token(request) {
        return Ok(());
    }
    let mut sites = request.headers.get_all(SEC_FETCH_SITE).iter().peekable();
    if sites.peek().is_some() {
        let foreign = sites.find(|site| !matches!(site.as_bytes(), b"same-origin" | b"none"));
        return foreign.map_or(Ok(()), |_| Err(forbidden("Sec-Fetch-Site")));
    }
    let own = host(request);
    let mut origins = request.headers.get_all(header::ORIGIN).iter();
    let foreign = origins.find(|origin| !own.is_some_and(|own| is_of_host(origin, own)));
    foreign.map_or(Ok(()), |_| Err(forbidden("Origin")))
}

/// Forbids other sites to load the response, and browsers to guess its media type.
pub fn protect(headers: &mut HeaderMap) {
    headers.insert(CROSS_ORIGIN_RESOURCE_POLICY, HeaderValue::from_static("same-origin"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
}

fn is_safe(request: &Parts) -> bool {
    matches!(request.method, Method::GET | Method::HEAD | Method::OPTIONS)
        && !request.headers.contains_key(header::UPGRADE)
}

/// The host that the client addressed: of the URI over HTTP/2, of the `Host` header otherwise.
fn host(request: &Parts) -> Option<&str> {
    let of_uri = request.uri.authority().map(http::uri::Authority::as_str);
    of_uri.or_else(|| request.headers.get(header::HOST)?.to_str().ok())
}

/// An opaque origin is `null`, which matches no host.
fn is_of_host(origin: &HeaderValue, host: &str) -> bool {
    let origin = origin.to_str().ok().and_then(|origin| origin.split_once("://"));
    origin
        .is_some_and(|(_, of_origin)| without_default_port(of_origin).eq_ignore_ascii_case(without_default_port(host)))
}

/// Browsers omit the default port of HTTPS from both headers; other clients may send it in one of them.
fn without_default_port(host: &str) -> &str {
    host.strip_suffix(":443").unwrap_or(host)
}

fn forbidden(header: &str) -> StatusError {
    let message = format!(
        "requests from other sites are refused, and the header {header} says that this is one; send it from a page of \
         this server's own origin, or with a client that is not a browser"
    );
    StatusError::new(StatusReason::Forbidden, message)
}
