//! Rules: matching of requests, and comparison of rules for privilege escalation, as in Kubernetes
//! (`k8s.io/kubernetes/pkg/apis/rbac/v1/evaluation_helpers.go`, `component-helpers/auth/rbac/validation`).

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
};

use serde::{Deserialize, Serialize};

use super::{Attributes, ResourceAttributes};
use crate::{
    field::truncate,
    limits::{MISSING_RULES_MAX, QUOTED_BYTES_MAX, RULE_COMPARISONS_MAX, SUBDOMAIN_BYTES_MAX},
};

const WILDCARD: &str = "*";

/// Allowed verbs on resources or on paths. `*` matches any value.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Rule {
    /// The verbs.
    pub verbs: Vec<String>,
    /// API groups; empty text for the core group.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub api_groups: Vec<String>,
    /// Plural resources or `resource/subresource`; `*/subresource` matches that subresource of any resource.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub resources: Vec<String>,
    /// Names of objects; an empty list matches every name.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub resource_names: Vec<String>,
    /// Non-resource paths; a trailing `*` matches any suffix.
    #[serde(skip_serializing_if = "Vec::is_empty", rename = "nonResourceURLs")]
    pub non_resource_urls: Vec<String>,
}

impl Rule {
    /// Creates a rule for resources.
    pub fn on_resources(verbs: &[&str], groups: &[&str], resources: &[&str]) -> Self {
        Self {
            verbs: to_strings(verbs),
            api_groups: to_strings(groups),
            resources: to_strings(resources),
            ..Self::default()
        }
    }

    /// Creates a rule for paths.
    pub fn on_paths(verbs: &[&str], paths: &[&str]) -> Self {
        Self { verbs: to_strings(verbs), non_resource_urls: to_strings(paths), ..Self::default() }
    }

    /// True if the rule allows the access.
    pub fn allows(&self, attributes: &Attributes<'_>) -> bool {
        match attributes {
            Attributes::NonResource { verb, path } => {
                matches_any(&self.verbs, verb) && self.non_resource_urls.iter().any(|url| path_matches(path, url))
            }
            Attributes::Resource(attributes) => {
                matches_any(&self.verbs, attributes.verb)
                    && matches_any(&self.api_groups, attributes.group)
                    && self.allows_resource(attributes)
                    && (self.resource_names.is_empty()
                        || self.resource_names.iter().any(|name| name == attributes.name))
            }
        }
    }

    fn allows_resource(&self, attributes: &ResourceAttributes<'_>) -> bool {
        let is_meant = |resource: &String| match resource.split_once('/') {
            _ if resource == WILDCARD => true,
            None => attributes.subresource.is_empty() && resource == attributes.resource,
            Some((WILDCARD, subresource)) if !attributes.subresource.is_empty() => {
                subresource == attributes.subresource
            }
            Some((resource, subresource)) => resource == attributes.resource && subresource == attributes.subresource,
        };
        self.resources.iter().any(is_meant)
    }

    /// Number of pairs of verb and target in the rule, saturating. It may be too large to iterate over.
    pub fn pairs(&self) -> usize {
        let names = self.resource_names.len().max(1);
        let resources = self.api_groups.len().saturating_mul(self.resources.len()).saturating_mul(names);
        self.verbs.len().saturating_mul(resources.saturating_add(self.non_resource_urls.len()))
    }

    /// Number of list entries in the rule.
    fn length(&self) -> usize {
        let lists = [&self.verbs, &self.api_groups, &self.resources, &self.resource_names, &self.non_resource_urls];
        lists.iter().map(|list| list.len()).sum()
    }
}

/// A set of held rules, as a bit set of their indices.
#[derive(Clone)]
struct RuleBits(Vec<u64>);

impl RuleBits {
    fn insert(&mut self, number: usize) {
        self.0[number / 64] |= 1 << (number % 64);
    }

    /// True if the intersection of the sets is not empty.
    fn intersect([a, b, c, d]: [&Self; 4]) -> bool {
        a.0.iter().zip(&b.0).zip(&c.0).zip(&d.0).any(|(((a, b), c), d)| a & b & c & d != 0)
    }
}

/// Index from text to the rules that list it in one of their fields.
struct Index<'a> {
    words: usize,
    by_text: HashMap<&'a str, Vec<usize>>,
}

