//! IPPool: the real kind on our server, and a CRD with its schema on kube-apiserver.
//!
//! The rules that a schema cannot express are CEL rules of the CRD, with the messages of our server. A CRD cannot check other
//! pools and sets no status. So only the code and the reason are checked when our server rejects a block of another pool, or a
//! parent that does not exist ([`crate::creates`]), and child pools are not compared.

use std::sync::LazyLock;

use apimachinery::resource::Resource;
use serde_json::{Map, Value, json};

use crate::{
    compared_kind::{ComparedKind, Mutation, NAMES, Specs},
    generate::{JSON, PARTIAL, TABLE_ONLY},
    request::OWN_CONDITIONS,
    rng::Rng,
};

/// Root pools.
pub struct Pools;

static RESOURCES: LazyLock<[Resource; 1]> = LazyLock::new(|| {
    let registry = ipam::registry();
    let pools = registry.iter().find(|kind| kind.resource().plural == ipam::pool::PLURAL);
    [pools.expect("the service has pools").resource().clone()]
});

/// A pool that does not exist.
pub const ABSENT: &str = "none";
/// A block that pools of all names use, so that some creates overlap.
const SHARED: &str = "10.98.0.0/16";

/// The immutable fields of a spec.
const IMMUTABLE: [&str; 4] = ["cidr", "ipFamily", "parentPoolRef", "prefixLength"];

impl ComparedKind for Pools {
    fn resources(&self) -> &'static [Resource] {
        RESOURCES.as_slice()
    }

    fn namespaces(&self) -> &'static [&'static str] {
        &[]
    }

    fn streams(&self) -> &'static [(&'static str, &'static str, &'static str)] {
        &[
            ("ippools", JSON, ""),
            ("ippools", TABLE_ONLY, "labelSelector=tier"),
            ("ippools", JSON, "labelSelector=tier+notin+(b)"),
            ("ippools", JSON, "fieldSelector=spec.ipFamily%3DIPv4,metadata.name!%3Da"),
            ("ippools", PARTIAL, "fieldSelector=spec.parentPoolRef.name%3D"),
        ]
    }

    fn has_service(&self) -> bool {
        true
    }

    fn marker(&self, _: &str) -> Value {
        json!({ "spec": { "cidr": block("marker") } })
    }
}

impl Specs for Pools {
    fn crd_schema(&self, resource: &Resource) -> Value {
        let mut schema = resource.schema.clone();
        // Our server derives the family from the block; all blocks here are IPv4.
        schema["properties"]["spec"]["properties"]["ipFamily"]["default"] = "IPv4".into();
        let allocation = &mut schema["properties"]["spec"]["properties"]["allocation"];
        allocation["default"] = json!({});
        allocation["properties"]["strategy"]["default"] = "FirstFit".into();
        // kube-apiserver has no controller that sets the required fields.
        if let Some(status) = schema["properties"]["status"].as_object_mut() {
            status.remove("required");
        }
        let rules = IMMUTABLE.iter().map(|name| immutable(name)).chain(rules_of_roots());
        schema["x-kubernetes-validations"] = rules.collect();
        schema
    }

    fn spec(&self, rng: &mut Rng, name: &str) -> Value {
        let mut spec = Map::new();
        if rng.chance(3) {
            return json!({ "parentPoolRef": { "name": ABSENT }, "prefixLength": 24 });
        }
        if rng.chance(96) {
            let block = if rng.chance(8) { SHARED.to_owned() } else { block(name) };
            spec.insert("cidr".to_owned(), block.into());
        }
        if rng.chance(30) {
            spec.insert("ipFamily".to_owned(), "IPv4".into());
        }
        if rng.chance(3) {
            spec.insert("prefixLength".to_owned(), 24.into());
        }
        if rng.chance(60) {
            spec.insert("allocation".to_owned(), policy(rng, 50));
        }
        if rng.chance(50) {
            spec.insert("visibility".to_owned(), visibility(rng));
        }
        spec.into()
    }

