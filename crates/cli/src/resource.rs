//! Resolution of resource names and kinds to API paths, with the server's discovery.

use std::collections::HashMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{APIResource, APIResourceList};

use crate::{
    api_client::{ApiClient, RequestBuilder, encode},
    report::{Failure, Report},
};

/// Group and version of resource names on the command line. Objects in files state their own `apiVersion`.
const GROUP_VERSION: &str = "ipam.miloapis.com/v1alpha1";

/// A resource of the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Resource {
    group_version: String,
    plural: String,
    singular: String,
    short_names: Vec<String>,
    categories: Vec<String>,
    pub(crate) kind: String,
    pub(crate) namespaced: bool,
}

/// The server's resources, requested as needed.
pub(crate) struct RestMapper<'a> {
    api: &'a ApiClient,
    discovered: HashMap<String, Vec<Resource>>,
}

impl<'a> RestMapper<'a> {
    pub(crate) fn new(api: &'a ApiClient) -> Self {
        Self { api, discovered: HashMap::new() }
    }

    /// Resolves a word on the command line: one resource, or those of a category.
    pub(crate) async fn by_word(&mut self, word: &str, report: &mut Report<'_>) -> Result<Vec<Resource>, Failure> {
        let resources = self.discover(GROUP_VERSION, report).await?;
        let found: Vec<Resource> = select(resources, word).cloned().collect();
        if found.is_empty() {
            let known: Vec<&str> = resources.iter().map(|resource| resource.plural.as_str()).collect();
            return Err(Failure::InvalidInput(format!(
                "there is no resource {word:?}; there are: {}",
                known.join(", ")
            )));
        }
        Ok(found)
    }

    /// Resolves the kind of an object.
    pub(crate) async fn by_kind(
        &mut self,
        group_version: &str,
        kind: &str,
        report: &mut Report<'_>,
    ) -> Result<Resource, Failure> {
        let resources = match self.discover(group_version, report).await {
            Err(Failure::Refused(status)) if status.is_not_found() => &[],
            other => other?,
        };
        let found = resources.iter().find(|resource| resource.kind == kind).cloned();
        found.ok_or_else(|| Failure::InvalidInput(format!("the server has no kind {kind} in {group_version}")))
    }

    async fn discover(&mut self, group_version: &str, report: &mut Report<'_>) -> Result<&[Resource], Failure> {
        if !self.discovered.contains_key(group_version) {
            let list = self.api.send(RequestBuilder::get(&root(group_version)), report).await?;
            let list: APIResourceList = serde_json::from_value(list).map_err(|error| {
                Failure::Unreachable(format!("the server's discovery document cannot be decoded: {error}"))
            })?;
            self.discovered.insert(group_version.to_owned(), resources(group_version, list));
        }
        Ok(&self.discovered[group_version])
    }
}

impl Resource {
    /// The path of a collection or an object. `namespace` is ignored for cluster-scoped resources; `None` means all
    /// namespaces.
    pub(crate) fn path(&self, namespace: Option<&str>, name: Option<&str>) -> String {
        let mut path = root(&self.group_version);
        if let Some(namespace) = namespace.filter(|_| self.namespaced) {
            path += &format!("/namespaces/{}", encode(namespace));
        }
        path += &format!("/{}", self.plural);
        if let Some(name) = name {
            path += &format!("/{}", encode(name));
        }
        path
    }

    /// `ippool.ipam.miloapis.com`.
    pub(crate) fn full_name(&self) -> String {
        match self.group_version.split_once('/') {
            Some((group, _)) => format!("{}.{group}", self.singular),
            None => self.singular.clone(),
        }
    }

    pub(crate) fn group_version(&self) -> &str {
        &self.group_version
    }

    pub(crate) fn singular(&self) -> &str {
        &self.singular
    }
}

fn root(group_version: &str) -> String {
    match group_version.split_once('/') {
        Some((group, version)) => format!("/apis/{}/{}", encode(group), encode(version)),
        None => format!("/api/{}", encode(group_version)),
    }
}

fn resources(group_version: &str, list: APIResourceList) -> Vec<Resource> {
    let is_whole = |resource: &APIResource| !resource.name.contains('/');
    let convert = |resource: APIResource| Resource {
        group_version: group_version.to_owned(),
        singular: Some(resource.singular_name)
            .filter(|name| !name.is_empty())
            .unwrap_or_else(|| resource.kind.to_lowercase()),
        plural: resource.name,
        short_names: resource.short_names.unwrap_or_default(),
        categories: resource.categories.unwrap_or_default(),
        kind: resource.kind,
        namespaced: resource.namespaced,
    };
    list.resources.into_iter().filter(is_whole).map(convert).collect()
}

