//! The handshake of a WebSocket for a watch (RFC 6455), and the bearer token that it may contain.
//!
//! A script in a browser can add only subprotocols to the handshake. One of them may be a bearer token, as in
//! kube-apiserver. Such a token is the only credential of its request: the token of another user is not available to a
//! page, while a browser adds a client certificate to the requests of every page.

use apimachinery::status_error::{StatusError, StatusReason};
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, Version, header, request::Parts};
use tokio_util::sync::CancellationToken;
use tungstenite::handshake::derive_accept_key;

use crate::{body::Body, respond, serve::WebSocketUpgrade};

/// The prefix of a subprotocol that is a token: it is followed by the token in base64url without padding.
const TOKEN_PREFIX: &str = "base64url.bearer.authorization.k8s.io.";
/// The version of the protocol in RFC 6455.
const VERSION: HeaderValue = HeaderValue::from_static("13");

/// True if a request is the handshake of a WebSocket.
pub fn is_upgrade_request(request: &Parts) -> bool {
    let names = |name: HeaderName, token: &str| {
        list_elements(&request.headers, name).any(|element| element.eq_ignore_ascii_case(token))
    };
    request.method == Method::GET
        && request.version == Version::HTTP_11
        && names(header::UPGRADE, "websocket")
        && names(header::CONNECTION, "upgrade")
}

/// True if a request is the handshake of a WebSocket and offers a token as subprotocol.
pub fn carries_token(request: &Parts) -> bool {
    is_upgrade_request(request) && offered_protocols(&request.headers).any(is_token)
}

/// The token that a request for a WebSocket offers as subprotocol.
///
/// # Errors
/// 401 for an offer that kube-apiserver does not accept either.
pub fn token(request: &Parts) -> Result<Option<String>, StatusError> {
    if !is_upgrade_request(request) {
        return Ok(None);
    }
    let (tokens, others): (Vec<&str>, Vec<&str>) =
        offered_protocols(&request.headers).partition(|protocol| is_token(protocol));
    match tokens[..] {
        [] => Ok(None),
        [_] if others.is_empty() => Err(unauthorized(
            "the token is the only subprotocol offered; offer another one, which the response can select",
        )),
        [token] => decode(&token[TOKEN_PREFIX.len()..]).map(Some),
        _ => Err(unauthorized("several of the offered subprotocols are tokens; offer one")),
    }
}

/// The response to a handshake with another version of the protocol; it names the supported one.
pub fn check_version(headers: &HeaderMap) -> Option<Response<Body>> {
    if headers.get(header::SEC_WEBSOCKET_VERSION) == Some(&VERSION) {
        return None;
    }
    let mut response = respond::error(&StatusError::bad_request("Sec-WebSocket-Version must be 13"));
    response.headers_mut().insert(header::SEC_WEBSOCKET_VERSION, VERSION);
    Some(response)
}

/// A valid handshake.
pub struct Handshake {
    accept: HeaderValue,
    protocol: Option<HeaderValue>,
}

impl Handshake {
    /// Parses the handshake in these headers. The response selects the first offered subprotocol that is not a token.
    ///
    /// # Errors
    /// 400 without a key.
    pub fn from_headers(headers: &HeaderMap) -> Result<Self, StatusError> {
        let key = headers.get(header::SEC_WEBSOCKET_KEY).filter(|key| !key.is_empty());
        let key =
            key.ok_or_else(|| StatusError::bad_request("Sec-WebSocket-Key is missing; it is a nonce in base64"))?;
        let accept = HeaderValue::try_from(derive_accept_key(key.as_bytes())).expect("base64 is ASCII");
        let protocol = offered_protocols(headers).find(|protocol| !is_token(protocol));
        Ok(Self { accept, protocol: protocol.and_then(|protocol| HeaderValue::from_str(protocol).ok()) })
    }

    /// The response, after which `frames` are sent. They end with `stop`, or by themselves.
    pub fn answer(self, frames: Body, stop: CancellationToken) -> Response<Body> {
        let mut response = Response::new(frames);
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        response.extensions_mut().insert(WebSocketUpgrade { stop });
        let headers = response.headers_mut();
        headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(header::SEC_WEBSOCKET_ACCEPT, self.accept);
        if let Some(protocol) = self.protocol {
            headers.insert(header::SEC_WEBSOCKET_PROTOCOL, protocol);
        }
        response
    }
}

/// The subprotocols that a client offers.
fn offered_protocols(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    list_elements(headers, header::SEC_WEBSOCKET_PROTOCOL)
}

/// The elements of a header that is a list; several lines count as one.
fn list_elements(headers: &HeaderMap, name: HeaderName) -> impl Iterator<Item = &str> {
    let lines = headers.get_all(name).into_iter().filter_map(|line| line.to_str().ok());
    lines.flat_map(|line| line.split(',')).map(str::trim).filter(|element| !element.is_empty())
}

fn is_token(protocol: &str) -> bool {
    protocol.starts_with(TOKEN_PREFIX)
}

fn decode(encoded: &str) -> Result<String, StatusError> {
    let decoded = BASE64_URL_SAFE_NO_PAD.decode(encoded);
    let decoded =
        decoded.map_err(|_| unauthorized("the token among the subprotocols is not base64url without padding"))?;
    String::from_utf8(decoded).map_err(|_| unauthorized("the token among the subprotocols is not UTF-8"))
}

fn unauthorized(why: &str) -> StatusError {
    StatusError::new(StatusReason::Unauthorized, format!("Unauthorized: {why}"))
}
