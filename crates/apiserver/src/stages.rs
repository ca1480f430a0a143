//! The stages of a request, as types: Received → Authenticated → Authorized → Decoded. Each is created only from the
//! previous one, so a handler of the last type cannot be called without the checks of the others.

use std::{error::Error, sync::Arc};

use apimachinery::{
    options::Query,
    rbac::{Attributes, Permissions, UserInfo},
    request::{Method, RequestInfo},
    status_error::{StatusError, StatusReason},
};
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Request, header, request::Parts};
use http_body::Body as _;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Incoming;

use crate::{
    authentication::TokenAuthenticator,
    budget::{Budget, Charge},
    cross_origin,
    impersonation::ImpersonatedUser,
    serve::Peer,
    websocket,
};

/// Determines the permissions of users.
pub trait Authorizer: Sync {
    /// The permissions of a user in a namespace; an empty namespace means all namespaces and cluster-scoped objects.
    fn permissions(
        &self,
        identity: &Arc<UserInfo>,
        namespace: &str,
    ) -> impl Future<Output = Result<Permissions, StatusError>> + Send;
}

/// A request that has not been authenticated.
pub struct Received {
    peer: Arc<Peer>,
    parts: Parts,
    body: Incoming,
}

/// An authenticated request.
pub struct Authenticated {
    identity: Arc<UserInfo>,
    parts: Parts,
    body: Incoming,
}

/// An authorized request.
pub struct Authorized {
    /// The parsed path and verb.
    pub info: RequestInfo,
    /// The query.
    pub query: Query,
    /// The headers.
    pub headers: HeaderMap,
    /// The user, after impersonation.
    pub identity: Arc<UserInfo>,
    /// The user's permissions in the namespace of the request.
    pub permissions: Permissions,
    /// True if the client requests a WebSocket.
    pub is_websocket: bool,
    body: Incoming,
}

/// A request whose body has been read.
pub struct Decoded {
    /// The parsed path and verb.
    pub info: RequestInfo,
    /// The query.
    pub query: Query,
    /// The headers.
    pub headers: HeaderMap,
    /// The user, after impersonation.
    pub identity: Arc<UserInfo>,
    /// The user's permissions in the namespace of the request.
    pub permissions: Permissions,
    /// The body, not yet parsed.
    pub body: Bytes,
    /// Its share of the bytes for request bodies.
    _charge: Charge,
}

impl Received {
    /// A request as received.
    pub fn new(peer: Arc<Peer>, request: Request<Incoming>) -> Self {
        let (parts, body) = request.into_parts();
        Self { peer, parts, body }
    }

    /// The path.
    pub fn path(&self) -> &str {
        self.parts.uri.path()
    }

    /// The query.
    pub fn query(&self) -> Result<Query, StatusError> {
        Query::parse(self.parts.uri.query().unwrap_or_default())
    }

    /// A header, if it is text.
    pub fn header(&self, name: header::HeaderName) -> Option<&str> {
        self.parts.headers.get(name)?.to_str().ok()
    }

    /// Rejects the request if a page of another site caused it.
    pub fn reject_cross_site(&self) -> Result<(), StatusError> {
        cross_origin::guard(&self.parts)
    }

    /// Authenticates by client certificate, or else by bearer token. If a WebSocket's subprotocols contain a token,
    /// only that counts.
    pub fn authenticate(self, tokens: &TokenAuthenticator) -> Result<Authenticated, StatusError> {
        let identity = match websocket::token(&self.parts)? {
            Some(token) => tokens.user_of_token(&token),
            None => self.peer.certificate().or_else(|| tokens.user(&self.parts.headers)),
        };
        match identity {
            Some(identity) => {
                self.peer.mark_authenticated();
                Ok(Authenticated { identity, parts: self.parts, body: self.body })
            }
            None => Err(StatusError::new(StatusReason::Unauthorized, "Unauthorized")),
        }
    }
}

impl Authenticated {
    /// Authorizes the request and any impersonation; the result has the impersonated user.
    pub async fn authorize(self, authorizer: &impl Authorizer) -> Result<Authorized, StatusError> {
        let Self { mut identity, parts, body } = self;
        let query = Query::parse(parts.uri.query().unwrap_or_default())?;
        let info = RequestInfo::parse(method(&parts.method)?, parts.uri.path(), &query)?;
        if let Some(impersonated) = ImpersonatedUser::from_headers(&parts.headers)? {
            for attributes in impersonated.required_permissions() {
                authorizer.permissions(&identity, attributes.namespace()).await?.authorize(&attributes)?;
            }
            identity = Arc::new(impersonated.identity());
        }
        let attributes = Attributes::from_request(&info);
        let permissions = authorizer.permissions(&identity, attributes.namespace()).await?;
        permissions.authorize(&attributes)?;
        let is_websocket = websocket::is_upgrade_request(&parts);
        Ok(Authorized { info, query, headers: parts.headers, identity, permissions, is_websocket, body })
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

    /// Reads the body, up to `limit` bytes, which are charged to `budget` as they arrive.
    pub async fn decode(self, limit: usize, budget: &Budget) -> Result<Decoded, StatusError> {
        let Self { info, query, headers, identity, permissions, body, .. } = self;
        let mut charge = Charge::default();
        let body = read(Limited::new(body, limit), budget, &mut charge).await.map_err(|error| match error {
            BodyReadError::Refused(refusal) => refusal,
            BodyReadError::Failed(error) if error.is::<LengthLimitError>() => {
                let message = format!("Request entity too large: limit is {limit}");
                StatusError::new(StatusReason::RequestEntityTooLarge, message)
            }
            BodyReadError::Failed(error) => StatusError::bad_request(format!("the body could not be read: {error}")),
        })?;
        Ok(Decoded { info, query, headers, identity, permissions, body, _charge: charge })
    }
}

/// Why a body could not be read.
enum BodyReadError {
    /// The budget has no room for it.
    Refused(StatusError),
    /// The connection failed, or the body is too long.
    Failed(Box<dyn Error + Send + Sync>),
}

async fn read(mut body: Limited<Incoming>, budget: &Budget, charge: &mut Charge) -> Result<Bytes, BodyReadError> {
    let mut whole = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(BodyReadError::Failed)?.into_data() else { continue };
        budget.grow(charge, data.len()).map_err(BodyReadError::Refused)?;
        if whole.is_empty() && body.is_end_stream() {
            return Ok(data);
        }
        whole.extend_from_slice(&data);
    }
    Ok(whole.freeze())
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

fn method(method: &http::Method) -> Result<Method, StatusError> {
    Method::parse(method.as_str()).ok_or_else(|| {
        let message = format!("the method {method} is not supported; GET, HEAD, POST, PUT, PATCH and DELETE are");
        StatusError::new(StatusReason::MethodNotAllowed, message)
    })
}
