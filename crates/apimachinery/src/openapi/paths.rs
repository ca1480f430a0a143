//! Operations of a kind, one per supported verb.

use serde_json::{Map, Value, json};

use super::{component_name, group_version_kind, meta, reference};
use crate::{
    patch::{PATCH_TYPES, STRATEGIC},
    resource::{Resource, Subresource, Verb},
};

/// Media types of objects.
const OBJECT_TYPES: [&str; 2] = ["application/json", "application/yaml"];

/// Paths of a kind with their operations.
pub(super) fn of(resource: &Resource) -> Vec<(String, Value)> {
    let has_status = resource.subresources.contains(&Subresource::Status);
    [Place::Collection, Place::AllNamespaces, Place::Object, Place::Status]
        .into_iter()
        .filter(|place| resource.namespaced || *place != Place::AllNamespaces)
        .filter(|place| has_status || *place != Place::Status)
        .filter(|place| place.offers_anything(resource))
        .map(|place| (place.path(resource), place.path_item(resource)))
        .collect()
}

/// Target of an operation.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Collection,
    AllNamespaces,
    Object,
    Status,
}

/// An operation, as far as it is the same for all kinds.
#[derive(Clone, Copy)]
struct Operation {
    place: Place,
    verb: Verb,
}

impl Place {
    fn path(self, resource: &Resource) -> String {
        let namespaced = resource.namespaced && self != Self::AllNamespaces;
        let namespace = if namespaced { "/namespaces/{namespace}" } else { "" };
        let end = match self {
            Self::Collection | Self::AllNamespaces => "",
            Self::Object => "/{name}",
            Self::Status => "/{name}/status",
        };
        format!("/{}{namespace}/{}{end}", super::place(resource.group, resource.version), resource.plural)
    }

    fn offers(self, resource: &Resource) -> impl Iterator<Item = Verb> {
        let offered = move |verb: &Verb| self == Self::Status || resource.verbs.contains(verb);
        self.verbs().iter().copied().filter(offered)
    }

    fn offers_anything(self, resource: &Resource) -> bool {
        self.offers(resource).next().is_some()
    }

    /// The operations of the kind on this path. If the kind has a status, all verbs of the status are included.
    fn path_item(self, resource: &Resource) -> Value {
        let mut item = Map::new();
        for verb in self.offers(resource) {
            let operation = Operation { place: self, verb };
            item.insert(operation.method().to_owned(), operation.to_value(resource));
        }
        item.insert("parameters".to_owned(), Value::Array(self.path_parameters(resource)));
        Value::Object(item)
    }

    /// All verbs that are possible on this path.
    fn verbs(self) -> &'static [Verb] {
        match self {
            Self::Collection => &[Verb::List, Verb::Create, Verb::DeleteCollection],
            Self::AllNamespaces => &[Verb::List],
            Self::Object => &[Verb::Get, Verb::Update, Verb::Patch, Verb::Delete],
            Self::Status => &[Verb::Get, Verb::Update, Verb::Patch],
        }
    }

    /// The path parameters.
    fn path_parameters(self, resource: &Resource) -> Vec<Value> {
        let name = matches!(self, Self::Object | Self::Status).then_some("name");
        let namespaced = resource.namespaced && self != Self::AllNamespaces;
        let namespace = namespaced.then_some("namespace");
        name.into_iter().chain(namespace).map(path_parameter).collect()
    }
}

