//! Sequences of requests from a seed: mostly what clients send, partly what they should not.

use http::Method;
use rand::{Rng as _, SeedableRng as _, rngs::SmallRng, seq::IndexedRandom as _};
use serde_json::{Map, Value, json};

use crate::{
    kinds::{GROUP, VERSION},
    request::{Body, CONTINUE, LIST_VERSION, RIGHT_VERSION, Request, STALE_VERSION, UID},
};

/// Objects per collection: few, so that requests meet what others left.
const NAMES: [&str; 4] = ["a", "b", "c", "d"];
const AGENTS: [&str; 3] = ["kubectl/v1.37.2 (linux/amd64)", "controller/0.1", "go-client"];
const MANAGERS: [&str; 4] = ["alice", "bob", "carol", "kubectl"];
const JSON: &str = "application/json";
const MERGE: &str = "application/merge-patch+json";
const JSON_PATCH: &str = "application/json-patch+json";
const STRATEGIC: &str = "application/strategic-merge-patch+json";
const APPLY: &str = "application/apply-patch+yaml";
const TABLE: &str = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";
const PARTIAL: &str = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1";
const PARTIAL_LIST: &str = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1";

const GENERATED_NAME: &str = "generated name";

/// A collection of one of the kinds.
#[derive(Clone, Debug)]
pub struct Collection {
    /// Its path.
    pub path: String,
    /// The kind in it.
    pub kind: &'static str,
}

impl Collection {
    /// Its objects.
    pub fn targets(&self) -> Vec<String> {
        NAMES.iter().map(|name| format!("{}/{name}", self.path)).collect()
    }
}

/// All collections.
pub fn collections() -> Vec<Collection> {
    let root = format!("/apis/{GROUP}/{VERSION}");
    let of = |path: &str, kind| Collection { path: format!("{root}/{path}"), kind };
    vec![of("namespaces/default/widgets", "Widget"), of("namespaces/attic/widgets", "Widget"), of("gadgets", "Gadget")]
}

/// Makes requests.
pub struct Generator {
    rng: SmallRng,
    apply: bool,
    collections: Vec<Collection>,
}

impl Generator {
    /// From a seed.
    pub fn new(seed: u64, apply: bool) -> Self {
        Self { rng: SmallRng::seed_from_u64(seed), apply, collections: collections() }
    }

    /// The next request.
    pub fn next(&mut self) -> Request {
        match self.rng.random_range(0..100) {
            0..17 => self.create(),
            17..33 => self.put(),
            33..43 => self.merge_patch(),
            43..52 => self.json_patch(),
            52..72 if self.apply => self.apply(),
            52..72 => self.merge_patch(),
            72..80 => self.delete(),
            80..81 if self.chance(50) => self.create_generated(),
            80..81 => self.delete_collection(),
            81..85 => self.get(),
            85..96 if self.chance(4) => self.watch(),
            85..96 => self.list(),
            _ => self.odd(),
        }
    }

    fn chance(&mut self, percent: u32) -> bool {
        self.rng.random_range(0..100) < percent
    }

    fn one<T: Copy>(&mut self, of: &[T]) -> T {
        *of.choose(&mut self.rng).expect("there is one")
    }

    fn object(&mut self, label: &'static str, method: Method) -> Request {
        let name = self.one(&NAMES).to_owned();
        Request { name: Some(name), ..self.collection(label, method) }
    }

    fn collection(&mut self, label: &'static str, method: Method) -> Request {
        let index = self.rng.random_range(0..self.collections.len());
        Request {
            label,
            method,
            collection: self.collections[index].path.clone(),
            name: None,
            subresource: "",
            query: Vec::new(),
            content_type: None,
            accept: None,
            user_agent: self.one(&AGENTS),
            body: Body::Empty,
        }
    }