/// Selects by plural, singular, short name or kind, with or without the group, otherwise by category; ignores case.
fn select<'a>(resources: &'a [Resource], word: &str) -> impl Iterator<Item = &'a Resource> {
    let word = word.to_lowercase();
    let is_meant = |resource: &Resource| {
        let group = resource.group_version.split('/').next().unwrap_or_default();
        let word = word.strip_suffix(group).and_then(|word| word.strip_suffix('.')).unwrap_or(&word);
        resource.plural == word
            || resource.singular == word
            || resource.kind.to_lowercase() == word
            || resource.short_names.iter().any(|name| name == word)
    };
    let one = resources.iter().position(is_meant);
    let in_category = move |resource: &Resource| resource.categories.contains(&word);
    let meant = resources.iter().enumerate();
    meant
        .filter(move |(idx, resource)| one.map_or_else(|| in_category(resource), |one| one == *idx))
        .map(|(_, resource)| resource)
}

/// The resources and names of a command: `kind name name`, `kind,kind`, or `kind/name kind/name`.
pub(crate) fn targets(resource: &str, names: &[String]) -> Result<Vec<(String, Option<String>)>, Failure> {
    let invalid_input = |text: &str| Failure::InvalidInput(text.to_owned());
    if resource.contains('/') {
        let pair = |word: &str| match word.split_once('/') {
            Some((kind, name)) if !kind.is_empty() && !name.is_empty() && !name.contains('/') => {
                Ok((kind.to_owned(), Some(name.to_owned())))
            }
            _ => Err(invalid_input("every argument must have the form RESOURCE/NAME")),
        };
        return std::iter::once(resource).chain(names.iter().map(String::as_str)).map(pair).collect();
    }
    let kinds: Vec<&str> = resource.split(',').filter(|kind| !kind.is_empty()).collect();
    match (kinds.as_slice(), names) {
        ([], _) => Err(invalid_input("no resource is specified")),
        (kinds, []) => Ok(kinds.iter().map(|kind| ((*kind).to_owned(), None)).collect()),
        ([kind], names) if names.iter().all(|name| !name.is_empty() && !name.contains('/')) => {
            Ok(names.iter().map(|name| ((*kind).to_owned(), Some(name.clone()))).collect())
        }
        ([_], _) => Err(invalid_input("a name must not contain a slash")),
        _ => Err(invalid_input("names can be given for one resource only")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mock_server;

    fn served() -> Vec<Resource> {
        resources(GROUP_VERSION, serde_json::from_value(mock_server::discovery()).unwrap())
    }

    #[test]
    fn words_are_resolved_to_resources() {
        for (word, expected) in [
            ("ippools", &["IPPool"][..]),
            ("ippool", &["IPPool"]),
            ("IPPool", &["IPPool"]),
            ("IPClaim", &["IPClaim"]),
            ("ipalloc", &["IPAllocation"]),
            ("ippools.ipam.miloapis.com", &["IPPool"]),
            ("ippool.ipam.miloapis.com", &["IPPool"]),
            ("ipam", &["IPPool", "IPClaim", "IPAllocation"]),
            ("ippools.example.com", &[]),
            ("ippools/status", &[]),
            ("pods", &[]),
            ("", &[]),
        ] {
            let resources = served();
            let kinds: Vec<&str> = select(&resources, word).map(|resource| resource.kind.as_str()).collect();
            assert_eq!(kinds, expected, "{word}");
        }
    }

    #[test]
    fn resources_have_paths() {
        let resources = served();
        let (pool, claim) = (&resources[0], &resources[1]);
        let root = "/apis/ipam.miloapis.com/v1alpha1";
        assert_eq!(pool.path(Some("ignored"), None), format!("{root}/ippools"));
        assert_eq!(claim.path(None, None), format!("{root}/ipclaims"));
        assert_eq!(claim.path(Some("a"), Some("b/../c")), format!("{root}/namespaces/a/ipclaims/b%2F..%2Fc"));
        assert_eq!(super::root("v1"), "/api/v1");
        assert_eq!(pool.full_name(), "ippool.ipam.miloapis.com");
    }

    #[test]
    fn arguments_are_parsed_to_resources_and_names() {
        type Pairs<'a> = &'a [(&'a str, Option<&'a str>)];
        for (words, expected) in [
            (&["ippools"][..], Some(&[("ippools", None)][..] as Pairs<'_>)),
            (&["ippools,ipclaims"], Some(&[("ippools", None), ("ipclaims", None)])),
            (&["ippools", "a", "b"], Some(&[("ippools", Some("a")), ("ippools", Some("b"))])),
            (&["ippool/a", "ipclaim/b"], Some(&[("ippool", Some("a")), ("ipclaim", Some("b"))])),
            (&["ippool/a", "b"], None),
            (&["ippool/"], None),
            (&["ippools,ipclaims", "a"], None),
            (&["ippools", "a/b"], None),
            (&[","], None),
        ] {
            let names: Vec<String> = words[1..].iter().map(|name| (*name).to_owned()).collect();
            let found = targets(words[0], &names).ok();
            let found =
                found.as_ref().map(|pairs| pairs.iter().map(|(kind, name)| (kind.as_str(), name.as_deref())).collect());
            assert_eq!(found, expected.map(<[_]>::to_vec), "{words:?}");
        }
    }
}
