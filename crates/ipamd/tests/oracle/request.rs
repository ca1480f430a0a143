//! A request that can be sent to both servers: values that each server generates, such as a uid, are placeholders in it.

use std::{collections::HashMap, fmt};

use bytes::Bytes;
use http::{Method, Request as Wire};
use ipam::condition::{ALLOCATED, READY};
use serde_json::{Value, json};

use crate::wire::Answer;

/// The last seen resourceVersion of the target.
pub const RIGHT_VERSION: &str = "$version";
/// An earlier resourceVersion of the target.
pub const STALE_VERSION: &str = "$stale-version";
/// The uid of the target.
pub const UID: &str = "$uid";
/// The resourceVersion of the last list of the collection.
pub const LIST_VERSION: &str = "$list-version";
/// The continue token of the last list of the collection.
pub const CONTINUE: &str = "$continue";
/// In a list of conditions: the last seen conditions of the target that the service has set.
pub const OWN_CONDITIONS: &str = "$own-conditions";

/// One request.
#[derive(Clone, Debug)]
pub struct Request {
    /// A description of the tested behavior.
    pub label: &'static str,
    /// The method.
    pub method: Method,
    /// The collection.
    pub collection: String,
    /// The name of the object; `None` for the collection itself.
    pub name: Option<String>,
    /// The subresource with a leading slash, such as `/status`; empty for none.
    pub subresource: &'static str,
    /// The query.
    pub query: Vec<(&'static str, String)>,
    /// The media type of the body.
    pub content_type: Option<&'static str>,
    /// The `Accept` header.
    pub accept: Option<&'static str>,
    /// The `User-Agent` header.
    pub user_agent: &'static str,
    /// The user that the administrator impersonates, if any.
    pub impersonated: Option<ImpersonatedUser>,
    /// The body.
    pub body: Body,
}

/// An impersonated user.
#[derive(Clone, Copy, Debug)]
pub struct ImpersonatedUser {
    /// The name.
    pub user: &'static str,
    /// The groups.
    pub groups: &'static [&'static str],
}

/// The body of a request.
#[derive(Clone, Debug)]
pub enum Body {
    /// None.
    Empty,
    /// This text.
    Raw(String),
    /// This value, with the placeholders replaced.
    Json(Value),
    /// The last seen target, changed by a merge patch.
    Current(Value),
}

/// The last seen objects and lists of one server.
#[derive(Default)]
pub struct Memory {
    objects: HashMap<String, Known>,
    lists: HashMap<String, (String, String)>,
}

#[derive(Default)]
struct Known {
    object: Value,
    version: String,
    stale: String,
}

impl Request {
    /// The path of the target object, without the subresource.
    pub fn target(&self) -> Option<String> {
        self.name.as_ref().map(|name| format!("{}/{name}", self.collection))
    }

    /// True if the answer is a stream of events.
    pub fn watches(&self) -> bool {
        self.query.iter().any(|(name, _)| *name == "watch")
    }

    /// True if the request may change an object.
    pub fn writes(&self) -> bool {
        self.method != Method::GET
    }

    /// Returns the request for one server.
    pub fn resolve(&self, memory: &Memory) -> anyhow::Result<Wire<Bytes>> {
        let target = self.target().or_else(|| self.body_target());
        let mut uri = self.target().unwrap_or_else(|| self.collection.clone()) + self.subresource;
        for (index, (name, value)) in self.query.iter().enumerate() {
            let mut value = Value::from(value.as_str());
            memory.fill_in(&mut value, target.as_deref(), &self.collection);
            uri.push(if index == 0 { '?' } else { '&' });
            uri += &format!("{name}={}", escaped(value.as_str().unwrap_or_default()));
        }
        let mut request = Wire::builder().method(self.method.clone()).uri(uri).header("user-agent", self.user_agent);
        if let Some(content_type) = self.content_type {
            request = request.header("content-type", content_type);
        }
        if let Some(accept) = self.accept {
            request = request.header("accept", accept);
        }
        if let Some(impersonated) = self.impersonated {
            request = request.header("impersonate-user", impersonated.user);
            request =
                impersonated.groups.iter().fold(request, |request, group| request.header("impersonate-group", *group));
        }
        let body = match &self.body {
            Body::Empty => String::new(),
            Body::Raw(text) => text.clone(),
            Body::Json(value) => self.filled(value.clone(), memory),
            Body::Current(changes) => {
                let known = target.as_ref().and_then(|target| memory.objects.get(target));
                let mut object =
                    known.map_or_else(|| json!({ "metadata": { "name": self.name } }), |known| known.object.clone());
                merge(&mut object, changes);
                self.filled(object, memory)
            }
        };
        Ok(request.body(Bytes::from(body))?)
    }

    fn filled(&self, mut value: Value, memory: &Memory) -> String {
        memory.fill_in(&mut value, self.target().or_else(|| self.body_target()).as_deref(), &self.collection);
        value.to_string()
    }

    /// The path of the object that the request creates.
    fn body_target(&self) -> Option<String> {
        let Body::Json(body) = &self.body else { return None };
        Some(format!("{}/{}", self.collection, body.pointer("/metadata/name")?.as_str()?))
    }
}

impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.target().unwrap_or_else(|| self.collection.clone());
        write!(f, "{} {path}{}", self.method, self.subresource)?;
        for (index, (name, value)) in self.query.iter().enumerate() {
            write!(f, "{}{name}={value}", if index == 0 { '?' } else { '&' })?;
        }
        if let Some(content_type) = self.content_type {
            write!(f, "  [{content_type}]")?;
        }
        if let Some(accept) = self.accept {
            write!(f, "  [accept {accept}]")?;
        }
        write!(f, "  [by {}]", self.user_agent)?;
        if let Some(ImpersonatedUser { user, groups }) = self.impersonated {
            write!(f, "  [as {user} of {groups:?}]")?;
        }
        match &self.body {
            Body::Empty => Ok(()),
            Body::Raw(text) => write!(f, "  {text}"),
            Body::Json(value) => write!(f, "  {value}"),
            Body::Current(changes) => write!(f, "  the present object, merged with {changes}"),
        }
    }
}

impl Memory {
    /// Returns the last seen object; null if it did not exist.
    pub fn object(&self, target: &str) -> &Value {
        self.objects.get(target).map_or(&Value::Null, |known| &known.object)
    }

    /// Records the answer to a GET of an object.
    pub fn see(&mut self, target: &str, answer: &Answer) {
        if answer.code != 200 {
            self.objects.remove(target);
            return;
        }
        let object = answer.json();
        let version = text(&object, "/metadata/resourceVersion");
        let known = self.objects.entry(target.to_owned()).or_default();
        if known.version != version {
            known.stale = std::mem::replace(&mut known.version, version);
        }
        known.object = object;
    }

    /// Records the answer to a list. Returns true if it is newer than all earlier ones; a list may be of an old revision.
    pub fn see_list(&mut self, collection: &str, answer: &Answer) -> bool {
        let list = answer.json();
        let (version, token) = (text(&list, "/metadata/resourceVersion"), text(&list, "/metadata/continue"));
        let known = self.lists.entry(collection.to_owned()).or_default();
        known.1 = token;
        let number = |version: &str| version.parse().unwrap_or(0_u64);
        let is_newer = answer.code == 200 && number(&version) > number(&known.0);
        if is_newer {
            known.0 = version;
        }
        is_newer
    }

    /// Returns the continue token of the last list of a collection; empty if there is none.
    pub fn token(&self, collection: &str) -> &str {
        self.lists.get(collection).map_or("", |list| &list.1)
    }

    /// Discards the continue token of a collection.
    pub fn forget_token(&mut self, collection: &str) {
        if let Some(list) = self.lists.get_mut(collection) {
            list.1.clear();
        }
    }

    /// Returns the last seen resourceVersion of an object.
    pub fn version(&self, target: &str) -> Option<&str> {
        self.objects.get(target).map(|known| known.version.as_str())
    }

    fn own_conditions(&self, target: Option<&str>) -> Vec<Value> {
        let object = target.map_or(&Value::Null, |target| self.object(target));
        let conditions = object["status"]["conditions"].as_array().into_iter().flatten();
        conditions.filter(|condition| is_own(condition)).cloned().collect()
    }

    fn fill_in(&self, value: &mut Value, target: Option<&str>, collection: &str) {
        match value {
            Value::String(text) if text.starts_with('$') => {
                let nothing = Known::default();
                let known = target.and_then(|target| self.objects.get(target)).unwrap_or(&nothing);
                let list = self.lists.get(collection);
                let found = match text.as_str() {
                    RIGHT_VERSION => or(&known.version, "1"),
                    STALE_VERSION => or(&known.stale, "1"),
                    UID => {
                        or(known.object.pointer("/metadata/uid").and_then(Value::as_str).unwrap_or_default(), "no-uid")
                    }
                    LIST_VERSION => list.map_or("", |list| &list.0).to_owned(),
                    CONTINUE => self.token(collection).to_owned(),
                    _ => return,
                };
                *text = found;
            }
            Value::Array(items) => {
                if let Some(index) = items.iter().position(|item| item == OWN_CONDITIONS) {
                    items.splice(index..=index, self.own_conditions(target));
                }
                for item in items {
                    self.fill_in(item, target, collection);
                }
            }
            Value::Object(fields) => fields.values_mut().for_each(|field| self.fill_in(field, target, collection)),
            _ => {}
        }
    }
}

/// True if the service sets this condition.
pub fn is_own(condition: &Value) -> bool {
    [ALLOCATED, READY].iter().any(|own| condition["type"] == *own)
}

fn or(text: &str, default: &str) -> String {
    if text.is_empty() { default.to_owned() } else { text.to_owned() }
}

fn text(value: &Value, pointer: &str) -> String {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// Applies a merge patch (RFC 7396), except that `"$null"` becomes an explicit null.
fn merge(value: &mut Value, changes: &Value) {
    let Value::Object(changes) = changes else {
        *value = if changes == "$null" { Value::Null } else { changes.clone() };
        return;
    };
    if !value.is_object() {
        *value = json!({});
    }
    for (name, change) in changes {
        match change {
            Value::Null => drop(value.as_object_mut().and_then(|fields| fields.remove(name))),
            change => merge(&mut value[name.as_str()], change),
        }
    }
}

fn escaped(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    text.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}
