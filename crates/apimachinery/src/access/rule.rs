//! One rule, what it allows, and whether some rules cover others. The meaning of each part is that of Kubernetes
//! (`k8s.io/kubernetes/pkg/apis/rbac/v1/evaluation_helpers.go`, `component-helpers/auth/rbac/validation`).

use std::{collections::BTreeMap, sync::Arc};

use serde::{Deserialize, Serialize};

use super::{Ask, ResourceAsk};

const ALL: &str = "*";

/// What is allowed: verbs on resources, or on paths. `*` is any.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Rule {
    /// The verbs.
    pub verbs: Vec<String>,
    /// The API groups; the core group is the empty text.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub api_groups: Vec<String>,
    /// The plural resources; of a subresource `resource/subresource`, and `*/subresource` is that of any.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub resources: Vec<String>,
    /// The names; none is every name.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub resource_names: Vec<String>,
    /// The paths; a `*` at the end is all that begin like that.
    #[serde(skip_serializing_if = "Vec::is_empty", rename = "nonResourceURLs")]
    pub non_resource_urls: Vec<String>,
}

impl Rule {
    /// A rule about resources.
    pub fn on_resources(verbs: &[&str], groups: &[&str], resources: &[&str]) -> Self {
        Self { verbs: owned(verbs), api_groups: owned(groups), resources: owned(resources), ..Self::default() }
    }

    /// A rule about paths.
    pub fn on_paths(verbs: &[&str], paths: &[&str]) -> Self {
        Self { verbs: owned(verbs), non_resource_urls: owned(paths), ..Self::default() }
    }

    /// Whether it allows this.
    pub fn allows(&self, ask: &Ask<'_>) -> bool {
        match ask {
            Ask::Path { verb, path } => {
                has(&self.verbs, verb) && self.non_resource_urls.iter().any(|url| is_below(path, url))
            }
            Ask::Resource(ask) => {
                has(&self.verbs, ask.verb)
                    && has(&self.api_groups, ask.group)
                    && self.allows_resource(ask)
                    && (self.resource_names.is_empty() || self.resource_names.iter().any(|name| name == ask.name))
            }
        }
    }

    fn allows_resource(&self, ask: &ResourceAsk<'_>) -> bool {
        let is_meant = |resource: &String| match resource.split_once('/') {
            _ if resource == ALL => true,
            None => ask.subresource.is_empty() && resource == ask.resource,
            Some((ALL, subresource)) if !ask.subresource.is_empty() => subresource == ask.subresource,
            Some((resource, subresource)) => resource == ask.resource && subresource == ask.subresource,
        };
        self.resources.iter().any(is_meant)
    }

    /// The rules of one verb on one thing that make it up.
    fn atoms(&self) -> Vec<Atom<'_>> {
        let mut atoms = Vec::new();
        for verb in &self.verbs {
            for url in &self.non_resource_urls {
                atoms.push(Atom { verb, thing: Thing::Path(url) });
            }
            for group in &self.api_groups {
                for resource in &self.resources {
                    let of = |name| Atom { verb, thing: Thing::Resource { group, resource, name } };
                    if self.resource_names.is_empty() {
                        atoms.push(of(None));
                    }
                    atoms.extend(self.resource_names.iter().map(|name| of(Some(name))));
                }
            }
        }
        atoms
    }

    fn covers(&self, atom: &Atom<'_>) -> bool {
        has(&self.verbs, atom.verb)
            && match atom.thing {
                Thing::Path(path) => self.non_resource_urls.iter().any(|url| is_below(path, url)),
                Thing::Resource { group, resource, name } => {
                    has(&self.api_groups, group) && self.covers_resource(resource) && self.covers_name(name)
                }
            }
    }

    fn covers_resource(&self, wanted: &str) -> bool {
        let of_any = wanted.split_once('/').map(|(_, subresource)| format!("*/{subresource}"));
        has(&self.resources, wanted) || of_any.is_some_and(|of_any| self.resources.contains(&of_any))
    }

    fn covers_name(&self, wanted: Option<&str>) -> bool {
        self.resource_names.is_empty()
            || wanted.is_some_and(|wanted| self.resource_names.iter().any(|name| name == wanted))
    }
}

/// What a rule says of one verb and one thing.
struct Atom<'a> {
    verb: &'a str,
    thing: Thing<'a>,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Thing<'a> {
    Path(&'a str),
    Resource { group: &'a str, resource: &'a str, name: Option<&'a str> },
}

impl Thing<'_> {
    /// As it stands in Kubernetes' messages (`CompactString`).
    fn describe(self, verbs: &[&str]) -> String {
        let list = |name: &str, values: &[&str]| {
            let values = values.iter().map(|value| format!("{value:?}")).collect::<Vec<_>>().join(" ");
            format!("{name}:[{values}]")
        };
        let mut parts = match self {
            Self::Path(path) => vec![list("NonResourceURLs", &[path])],
            Self::Resource { group, resource, name } => {
                let mut parts = vec![list("APIGroups", &[group]), list("Resources", &[resource])];
                parts.extend(name.map(|name| list("ResourceNames", &[name])));
                parts
            }
        };
        parts.push(list("Verbs", verbs));
        format!("{{{}}}", parts.join(", "))
    }
}

/// What of `wanted` no rule of `held` covers, a line for each resource, and for each verb on a path, in order. What only several rules together cover is
/// not covered, as in Kubernetes.
pub fn uncovered<'a>(held: &[Arc<Rule>], wanted: impl IntoIterator<Item = &'a Rule>) -> Vec<String> {
    let mut missing: BTreeMap<Thing<'_>, Vec<&str>> = BTreeMap::new();
    for atom in wanted.into_iter().flat_map(Rule::atoms) {
        let verbs = missing.get(&atom.thing);
        if !verbs.is_some_and(|verbs| verbs.contains(&atom.verb)) && !held.iter().any(|rule| rule.covers(&atom)) {
            missing.entry(atom.thing).or_default().push(atom.verb);
        }
    }
    let describe = |(thing, verbs): (Thing<'_>, Vec<&str>)| match thing {
        Thing::Path(_) => verbs.iter().map(|verb| thing.describe(&[verb])).collect(),
        Thing::Resource { .. } => vec![thing.describe(&verbs)],
    };
    let mut lines: Vec<String> = missing.into_iter().flat_map(describe).collect();
    lines.sort();
    lines
}

fn owned(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

fn has(set: &[String], element: &str) -> bool {
    set.iter().any(|member| member == ALL || member == element)
}

/// Whether a path is what a pattern says, or a pattern covers another.
fn is_below(path: &str, pattern: &str) -> bool {
    path == pattern || (pattern.ends_with('*') && path.starts_with(pattern.trim_end_matches('*')))
}

#[cfg(test)]
mod tests;
