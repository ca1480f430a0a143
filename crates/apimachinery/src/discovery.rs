//! Discovery documents in the legacy and the aggregated format.
//!
//! The core group, whose name is empty, has separate paths: `/api` and `/api/v1`.
//!
//! The entries of all resources are computed once, by [`Discovery::new`], because kube-apiserver requests `/apis/G/V`
//! repeatedly to check availability.

mod preference;

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use self::preference::preference;
use crate::{
    kind::Registry,
    negotiate::DiscoveryFormat,
    resource::{Resource, Verb, api_version},
};

/// The discovery entries of a server.
#[derive(Clone, Debug)]
pub struct Discovery {
    versions: Vec<GroupVersion>,
}

/// The entries of one group and version.
#[derive(Clone, Debug)]
struct GroupVersion {
    group: &'static str,
    version: &'static str,
    /// Entries of the `APIResourceList`.
    resources: Vec<Value>,
    /// Entries of the aggregated format.
    aggregated: Vec<Value>,
}

impl Discovery {
    /// Computes the entries of all kinds. Groups are in the order of registration, the versions of a group in the order
    /// of preference.
    pub fn new<W>(registry: &Registry<W>) -> Self {
        let mut group_versions = registry.group_versions();
        let groups: Vec<&str> = group_versions.iter().map(|(group, _)| *group).collect();
        let place = |group: &str| groups.iter().position(|known| *known == group);
        group_versions.sort_by_cached_key(|(group, version)| (place(group), preference(version)));
        let versions = group_versions.into_iter().map(|(group, version)| {
            let of_this = |resource: &&Resource| (resource.group, resource.version) == (group, version);
            let resources = || registry.resources().filter(of_this);
            GroupVersion {
                group,
                version,
                resources: resources().flat_map(entries).collect(),
                aggregated: resources().map(aggregated_entry).collect(),
            }
        });
        Self { versions: versions.collect() }
    }

    /// `GET /apis`.
    pub fn api_group_list(&self) -> Value {
        let groups: Vec<Value> = self.groups().map(|group| self.group_entry(group)).collect();
        json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups})
    }

    /// `GET /apis/G`.
    pub fn api_group(&self, group: &str) -> Option<Value> {
        self.groups().find(|known| *known == group).map(|group| {
            let mut entry = self.group_entry(group);
            entry["kind"] = Value::from("APIGroup");
            entry["apiVersion"] = Value::from("v1");
            entry
        })
    }

    /// `GET /apis/G/V`, or for the core group, whose name is empty, `GET /api/V`.
    pub fn api_resource_list(&self, group: &str, version: &str) -> Option<Value> {
        let found = self.versions.iter().find(|known| (known.group, known.version) == (group, version))?;
        Some(resource_list(&api_version(group, version), &found.resources))
    }

    /// `GET /apis` in the negotiated format.
    pub fn aggregated(&self, form: DiscoveryFormat) -> Value {
        let groups = self.groups().map(|group| self.aggregated_group(group)).collect();
        group_discovery_list(form, groups).unwrap_or_else(|| self.api_group_list())
    }

    /// `GET /api` in the negotiated format. Without core kinds, version `v1` is listed nevertheless, because some
    /// clients fail if it is missing.
    pub fn core(&self, form: DiscoveryFormat) -> Value {
        let groups = self.has_core().then(|| self.aggregated_group("")).into_iter().collect();
        group_discovery_list(form, groups)
            .unwrap_or_else(|| json!({"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": []}))
    }

    /// `GET /api/v1`.
    pub fn core_resource_list(&self) -> Value {
        self.api_resource_list("", "v1").unwrap_or_else(|| resource_list("v1", &[]))
    }

    fn has_core(&self) -> bool {
        self.versions.iter().any(|known| known.group.is_empty())
    }

    /// Names of all groups except the core group.
    fn groups(&self) -> impl Iterator<Item = &'static str> {
        let mut seen = Vec::new();
        let names = self.versions.iter().map(|known| known.group).filter(|group| !group.is_empty());
        names.filter(move |group| {
            let new = !seen.contains(group);
            seen.push(*group);
            new
        })
    }

    fn versions_of(&self, group: &str) -> impl Iterator<Item = &GroupVersion> {
        self.versions.iter().filter(move |known| known.group == group)
    }

    /// The group in an `APIGroupList`. Clients search the preferred version among the versions, comparing whole
    /// objects.
    fn group_entry(&self, group: &str) -> Value {
        let versions: Vec<Value> = self
            .versions_of(group)
            .map(|known| json!({"groupVersion": api_version(group, known.version), "version": known.version}))
            .collect();
        json!({"name": group, "versions": versions, "preferredVersion": versions.first()})
    }

    fn aggregated_group(&self, group: &str) -> Value {
        let versions: Vec<Value> = self
            .versions_of(group)
            .map(|known| json!({"version": known.version, "freshness": "Current", "resources": known.aggregated}))
            .collect();
        json!({"metadata": {"name": group, "creationTimestamp": null}, "versions": versions})
    }
}

