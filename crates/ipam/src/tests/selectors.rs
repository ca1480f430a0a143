//! Selection of a pool for claims with a selector.

use expect_test::{Expect, expect};
use serde_json::{Value, json};

use super::harness::{Server, claim, pool, show};

/// Creates a server with these pools: name, CIDR, strategy, length of a claim to create in the pool (0: none).
fn server(pools: &[(&str, &str, &str, u8)]) -> Server {
    let mut server = Server::new();
    for (name, cidr, strategy, taken) in pools {
        let spec = json!({"cidr": cidr, "allocation": {"strategy": strategy}});
        let tier = if name.starts_with('x') { "bronze" } else { "gold" };
        server
            .create_with(pool(name), spec, |meta| {
                drop(meta.labels.insert("tier".to_owned(), tier.to_owned()));
            })
            .unwrap();
        if *taken > 0 {
            let spec = json!({"poolRef": {"name": name}, "prefixLength": taken});
            server.create(claim(&format!("taken-{name}")), spec).unwrap();
        }
    }
    server
}

/// Creates a claim that selects all pools whose names do not begin with x.
fn check(pools: &[(&str, &str, &str, u8)], request: Value, expect: Expect) {
    let mut spec = request;
    spec["poolSelector"] = json!({"matchLabels": {"tier": "gold"}});
    let mut server = server(pools);
    let answer = server.create(claim("new"), spec);
    let pool = answer.as_ref().map_or("nowhere", |(object, _)| object.text("/status/poolRef/name")).to_owned();
    expect.assert_eq(&format!("{}from: {pool}\n", show(&answer)));
}