    fn applied(&self, rng: &mut Rng, name: &str) -> Value {
        let mut spec = self.spec(rng, name);
        if rng.chance(25)
            && let Some(spec) = spec.as_object_mut()
        {
            spec.remove("cidr");
        }
        spec
    }

    fn changes(&self, rng: &mut Rng) -> Value {
        let mut spec = Map::new();
        if rng.chance(50) {
            let policy = if rng.chance(15) { Value::Null } else { policy(rng, 30) };
            spec.insert("allocation".to_owned(), policy);
        }
        if rng.chance(40) {
            let visibility = if rng.chance(20) { Value::Null } else { visibility(rng) };
            spec.insert("visibility".to_owned(), visibility);
        }
        if rng.chance(15) {
            let cases = [
                ("cidr", json!("10.99.0.0/16")),
                ("cidr", Value::Null),
                ("ipFamily", json!("IPv6")),
                ("ipFamily", json!("IPv4")),
                ("ipFamily", Value::Null),
                ("parentPoolRef", json!({ "name": "b" })),
                ("prefixLength", json!(20)),
            ];
            let (name, value) = cases[rng.index(cases.len())].clone();
            spec.insert(name.to_owned(), value);
        }
        spec.into()
    }

    fn small_change(&self) -> Value {
        json!({ "visibility": "shared" })
    }

