//! Discovery: which kinds a server has, in the forms that clients of all ages ask for.
//!
//! All documents are made once, at start: kube-apiserver probes `/apis/G/V` to see whether the
//! server lives.

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::{
    kind::{Kind, Registry, Resource, Verb},
    negotiate::DiscoveryForm,
};

/// What every kind's `/status` does. Each kind has it.
const STATUS_VERBS: [Verb; 3] = [Verb::Get, Verb::Patch, Verb::Update];

/// The discovery documents of one group and version.
#[derive(Clone, Debug)]
pub struct Discovery {
    group: &'static str,
    version: &'static str,
    /// The entries of the `APIResourceList`.
    resources: Vec<Value>,
    /// The entries of the aggregated form.
    aggregated: Vec<Value>,
}

impl Discovery {
    /// The documents of these kinds.
    pub fn new<W>(registry: &Registry<W>) -> Self {
        let (group, version) = registry.group_version();
        let resources = || registry.iter().map(Kind::resource);
        Self {
            group,
            version,
            resources: resources().flat_map(|resource| [main_entry(resource), status_entry(resource)]).collect(),
            aggregated: resources().map(aggregated_entry).collect(),
        }
    }

    /// `GET /apis`.
    pub fn api_group_list(&self) -> Value {
        json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": [self.group_entry()]})
    }

    /// `GET /apis/G`.
    pub fn api_group(&self) -> Value {
        let mut group = self.group_entry();
        group["kind"] = Value::from("APIGroup");
        group["apiVersion"] = Value::from("v1");
        group
    }

    /// `GET /apis/G/V`.
    pub fn api_resource_list(&self) -> Value {
        json!({
            "kind": "APIResourceList",
            "apiVersion": "v1",
            "groupVersion": format!("{}/{}", self.group, self.version),
            "resources": self.resources,
        })
    }

    /// `GET /apis` in the form that was negotiated.
    pub fn aggregated(&self, form: DiscoveryForm) -> Value {
        let group = json!({
            "metadata": {"name": self.group, "creationTimestamp": null},
            "versions": [{"version": self.version, "freshness": "Current", "resources": self.aggregated}],
        });
        group_discovery_list(form, vec![group]).unwrap_or_else(|| self.api_group_list())
    }

    /// The group in an `APIGroupList`. Clients look the preferred version up among the versions, as
    /// an equal object.
    fn group_entry(&self) -> Value {
        let version = json!({"groupVersion": format!("{}/{}", self.group, self.version), "version": self.version});
        json!({"name": self.group, "versions": [version], "preferredVersion": version})
    }
}

/// `GET /api` of a server that stands alone, in the form that was negotiated. It has no core kinds,
/// but clients ask, and some give up when there is no core version.
pub fn core_versions(form: DiscoveryForm) -> Value {
    group_discovery_list(form, Vec::new())
        .unwrap_or_else(|| json!({"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": []}))
}

/// `GET /api/v1` of a server that stands alone.
pub fn core_resource_list() -> Value {
    json!({"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": "v1", "resources": []})
}

fn group_discovery_list(form: DiscoveryForm, items: Vec<Value>) -> Option<Value> {
    let api_version = match form {
        DiscoveryForm::Legacy => return None,
        DiscoveryForm::AggregatedV2 => "apidiscovery.k8s.io/v2",
        DiscoveryForm::AggregatedV2Beta1 => "apidiscovery.k8s.io/v2beta1",
    };
    let mut list = json!({"kind": "APIGroupDiscoveryList", "apiVersion": api_version, "metadata": {}});
    list["items"] = Value::Array(items);
    Some(list)
}

fn main_entry(resource: &Resource) -> Value {
    let mut entry = json!({
        "name": resource.plural,
        "singularName": resource.singular,
        "namespaced": resource.namespaced,
        "kind": resource.kind,
        "verbs": verbs(resource.verbs),
        "storageVersionHash": storage_version_hash(resource),
    });
    add_names(&mut entry, resource);
    entry
}

fn status_entry(resource: &Resource) -> Value {
    json!({
        "name": format!("{}/status", resource.plural),
        "singularName": "",
        "namespaced": resource.namespaced,
        "kind": resource.kind,
        "verbs": verbs(&STATUS_VERBS),
    })
}

fn aggregated_entry(resource: &Resource) -> Value {
    let response_kind = json!({"group": resource.group, "version": resource.version, "kind": resource.kind});
    let mut entry = json!({
        "resource": resource.plural,
        "responseKind": response_kind,
        "scope": if resource.namespaced { "Namespaced" } else { "Cluster" },
        "singularResource": resource.singular,
        "verbs": verbs(resource.verbs),
        "subresources": [
            {"subresource": "status", "responseKind": response_kind, "verbs": verbs(&STATUS_VERBS)},
        ],
    });
    add_names(&mut entry, resource);
    entry
}

/// Short names and categories; an empty list is left out.
fn add_names(entry: &mut Value, resource: &Resource) {
    for (key, names) in [("shortNames", resource.short_names), ("categories", resource.categories)] {
        if !names.is_empty() {
            entry[key] = json!(names);
        }
    }
}

/// Tells storage formats apart: it changes when objects are stored in another version or under
/// another kind.
fn storage_version_hash(resource: &Resource) -> String {
    let digest = Sha256::digest(format!("{}/{}", resource.api_version(), resource.kind));
    STANDARD.encode(&digest[..8])
}

fn verbs(verbs: &[Verb]) -> Vec<&'static str> {
    let mut names: Vec<&str> = verbs.iter().map(|verb| verb.as_str()).collect();
    names.sort_unstable();
    names
}

#[cfg(test)]
mod tests;
