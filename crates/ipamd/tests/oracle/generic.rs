//! The generic part of the API: two kinds without rules, and random values of their fields.

use std::sync::LazyLock;

use apimachinery::resource::Resource;
use serde_json::{Map, Value, json};

use crate::{
    compared_kind::{ComparedKind, Mutation, Specs},
    generate::{JSON, PARTIAL, TABLE_ONLY},
    kinds,
    rng::Rng,
};

/// Widgets and gadgets.
pub struct Generic;

static RESOURCES: LazyLock<[Resource; 2]> = LazyLock::new(|| [kinds::widgets(), kinds::gadgets()]);

const FIELDS: [&str; 14] = [
    "text", "count", "small", "ratio", "flag", "color", "nested", "whole", "params", "set", "list", "items", "ports",
    "free",
];

impl ComparedKind for Generic {
    fn resources(&self) -> &'static [Resource] {
        RESOURCES.as_slice()
    }

    fn namespaces(&self) -> &'static [&'static str] {
        &["default", "attic"]
    }

    fn streams(&self) -> &'static [(&'static str, &'static str, &'static str)] {
        &[
            ("widgets", JSON, ""),
            ("widgets", JSON, "labelSelector=tier%3Da"),
            ("widgets", PARTIAL, ""),
            ("widgets", JSON, "fieldSelector=spec.color%3Dred"),
            ("widgets", TABLE_ONLY, "labelSelector=tier"),
            ("namespaces/default/widgets", JSON, "fieldSelector=metadata.name!%3Da"),
            ("gadgets", JSON, ""),
            ("gadgets", TABLE_ONLY, ""),
            ("gadgets", JSON, "labelSelector=tier+notin+(b)"),
            ("gadgets", PARTIAL, "fieldSelector=status.phase!%3DReady"),
        ]
    }

    fn marker(&self, _: &str) -> Value {
        json!({ "spec": { "color": "red" } })
    }
}

impl Specs for Generic {
    fn spec(&self, rng: &mut Rng, _: &str) -> Value {
        let mut spec = Map::new();
        for name in FIELDS {
            if rng.chance(22) {
                spec.insert(name.to_owned(), field(rng, name));
            }
        }
        spec.into()
    }

    fn applied(&self, rng: &mut Rng, name: &str) -> Value {
        self.spec(rng, name)
    }

    fn changes(&self, rng: &mut Rng) -> Value {
        let mut spec = Map::new();
        for name in FIELDS {
            if rng.chance(14) {
                let value = if rng.chance(20) { Value::Null } else { field(rng, name) };
                spec.insert(name.to_owned(), value);
            }
        }
        spec.into()
    }

    fn small_change(&self) -> Value {
        json!({ "text": "b" })
    }

    fn doubled(&self, _: &str) -> String {
        r#"{"text":"a","text":"b","count":1}"#.to_owned()
    }

    fn status(&self, rng: &mut Rng) -> Value {
        let mut status = json!({});
        if rng.chance(60) {
            status["phase"] = rng.one(&["Ready", "Pending"]).into();
        }
        if rng.chance(30) {
            status["observedGeneration"] = json!(1 + rng.below(3));
        }
        if rng.chance(50) {
            let types = &["Ready", "Synced"][..=rng.index(2)];
            let reason = rng.one(&["Good", "Bad"]);
            let conditions = types.iter().map(|kind| {
                json!({ "type": kind, "status": "True", "reason": reason, "lastTransitionTime": "2024-05-06T07:08:09Z" })
            });
            status["conditions"] = conditions.collect();
        }
        if rng.chance(3) {
            status["surprise"] = json!(1);
        }
        status
    }

    fn mutations(&self) -> Vec<Mutation> {
        vec![
            ("text for a number", "/spec/count", json!("three")),
            ("fraction for a number", "/spec/count", json!(1.5)),
            ("outside the enumeration", "/spec/color", json!("mauve")),
            ("explicit null", "/spec/text", Value::Null),
            ("a list for an object", "/spec/nested", json!([1])),
            ("twice in a set", "/spec/set", json!(["p", "q", "p"])),
            ("twice in a map", "/spec/ports", json!([{ "port": 80 }, { "port": 80, "protocol": "TCP" }])),
            ("nameless items", "/spec/items", json!([{ "value": "nameless" }, { "tags": ["t"] }])),
            ("a condition without a status", "/status/conditions", json!([{ "type": "Ready" }])),
            ("a phase of a wrong type", "/status/phase", json!(1)),
            ("null in free form", "/spec/free", json!({ "a": null, "b": { "c": null } })),
            ("beyond 32 bits", "/spec/small", json!(4_294_967_296_u64)),
        ]
    }

