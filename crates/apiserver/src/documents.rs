//! The documents that describe the API: discovery, OpenAPI, version. Made once, served from memory.

use apimachinery::{
    discovery::{self, Discovery},
    kind::Registry,
    negotiate::{DiscoveryForm, negotiate_discovery},
    openapi,
    options::Query,
    refusal::Refusal,
};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::{respond, serve::Body};

/// The Kubernetes release whose behaviour is served; tools parse it.
const KUBERNETES_VERSION: (&str, &str, &str) = ("1", "34", "v1.34.0");

/// All documents of a server.
pub struct Documents {
    discovery: Discovery,
    group: String,
    group_version: String,
    openapi_root: Bytes,
    openapi: Bytes,
    openapi_hash: String,
    version: Value,
}

impl Documents {
    /// The documents of these kinds; `build` is the server's own version.
    pub fn new<W>(registry: &Registry<W>, build: &str) -> Self {
        let (group, version) = registry.group_version();
        let openapi = openapi::v3(registry).to_string();
        let openapi_hash = hash(openapi.as_bytes());
        Self {
            discovery: Discovery::new(registry),
            group: group.to_owned(),
            group_version: format!("{group}/{version}"),
            openapi_root: openapi::v3_root(registry, &openapi_hash).to_string().into(),
            openapi: openapi.into(),
            openapi_hash,
            version: version_document(build),
        }
    }

    /// The document at `path`, or `None`.
    pub fn serve(&self, path: &str, query: &Query, headers: &HeaderMap) -> Result<Option<Response<Body>>, Refusal> {
        let trimmed = path.trim_end_matches('/');
        let segments: Vec<&str> = trimmed.split('/').skip(1).collect();
        Ok(Some(match segments.as_slice() {
            ["api"] => self.discovery(headers, |_, form| discovery::core_versions(form))?,
            ["api", "v1"] => respond::json(200, &discovery::core_resource_list()),
            ["apis"] => self.discovery(headers, |d, form| match form {
                DiscoveryForm::Legacy => d.api_group_list(),
                form => d.aggregated(form),
            })?,
            ["apis", group] if *group == self.group => respond::json(200, &self.discovery.api_group()),
            ["apis", rest @ ..] if rest.join("/") == self.group_version => {
                respond::json(200, &self.discovery.api_resource_list())
            }
            ["openapi", "v3"] => self.openapi_root(headers),
            ["openapi", "v3", "apis", rest @ ..] if rest.join("/") == self.group_version => {
                self.openapi_v3(query, headers)
            }
            ["version"] => respond::json(200, &self.version),
            _ => return Ok(None),
        }))
    }

    fn discovery(
        &self,
        headers: &HeaderMap,
        document: impl Fn(&Discovery, DiscoveryForm) -> Value,
    ) -> Result<Response<Body>, Refusal> {
        let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok());
        let form = negotiate_discovery(accept)?;
        let bytes = document(&self.discovery, form).to_string();
        let etag = hash(bytes.as_bytes());
        let mut response = tagged(headers, &etag, form.content_type(), bytes.into());
        response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("public"));
        Ok(response)
    }

    fn openapi_root(&self, headers: &HeaderMap) -> Response<Body> {
        tagged(headers, &hash(&self.openapi_root), respond::JSON, self.openapi_root.clone())
    }

    fn openapi_v3(&self, query: &Query, headers: &HeaderMap) -> Response<Body> {
        match query.get("hash") {
            Some(asked) if asked != self.openapi_hash && !asked.is_empty() => self.openapi_moved(),
            asked => {
                let mut response = tagged(headers, &self.openapi_hash, respond::JSON, self.openapi.clone());
                if asked.is_some() {
                    let forever = HeaderValue::from_static("public, immutable, max-age=31536000");
                    response.headers_mut().insert(header::CACHE_CONTROL, forever);
                }
                response
            }
        }
    }

    /// Whoever asks for an old document is sent to the present one.
    fn openapi_moved(&self) -> Response<Body> {
        let mut response = respond::body(301, respond::TEXT, Bytes::new());
        let url = format!("/openapi/v3/apis/{}?hash={}", self.group_version, self.openapi_hash);
        if let Ok(url) = HeaderValue::from_str(&url) {
            response.headers_mut().insert(header::LOCATION, url);
        }
        response
    }
}

/// A document with its tag, or 304 if the client has it.
fn tagged(headers: &HeaderMap, hash: &str, content_type: &'static str, bytes: Bytes) -> Response<Body> {
    let etag = format!("\"{hash}\"");
    let known = headers.get(header::IF_NONE_MATCH).is_some_and(|value| value.as_bytes() == etag.as_bytes());
    let mut response = respond::body(200, content_type, if known { Bytes::new() } else { bytes });
    if known {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
    }
    if let Ok(etag) = HeaderValue::from_str(&etag) {
        response.headers_mut().insert(header::ETAG, etag);
    }
    response.headers_mut().insert(header::VARY, HeaderValue::from_static("Accept"));
    response
}

fn hash(bytes: &[u8]) -> String {
    format!("{:X}", Sha256::digest(bytes))
}

fn version_document(build: &str) -> Value {
    let (major, minor, version) = KUBERNETES_VERSION;
    json!({
        "major": major,
        "minor": minor,
        "gitVersion": format!("{version}+ipam-{build}"),
        "gitCommit": "",
        "gitTreeState": "clean",
        "buildDate": "",
        "goVersion": "",
        "compiler": "rustc",
        "platform": format!("{}/{}", std::env::consts::OS, std::env::consts::ARCH),
    })
}
