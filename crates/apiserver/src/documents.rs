//! The documents that describe the API: discovery, OpenAPI and version. OpenAPI documents are built once, at start.

use std::collections::BTreeMap;

use apimachinery::{
    discovery::Discovery,
    kind::{Gauge, Registry},
    negotiate::{self, DiscoveryFormat, negotiate_discovery},
    openapi,
    status_error::StatusError,
};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::{body::Body, clock, encoding, respond, stages::Authorized};

/// The Kubernetes release whose behavior is served; tools parse it.
const KUBERNETES_VERSION: (&str, &str, &str) = ("1", "34", "v1.34.0");

/// The media types in which OpenAPI v2 is served: JSON, and two spellings of protobuf.
const OPENAPI_V2_TYPES: [&str; 3] =
    [respond::JSON, "application/com.github.proto-openapi.spec.v2@v1.0+protobuf", OPENAPI_V2_PROTOBUF];
/// The content type of the protobuf response, for both spellings: a media type has no `@`.
const OPENAPI_V2_PROTOBUF: &str = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf";
/// The time for which a document with a hash in its URL may be cached, in seconds: a year.
const IMMUTABLE_SECONDS: i64 = 31_536_000;

/// All documents of a server.
pub struct Documents {
    discovery: Discovery,
    openapi_root: Document,
    /// By the end of their path.
    openapi_v3: BTreeMap<String, Document>,
    openapi_v2: Document,
    openapi_v2_protobuf: Document,
    version: Value,
}

/// A document with its hash and its compressed form.
struct Document {
    content_type: &'static str,
    hash: String,
    bytes: Bytes,
    gzipped: Bytes,
}

impl Documents {
    /// Builds the documents of these kinds; `build` is the server's own version.
    pub fn new<W>(registry: &Registry<W>, build: &str) -> Self {
        let versions = registry.group_versions();
        let v3: Vec<Value> = versions.iter().map(|(group, version)| openapi::v3(registry, group, version)).collect();
        let v2 = openapi::v2(&v3);
        let places = versions.iter().map(|(group, version)| openapi::place(group, version));
        let openapi_v3: BTreeMap<String, Document> = places.zip(v3.iter().map(Document::json)).collect();
        let hashes = openapi_v3.iter().map(|(place, document)| (place.as_str(), document.hash.as_str()));
        Self {
            discovery: Discovery::new(registry),
            openapi_root: Document::json(&openapi::v3_root(hashes)),
            openapi_v3,
            openapi_v2: Document::json(&v2),
            openapi_v2_protobuf: Document::new(OPENAPI_V2_PROTOBUF, openapi::v2_protobuf(&v2).into()),
            version: version_document(build),
        }
    }

    /// The document at `path`, or `None`.
    pub fn serve(&self, path: &str, request: &Authorized) -> Result<Option<Response<Body>>, StatusError> {
        let trimmed = path.trim_end_matches('/');
        let segments: Vec<&str> = trimmed.split('/').skip(1).collect();
        Ok(Some(match segments.as_slice() {
            [] => respond::raw_json(&self.root()),
            ["api"] => self.discovery(request, Discovery::core)?,
            ["api", "v1"] => respond::json(200, &self.discovery.core_resource_list()),
            ["apis"] => self.discovery(request, Discovery::aggregated)?,
            ["apis", group] => match self.discovery.api_group(group) {
                Some(document) => respond::json(200, &document),
                None => return Ok(None),
            },
            ["apis", group, version] if !group.is_empty() => match self.discovery.api_resource_list(group, version) {
                Some(document) => respond::json(200, &document),
                None => return Ok(None),
            },
            ["openapi", "v2"] => self.openapi_v2(request)?,
            // kubectl 1.27 requests this path when it finds no v2.
            ["swagger-2.0.0.pb-v1"] => self.openapi_v2_protobuf.answer(&request.headers),
            ["openapi", "v3"] => {
                negotiate::accepts(request.accept().as_deref(), &[respond::JSON])?;
                self.openapi_root.answer(&request.headers)
            }
            ["openapi", "v3", rest @ ..] => match self.openapi_v3.get_key_value(&rest.join("/")) {
                Some((place, document)) => openapi_v3(place, document, request)?,
                None => return Ok(None),
            },
            ["version"] => respond::raw_json(&self.version),
            _ => return Ok(None),
        }))
    }