    fn kind_of(&self, request: &Request) -> &'static str {
        self.collections.iter().find(|known| known.path == request.collection).map_or("", |known| known.kind)
    }

    fn write_options(&mut self, request: &mut Request) {
        if self.chance(8) {
            request.query.push(("dryRun", if self.chance(90) { "All" } else { "Some" }.to_owned()));
        }
        if self.chance(25) {
            let values = ["Strict", "Strict", "Warn", "Ignore", "Never"];
            request.query.push(("fieldValidation", self.one(&values).to_owned()));
        }
        if self.chance(30) && !request.query.iter().any(|(name, _)| *name == "fieldManager") {
            request.query.push(("fieldManager", self.one(&MANAGERS).to_owned()));
        }
        if self.chance(4) {
            request.accept = Some(self.one(&[TABLE, PARTIAL, "application/yaml;q=0.5,application/json"]));
        }
    }

    fn create(&mut self) -> Request {
        let mut request = self.collection("create", Method::POST);
        request.content_type = Some(JSON);
        self.write_options(&mut request);
        let (api_version, kind) = (format!("{GROUP}/{VERSION}"), self.kind_of(&request));
        let name = self.one(&NAMES);
        let mut body =
            json!({ "apiVersion": api_version, "kind": kind, "metadata": self.metadata(), "spec": self.spec() });
        body["metadata"]["name"] = name.into();
        if self.chance(12) {
            body["status"] = self.status();
        }
        if self.chance(22) {
            request.label = self.spoil(&mut body);
        }
        if request.label == GENERATED_NAME {
            // What it makes cannot be found again by the same name on both sides.
            request.query = vec![("dryRun", "All".to_owned())];
        }
        request.body = Body::Json(body);
        if self.chance(3) {
            request.label = "create from bytes";
            let odd = [
                format!(
                    r#"{{"apiVersion":"{api_version}","kind":"{kind}","metadata":{{"name":"{name}"}},"spec":{{"text":"a","text":"b","count":1}}}}"#
                ),
                format!(
                    r#"{{"apiVersion":"{api_version}","kind":"{kind}","metadata":{{"name":"{name}"}},"spec":{{"text":"a","#
                ),
                "[]".to_owned(),
                "null".to_owned(),
                String::new(),
                "\"text\"".to_owned(),
            ];
            let index = self.rng.random_range(0..odd.len());
            request.body = Body::Raw(odd[index].clone());
        }
        request
    }

    /// Objects whose names the servers make up. But for these they are all alike: nobody can tell which is which.
    fn create_generated(&mut self) -> Request {
        let mut request = self.collection(GENERATED_NAME, Method::POST);
        request.content_type = Some(JSON);
        request.user_agent = AGENTS[0];
        let metadata = json!({ "generateName": "made-", "labels": { "made": "yes" } });
        let kind = self.kind_of(&request);
        request.body = Body::Json(json!({
            "apiVersion": format!("{GROUP}/{VERSION}"), "kind": kind, "metadata": metadata, "spec": { "text": "made" },
        }));
        request
    }

    /// Puts something wrong, or unusual, into an object. The answer is what it is.
    fn spoil(&mut self, body: &mut Value) -> &'static str {
        let cases: [(&'static str, &str, Value); 37] = [
            ("bad name", "/metadata/name", json!("No_Name")),
            ("name with a slash", "/metadata/name", json!("a/b")),
            ("long name", "/metadata/name", json!("n".repeat(260))),
            ("bad label key", "/metadata/labels", json!({ "-bad-": "x" })),
            ("bad label value", "/metadata/labels", json!({ "tier": "not good" })),
            ("label of a wrong type", "/metadata/labels", json!({ "tier": 1 })),
            ("bad annotation key", "/metadata/annotations", json!({ "a b": "x" })),
            ("bad finalizer", "/metadata/finalizers", json!(["not good"])),
            ("short finalizer", "/metadata/finalizers", json!(["hold"])),
            (
                "bad owner",
                "/metadata/ownerReferences",
                json!([{ "apiVersion": "v1", "kind": "ConfigMap", "name": "", "uid": "" }]),
            ),
            ("two controllers", "/metadata/ownerReferences", json!([owner("x", true), owner("y", true)])),
            ("repeated owner", "/metadata/ownerReferences", json!([owner("x", false), owner("x", false)])),
            ("own uid", "/metadata/uid", json!("11111111-1111-4111-8111-111111111111")),
            ("own resourceVersion", "/metadata/resourceVersion", json!("1")),
            ("own generation", "/metadata/generation", json!(17)),
            ("own creationTimestamp", "/metadata/creationTimestamp", json!("2020-01-01T00:00:00Z")),
            ("own deletionTimestamp", "/metadata/deletionTimestamp", json!("2020-01-01T00:00:00Z")),
            (
                "own managedFields",
                "/metadata/managedFields",
                json!([{ "manager": "x", "operation": "Update", "apiVersion": "oracle.example.com/v1", "fieldsType": "FieldsV1", "fieldsV1": { "f:spec": { "f:text": {} } }, "time": "2020-01-01T00:00:00Z" }]),
            ),
            ("bad managedFields", "/metadata/managedFields", json!([{ "manager": "x", "operation": "Change" }])),
            ("unknown metadata", "/metadata/colour", json!("red")),
            ("other namespace", "/metadata/namespace", json!("elsewhere")),
            (GENERATED_NAME, "/metadata/generateName", json!("made-")),
            ("no name", "/metadata/name", Value::Null),
            ("other kind", "/kind", json!("Thing")),
            ("other version", "/apiVersion", json!("oracle.example.com/v2")),
            ("no kind", "/kind", Value::Null),
            ("unknown field", "/spec/unknown", json!({ "x": 1 })),
            ("unknown field on top", "/extra", json!(true)),
            ("text for a number", "/spec/count", json!("three")),
            ("fraction for a number", "/spec/count", json!(1.5)),
            ("outside the enumeration", "/spec/color", json!("mauve")),
            ("explicit null", "/spec/text", Value::Null),
            ("a list for an object", "/spec/nested", json!([1])),
            ("twice in a set", "/spec/set", json!(["p", "q", "p"])),
            ("twice in a map", "/spec/ports", json!([{ "port": 80 }, { "port": 80, "protocol": "TCP" }])),
            ("null in free form", "/spec/free", json!({ "a": null, "b": { "c": null } })),
            ("beyond 32 bits", "/spec/small", json!(4_294_967_296_u64)),
        ];
        let (label, pointer, value) = cases[self.rng.random_range(0..cases.len())].clone();
        if label == GENERATED_NAME {
            put(body, "/metadata/name", Value::Null);
        }
        put(body, pointer, value);
        label
    }

    fn put(&mut self) -> Request {
        let mut request = self.object("update", Method::PUT);
        request.content_type = Some(JSON);
        self.write_options(&mut request);
        let kind = self.kind_of(&request);
        let identity = json!({ "apiVersion": format!("{GROUP}/{VERSION}"), "kind": kind });
        let mut changes = identity.clone();
        changes["metadata"] = self.metadata_change();
        if self.chance(75) {
            changes["spec"] = self.changes();
        }
        if self.chance(20) {
            changes["status"] = self.status();
        }
        if self.chance(22) {
            request.label = "status update";
            request.subresource = "/status";
            changes["status"] = self.status();
        }
        if self.chance(12) {
            changes = identity;
        }
        match self.rng.random_range(0..100) {
            0..6 => changes["metadata"]["resourceVersion"] = STALE_VERSION.into(),
            6..9 => changes["metadata"]["resourceVersion"] = Value::Null,
            9..10 => changes["metadata"]["resourceVersion"] = "abc".into(),
            10..12 => changes["metadata"]["uid"] = "11111111-1111-4111-8111-111111111111".into(),
            12..13 => changes["metadata"]["uid"] = Value::Null,
            13..14 => changes["metadata"]["name"] = "other".into(),
            14..15 => changes["metadata"]["name"] = Value::Null,
            15..17 => changes["metadata"]["managedFields"] = json!([]),
            17..18 => changes["metadata"]["managedFields"] = Value::Null,
            18..19 => changes["metadata"]["generation"] = json!(99),
            19..20 => changes["metadata"]["creationTimestamp"] = Value::Null,
            20..21 => changes["metadata"]["creationTimestamp"] = "2020-01-01T00:00:00Z".into(),
            21..30 => {
                request.label = self.spoil(&mut changes);
            }
            _ => {}
        }
        request.body = Body::Current(changes);
        request
    }

    fn merge_patch(&mut self) -> Request {
        let mut request = self.object("merge patch", Method::PATCH);
        request.content_type = Some(MERGE);
        self.write_options(&mut request);
        let mut patch = json!({});
        if self.chance(50) {
            patch["metadata"] = self.metadata_change();
        }
        if self.chance(70) {
            patch["spec"] = self.changes();
        }
        if self.chance(30) {
            request.label = "status merge patch";
            request.subresource = "/status";
            patch["status"] = self.status();
        }
        match self.rng.random_range(0..100) {
            0..5 => put(&mut patch, "/metadata/resourceVersion", RIGHT_VERSION.into()),
            5..9 => put(&mut patch, "/metadata/resourceVersion", STALE_VERSION.into()),
            9..10 => put(&mut patch, "/metadata/uid", "11111111-1111-4111-8111-111111111111".into()),
            10..11 => put(&mut patch, "/metadata/uid", UID.into()),
            11..12 => put(&mut patch, "/metadata/name", "other".into()),
            12..13 => put(&mut patch, "/metadata", Value::Null),
            13..14 => put(&mut patch, "/spec", Value::Null),
            14..15 => put(&mut patch, "/spec", json!("text")),
            15..16 => put(&mut patch, "/metadata/managedFields", Value::Null),
            16..18 => put(&mut patch, "/metadata/managedFields", json!([])),
            18..30 => request.label = self.spoil(&mut patch),
            _ => {}
        }
        request.body = match self.rng.random_range(0..100) {
            0 => Body::Raw("[]".to_owned()),
            1 => Body::Raw("{\"spec\":".to_owned()),
            2 => Body::Raw(r#"{"spec":{"text":"a","text":"b"}}"#.to_owned()),
            3 => Body::Raw(String::new()),
            4..7 => Body::Json(json!({})),
            _ => Body::Json(patch),
        };
        request
    }

    fn json_patch(&mut self) -> Request {
        let mut request = self.object("json patch", Method::PATCH);
        request.content_type = Some(JSON_PATCH);
        self.write_options(&mut request);
        let operations: Vec<Value> = (0..self.rng.random_range(1..=3)).map(|_| self.operation()).collect();
        request.body = match self.rng.random_range(0..100) {
            0 => Body::Raw("{}".to_owned()),
            1 => Body::Raw("[{\"op\":".to_owned()),
            2 => Body::Raw(r#"[{"op":"frobnicate","path":"/spec/text","value":1}]"#.to_owned()),
            3 => Body::Raw(r#"[{"op":"replace","path":"spec","value":1}]"#.to_owned()),
            4 => Body::Raw(r#"[{"op":"add","value":1}]"#.to_owned()),
            5 => Body::Raw("[]".to_owned()),
            _ => Body::Json(operations.into()),
        };
        if self.chance(20) {
            request.label = "status json patch";
            request.subresource = "/status";
        }
        request
    }

    fn operation(&mut self) -> Value {
        let number = self.rng.random_range(0..5);
        let text = self.one(&["a", "b", "c"]);
        match self.rng.random_range(0..35) {
            0 => json!({ "op": "add", "path": "/metadata/labels", "value": { "tier": text } }),
            1 => json!({ "op": "replace", "path": "/metadata/labels/tier", "value": text }),
            2 => json!({ "op": "remove", "path": "/metadata/labels/tier" }),
            3 => json!({ "op": "add", "path": "/spec/count", "value": number }),
            4 => json!({ "op": "replace", "path": "/spec/count", "value": number }),
            5 => json!({ "op": "remove", "path": "/spec/text" }),
            6 => json!({ "op": "test", "path": "/spec/count", "value": number }),
            7 => json!({ "op": "add", "path": "/spec/list/-", "value": text }),
            8 => json!({ "op": "add", "path": "/spec/list/0", "value": text }),
            9 => json!({ "op": "add", "path": "/spec/items/0", "value": { "name": "z" } }),
            10 => json!({ "op": "move", "from": "/spec/text", "path": "/spec/nested/a" }),
            11 => json!({ "op": "copy", "from": "/spec/text", "path": "/spec/mode" }),
            12 => json!({ "op": "replace", "path": "/metadata/resourceVersion", "value": RIGHT_VERSION }),
            13 => json!({ "op": "replace", "path": "/metadata/resourceVersion", "value": STALE_VERSION }),
            14 => json!({ "op": "test", "path": "/metadata/uid", "value": UID }),
            15 => json!({ "op": "replace", "path": "/metadata/managedFields", "value": [{}] }),
            16 => json!({ "op": "add", "path": "/status", "value": { "phase": text } }),
            17 => json!({ "op": "add", "path": "/status/phase", "value": text }),
            18 => json!({ "op": "add", "path": "/spec/list/7", "value": text }),
            19 => json!({ "op": "remove", "path": "/spec/nowhere" }),
            20 => json!({ "op": "add", "path": "/spec/unknown", "value": text }),
            21 => json!({ "op": "add", "path": "/spec/color", "value": "mauve" }),
            22 => json!({ "op": "add", "path": "/spec/list/-1", "value": text }),
            23 => json!({ "op": "remove", "path": "/spec/list/-1" }),
            24 => json!({ "op": "test", "path": "/spec/text" }),
            25 => json!({ "op": "copy", "from": "/metadata/labels", "path": "/spec/params" }),
            26 => json!({ "op": "replace", "path": "", "value": { "spec": {} } }),
            27 => json!({ "op": "move", "from": "/spec/list/0", "path": "/spec/text" }),
            28 => json!({ "op": "add", "path": "/metadata/finalizers/-", "value": HOLD }),
            29 => json!({ "op": "remove", "path": "/metadata/ownerReferences" }),
            30 => json!({ "op": "add", "path": "/metadata/annotations/a~1b", "value": text }),
            31 => json!({ "op": "replace", "path": "/spec/nested/deep/x", "value": text }),
            32 => json!({ "op": "test", "path": "/spec/ratio", "value": 2.0 }),
            33 => json!({ "op": "add", "path": "/spec/items/-", "value": { "name": "i" } }),
            _ => json!({ "op": "add", "path": "/metadata/annotations", "value": { "note": text } }),
        }
    }

    fn apply(&mut self) -> Request {
        let mut request = self.object("apply", Method::PATCH);
        request.content_type = Some(APPLY);
        request.query.push(("fieldManager", self.one(&MANAGERS[..3]).to_owned()));
        if self.chance(35) {
            request.query.push(("force", if self.chance(85) { "true" } else { "false" }.to_owned()));
        }
        self.write_options(&mut request);
        request.user_agent = AGENTS[0];
        let kind = self.kind_of(&request);
        let mut metadata = json!({ "name": request.name });
        if self.chance(40) {
            metadata["labels"] = self.labels();
        }
        if self.chance(25) {
            metadata["annotations"] = json!({ "note": self.one(&["x", "y"]) });
        }
        if self.chance(8) {
            metadata["finalizers"] = json!([HOLD]);
        }
        if self.chance(6) {
            metadata["ownerReferences"] = json!([owner("x", false)]);
        }
        let mut body = json!({ "apiVersion": format!("{GROUP}/{VERSION}"), "kind": kind, "metadata": metadata });
        if self.chance(85) {
            body["spec"] = self.spec();
        }
        if self.chance(20) {
            request.label = "status apply";
            request.subresource = "/status";
            body["status"] = self.status();
        } else if self.chance(6) {
            body["status"] = self.status();
        }
        match self.rng.random_range(0..100) {
            0..2 => put(&mut body, "/metadata/resourceVersion", RIGHT_VERSION.into()),
            2..4 => put(&mut body, "/metadata/resourceVersion", STALE_VERSION.into()),
            4..5 => put(&mut body, "/metadata/uid", "11111111-1111-4111-8111-111111111111".into()),
            5..6 => put(&mut body, "/metadata/managedFields", json!([{ "manager": "x" }])),
            6..7 => put(&mut body, "/spec/items", json!([{ "name": "z" }, { "name": "z" }])),
            7..8 => put(&mut body, "/spec/items", json!([{ "value": "nameless" }])),
            8..9 => put(&mut body, "/spec/set", json!(["p", "p"])),
            9..10 => request.query.retain(|(name, _)| *name != "fieldManager"),
            10..18 => request.label = self.spoil(&mut body),
            _ => {}
        }
        request.body = if self.chance(1) { Body::Raw("spec: [".to_owned()) } else { Body::Json(body) };
        request
    }

    fn delete(&mut self) -> Request {
        let mut request = self.object("delete", Method::DELETE);
        if self.chance(6) {
            request.query.push(("dryRun", "All".to_owned()));
        }
        if self.chance(10) {
            let policies = ["Foreground", "Orphan", "Background", "Sideways"];
            request.query.push(("propagationPolicy", self.one(&policies).to_owned()));
        }
        let options = match self.rng.random_range(0..16) {
            0 => json!({ "preconditions": { "uid": UID } }),
            1 => json!({ "preconditions": { "uid": "11111111-1111-4111-8111-111111111111" } }),
            2 => json!({ "preconditions": { "resourceVersion": RIGHT_VERSION } }),
            3 => json!({ "preconditions": { "resourceVersion": STALE_VERSION } }),
            4 => json!({ "kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": "Background" }),
            5 => json!({ "propagationPolicy": "Sideways" }),
            6 => json!({ "propagationPolicy": "Background", "orphanDependents": true }),
            7 => json!({ "gracePeriodSeconds": 30 }),
            8 => json!({ "kind": "Widget", "apiVersion": "v9" }),
            9 => json!({ "propagationPolicy": "Foreground" }),
            10 => json!({ "propagationPolicy": "Orphan" }),
            11 => json!({ "orphanDependents": self.chance(50) }),
            _ => return request,
        };
        request.content_type = Some(JSON);
        request.body = Body::Json(options);
        request
    }

    fn delete_collection(&mut self) -> Request {
        let mut request = self.collection("delete collection", Method::DELETE);
        let selector = self.one(&["tier=a", "tier=b", "made=yes", "made=yes", "tier in (a,c)", "not good!"]);
        request.query.push(("labelSelector", selector.to_owned()));
        request
    }

    fn get(&mut self) -> Request {
        let mut request = self.object("get", Method::GET);
        if self.chance(30) {
            request.subresource = "/status";
        }
        if self.chance(50) {
            request.accept = Some(self.one(&[
                TABLE,
                PARTIAL,
                PARTIAL_LIST,
                "application/yaml;q=0.1,application/json",
                "image/png",
                "*/*",
            ]));
        }
        if self.chance(10) {
            let values = ["0", "abc", RIGHT_VERSION];
            request.query.push(("resourceVersion", self.one(&values).to_owned()));
        }
        request
    }

    fn list(&mut self) -> Request {
        let mut request = self.collection("list", Method::GET);
        if self.chance(15) {
            request.collection = format!("/apis/{GROUP}/{VERSION}/widgets");
        }
        if self.chance(40) {
            let labels = [
                "tier=a",
                "tier!=a",
                "tier in (a, b)",
                "tier notin (a)",
                "tier",
                "!tier",
                "tier=a,app=x",
                "tier==b",
                "a b",
                "tier in a",
                "=",
                "tier>1",
            ];
            request.query.push(("labelSelector", self.one(&labels).to_owned()));
        }
        if self.chance(30) {
            let fields = [
                "metadata.name=a",
                "metadata.name!=a",
                "spec.color=red",
                "spec.text=a,spec.color=red",
                "status.phase=Ready",
                "spec.count=1",
                "metadata.namespace=default",
                "nonsense",
                "status.phase=",
            ];
            request.query.push(("fieldSelector", self.one(&fields).to_owned()));
        }
        if self.chance(30) {
            let limits = ["1", "2", "3", "500", "0", "x", "-1"];
            request.query.push(("limit", self.one(&limits).to_owned()));
        }
        if self.chance(12) {
            request.query.push(("continue", if self.chance(90) { CONTINUE } else { "nonsense" }.to_owned()));
        }
        if self.chance(8) {
            let values = ["abc", "-1", "0", LIST_VERSION];
            request.query.push(("resourceVersion", self.one(&values).to_owned()));
        }
        if self.chance(6) {
            request.query.push(("resourceVersionMatch", self.one(&["Exact", "NotOlderThan", "Sometime"]).to_owned()));
        }
        if self.chance(3) {
            request.query.push(("sendInitialEvents", "true".to_owned()));
        }
        if self.chance(35) {
            request.accept = Some(self.one(&[TABLE, PARTIAL_LIST, PARTIAL, "text/html"]));
            if self.chance(40) {
                request.query.push(("includeObject", self.one(&["None", "Object", "Metadata", "All"]).to_owned()));
            }
        }
        request
    }

    /// What happened since the last list, for a second.
    fn watch(&mut self) -> Request {
        let mut request = self.collection("watch", Method::GET);
        if self.chance(30) {
            request.collection = format!("/apis/{GROUP}/{VERSION}/widgets");
        }
        request.query = vec![("watch", "true".to_owned()), ("timeoutSeconds", "1".to_owned())];
        let versions = [LIST_VERSION, LIST_VERSION, LIST_VERSION, LIST_VERSION, "", "0", "abc"];
        request.query.push(("resourceVersion", self.one(&versions).to_owned()));
        if self.chance(40) {
            let selectors = ["tier=a", "tier!=a", "tier", "a b"];
            request.query.push(("labelSelector", self.one(&selectors).to_owned()));
        }
        if self.chance(30) {
            let selectors = ["metadata.name=a", "spec.color=red", "status.phase!=Ready", "spec.count=1"];
            request.query.push(("fieldSelector", self.one(&selectors).to_owned()));
        }
        if self.chance(30) {
            request.accept = Some(self.one(&[TABLE, PARTIAL]));
        }
        if self.chance(10) {
            request.query.push(("resourceVersionMatch", self.one(&["Exact", "NotOlderThan"]).to_owned()));
        }
        request
    }

    fn odd(&mut self) -> Request {
        let mut request = self.object("odd request", Method::PATCH);
        request.body = Body::Json(json!({ "spec": { "text": "b" } }));
        match self.rng.random_range(0..10) {
            0 => request.content_type = Some(STRATEGIC),
            1 => request.content_type = Some(JSON),
            2 => request.content_type = None,
            3 => {
                request.content_type = Some(MERGE);
                request.query.push(("force", "true".to_owned()));
            }
            4 => request.method = Method::POST,
            5 => {
                request.name = None;
                request.method = Method::PUT;
            }
            6 => {
                request.subresource = "/scale";
                request.method = Method::GET;
                request.body = Body::Empty;
            }
            7 => {
                request.subresource = "/status";
                request.method = Method::DELETE;
                request.body = Body::Empty;
            }
            8 => {
                request.content_type = Some("text/plain");
                request.method = Method::PUT;
            }
            _ => {
                request.content_type = Some(MERGE);
                request.query.push(("fieldManager", "m".repeat(130)));
            }
        }
        request
    }

    fn metadata(&mut self) -> Value {
        let mut metadata = json!({});
        if self.chance(60) {
            metadata["labels"] = self.labels();
        }
        if self.chance(30) {
            metadata["annotations"] = json!({ "note": self.one(&["x", "y"]) });
        }
        if self.chance(15) {
            metadata["finalizers"] = json!([HOLD]);
        }
        if self.chance(10) {
            metadata["ownerReferences"] = json!([owner(self.one(&["x", "y"]), self.rng.random_bool(0.5))]);
        }
        metadata
    }

    fn labels(&mut self) -> Value {
        let mut labels = json!({ "tier": self.one(&["a", "b", "c"]) });
        if self.chance(30) {
            labels["app"] = self.one(&["x", "y"]).into();
        }
        labels
    }

    fn metadata_change(&mut self) -> Value {
        match self.rng.random_range(0..12) {
            0 => json!({ "labels": null }),
            1..4 => json!({ "labels": self.labels() }),
            4 => json!({ "annotations": { "note": null } }),
            5 => json!({ "annotations": { "other": self.one(&["x", "y", ""]) } }),
            6 => json!({ "finalizers": null }),
            7 => json!({ "finalizers": [] }),
            8 => json!({ "finalizers": [HOLD, "oracle.example.com/more"] }),
            9 => json!({ "finalizers": ["oracle.example.com/more"] }),
            10 => json!({ "ownerReferences": [owner("x", false)] }),
            _ => json!({}),
        }
    }

    fn spec(&mut self) -> Value {
        let mut spec = Map::new();
        for field in FIELDS {
            if self.chance(22) {
                spec.insert(field.to_owned(), self.field(field));
            }
        }
        spec.into()
    }

    /// Some fields with other values, some taken away.
    fn changes(&mut self) -> Value {
        let mut spec = Map::new();
        for field in FIELDS {
            if self.chance(14) {
                let value = if self.chance(20) { Value::Null } else { self.field(field) };
                spec.insert(field.to_owned(), value);
            }
        }
        spec.into()
    }

    fn field(&mut self, name: &str) -> Value {
        let number = self.rng.random_range(0..4);
        let text = self.one(&["a", "b", "c", ""]);
        match name {
            "text" | "mode" => json!(text),
            "count" | "small" => json!(number),
            "ratio" => self.one(&[&json!(0.5), &json!(2), &json!(-1.25)]).clone(),
            "flag" => json!(number % 2 == 0),
            "color" => json!(self.one(&["red", "green", "blue"])),
            "nested" => match number {
                0 => json!({ "a": text }),
                1 => json!({ "b": number, "deep": { "x": text } }),
                2 => json!({ "deep": { "x": text, "y": [1, number] } }),
                _ => json!({}),
            },
            "whole" => {
                if number == 0 {
                    json!({ "a": text })
                } else {
                    json!({ "a": "a", "b": text })
                }
            }
            "params" => {
                if number == 0 {
                    json!({})
                } else {
                    json!({ (self.one(&["p", "q", "r"])): text })
                }
            }
            "set" => json!(&["p", "q", "r", "s"][self.rng.random_range(0..2)..self.rng.random_range(2..4)]),
            "list" => json!(&["p", "p", "q"][..self.rng.random_range(0..3)]),
            "items" => {
                let names = &["i", "j", "k"][self.rng.random_range(0..2)..self.rng.random_range(1..3).max(1)];
                let items = names.iter().map(|name| match self.rng.random_range(0..3) {
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

    fn status(&mut self) -> Value {
        let mut status = json!({});
        if self.chance(60) {
            status["phase"] = self.one(&["Ready", "Pending"]).into();
        }
        if self.chance(30) {
            status["observedGeneration"] = json!(self.rng.random_range(1..4));
        }
        if self.chance(50) {
            let types = &["Ready", "Synced"][..self.rng.random_range(1..=2)];
            let reason = self.one(&["Good", "Bad"]);
            let conditions = types.iter().map(|kind| {
                json!({ "type": kind, "status": "True", "reason": reason, "lastTransitionTime": "2024-05-06T07:08:09Z" })
            });
            status["conditions"] = conditions.collect();
        }
        if self.chance(3) {
            status["surprise"] = json!(1);
        }
        status
    }
}

const FIELDS: [&str; 14] = [
    "text", "count", "small", "ratio", "flag", "color", "nested", "whole", "params", "set", "list", "items", "ports",
    "free",
];

const HOLD: &str = "oracle.example.com/hold";

fn owner(name: &str, controller: bool) -> Value {
    let mut owner = json!({
        "apiVersion": "v1", "kind": "ConfigMap", "name": name, "uid": "22222222-2222-4222-8222-222222222222",
    });
    if controller {
        owner["controller"] = true.into();
    }
    owner
}

/// Sets a field, and what is missing on the way to it.
fn put(value: &mut Value, pointer: &str, new: Value) {
    let mut at = value;
    for step in pointer.split('/').skip(1) {
        if !at.is_object() {
            *at = json!({});
        }
        at = &mut at[step];
    }
    *at = new;
}
