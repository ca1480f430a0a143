//! Objects and spans as the service writes them.

use serde_json::{Value, json};

use crate::{Comparison, Findings, Inventory, names};

/// The contents of a store.
#[derive(Clone)]
pub struct Fixture {
    pub pools: Vec<Value>,
    pub namespaces: Vec<Value>,
    pub allocations: Vec<Value>,
    pub claims: Vec<Value>,
    pub spans: Vec<Span>,
}

#[derive(Clone)]
pub struct Span {
    pub space: &'static str,
    pub first: u128,
    pub last: u128,
    pub holder: String,
}

const NET: u128 = 0x0a00_0000;

/// Returns a root pool with a child pool, three allocations (one retained), and a pool with all of IPv6.
pub fn healthy() -> Fixture {
    let (web, dns, kept) = (name("web"), name("dns"), name("kept"));
    let span = |space, first, last, holder: String| Span { space, first, last, holder };
    let allocation_key = |name: &str| format!("ipallocations/platform/default/{name}");
    Fixture {
        pools: vec![
            pool("corp", None, "10.0.0.0/16", ["65536", "4352", "61184"], Some(17)),
            pool("eu", Some("corp"), "10.0.0.0/20", ["4096", "320", "3776"], Some(21)),
            pool("six", None, "::/0", [ALL, "0", ALL], Some(0)),
        ],
        namespaces: vec![json!({"metadata": {"name": "default"}})],
        allocations: vec![
            allocation(&web, Some("web"), "eu", "10.0.0.0/24"),
            allocation(&dns, Some("dns"), "eu", "10.0.1.0/26"),
            allocation(&kept, None, "corp", "10.0.16.0/24"),
        ],
        claims: vec![claim("web", &web, "eu", "10.0.0.0/24"), claim("dns", &dns, "eu", "10.0.1.0/26")],
        spans: vec![
            span("pool/platform/corp", NET, NET + 0xfff, "ippools/platform//eu".into()),
            span("pool/platform/corp", NET + 0x1000, NET + 0x10ff, allocation_key(&kept)),
            span("pool/platform/eu", NET, NET + 0xff, allocation_key(&web)),
            span("pool/platform/eu", NET + 0x100, NET + 0x13f, allocation_key(&dns)),
            span("root/platform/IPv4", NET, NET + 0xffff, "ippools/platform//corp".into()),
            span("root/platform/IPv6", 0, u128::MAX, "ippools/platform//six".into()),
        ],
    }
}

const ALL: &str = "340282366920938463463374607431768211456";

/// Returns the name of the allocation of a claim in `default`.
pub fn name(claim: &str) -> String {
    names::allocation(names::of_claim("default", claim))
}

pub fn pool(name: &str, parent: Option<&str>, block: &str, exact: [&str; 3], largest: Option<u8>) -> Value {
    let rounded = |text: &str| text.parse::<i64>().unwrap_or(i64::MAX).min((1 << 53) - 1);
    json!({
        "metadata": {"name": name},
        "spec": {
            "parentPoolRef": parent.map(|name| json!({"name": name})),
            "allocation": {"minPrefixLength": 8, "strategy": "FirstFit"},
        },
        "status": {
            "phase": "Ready",
            "allocatedCIDR": block,
            "capacity": {
                "total": rounded(exact[0]), "allocated": rounded(exact[1]), "available": rounded(exact[2]),
                "exact": {"total": exact[0], "allocated": exact[1], "available": exact[2]},
            },
            "largestFreePrefix": largest,
        },
    })
}

pub fn allocation(name: &str, claim: Option<&str>, pool: &str, block: &str) -> Value {
    json!({
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"poolRef": {"name": pool}, "claimRef": claim.map(|name| json!({"name": name}))},
        "status": {"phase": if claim.is_some() { "Ready" } else { "Retained" }, "allocatedCIDR": block},
    })
}

pub fn claim(name: &str, allocation: &str, pool: &str, block: &str) -> Value {
    json!({
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"poolRef": {"name": pool}},
        "status": {
            "phase": "Bound", "allocatedCIDR": block, "poolRef": {"name": pool},
            "boundAllocationRef": {"name": allocation},
        },
    })
}

impl Fixture {
    pub fn check(&self) -> Findings {
        self.check_in(Inventory::of_store())
    }

    pub fn check_in(&self, inventory: Inventory) -> Findings {
        self.compare(inventory).finish()
    }

    pub fn compare(&self, mut inventory: Inventory) -> Comparison {
        let bytes = |value: &Value| serde_json::to_vec(value).unwrap();
        // Child pools before their parents, as the name order may have it.
        self.allocations.iter().for_each(|object| inventory.allocation("platform", &bytes(object)));
        self.pools.iter().rev().for_each(|object| inventory.pool("platform", &bytes(object)));
        self.namespaces.iter().for_each(|object| inventory.namespace("platform", &bytes(object)));
        let mut comparison = inventory.complete();
        self.claims.iter().for_each(|object| comparison.claim("platform", &bytes(object)));
        self.spans.iter().for_each(|span| comparison.span(span.space, span.first, span.last, &span.holder));
        comparison
    }
}