    fn misapplied(&self) -> [(&'static str, Value); 3] {
        [
            ("/spec/items", json!([{ "name": "z" }, { "name": "z" }])),
            ("/spec/items", json!([{ "value": "nameless" }])),
            ("/spec/set", json!(["p", "p"])),
        ]
    }

    fn operation(&self, rng: &mut Rng) -> Value {
        let number = rng.below(5);
        let text = rng.one(&["a", "b", "c"]);
        match rng.below(23) {
            0 => json!({ "op": "add", "path": "/spec/count", "value": number }),
            1 => json!({ "op": "replace", "path": "/spec/count", "value": number }),
            2 => json!({ "op": "remove", "path": "/spec/text" }),
            3 => json!({ "op": "test", "path": "/spec/count", "value": number }),
            4 => json!({ "op": "add", "path": "/spec/list/-", "value": text }),
            5 => json!({ "op": "add", "path": "/spec/list/0", "value": text }),
            6 => json!({ "op": "add", "path": "/spec/items/0", "value": { "name": "z" } }),
            7 => json!({ "op": "move", "from": "/spec/text", "path": "/spec/nested/a" }),
            8 => json!({ "op": "copy", "from": "/spec/text", "path": "/spec/mode" }),
            9 => json!({ "op": "add", "path": "/status", "value": { "phase": text } }),
            10 => json!({ "op": "add", "path": "/status/phase", "value": text }),
            11 => json!({ "op": "add", "path": "/spec/list/7", "value": text }),
            12 => json!({ "op": "add", "path": "/spec/unknown", "value": text }),
            13 => json!({ "op": "add", "path": "/spec/color", "value": "mauve" }),
            14 => json!({ "op": "add", "path": "/spec/list/-1", "value": text }),
            15 => json!({ "op": "remove", "path": "/spec/list/-1" }),
            16 => json!({ "op": "test", "path": "/spec/text" }),
            17 => json!({ "op": "copy", "from": "/metadata/labels", "path": "/spec/params" }),
            18 => json!({ "op": "move", "from": "/spec/list/0", "path": "/spec/text" }),
            19 => json!({ "op": "replace", "path": "/spec/nested/deep/x", "value": text }),
            20 => json!({ "op": "test", "path": "/spec/ratio", "value": 2.0 }),
            21 => json!({ "op": "add", "path": "/spec/items/-", "value": { "name": "i" } }),
            _ => json!({ "op": "remove", "path": "/spec/nowhere" }),
        }
    }

    fn field_selectors(&self) -> &'static [&'static str] {
        &[
            "spec.color=red",
            "spec.text=a,spec.color=red",
            "status.phase=Ready",
            "spec.count=1",
            "status.phase=",
            "status.phase!=Ready",
        ]
    }
}

fn field(rng: &mut Rng, name: &str) -> Value {
    let number = rng.below(4);
    let text = rng.one(&["a", "b", "c", ""]);
    match name {
        "text" => json!(text),
        "count" | "small" => json!(number),
        "ratio" => rng.one(&[&json!(0.5), &json!(2), &json!(-1.25)]).clone(),
        "flag" => json!(number.is_multiple_of(2)),
        "color" => json!(rng.one(&["red", "green", "blue"])),
        "nested" => match number {
            0 => json!({ "a": text }),
            1 => json!({ "b": number, "deep": { "x": text } }),
            2 => json!({ "deep": { "x": text, "y": [1, number] } }),
            _ => json!({}),
        },
        "whole" if number == 0 => json!({ "a": text }),
        "whole" => json!({ "a": "a", "b": text }),
        "params" if number == 0 => json!({}),
        "params" => json!({ (rng.one(&["p", "q", "r"])): text }),
        "set" => json!(&["p", "q", "r", "s"][rng.index(2)..2 + rng.index(2)]),
        "list" => json!(&["p", "p", "q"][..rng.index(3)]),
        "items" => {
            let names = &["i", "j", "k"][rng.index(2)..=rng.index(2)];
            let items = names.iter().map(|name| match rng.below(3) {
                0 => json!({ "name": name }),
                1 => json!({ "name": name, "value": text }),
                _ => json!({ "name": name, "value": "a", "tags": ["t"] }),
            });
            Value::Array(items.collect())
        }
        "ports" => match number {
            0 => json!([{ "port": 80 }]),
            1 => json!([{ "port": 80, "protocol": "UDP", "title": text }]),
            2 => json!([{ "port": 80, "title": text }, { "port": 80, "protocol": "UDP" }]),
            _ => json!([{ "port": 443, "protocol": "TCP" }]),
        },
        _ => match number {
            0 => json!({}),
            1 => json!({ "any": { "thing": [1, { "x": text }] } }),
            2 => json!({ "any": text, "other": 1.5 }),
            _ => json!({ "more": null, "list": [null, text] }),
        },
    }
}