fn resource_list(group_version: &str, resources: &[Value]) -> Value {
    json!({"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": group_version, "resources": resources})
}

fn group_discovery_list(form: DiscoveryFormat, items: Vec<Value>) -> Option<Value> {
    let api_version = match form {
        DiscoveryFormat::Legacy => return None,
        DiscoveryFormat::AggregatedV2 => "apidiscovery.k8s.io/v2",
        DiscoveryFormat::AggregatedV2Beta1 => "apidiscovery.k8s.io/v2beta1",
    };
    let mut list = json!({"kind": "APIGroupDiscoveryList", "apiVersion": api_version, "metadata": {}});
    list["items"] = Value::Array(items);
    Some(list)
}

/// The entries of a resource and its subresources in an `APIResourceList`.
fn entries(resource: &Resource) -> Vec<Value> {
    let parts = resource.subresources.iter().map(|part| {
        json!({
            "name": format!("{}/{}", resource.plural, part.as_str()),
            "singularName": "",
            "namespaced": resource.namespaced,
            "kind": resource.kind,
            "verbs": verbs(part.verbs()),
        })
    });
    [main_entry(resource)].into_iter().chain(parts).collect()
}

fn main_entry(resource: &Resource) -> Value {
    let mut entry = json!({
        "name": resource.plural,
        "singularName": resource.singular,
        "namespaced": resource.namespaced,
        "kind": resource.kind,
        "verbs": verbs(resource.verbs),
    });
    if resource.verbs != [Verb::Create] {
        entry["storageVersionHash"] = storage_version_hash(resource).into();
    }
    add_names(&mut entry, resource);
    entry
}

fn aggregated_entry(resource: &Resource) -> Value {
    let response_kind = json!({"group": resource.group, "version": resource.version, "kind": resource.kind});
    let parts = resource
        .subresources
        .iter()
        .map(|part| json!({"subresource": part.as_str(), "responseKind": response_kind, "verbs": verbs(part.verbs())}));
    let parts: Vec<Value> = parts.collect();
    let mut entry = json!({
        "resource": resource.plural,
        "responseKind": response_kind,
        "scope": if resource.namespaced { "Namespaced" } else { "Cluster" },
        "singularResource": resource.singular,
        "verbs": verbs(resource.verbs),
    });
    if !parts.is_empty() {
        entry["subresources"] = parts.into();
    }
    add_names(&mut entry, resource);
    entry
}

/// Adds short names and categories; empty lists are omitted.
fn add_names(entry: &mut Value, resource: &Resource) {
    for (key, names) in [("shortNames", resource.short_names), ("categories", resource.categories)] {
        if !names.is_empty() {
            entry[key] = json!(names);
        }
    }
}

/// Hash that changes if objects are stored in another version or as another kind.
fn storage_version_hash(resource: &Resource) -> String {
    let digest = Sha256::digest(format!("{}/{}/{}", resource.group, resource.version, resource.kind));
    STANDARD.encode(&digest[..8])
}

fn verbs(verbs: &[Verb]) -> Vec<&'static str> {
    let mut names: Vec<&str> = verbs.iter().map(|verb| verb.as_str()).collect();
    names.sort_unstable();
    names
}

#[cfg(test)]
mod tests;
