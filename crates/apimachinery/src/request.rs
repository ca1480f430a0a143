//! Parses a request's method, path and query into the verb and target for authorization, as kube-apiserver does
//! (`RequestInfo`).
//!
//! The existence of the resource and the verbs it supports are not checked here: a POST to one object, or across all
//! namespaces, parses without error.

use crate::{
    options::{Query, percent_decode},
    resource::Verb,
    status_error::{StatusError, StatusReason},
};

/// The plural of the resource Namespace, which is also a segment of the paths of namespaced objects.
pub const NAMESPACES: &str = "namespaces";

/// HTTP methods that the API supports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Method {
    /// GET.
    Get,
    /// HEAD: a GET without a body in the response.
    Head,
    /// POST.
    Post,
    /// PUT.
    Put,
    /// PATCH.
    Patch,
    /// DELETE.
    Delete,
}

impl Method {
    /// Parses a method name (upper case); `None` if it is not supported.
    pub fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "GET" => Self::Get,
            "HEAD" => Self::Head,
            "POST" => Self::Post,
            "PUT" => Self::Put,
            "PATCH" => Self::Patch,
            "DELETE" => Self::Delete,
            _ => return None,
        })
    }
}

/// Target and method of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestInfo {
    /// HTTP method.
    pub method: Method,
    /// Target.
    pub target: Target,
}

/// Target of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// Objects, or a single one.
    Resource(ResourceTarget),
    /// Any other path, decoded, without a trailing slash: `/`, `/healthz`, `/apis/G/V`.
    Path(String),
}

impl Target {
    /// The resource target, if it is one.
    pub fn resource(&self) -> Option<&ResourceTarget> {
        match self {
            Self::Resource(target) => Some(target),
            Self::Path(_) => None,
        }
    }
}

/// Objects that a request addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResourceTarget {
    /// The API group; empty for the core group.
    pub group: String,
    /// The API version.
    pub version: String,
    /// The plural resource.
    pub resource: String,
    /// The namespace; `None` for all namespaces or a cluster-scoped kind.
    pub namespace: Option<String>,
    /// The name. For list, watch and deletecollection: the single name that the field selector allows.
    pub name: Option<String>,
    /// The subresource.
    pub subresource: Option<String>,
    /// The verb for authorization.
    pub verb: Verb,
}

impl RequestInfo {
    /// Parses method, path (as sent, percent-encoded) and query.
    pub fn parse(method: Method, path: &str, query: &Query) -> Result<Self, StatusError> {
        let segments = split(path)?;
        let parts: Vec<&str> = segments.iter().map(String::as_str).collect();
        let target = match parts.as_slice() {
            parts if parts.contains(&"") => None,
            ["api", version, rest @ ..] => resource_target(method, "", version, rest, query)?,
            ["apis", group, version, rest @ ..] => resource_target(method, group, version, rest, query)?,
            _ => None,
        };
        let target = target.map_or_else(|| Target::Path(format!("/{}", segments.join("/"))), Target::Resource);
        Ok(Self { method, target })
    }

    /// The verb for authorization. For a plain path it is the method in lower case.
    pub fn verb(&self) -> &'static str {
        match (&self.target, self.method) {
            (Target::Resource(target), _) => target.verb.as_str(),
            (Target::Path(_), Method::Get | Method::Head) => "get",
            (Target::Path(_), Method::Post) => "post",
            (Target::Path(_), Method::Put) => "put",
            (Target::Path(_), Method::Patch) => "patch",
            (Target::Path(_), Method::Delete) => "delete",
        }
    }
}

/// Parses a path after group and version; `None` if it does not address a resource.
fn resource_target(
    method: Method,
    group: &str,
    version: &str,
    parts: &[&str],
    query: &Query,
) -> Result<Option<ResourceTarget>, StatusError> {
    let (watch_path, parts) = match parts {
        ["watch", rest @ ..] if !rest.is_empty() => (true, rest),
        parts => (false, parts),
    };
    let Some(path_parts) = PathParts::parse(parts)? else {
        return Ok(None);
    };
    let name = path_parts.name.map(str::to_owned);
    let verb = verb_of(method, watch_path, name.is_some(), query)?;
    Ok(Some(ResourceTarget {
        group: group.to_owned(),
        version: version.to_owned(),
        resource: path_parts.resource.to_owned(),
        namespace: path_parts.namespace.map(str::to_owned),
        name: name.or_else(|| selected_name(verb, query)),
        subresource: path_parts.subresource.map(str::to_owned),
        verb,
    }))
}

/// Parts of a path after group and version.
struct PathParts<'a> {
    namespace: Option<&'a str>,
    resource: &'a str,
    name: Option<&'a str>,
    subresource: Option<&'a str>,
}