    fn doubled(&self, name: &str) -> String {
        format!(r#"{{"cidr":"{}","visibility":"shared","visibility":"consumer"}}"#, block(name))
    }

    fn status(&self, rng: &mut Rng) -> Value {
        let reason = rng.one(&["Good", "Bad"]);
        let types = &["Checked", "Synced"][..=rng.index(2)];
        let conditions = types.iter().map(|kind| {
            json!({
                "type": kind, "status": "True", "reason": reason, "message": "", "lastTransitionTime": "2024-05-06T07:08:09Z",
            })
        });
        json!({ "conditions": conditions.collect::<Vec<_>>() })
    }

    fn mutations(&self) -> Vec<Mutation> {
        vec![
            ("text for a number", "/spec/allocation/minPrefixLength", json!("three")),
            ("fraction for a number", "/spec/allocation/maxPrefixLength", json!(28.5)),
            ("outside the enumeration", "/spec/visibility", json!("mauve")),
            ("outside another enumeration", "/spec/allocation/strategy", json!("WorstFit")),
            ("explicit null", "/spec/visibility", Value::Null),
            ("explicit null of a default", "/spec/allocation", Value::Null),
            ("a list for an object", "/spec/allocation", json!([1])),
            ("a number for text", "/spec/cidr", json!(10)),
            ("beyond 32 bits", "/spec/prefixLength", json!(4_294_967_296_u64)),
            (
                "a condition without a reason",
                "/status/conditions",
                json!([OWN_CONDITIONS, { "type": "Checked", "status": "True" }]),
            ),
            ("an unknown field below", "/spec/allocation/unknown", json!({ "x": 1 })),
        ]
    }

    fn misapplied(&self) -> [(&'static str, Value); 3] {
        [("/spec/allocation", json!({})), ("/spec/allocation", Value::Null), ("/spec/visibility", json!(""))]
    }

    fn operation(&self, rng: &mut Rng) -> Value {
        let length = 17 + rng.below(4);
        match rng.below(14) {
            0 => json!({ "op": "add", "path": "/spec/allocation/minPrefixLength", "value": length }),
            1 => json!({ "op": "replace", "path": "/spec/allocation/minPrefixLength", "value": length }),
            2 => json!({ "op": "remove", "path": "/spec/allocation" }),
            3 => json!({ "op": "remove", "path": "/spec/allocation/strategy" }),
            4 => json!({ "op": "test", "path": "/spec/allocation/strategy", "value": "FirstFit" }),
            5 => json!({ "op": "replace", "path": "/spec/visibility", "value": visibility(rng) }),
            6 => json!({ "op": "add", "path": "/spec/visibility", "value": visibility(rng) }),
            7 => json!({ "op": "remove", "path": "/spec/visibility" }),
            8 => json!({ "op": "replace", "path": "/spec/cidr", "value": "10.99.0.0/16" }),
            9 => json!({ "op": "copy", "from": "/spec/cidr", "path": "/metadata/annotations/block" }),
            10 => json!({ "op": "add", "path": "/spec/unknown", "value": 1 }),
            11 => json!({ "op": "copy", "from": "/spec/ipFamily", "path": "/spec/visibility" }),
            12 => json!({ "op": "move", "from": "/spec/allocation/minPrefixLength", "path": "/spec/prefixLength" }),
            _ => json!({ "op": "remove", "path": "/spec/nowhere" }),
        }
    }

    fn field_selectors(&self) -> &'static [&'static str] {
        &[
            "spec.ipFamily=IPv4",
            "spec.ipFamily!=IPv4",
            "spec.parentPoolRef.name=",
            "spec.visibility=shared",
            "spec.cidr=x",
        ]
    }
}

/// Returns the block of the pool with this name. Each name has another block.
fn block(name: &str) -> String {
    let index = NAMES.iter().position(|known| *known == name).unwrap_or(NAMES.len());
    format!("10.{}.0.0/16", 1 + index)
}

/// Generates prefix length bounds that are consistent in every combination.
fn policy(rng: &mut Rng, percent: u32) -> Value {
    let mut policy = Map::new();
    for (name, shortest) in [("minPrefixLength", 17), ("defaultPrefixLength", 22), ("maxPrefixLength", 26)] {
        if rng.chance(percent) {
            policy.insert(name.to_owned(), (shortest + rng.below(3)).into());
        }
    }
    if rng.chance(percent) {
        policy.insert("strategy".to_owned(), rng.one(&["FirstFit", "BestFit", "LeastUtilized"]).into());
    }
    policy.into()
}

fn visibility(rng: &mut Rng) -> Value {
    rng.one(&["platform", "consumer", "shared"]).into()
}

fn rule(rule: String, field: &str, reason: &str, message: &str) -> Value {
    json!({
        "rule": rule, "fieldPath": format!(".spec.{field}"), "reason": reason, "message": message,
        "optionalOldSelf": true,
    })
}

fn immutable(field: &str) -> Value {
    let old = format!("oldSelf.value().spec.{field}");
    let has = format!("has(self.spec) && has(self.spec.{field})");
    let had = format!("has(oldSelf.value().spec) && has({old})");
    // Without a spec there is no `ipFamily`; its default is set again with the spec.
    let filled_in = if field == "ipFamily" { "!has(self.spec)" } else { "false" };
    let same = format!("{filled_in} || ({has}) == ({had}) && (!({has}) || self.spec.{field} == {old})");
    let message = format!("spec.{field} is immutable");
    rule(format!("!oldSelf.hasValue() || ({same})"), field, "FieldValueForbidden", &message)
}

/// Returns the rules for the create of a pool without a parent.
fn rules_of_roots() -> [Value; 2] {
    let is_old_or = "oldSelf.hasValue() || (has(self.spec) && has(self.spec.parentPoolRef))";
    [
        rule(
            format!("{is_old_or} || (has(self.spec) && has(self.spec.cidr))"),
            "cidr",
            "FieldValueRequired",
            "a root pool needs a block; a child pool needs parentPoolRef",
        ),
        rule(
            format!("{is_old_or} || !has(self.spec) || !has(self.spec.prefixLength)"),
            "prefixLength",
            "FieldValueForbidden",
            "is only for child pools: the length of a root pool is part of spec.cidr",
        ),
    ]
}