impl Operation {
    fn method(self) -> &'static str {
        match self.verb {
            Verb::Get | Verb::List | Verb::Watch => "get",
            Verb::Create => "post",
            Verb::Update => "put",
            Verb::Patch => "patch",
            Verb::Delete | Verb::DeleteCollection => "delete",
        }
    }

    /// `x-kubernetes-action`.
    fn action(self) -> &'static str {
        match self.verb {
            Verb::List | Verb::Watch | Verb::DeleteCollection => self.verb.as_str(),
            _ => self.method(),
        }
    }

    /// Word for the operation at the beginning of its id.
    fn word(self) -> &'static str {
        match self.verb {
            Verb::Get => "read",
            Verb::Update => "replace",
            Verb::DeleteCollection => "delete",
            verb => verb.as_str(),
        }
    }

    fn description(self, kind: &str) -> String {
        let word = self.word();
        match self.place {
            Place::Collection if self.verb == Verb::Create => {
                format!("create an object of kind {kind}")
            }
            Place::Collection => format!("{word} objects of kind {kind}"),
            Place::AllNamespaces => format!("{word} objects of kind {kind} in all namespaces"),
            Place::Object => format!("{word} the object of kind {kind} with this name"),
            Place::Status => {
                format!("{word} the status of the object of kind {kind} with this name")
            }
        }
    }

    fn to_value(self, resource: &Resource) -> Value {
        let mut value = json!({
            "description": self.description(resource.kind),
            "operationId": self.id(resource),
            "tags": [tag(resource)],
            "parameters": self.parameters(),
            "responses": self.responses(resource),
            "x-kubernetes-action": self.action(),
            "x-kubernetes-group-version-kind": group_version_kind(resource, ""),
        });
        if let Some(body) = self.body(resource) {
            value["requestBody"] = body;
        }
        value
    }

    /// Operation id in Kubernetes' style, such as `readAppsV1NamespacedDeploymentStatus`; unique in the document.
    fn id(self, resource: &Resource) -> String {
        let namespaced = if resource.namespaced && self.place != Place::AllNamespaces { "Namespaced" } else { "" };
        let collection = if self.verb == Verb::DeleteCollection { "Collection" } else { "" };
        let end = match self.place {
            Place::AllNamespaces => "ForAllNamespaces",
            Place::Status => "Status",
            Place::Collection | Place::Object => "",
        };
        let group = camel(resource.group);
        format!("{}{group}{}{collection}{namespaced}{}{end}", self.word(), camel(resource.version), resource.kind)
    }

    fn parameters(self) -> Vec<Value> {
        match self.verb {
            Verb::List | Verb::Watch => [selecting(), listing(), watching()].concat(),
            Verb::DeleteCollection => [selecting(), listing(), deleting()].concat(),
            Verb::Get => {
                vec![query("resourceVersion", "string", "Read a state of at least this version; 0: any state.")]
            }
            Verb::Create | Verb::Update => writing(),
            Verb::Patch => {
                let force = "Take over fields owned by other managers. Only for an apply patch.";
                [writing(), vec![query("force", "boolean", force)]].concat()
            }
            Verb::Delete => deleting(),
        }
    }

    fn body(self, resource: &Resource) -> Option<Value> {
        let for_core = [PATCH_TYPES, &[STRATEGIC]].concat();
        let patch_types = if resource.group.is_empty() { &for_core } else { PATCH_TYPES };
        let (types, component, required): (&[&str], _, _) = match self.verb {
            Verb::Create | Verb::Update => (&OBJECT_TYPES, component_name(resource, ""), true),
            Verb::Patch => (patch_types, meta::name("Patch"), true),
            Verb::Delete | Verb::DeleteCollection => (&OBJECT_TYPES, meta::name("DeleteOptions"), false),
            Verb::Get | Verb::List | Verb::Watch => return None,
        };
        let mut body = json!({"content": content(types, &component)});
        if required {
            body["required"] = Value::Bool(true);
        }
        Some(body)
    }

    fn responses(self, resource: &Resource) -> Value {
        let object = component_name(resource, "");
        let ok = match self.verb {
            Verb::List | Verb::Watch => {
                let mut content = content(&OBJECT_TYPES, &component_name(resource, "List"));
                content["application/json;stream=watch"] = json!({"schema": reference(&meta::name("WatchEvent"))});
                content
            }
            Verb::DeleteCollection => content(&OBJECT_TYPES, &component_name(resource, "List")),
            Verb::Delete => content(&OBJECT_TYPES, &meta::name("Status")),
            Verb::Create | Verb::Get | Verb::Patch | Verb::Update => content(&OBJECT_TYPES, &object),
        };
        let mut responses = json!({
            "200": {"description": "OK", "content": ok},
            "401": {"description": "Unauthorized"},
        });
        let more = match self.verb {
            Verb::Create => Some(("201", "Created", object)),
            // The object remains until its finalizers are removed.
            Verb::Delete => Some(("202", "Accepted", meta::name("Status"))),
            _ => None,
        };
        if let Some((code, description, component)) = more {
            let content = content(&OBJECT_TYPES, &component);
            responses[code] = json!({"description": description, "content": content});
        }
        responses
    }
}