impl<'a> Index<'a> {
    fn of(held: &'a [Arc<Rule>], part: impl Fn(&'a Rule) -> &'a [String]) -> Self {
        let mut by_text: HashMap<&str, Vec<usize>> = HashMap::new();
        for (number, rule) in held.iter().enumerate() {
            for text in part(rule) {
                by_text.entry(text).or_default().push(number);
            }
        }
        Self { words: held.len().div_ceil(64), by_text }
    }

    /// The rules that list any of these texts.
    fn with<'t>(&self, texts: impl IntoIterator<Item = &'t str>) -> RuleBits {
        let mut numbers = RuleBits(vec![0; self.words]);
        let listed = texts.into_iter().filter_map(|text| self.by_text.get(text));
        listed.flatten().for_each(|number| numbers.insert(*number));
        numbers
    }
}

/// The caller's rules, indexed by field.
struct HeldRules<'a> {
    rules: &'a [Arc<Rule>],
    verbs: Index<'a>,
    groups: Index<'a>,
    resources: Index<'a>,
    names: Index<'a>,
    /// Rules without `resourceNames`.
    unnamed: RuleBits,
}

impl<'a> HeldRules<'a> {
    fn of(rules: &'a [Arc<Rule>]) -> Self {
        let names = Index::of(rules, |rule| &rule.resource_names);
        let mut unnamed = names.with([]);
        let of_all = rules.iter().enumerate().filter(|(_, rule)| rule.resource_names.is_empty());
        of_all.for_each(|(number, _)| unnamed.insert(number));
        Self {
            rules,
            verbs: Index::of(rules, |rule| &rule.verbs),
            groups: Index::of(rules, |rule| &rule.api_groups),
            resources: Index::of(rules, |rule| &rule.resources),
            names,
            unnamed,
        }
    }

    fn with_resource(&self, wanted: &str) -> RuleBits {
        let of_any = wanted.split_once('/').map(|(_, subresource)| format!("*/{subresource}"));
        self.resources.with([WILDCARD, wanted].into_iter().chain(of_any.as_deref()))
    }

    fn with_name(&self, wanted: &str) -> RuleBits {
        let mut numbers = self.names.with([wanted]);
        numbers.0.iter_mut().zip(&self.unnamed.0).for_each(|(word, unnamed)| *word |= unnamed);
        numbers
    }

    fn with_path(&self, path: &str) -> RuleBits {
        let mut numbers = self.names.with([]);
        let covers = |rule: &Rule| rule.non_resource_urls.iter().any(|url| path_matches(path, url));
        let covering = self.rules.iter().enumerate().filter(|(_, rule)| covers(rule));
        covering.for_each(|(number, _)| numbers.insert(number));
        numbers
    }
}

