//! The stages of a request, as types: Received → Authenticated → Authorized → Decoded. Each is made from the one before
//! and from nothing else, so a handler that takes the last cannot be reached around the others.

use std::sync::Arc;

use apimachinery::{
    options::Query,
    refusal::{Reason, Refusal},
    request::{Method, RequestInfo},
};
use bytes::Bytes;
use http::{HeaderMap, Request, header, request::Parts};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Incoming;

use crate::identity::Identity;

/// A request of nobody known.
pub struct Received {
    identity: Option<Arc<Identity>>,
    parts: Parts,
    body: Incoming,
}

/// A request of somebody known.
pub struct Authenticated {
    identity: Arc<Identity>,
    parts: Parts,
    body: Incoming,
}

/// A request that its user may make.
pub struct Authorized {
    /// What is asked.
    pub info: RequestInfo,
    /// The query.
    pub query: Query,
    /// The headers.
    pub headers: HeaderMap,
    /// Who asks.
    pub identity: Arc<Identity>,
    body: Incoming,
}

/// A request whose body has been read.
pub struct Decoded {
    /// What is asked.
    pub info: RequestInfo,
    /// The query.
    pub query: Query,
    /// The headers.
    pub headers: HeaderMap,
    /// Who asks.
    pub identity: Arc<Identity>,
    /// The body, not yet parsed.
    pub body: Bytes,
}

impl Received {
    /// A request as it came in.
    pub fn new(identity: Option<Arc<Identity>>, request: Request<Incoming>) -> Self {
        let (parts, body) = request.into_parts();
        Self { identity, parts, body }
    }

    /// Its path.
    pub fn path(&self) -> &str {
        self.parts.uri.path()
    }

    /// Its query.
    pub fn query(&self) -> Result<Query, Refusal> {
        Query::parse(self.parts.uri.query().unwrap_or_default())
    }

    /// Its header, if it is text.
    pub fn header(&self, name: header::HeaderName) -> Option<&str> {
        self.parts.headers.get(name)?.to_str().ok()
    }

    /// Who asks.
    pub fn authenticate(self) -> Result<Authenticated, Refusal> {
        match self.identity {
            Some(identity) => Ok(Authenticated { identity, parts: self.parts, body: self.body }),
            None => Err(Refusal::new(Reason::Unauthorized, "Unauthorized")),
        }
    }
}

impl Authenticated {
    /// Whether they may.
    pub fn authorize(self) -> Result<Authorized, Refusal> {
        let query = Query::parse(self.parts.uri.query().unwrap_or_default())?;
        let info = RequestInfo::parse(method(&self.parts.method)?, self.parts.uri.path(), &query)?;
        self.identity.authorize(&info)?;
        Ok(Authorized { info, query, headers: self.parts.headers, identity: self.identity, body: self.body })
    }
}

impl Authorized {
    /// The `Content-Type` header.
    pub fn content_type(&self) -> Option<&str> {
        self.headers.get(header::CONTENT_TYPE)?.to_str().ok()
    }

    /// The `Accept` header; several lines count as one list.
    pub fn accept(&self) -> Option<String> {
        accept(&self.headers)
    }

    /// Reads the body, up to `limit` bytes.
    pub async fn decode(self, limit: usize) -> Result<Decoded, Refusal> {
        let Self { info, query, headers, identity, body } = self;
        let body = Limited::new(body, limit).collect().await.map_err(|error| {
            if error.downcast_ref::<LengthLimitError>().is_some() {
                let message = format!("Request entity too large: limit is {limit}");
                Refusal::new(Reason::RequestEntityTooLarge, message)
            } else {
                Refusal::bad_request(format!("the body could not be read: {error}"))
            }
        })?;
        Ok(Decoded { info, query, headers, identity, body: body.to_bytes() })
    }
}

impl Decoded {
    /// The `Accept` header; several lines count as one list.
    pub fn accept(&self) -> Option<String> {
        accept(&self.headers)
    }

    /// The `Content-Type` header.
    pub fn content_type(&self) -> Option<&str> {
        self.headers.get(header::CONTENT_TYPE)?.to_str().ok()
    }

    /// The `User-Agent` header.
    pub fn user_agent(&self) -> Option<&str> {
        self.headers.get(header::USER_AGENT)?.to_str().ok()
    }
}

pub(crate) fn accept(headers: &HeaderMap) -> Option<String> {
    let lines: Vec<_> = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok()).collect();
    (!lines.is_empty()).then(|| lines.join(","))
}

fn method(method: &http::Method) -> Result<Method, Refusal> {
    Method::parse(method.as_str()).ok_or_else(|| {
        let message = format!("the method {method} is not supported; GET, HEAD, POST, PUT, PATCH and DELETE are");
        Refusal::new(Reason::MethodNotAllowed, message)
    })
}