fn content(types: &[&str], component: &str) -> Value {
    let media = |media_type: &&str| ((*media_type).to_owned(), json!({"schema": reference(component)}));
    Value::Object(types.iter().map(media).collect())
}

fn path_parameter(name: &str) -> Value {
    let description = match name {
        "name" => "Name of the object.",
        _ => "Namespace of the object.",
    };
    json!({"name": name, "in": "path", "required": true, "description": description, "schema": {"type": "string"}})
}

fn query(name: &str, value_type: &str, description: &str) -> Value {
    json!({"name": name, "in": "query", "description": description, "schema": {"type": value_type}})
}

fn dry_run() -> Value {
    query("dryRun", "string", "With `All`, the request is validated but nothing is persisted.")
}

/// Parameters that select objects of a collection.
fn selecting() -> Vec<Value> {
    vec![
        query("fieldSelector", "string", "Only objects with these fields, such as `metadata.name=x`."),
        query("labelSelector", "string", "Only objects with these labels, such as `a=b,c in (d,e),!f`."),
    ]
}

fn listing() -> Vec<Value> {
    vec![
        query("continue", "string", "Value of `continue` from the previous page of the list."),
        query("limit", "integer", "Maximum number of objects in one page."),
        query("resourceVersion", "string", "State to list, or version after which to watch."),
        query("resourceVersionMatch", "string", "Meaning of resourceVersion: `Exact` or `NotOlderThan`."),
        query("timeoutSeconds", "integer", "End the request after this many seconds."),
    ]
}

fn watching() -> Vec<Value> {
    vec![
        query("allowWatchBookmarks", "boolean", "Send events of type BOOKMARK."),
        query("sendInitialEvents", "boolean", "Begin the watch with the current objects as ADDED events."),
        query("watch", "boolean", "Watch for changes instead of listing."),
    ]
}

fn writing() -> Vec<Value> {
    let validation = "Treatment of unknown and repeated fields: `Ignore`, `Warn` (the default) or `Strict`.";
    vec![
        dry_run(),
        query("fieldManager", "string", "Name of the field manager; at most 128 printable characters."),
        query("fieldValidation", "string", validation),
    ]
}

fn deleting() -> Vec<Value> {
    let policy = "Treatment of dependents: `Orphan`, `Background` or `Foreground`.";
    vec![
        dry_run(),
        query("gracePeriodSeconds", "integer", "Accepted without effect."),
        query("orphanDependents", "boolean", "Deprecated: use propagationPolicy."),
        query("propagationPolicy", "string", policy),
    ]
}

/// Tag of the kind's group and version, such as `ipamExampleCom_v1`.
fn tag(resource: &Resource) -> String {
    let group = camel(resource.group);
    let (first, rest) = group.split_at_checked(1).unwrap_or((&group, ""));
    format!("{}{rest}_{}", first.to_ascii_lowercase(), resource.version)
}

/// Converts `ipam.example.com` to `IpamExampleCom`, and the core group to `Core`.
fn camel(text: &str) -> String {
    let text = if text.is_empty() { "core" } else { text };
    let mut out = String::with_capacity(text.len());
    let mut upper = true;
    for c in text.chars() {
        if c.is_ascii_alphanumeric() {
            out.push(if upper { c.to_ascii_uppercase() } else { c });
        }
        upper = !c.is_ascii_alphanumeric();
    }
    out
}
