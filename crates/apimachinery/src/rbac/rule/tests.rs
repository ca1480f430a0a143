//! Tests of rule matching and of the check against privilege escalation.

use proptest::{collection::vec, prelude::*, sample::select};

use super::*;

fn resource_ask<'a>(verb: &'a str, group: &'a str, resource: &'a str, name: &'a str) -> Attributes<'a> {
    let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
    Attributes::Resource(ResourceAttributes { verb, group, resource, subresource, name, namespace: "" })
}

fn held(rules: &[Rule]) -> Vec<Arc<Rule>> {
    rules.iter().cloned().map(Arc::new).collect()
}

#[test]
fn rule_allows_listed_verbs_groups_and_resources() {
    let rule = Rule::on_resources(&["get", "list"], &["g"], &["pools", "claims/status"]);
    for (verb, group, resource, expected) in [
        ("get", "g", "pools", true),
        ("list", "g", "pools", true),
        ("watch", "g", "pools", false),
        ("get", "", "pools", false),
        ("get", "g", "pools/status", false),
        ("get", "g", "claims", false),
        ("get", "g", "claims/status", true),
        ("get", "g", "claims/finalize", false),
    ] {
        assert_eq!(rule.allows(&resource_ask(verb, group, resource, "x")), expected, "{verb} {group} {resource}");
    }
    assert!(!rule.allows(&Attributes::NonResource { verb: "get", path: "/pools" }));
}

#[test]
fn wildcard_matches_any_value() {
    let all = Rule::on_resources(&["*"], &["*"], &["*"]);
    assert!(all.allows(&resource_ask("get", "", "pods/log", "x")));
    assert!(!all.allows(&Attributes::NonResource { verb: "get", path: "/" }));
    let statuses = Rule::on_resources(&["update"], &[""], &["*/status"]);
    assert!(statuses.allows(&resource_ask("update", "", "pods/status", "")));
    assert!(!statuses.allows(&resource_ask("update", "", "pods", "")));
    assert!(!statuses.allows(&resource_ask("update", "", "pods/log", "")));
}

#[test]
fn resource_names_restrict_a_rule() {
    let rule = Rule { resource_names: to_strings(&["a", "b"]), ..Rule::on_resources(&["get"], &["g"], &["pools"]) };
    for (name, expected) in [("a", true), ("b", true), ("c", false), ("", false)] {
        assert_eq!(rule.allows(&resource_ask("get", "g", "pools", name)), expected, "{name}");
    }
}

#[test]
fn paths_match_exactly_or_by_trailing_wildcard() {
    let rule = Rule::on_paths(&["get"], &["/metrics", "/logs/*"]);
    for (path, expected) in [
        ("/metrics", true),
        ("/metrics/x", false),
        ("/logs/", true),
        ("/logs/a/b", true),
        ("/logs", false),
        ("/", false),
    ] {
        assert_eq!(rule.allows(&Attributes::NonResource { verb: "get", path }), expected, "{path}");
    }
    assert!(!rule.allows(&Attributes::NonResource { verb: "post", path: "/metrics" }));
    assert!(Rule::on_paths(&["*"], &["*"]).allows(&Attributes::NonResource { verb: "post", path: "/metrics" }));
}

#[test]
fn missing_permissions_are_listed_by_resource() {
    let own = held(&[Rule::on_resources(&["get"], &["g"], &["pools"]), Rule::on_paths(&["get"], &["/a/*"])]);
    let wanted = [
        Rule::on_resources(&["get", "list", "watch"], &["g"], &["pools", "claims"]),
        Rule { resource_names: to_strings(&["x"]), ..Rule::on_resources(&["get", "delete"], &["g"], &["pools"]) },
        Rule::on_paths(&["get", "post"], &["/a/b", "/b"]),
    ];
    assert_eq!(
        missing_rules(&own, &wanted),
        [
            r#"{APIGroups:["g"], Resources:["claims"], Verbs:["get" "list" "watch"]}"#,
            r#"{APIGroups:["g"], Resources:["pools"], ResourceNames:["x"], Verbs:["delete"]}"#,
            r#"{APIGroups:["g"], Resources:["pools"], Verbs:["list" "watch"]}"#,
            r#"{NonResourceURLs:["/a/b"], Verbs:["post"]}"#,
            r#"{NonResourceURLs:["/b"], Verbs:["get"]}"#,
            r#"{NonResourceURLs:["/b"], Verbs:["post"]}"#,
        ]
    );
    assert_eq!(missing_rules(&own, &[Rule::on_paths(&["get"], &["/a/*", "/a/b*"])]), Vec::<String>::new());
}

#[test]
fn wildcard_is_covered_only_by_wildcard() {
    let many = held(&[Rule::on_resources(&["get", "list"], &["", "g"], &["pools", "pools/status"])]);
    for wanted in [
        Rule::on_resources(&["*"], &["g"], &["pools"]),
        Rule::on_resources(&["get"], &["*"], &["pools"]),
        Rule::on_resources(&["get"], &["g"], &["*"]),
        Rule::on_resources(&["get"], &["g"], &["*/status"]),
    ] {
        assert_eq!(missing_rules(&many, [&wanted]).len(), 1, "{wanted:?}");
        assert!(missing_rules(&held(std::slice::from_ref(&wanted)), [&wanted]).is_empty(), "{wanted:?}");
    }
}