impl<'a> PathParts<'a> {
    fn parse(parts: &[&'a str]) -> Result<Option<Self>, StatusError> {
        let (namespace, parts) = match *parts {
            // A namespace is itself an object, with its own subresources.
            [NAMESPACES, namespace] | [NAMESPACES, namespace, "status" | "finalize"] => (Some(namespace), parts),
            [NAMESPACES, namespace, ref rest @ ..] => (Some(namespace), rest),
            _ => (None, parts),
        };
        let (resource, name, subresource) = match *parts {
            [] => return Ok(None),
            [resource] => (resource, None, None),
            [resource, name] => (resource, Some(name), None),
            [resource, name, subresource] => (resource, Some(name), Some(subresource)),
            _ => {
                return Err(StatusError::new(
                    StatusReason::NotFound,
                    "the server could not find the requested resource",
                ));
            }
        };
        for name in [namespace, name].into_iter().flatten() {
            check_name(name)?;
        }
        Ok(Some(Self { namespace, resource, name, subresource }))
    }
}

/// Rejects names that are not valid path segments.
fn check_name(name: &str) -> Result<(), StatusError> {
    match name_error(name) {
        None => Ok(()),
        Some(why) => Err(StatusError::bad_request(format!("Name parameter invalid: {name:?}: {why}"))),
    }
}

fn name_error(name: &str) -> Option<&'static str> {
    match name {
        "." => Some("may not be '.'"),
        ".." => Some("may not be '..'"),
        _ if name.contains('/') => Some("may not contain '/'"),
        _ if name.contains('%') => Some("may not contain '%'"),
        _ => None,
    }
}

/// The verb for authorization.
fn verb_of(method: Method, watch_path: bool, named: bool, query: &Query) -> Result<Verb, StatusError> {
    let reads = matches!(method, Method::Get | Method::Head);
    if watch_path && !reads {
        let message = "the server does not allow this method on the requested resource";
        return Err(StatusError::new(StatusReason::MethodNotAllowed, message));
    }
    Ok(match method {
        Method::Get | Method::Head if watch_path => Verb::Watch,
        Method::Get | Method::Head if named => Verb::Get,
        Method::Get | Method::Head if query.flag("watch") => Verb::Watch,
        Method::Get | Method::Head => Verb::List,
        Method::Post => Verb::Create,
        Method::Put => Verb::Update,
        Method::Patch => Verb::Patch,
        Method::Delete if named => Verb::Delete,
        Method::Delete => Verb::DeleteCollection,
    })
}

/// The name to which `fieldSelector=metadata.name=x` restricts a collection, so that roles with `resourceNames` apply.
fn selected_name(verb: Verb, query: &Query) -> Option<String> {
    if !matches!(verb, Verb::List | Verb::Watch | Verb::DeleteCollection) {
        return None;
    }
    let name = exact_name(query.get("fieldSelector")?)?;
    // An invalid name is not an error here, because the selector is validated when it is applied.
    (!name.is_empty() && name_error(&name).is_none()).then_some(name)
}

/// The value of the first requirement `metadata.name=x` or `metadata.name==x`, with escapes (`\\`, `\,`, `\=`)
/// resolved.
fn exact_name(selector: &str) -> Option<String> {
    let mut term = String::new();
    let mut chars = selector.chars();
    loop {
        match chars.next() {
            Some('\\') => term.extend(['\\'].into_iter().chain(chars.next())),
            Some(',') | None if term.starts_with("metadata.name=") => return unescape(&term),
            Some(',') => term.clear(),
            Some(c) => term.push(c),
            None => return None,
        }
    }
}

fn unescape(term: &str) -> Option<String> {
    let value = term.strip_prefix("metadata.name=")?;
    let value = value.strip_prefix('=').unwrap_or(value);
    let mut name = String::new();
    let mut chars = value.chars();
    while let Some(c) = chars.next() {
        name.push(if c == '\\' { chars.next()? } else { c });
    }
    Some(name)
}

/// Decodes the segments of a path, without a slash at either end. A percent-encoded slash stays in its segment, so that
/// decoding never changes the target of a path.
fn split(path: &str) -> Result<Vec<String>, StatusError> {
    let path = path.strip_prefix('/').unwrap_or(path);
    let path = path.strip_suffix('/').unwrap_or(path);
    if path.is_empty() {
        return Ok(Vec::new());
    }
    let decode = |segment: &str| {
        let text = percent_decode(segment).filter(|text| !text.chars().any(char::is_control));
        text.ok_or_else(|| StatusError::bad_request("the path of the request is not valid percent-encoded UTF-8"))
    };
    path.split('/').map(decode).collect()
}

#[cfg(test)]
mod tests;