/// The fields of a rule to grant, each with the held rules that match it.
struct RequestedRule<'a> {
    verbs: Vec<(&'a str, RuleBits)>,
    groups: Vec<(&'a str, RuleBits)>,
    resources: Vec<(&'a str, RuleBits)>,
    names: Vec<(Option<&'a str>, RuleBits)>,
    paths: Vec<(&'a str, RuleBits)>,
}

impl<'a> RequestedRule<'a> {
    fn of(rule: &'a Rule, held: &HeldRules<'_>) -> Self {
        fn each(list: &[String], numbers: impl Fn(&str) -> RuleBits) -> Vec<(&str, RuleBits)> {
            list.iter().map(|text| (text.as_str(), numbers(text))).collect()
        }
        let mut names: Vec<(Option<&str>, RuleBits)> =
            rule.resource_names.iter().map(|name| (Some(name.as_str()), held.with_name(name))).collect();
        if names.is_empty() {
            names.push((None, held.unnamed.clone()));
        }
        Self {
            verbs: each(&rule.verbs, |verb| held.verbs.with([WILDCARD, verb])),
            groups: each(&rule.api_groups, |group| held.groups.with([WILDCARD, group])),
            resources: each(&rule.resources, |resource| held.with_resource(resource)),
            names,
            paths: each(&rule.non_resource_urls, |path| held.with_path(path)),
        }
    }

    /// Iterates over the pairs of verb and target of the rule; true if one held rule covers the pair.
    fn breakdown(&self) -> impl Iterator<Item = (SimpleRule<'a>, bool)> {
        self.verbs.iter().flat_map(|(verb, with_verb)| {
            let breakdown =
                self.targets().map(move |(target, [a, b, c])| (SimpleRule { verb, target }, [with_verb, a, b, c]));
            breakdown.map(|(simple_rule, parts)| (simple_rule, RuleBits::intersect(parts)))
        })
    }

    fn targets(&self) -> impl Iterator<Item = (RuleTarget<'a>, [&RuleBits; 3])> {
        let paths = self.paths.iter().map(|(path, numbers)| (RuleTarget::Path(path), [numbers; 3]));
        let resources = self.groups.iter().flat_map(|group| self.resources.iter().map(move |it| (group, it)));
        let resources = resources.flat_map(|((group, in_group), (resource, of_resource))| {
            let target = |name| RuleTarget::Resource { group, resource, name };
            self.names.iter().map(move |(name, of_name)| (target(*name), [in_group, of_resource, of_name]))
        });
        paths.chain(resources)
    }
}

/// One verb on one target.
struct SimpleRule<'a> {
    verb: &'a str,
    target: RuleTarget<'a>,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum RuleTarget<'a> {
    Path(&'a str),
    Resource { group: &'a str, resource: &'a str, name: Option<&'a str> },
}

impl RuleTarget<'_> {
    /// Formats the permission as Kubernetes does (`CompactString`).
    fn describe(self, verbs: &[&str]) -> String {
        let list = |name: &str, values: &[&str]| {
            let values = values.iter().map(|value| format!("{:?}", truncate(value, SUBDOMAIN_BYTES_MAX)));
            let values = values.collect::<Vec<_>>().join(" ");
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

/// Returns the permissions in `wanted` that no single rule in `held` covers: one sorted line per resource, and one per
/// verb on a path. As in Kubernetes, several rules together do not cover a permission. Permissions beyond the limits
/// count as missing.
pub fn missing_rules<'a>(held: &[Arc<Rule>], wanted: impl IntoIterator<Item = &'a Rule>) -> Vec<String> {
    let mut missing = MissingRules::default();
    let mut comparisons: usize = held.iter().map(|rule| rule.length()).sum();
    if comparisons > RULE_COMPARISONS_MAX {
        return missing.beyond_comparing();
    }
    let held = HeldRules::of(held);
    let paths: usize = held.rules.iter().map(|rule| rule.non_resource_urls.len()).sum();
    for rule in wanted {
        comparisons += rule.length() * held.names.words + rule.non_resource_urls.len() * paths;
        if comparisons > RULE_COMPARISONS_MAX {
            return missing.beyond_comparing();
        }
        for (simple_rule, is_covered) in RequestedRule::of(rule, &held).breakdown() {
            comparisons += 1 + held.names.words;
            if comparisons > RULE_COMPARISONS_MAX {
                return missing.beyond_comparing();
            }
            if !is_covered {
                missing.add(&simple_rule);
            }
            if missing.by_target.len() > MISSING_RULES_MAX {
                return missing.lines(Some(format!("and more than {MISSING_RULES_MAX} others")));
            }
        }
    }
    missing.lines(None)
}

/// Missing permissions.
#[derive(Default)]
struct MissingRules<'a> {
    by_target: BTreeMap<RuleTarget<'a>, Vec<&'a str>>,
    seen: HashSet<(RuleTarget<'a>, &'a str)>,
}

impl<'a> MissingRules<'a> {
    fn add(&mut self, simple_rule: &SimpleRule<'a>) {
        if self.seen.insert((simple_rule.target, simple_rule.verb)) {
            self.by_target.entry(simple_rule.target).or_default().push(simple_rule.verb);
        }
    }

    fn beyond_comparing(self) -> Vec<String> {
        let rest = format!(
            "rules that need more than {RULE_COMPARISONS_MAX} comparisons with the rules currently held: use fewer or shorter rules"
        );
        self.lines(Some(rest))
    }

    /// Formats one line per missing permission; `rest` is appended for those not compared.
    fn lines(self, rest: Option<String>) -> Vec<String> {
        let describe = |(target, verbs): (RuleTarget<'_>, Vec<&str>)| match target {
            RuleTarget::Path(_) => verbs.iter().map(|verb| target.describe(&[verb])).collect(),
            RuleTarget::Resource { .. } => vec![target.describe(&verbs)],
        };
        let lines = self.by_target.into_iter().take(MISSING_RULES_MAX).flat_map(describe);
        let mut lines: Vec<String> = lines.map(|line| truncate(&line, QUOTED_BYTES_MAX).into_owned()).collect();
        lines.sort();
        lines.extend(rest);
        lines
    }
}

fn to_strings(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

fn matches_any(set: &[String], element: &str) -> bool {
    set.iter().any(|member| member == WILDCARD || member == element)
}

/// True if a path or pattern matches `pattern`.
fn path_matches(path: &str, pattern: &str) -> bool {
    path == pattern || (pattern.ends_with('*') && path.starts_with(pattern.trim_end_matches('*')))
}

#[cfg(test)]
mod tests;
