//! Requests and responses. Warnings of the server are printed as they arrive.

use std::error::Error;

use http::{HeaderMap, HeaderValue, Method, Request, Response, header};
use http_body_util::BodyExt as _;
use kube::{
    Client, Config,
    client::Body,
    config::{KubeConfigOptions, Kubeconfig},
    core::Status,
};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, PercentEncode, utf8_percent_encode};
use serde_json::Value;

use crate::{
    args::{Connection, DryRun},
    client,
    proxy::Proxy,
    report::{Failure, Report, printable},
};

/// Field manager of this client's writes.
const FIELD_MANAGER: &str = "ipam";
/// Characters of a response that is not from the API, in an error message.
const RESPONSE_EXCERPT_CHARS_MAX: usize = 200;

pub(crate) const JSON: &str = "application/json";
pub(crate) const MERGE_PATCH: &str = "application/merge-patch+json";
/// `Accept` header for a table. A server without support for tables responds with the objects as JSON.
pub(crate) const TABLE: &str = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";

/// A connection to a server.
pub(crate) struct ApiClient {
    client: Client,
    /// URL of the server and its proxy, for messages.
    server: String,
    /// Namespace of the context.
    pub(crate) namespace: String,
}

/// A request.
pub(crate) struct RequestBuilder {
    method: Method,
    path: String,
    query: String,
    accept: &'static str,
    body: Option<(&'static str, Value)>,
}

impl RequestBuilder {
    pub(crate) fn get(path: &str) -> Self {
        Self { method: Method::GET, path: path.to_owned(), query: String::new(), accept: JSON, body: None }
    }

    /// A request with a body, with strict field validation and a field manager.
    pub(crate) fn write(method: Method, path: &str, content_type: &'static str, body: &Value) -> Self {
        let request = Self { method, body: Some((content_type, body.clone())), ..Self::get(path) };
        request.query("fieldManager", FIELD_MANAGER).query("fieldValidation", "Strict")
    }

    pub(crate) fn delete(path: &str) -> Self {
        Self { method: Method::DELETE, ..Self::get(path) }
    }

    pub(crate) fn accept(self, accept: &'static str) -> Self {
        Self { accept, ..self }
    }

    pub(crate) fn query(mut self, name: &str, value: &str) -> Self {
        let separator = if self.query.is_empty() { '?' } else { '&' };
        self.query.push(separator);
        self.query += &format!("{name}={}", encode(value));
        self
    }

    pub(crate) fn dry_run(self, dry_run: Option<DryRun>) -> Self {
        match dry_run {
            Some(DryRun::Server) => self.query("dryRun", "All"),
            None => self,
        }
    }

    fn into_request(self) -> Result<Request<Body>, http::Error> {
        let request =
            Request::builder().method(self.method).uri(self.path + &self.query).header(header::ACCEPT, self.accept);
        match self.body {
            Some((content_type, body)) => {
                request.header(header::CONTENT_TYPE, content_type).body(Body::from(body.to_string().into_bytes()))
            }
            None => request.body(Body::empty()),
        }
    }
}

impl ApiClient {
    pub(crate) async fn connect(connection: &Connection) -> Result<Self, Failure> {
        let (config, proxy_url) =
            configuration(connection).await.map_err(|error| Failure::InvalidInput(error_text(&*error)))?;
        let environment = |name: &str| std::env::var(name).ok();
        let proxy =
            Proxy::for_server(&config.cluster_url, proxy_url.as_deref(), environment).map_err(Failure::InvalidInput)?;
        let server = config.cluster_url.to_string().trim_end_matches('/').to_owned();
        let server = match &proxy {
            Some(proxy) => format!("{server} (through the proxy {})", proxy.uri.to_string().trim_end_matches('/')),
            None => server,
        };
        let namespace = config.default_namespace.clone();
        let client =
            client::client(config, proxy.as_ref()).map_err(|error| Failure::InvalidInput(error_text(&error)))?;
        Ok(Self { client, server, namespace })
    }

    #[cfg(test)]
    pub(crate) fn with_client(client: Client) -> Self {
        Self { client, server: "the fake server".to_owned(), namespace: "default".to_owned() }
    }