    /// The version as a metric with labels.
    pub fn build(&self) -> Gauge {
        let named = [
            ("major", "major"),
            ("minor", "minor"),
            ("git_version", "gitVersion"),
            ("git_commit", "gitCommit"),
            ("git_tree_state", "gitTreeState"),
            ("build_date", "buildDate"),
            ("go_version", "goVersion"),
            ("compiler", "compiler"),
            ("platform", "platform"),
        ];
        let text = |field: &str| self.version[field].as_str().unwrap_or_default().to_owned();
        let labels = named.map(|(label, field)| (label, text(field))).to_vec();
        Gauge { name: "kubernetes_build_info", help: "The version of the server", samples: vec![(labels, 1.0)] }
    }

    fn discovery(
        &self,
        request: &Authorized,
        document: impl Fn(&Discovery, DiscoveryFormat) -> Value,
    ) -> Result<Response<Body>, StatusError> {
        let form = negotiate_discovery(request.accept().as_deref())?;
        let bytes = document(&self.discovery, form).to_string();
        let mut response = with_etag(&request.headers, &hash(bytes.as_bytes()), form.content_type(), bytes.into());
        response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("public"));
        Ok(response)
    }

    fn openapi_v2(&self, request: &Authorized) -> Result<Response<Body>, StatusError> {
        let document = match negotiate::accepts(request.accept().as_deref(), &OPENAPI_V2_TYPES)? {
            0 => &self.openapi_v2,
            _ => &self.openapi_v2_protobuf,
        };
        Ok(document.answer(&request.headers))
    }

    /// `GET /`: the paths other than those of objects.
    fn root(&self) -> Value {
        let mut paths: Vec<String> = ["/api", "/api/v1", "/apis", "/healthz", "/livez", "/metrics", "/openapi/v2"]
            .into_iter()
            .chain(["/openapi/v3", "/readyz", "/version"])
            .map(str::to_owned)
            .collect();
        for place in self.openapi_v3.keys() {
            let above = place.rsplit_once('/').map_or(place.as_str(), |(above, _)| above);
            paths.extend([format!("/{above}"), format!("/{place}"), format!("/openapi/v3/{place}")]);
        }
        paths.sort_unstable();
        paths.dedup();
        json!({"paths": paths})
    }
}

fn openapi_v3(place: &str, document: &Document, request: &Authorized) -> Result<Response<Body>, StatusError> {
    negotiate::accepts(request.accept().as_deref(), &[respond::JSON])?;
    let asked = request.query.get("hash").filter(|hash| !hash.is_empty());
    if asked.is_some_and(|hash| hash != document.hash) {
        return Ok(openapi_redirect(place, &document.hash));
    }
    let mut response = document.answer(&request.headers);
    if asked.is_some() {
        let forever = HeaderValue::from_static("public, immutable");
        response.headers_mut().insert(header::CACHE_CONTROL, forever);
        if let Some(expires) = clock::now().http_date_after(IMMUTABLE_SECONDS).and_then(|date| date.parse().ok()) {
            response.headers_mut().insert(header::EXPIRES, expires);
        }
    }
    Ok(response)
}

/// Redirects a request for an old document to the current one.
fn openapi_redirect(place: &str, hash: &str) -> Response<Body> {
    let mut response = respond::body(301, respond::TEXT, Bytes::new());
    if let Ok(url) = HeaderValue::from_str(&format!("/openapi/v3/{place}?hash={hash}")) {
        response.headers_mut().insert(header::LOCATION, url);
    }
    response
}

impl Document {
    fn new(content_type: &'static str, bytes: Bytes) -> Self {
        Self { content_type, hash: hash(&bytes), gzipped: encoding::gzip(&bytes), bytes }
    }

    fn json(value: &Value) -> Self {
        Self::new(respond::JSON, value.to_string().into())
    }

    /// The document, compressed for clients that accept gzip, regardless of its size.
    fn answer(&self, headers: &HeaderMap) -> Response<Body> {
        let gzip = encoding::accepts_gzip(headers);
        let bytes = if gzip { &self.gzipped } else { &self.bytes };
        let mut response = with_etag(headers, &self.hash, self.content_type, bytes.clone());
        if gzip && response.status() == StatusCode::OK {
            response.headers_mut().insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        response.headers_mut().insert(header::VARY, HeaderValue::from_static("Accept, Accept-Encoding"));
        // The hash is that of exactly these bytes.
        respond::verbatim(response)
    }
}

/// A document with its ETag, or 304 if the client has it.
fn with_etag(headers: &HeaderMap, hash: &str, content_type: &'static str, bytes: Bytes) -> Response<Body> {
    let etag = format!("\"{hash}\"");
    let known = etag_matches(headers, &etag);
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

/// True if `If-None-Match` contains the tag. A cache may have made it a weak one.
fn etag_matches(headers: &HeaderMap, etag: &str) -> bool {
    let lines = headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    let mut tags = lines.flat_map(|line| line.split(',')).map(str::trim);
    tags.any(|tag| tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == etag)
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