#[test]
fn pools_are_tried_in_name_order_and_skipped_if_unsuitable() {
    let first = "FirstFit";
    check(
        &[("b", "10.1.0.0/24", first, 0), ("a", "10.2.0.0/24", first, 0)],
        json!({"prefixLength": 25}),
        expect![[r#"
            Bound 10.2.0.0/25
            from: a
        "#]],
    );
    check(
        &[("x", "10.0.0.0/24", first, 0), ("y", "10.1.0.0/24", first, 0)],
        json!({"prefixLength": 25}),
        expect![[r#"
            Bound 10.1.0.0/25
            from: y
        "#]],
    );
    let pools = [
        ("a", "10.0.0.0/24", first, 24),
        ("b", "2001:db8::/32", first, 0),
        ("c", "10.1.0.0/26", first, 0),
        ("d", "10.2.0.0/24", first, 0),
    ];
    check(
        &pools,
        json!({"prefixLength": 25, "ipFamily": "IPv4"}),
        expect![[r#"
            Bound 10.2.0.0/25
            from: d
        "#]],
    );
    check(
        &pools,
        json!({"address": "10.1.0.9"}),
        expect![[r#"
            Bound 10.1.0.9/32
            from: c
        "#]],
    );
}

#[test]
fn selector_matches_child_pools() {
    let mut server = server(&[("a", "10.0.0.0/24", "FirstFit", 0)]);
    let spec = json!({"parentPoolRef": {"name": "a"}, "prefixLength": 28});
    server
        .create_with(pool("child"), spec, |meta| {
            drop(meta.labels.insert("role".to_owned(), "child".to_owned()));
        })
        .unwrap();
    let spec = json!({"poolSelector": {"matchLabels": {"role": "child"}}, "prefixLength": 32});
    let (object, _) = server.create(claim("c"), spec).unwrap();
    assert_eq!(object.text("/status/poolRef/name"), "child");
}

#[test]
fn least_utilized_uses_the_pool_with_highest_free_ratio() {
    let least = "LeastUtilized";
    let pools = [("a", "10.0.0.0/24", least, 25), ("b", "10.1.0.0/28", least, 30), ("c", "10.2.0.0/24", least, 26)];
    check(
        &pools,
        json!({"prefixLength": 32}),
        expect![[r#"
            Bound 10.1.0.4/32
            from: b
        "#]],
    );
    check(
        &pools,
        json!({"prefixLength": 26}),
        expect![[r#"
            Bound 10.2.0.64/26
            from: c
        "#]],
    );
    // With several strategies, the first pool with room decides.
    let mixed = [("a", "10.0.0.0/24", least, 25), ("b", "10.1.0.0/24", "FirstFit", 0), ("c", "10.2.0.0/24", least, 0)];
    check(
        &mixed,
        json!({"prefixLength": 32}),
        expect![[r#"
            Bound 10.2.0.0/32
            from: c
        "#]],
    );
    let mixed = [("a", "10.0.0.0/24", "BestFit", 25), ("b", "10.1.0.0/24", least, 0)];
    check(
        &mixed,
        json!({"prefixLength": 32}),
        expect![[r#"
            Bound 10.0.0.128/32
            from: a
        "#]],
    );
}

#[test]
fn error_of_the_best_matching_pool_is_returned() {
    let first = "FirstFit";
    check(
        &[],
        json!({"prefixLength": 24}),
        expect![[r#"
            400 BadRequest: no IPPool matches spec.poolSelector
            - NoPoolMatch spec.poolSelector: no IPPool matches spec.poolSelector
            from: nowhere
        "#]],
    );
    check(
        &[("x", "10.0.0.0/24", first, 0)],
        json!({"prefixLength": 24}),
        expect![[r#"
            400 BadRequest: no IPPool matches spec.poolSelector
            - NoPoolMatch spec.poolSelector: no IPPool matches spec.poolSelector
            from: nowhere
        "#]],
    );
    let full = [
        ("a", "2001:db8::/32", first, 0),
        ("b", "10.1.0.0/28", first, 0),
        ("c", "10.2.0.0/24", first, 32),
        ("d", "10.3.0.0/24", first, 24),
    ];
    check(
        &full,
        json!({"prefixLength": 24, "ipFamily": "IPv4"}),
        expect![[r#"
            507 InsufficientStorage: IPPool "c" is exhausted: no free block of length /24, its largest free block is a /25; so is 1 other pool that matches spec.poolSelector
            - PoolExhausted spec.prefixLength: IPPool "c" is exhausted: no free block of length /24, its largest free block is a /25; so is 1 other pool that matches spec.poolSelector
            - LargestFree : 25
            - Pool : c
            from: nowhere
        "#]],
    );
    check(
        &full,
        json!({"prefixLength": 20, "ipFamily": "IPv4"}),
        expect![[r#"
            422 Invalid: IPClaim.ipam.miloapis.com "new" is invalid: spec.prefixLength: Invalid value: 20: prefixLength /20 is outside the bounds of IPPool "b" (10.1.0.0/28): /28 to /32
            - FieldValueInvalid spec.prefixLength: Invalid value: 20: prefixLength /20 is outside the bounds of IPPool "b" (10.1.0.0/28): /28 to /32
            from: nowhere
        "#]],
    );
    check(
        &full,
        json!({"ipFamily": "IPv4"}),
        expect![[r#"
            422 Invalid: IPClaim.ipam.miloapis.com "new" is invalid: spec.prefixLength: Required value: IPPool "b" has no allocation.defaultPrefixLength
            - FieldValueRequired spec.prefixLength: Required value: IPPool "b" has no allocation.defaultPrefixLength
            from: nowhere
        "#]],
    );
    check(
        &full,
        json!({"address": "10.3.0.7"}),
        expect![[r#"
            422 Invalid: IPClaim.ipam.miloapis.com "new" is invalid: spec.address: Invalid value: "10.3.0.7/32": is not entirely free in IPPool "d"; ask for another block, or give spec.prefixLength in place of spec.address to get the next free one
            - AddressTaken spec.address: Invalid value: "10.3.0.7/32": is not entirely free in IPPool "d"; ask for another block, or give spec.prefixLength in place of spec.address to get the next free one
            from: nowhere
        "#]],
    );
    check(
        &full,
        json!({"address": "10.4.0.7"}),
        expect![[r#"
            422 Invalid: IPClaim.ipam.miloapis.com "new" is invalid: spec.address: Invalid value: "10.4.0.7/32": must be inside IPPool "b", which is 10.1.0.0/28
            - FieldValueInvalid spec.address: Invalid value: "10.4.0.7/32": must be inside IPPool "b", which is 10.1.0.0/28
            from: nowhere
        "#]],
    );
    check(
        &full[..1],
        json!({"prefixLength": 64, "ipFamily": "IPv4"}),
        expect![[r#"
            422 Invalid: IPClaim.ipam.miloapis.com "new" is invalid: spec.prefixLength: Invalid value: 64: must be at most 32 for IPv4
            - FieldValueInvalid spec.prefixLength: Invalid value: 64: must be at most 32 for IPv4
            from: nowhere
        "#]],
    );
    check(
        &full[..1],
        json!({"prefixLength": 32, "ipFamily": "IPv4"}),
        expect![[r#"
            422 Invalid: IPClaim.ipam.miloapis.com "new" is invalid: spec.ipFamily: Invalid value: "IPv4": address family IPv4 does not match IPPool "a", which has IPv6 addresses
            - FieldValueInvalid spec.ipFamily: Invalid value: "IPv4": address family IPv4 does not match IPPool "a", which has IPv6 addresses
            from: nowhere
        "#]],
    );
}

/// Creates a server with three pools: `a` and `b` have tier `edge`, `c` has tier `core`; `a` and `b` have a site.
fn labeled() -> Server {
    let mut server = Server::new();
    for (name, cidr, labels) in [
        ("a", "10.1.0.0/16", [("tier", "edge"), ("site", "ams")].as_slice()),
        ("b", "10.2.0.0/16", &[("tier", "edge"), ("site", "fra")]),
        ("c", "10.3.0.0/16", &[("tier", "core")]),
    ] {
        let labels = labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        server.create_with(pool(name), json!({"cidr": cidr}), |meta| meta.labels.extend(labels)).unwrap();
    }
    server
}

#[test]
fn selector_requires_every_label_and_expression() {
    let mut server = labeled();
    let one = |key: &str, operator: &str, values: &[&str]| json!({"key": key, "operator": operator, "values": values});
    for (selector, expected) in [
        (json!({"matchLabels": {"tier": "edge", "site": "fra"}}), "b"),
        (json!({"matchExpressions": [one("site", "In", &["fra", "lon"])]}), "b"),
        (json!({"matchExpressions": [one("site", "NotIn", &["ams"]), one("site", "Exists", &[])]}), "b"),
        (json!({"matchExpressions": [one("site", "DoesNotExist", &[])]}), "c"),
        (json!({"matchExpressions": [one("site", "NotIn", &["ams", "fra"])]}), "c"),
        (json!({"matchLabels": {"tier": "edge"}, "matchExpressions": [one("site", "Exists", &[])]}), "a"),
    ] {
        let name = format!("c{}", server.log.len());
        let spec = json!({"poolSelector": selector, "prefixLength": 28});
        let (object, _) = server.create(claim(&name), spec).unwrap();
        assert_eq!(object.text("/status/poolRef/name"), expected, "{selector}");
    }
}

#[test]
fn selector_uses_the_current_labels_of_pools() {
    let mut server = labeled();
    let spec = json!({"poolSelector": {"matchLabels": {"tier": "edge"}}, "prefixLength": 28});
    let mut selected = |name: &str| {
        let (object, _) = server.create(claim(name), spec.clone()).unwrap();
        server.update(&pool("a"), |pool| drop(pool.metadata.labels.remove("tier"))).unwrap();
        object.text("/status/poolRef/name").to_owned()
    };
    assert_eq!((selected("x"), selected("y")), ("a".to_owned(), "b".to_owned()));
    server.delete(&claim("x")).expect("its block returns to a pool that it no longer selects");
}

#[test]
fn invalid_selectors_are_rejected_with_path() {
    let refused = |selector: Value| {
        let spec = json!({"poolSelector": selector, "prefixLength": 24});
        let refusal = labeled().create(claim("a"), spec).unwrap_err();
        assert_eq!(refusal.reason.code(), 422);
        refusal.details.causes.iter().map(|cause| format!("{} {}", cause.reason, cause.field)).collect::<Vec<_>>()
    };
    for (expression, field) in [
        (json!({"key": "tier", "operator": "Near", "values": ["a"]}), "operator"),
        (json!({"key": "tier", "operator": "In"}), "values"),
        (json!({"key": "tier", "operator": "Exists", "values": ["a"]}), "values"),
        (json!({"key": "not a key", "operator": "Exists"}), "key"),
    ] {
        let causes = refused(json!({"matchExpressions": [expression]}));
        let path = format!(" spec.poolSelector.matchExpressions[0].{field}");
        assert!(matches!(&causes[..], [cause] if cause.ends_with(&path)), "{expression}: {causes:?}");
    }
    for selector in [
        json!({}),
        json!({"matchLabels": {}}),
        json!({"matchLabels": {}, "matchExpressions": []}),
        json!({"projectRef": {"name": "p"}}),
    ] {
        assert_eq!(refused(selector), ["FieldValueRequired spec.poolSelector"], "it would match all pools");
    }
}

#[test]
fn ip_family_is_required_if_pools_of_both_families_match() {
    let pools = [("a", "2001:d00::/24", "FirstFit", 0), ("b", "10.1.0.0/16", "FirstFit", 0)];
    check(
        &pools,
        json!({"prefixLength": 28}),
        expect![[r#"
        422 Invalid: IPClaim.ipam.miloapis.com "new" is invalid: spec.ipFamily: Required value: spec.poolSelector matches IPPool "b", which has IPv4 addresses, and IPPool "a", which has IPv6 addresses: say which
        - FieldValueRequired spec.ipFamily: Required value: spec.poolSelector matches IPPool "b", which has IPv4 addresses, and IPPool "a", which has IPv6 addresses: say which
        from: nowhere
    "#]],
    );
    check(
        &pools,
        json!({}),
        expect![[r#"
        422 Invalid: IPClaim.ipam.miloapis.com "new" is invalid: spec.ipFamily: Required value: spec.poolSelector matches IPPool "b", which has IPv4 addresses, and IPPool "a", which has IPv6 addresses: say which
        - FieldValueRequired spec.ipFamily: Required value: spec.poolSelector matches IPPool "b", which has IPv4 addresses, and IPPool "a", which has IPv6 addresses: say which
        from: nowhere
    "#]],
    );
    check(
        &pools,
        json!({"prefixLength": 28, "ipFamily": "IPv4"}),
        expect![[r#"
        Bound 10.1.0.0/28
        from: b
    "#]],
    );
    check(
        &pools,
        json!({"prefixLength": 28, "ipFamily": "IPv6"}),
        expect![[r#"
        Bound 2001:d00::/28
        from: a
    "#]],
    );
    check(
        &pools,
        json!({"address": "10.1.0.99"}),
        expect![[r#"
        Bound 10.1.0.99/32
        from: b
    "#]],
    );
    // No IPv4 block has this length.
    check(
        &pools,
        json!({"prefixLength": 64}),
        expect![[r#"
        Bound 2001:d00::/64
        from: a
    "#]],
    );
    check(
        &pools[1..],
        json!({"prefixLength": 28}),
        expect![[r#"
        Bound 10.1.0.0/28
        from: b
    "#]],
    );
}