fn some(words: &'static [&'static str]) -> impl Strategy<Value = Vec<String>> {
    vec(select(words).prop_map(str::to_owned), 0..3)
}

const VERBS: &[&str] = &["get", "list", "*"];
const GROUPS: &[&str] = &["", "g", "*"];
const RESOURCES: &[&str] = &["a", "b", "a/s", "b/t", "*/s", "*/t", "*"];
const NAMES: &[&str] = &["x", "y"];
const PATHS: &[&str] = &["/a", "/a/*", "/a/b", "/a/b*", "/*", "*"];

fn rules() -> impl Strategy<Value = Vec<Rule>> {
    let rule = (some(VERBS), some(GROUPS), some(RESOURCES), some(NAMES), some(PATHS)).prop_map(
        |(verbs, api_groups, resources, resource_names, non_resource_urls)| Rule {
            verbs,
            api_groups,
            resources,
            resource_names,
            non_resource_urls,
        },
    );
    vec(rule, 0..4)
}

/// All accesses that the generated rules can describe, and some others.
fn asks() -> Vec<Attributes<'static>> {
    let mut asks = Vec::new();
    for verb in ["get", "list", "other"] {
        for path in ["/", "/a", "/a/", "/a/b", "/a/bc", "/a/c", "/c"] {
            asks.push(Attributes::NonResource { verb, path });
        }
        for group in ["", "g", "other"] {
            for resource in ["a", "b", "c", "a/s", "b/t", "c/s", "a/u"] {
                for name in ["", "x", "y", "z"] {
                    asks.push(resource_ask(verb, group, resource, name));
                }
            }
        }
    }
    asks
}

proptest! {
    /// A granted role never allows more than its grantor is allowed.
    #[test]
    fn covered_rules_allow_nothing_more(own in rules(), wanted in rules()) {
        let own = held(&own);
        let given: Vec<&Rule> = wanted.iter().filter(|rule| missing_rules(&own, [*rule]).is_empty()).collect();
        for attributes in asks() {
            if given.iter().any(|rule| rule.allows(&attributes)) {
                prop_assert!(own.iter().any(|rule| rule.allows(&attributes)), "{attributes:?}");
            }
        }
    }

    /// Users can grant their own permissions.
    #[test]
    fn held_rules_are_covered(own in rules()) {
        prop_assert_eq!(missing_rules(&held(&own), &own), Vec::<String>::new());
    }
}

#[test]
fn rule_pairs_are_counted_without_expansion() {
    let many = |count: usize| -> Vec<String> { (0..count).map(|n| n.to_string()).collect() };
    let count = |rule: &Rule| (rule.pairs(), RequestedRule::of(rule, &HeldRules::of(&[])).breakdown().count());
    let rule = Rule { verbs: many(3), api_groups: many(5), resources: many(7), ..Rule::default() };
    assert_eq!(count(&rule), (105, 105));
    assert_eq!(count(&Rule { resource_names: many(2), ..rule.clone() }), (210, 210));
    let on_paths = Rule { verbs: many(3), non_resource_urls: many(4), ..Rule::default() };
    assert_eq!(count(&on_paths), (12, 12));
    let huge = Rule { verbs: many(100_000), api_groups: many(100_000), resources: many(100_000), ..rule };
    assert_eq!(Rule { resource_names: many(100_000), ..huge }.pairs(), usize::MAX);
}

#[test]
fn missing_permissions_are_bounded() {
    let many: Vec<String> = (0..100_000).map(|n| format!("r{n:06}")).collect();
    let huge = Rule { verbs: many.clone(), api_groups: many.clone(), resources: many, ..Rule::default() };
    let lines = missing_rules(&[], [&huge]);
    assert_eq!((lines.len(), lines[100].as_str()), (MISSING_RULES_MAX + 1, "and more than 100 others"));
    let long = Rule::on_resources(&[&"v".repeat(1_000_000)], &["g"], &["a", "b"]);
    assert!(missing_rules(&[], [&long]).iter().all(|line| line.len() < 2000));
}

#[test]
fn rule_comparisons_are_bounded() {
    let names = |count: usize| -> Vec<String> { (0..count).map(|n| n.to_string()).collect() };
    let of_names = |names| Rule { resource_names: names, ..Rule::on_resources(&["get"], &["g"], &["a"]) };
    let own = held(&names(6400).into_iter().map(|name| of_names(vec![name])).collect::<Vec<_>>());
    assert_eq!(missing_rules(&own, [&of_names(names(1000))]), Vec::<String>::new());
    let lines = missing_rules(&own, [&of_names(names(6400))]);
    assert!(lines.len() == 1 && lines[0].contains("more than 1000000 comparisons"), "{lines:?}");
    let long = held(&[of_names(names(RULE_COMPARISONS_MAX))]);
    assert!(missing_rules(&long, [&of_names(names(1))])[0].contains("more than 1000000 comparisons"));
}