    /// Sends a request, and decodes the JSON response.
    pub(crate) async fn send(&self, request: RequestBuilder, report: &mut Report<'_>) -> Result<Value, Failure> {
        let unreachable = |error: &(dyn Error + 'static)| {
            Failure::Unreachable(format!("{} cannot be reached: {}", self.server, error_text(error)))
        };
        let request = request.into_request().map_err(|error| Failure::InvalidInput(error.to_string()))?;
        let response = self.client.send(request).await.map_err(|error| match error {
            // The outer error has no text of its own.
            kube::Error::Service(source) => unreachable(&*source),
            error => unreachable(&error),
        })?;
        for warning in warnings(response.headers()) {
            report.note(&format!("Warning: {}", printable(&warning)))?;
        }
        let (head, body) = response.into_parts();
        let body = body.collect().await.map_err(|error| unreachable(&error))?.to_bytes();
        parse_response(&Response::from_parts(head, body.as_ref()))
    }
}

/// Loads the kubeconfig and its `proxy-url`.
async fn configuration(connection: &Connection) -> Result<(Config, Option<String>), Box<dyn Error + Send + Sync>> {
    let options = KubeConfigOptions { context: connection.context.clone(), ..KubeConfigOptions::default() };
    let kubeconfig = match &connection.kubeconfig {
        Some(path) => Kubeconfig::read_from(path)?,
        None => Kubeconfig::read()?,
    };
    Ok(client::configuration(kubeconfig, &options).await?)
}

fn parse_response(response: &Response<&[u8]>) -> Result<Value, Failure> {
    let (code, body) = (response.status(), *response.body());
    let not_an_api_response = || {
        let text: String = String::from_utf8_lossy(body).chars().take(RESPONSE_EXCERPT_CHARS_MAX).collect();
        Failure::Unreachable(format!("the server responded with {code} and an unknown body: {text}"))
    };
    if code.is_success() {
        return serde_json::from_slice(body).map_err(|_| not_an_api_response());
    }
    match serde_json::from_slice::<Status>(body) {
        Ok(status) if !(status.message.is_empty() && status.reason.is_empty()) => Err(Failure::Refused(status.boxed())),
        _ => Err(not_an_api_response()),
    }
}

/// The texts of `Warning: 299 - "text"` headers.
fn warnings(headers: &HeaderMap) -> Vec<String> {
    let text = |value: &HeaderValue| {
        let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
        let quoted = value.split_once('"')?.1.rsplit_once('"')?.0;
        Some(quoted.replace("\\\"", "\"").replace("\\\\", "\\"))
    };
    headers.get_all(header::WARNING).iter().filter_map(text).collect()
}

/// Formats an error with its sources, without repetitions.
fn error_text(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let more = error.to_string();
        if !text.contains(&more) {
            text += &format!(": {more}");
        }
        source = error.source();
    }
    text
}

/// All characters except the unreserved ones of RFC 3986.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Percent-encodes a path segment or query value.
pub(crate) fn encode(text: &str) -> PercentEncode<'_> {
    utf8_percent_encode(text, RESERVED)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_encoded() {
        let request = RequestBuilder::write(Method::POST, "/apis", JSON, &Value::Null).dry_run(Some(DryRun::Server));
        let request = request.query("labelSelector", "a in (b, ü)").into_request().unwrap();
        assert_eq!(
            request.uri().to_string(),
            "/apis?fieldManager=ipam&fieldValidation=Strict&dryRun=All&labelSelector=a%20in%20%28b%2C%20%C3%BC%29"
        );
        assert_eq!(encode("../../b?c").to_string(), "..%2F..%2Fb%3Fc");
    }

    #[test]
    fn responses_that_are_not_from_the_api_are_errors() {
        let answer = |code: u16, body: &'static str| {
            parse_response(&Response::builder().status(code).body(body.as_bytes()).unwrap())
        };
        assert_eq!(answer(200, "{}").unwrap(), serde_json::json!({}));
        for (code, body) in [(200, "<html>"), (502, "<html>"), (404, "{}")] {
            assert!(
                matches!(answer(code, body), Err(Failure::Unreachable(text)) if text.contains(body)),
                "{code} {body}"
            );
        }
        let refused = r#"{"kind":"Status","code":409,"reason":"AlreadyExists","message":"it exists"}"#;
        assert!(matches!(answer(409, refused), Err(Failure::Refused(status)) if status.is_already_exists()));
    }

    #[test]
    fn warnings_are_unquoted() {
        let mut headers = HeaderMap::new();
        headers.append(header::WARNING, HeaderValue::from_static(r#"299 - "host bits of \"10.0.0.1/8\"""#));
        headers.append(header::WARNING, HeaderValue::from_static("nonsense"));
        assert_eq!(warnings(&headers), [r#"host bits of "10.0.0.1/8""#]);
    }
}
