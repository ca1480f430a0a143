//! Random sequences of requests from a seed: mostly valid, partly invalid or unusual.

use http::Method;
use serde_json::{Value, json};

use crate::{
    compared_kind::{Collection, ComparedKind, NAMES, Specs},
    mutations::{self, GENERATED_NAME, owner},
    request::{Body, CONTINUE, LIST_VERSION, OWN_CONDITIONS, RIGHT_VERSION, Request, STALE_VERSION, UID},
    rng::Rng,
};

/// Values of the `User-Agent` header.
pub const AGENTS: [&str; 3] = ["kubectl/v1.37.2 (linux/amd64)", "controller/0.1", "go-client"];
const MANAGERS: [&str; 4] = ["alice", "bob", "carol", "kubectl"];
/// The media type of a merge patch.
pub const MERGE: &str = "application/merge-patch+json";
/// The media type of a JSON patch.
pub const JSON_PATCH: &str = "application/json-patch+json";
/// The media type of a strategic merge patch.
pub const STRATEGIC: &str = "application/strategic-merge-patch+json";
/// The media type of server-side apply.
pub const APPLY: &str = "application/apply-patch+yaml";
/// Accepts a table, or else plain objects.
pub const TABLE: &str = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";
const PARTIAL_LIST: &str = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1";

/// The media type of plain objects.
pub const JSON: &str = "application/json";
/// Accepts only the metadata of objects.
pub const PARTIAL: &str = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1";
/// Accepts only a table.
pub const TABLE_ONLY: &str = "application/json;as=Table;v=v1;g=meta.k8s.io";

/// Generates requests.
pub struct Generator {
    subject: &'static dyn ComparedKind,
    specs: &'static dyn Specs,
    rng: Rng,
    apply: bool,
    collections: Vec<Collection>,
}

impl Generator {
    /// A generator with a seed; without `apply` it sends merge patches in place of server-side apply.
    pub fn new(specs: &'static dyn Specs, seed: u64, apply: bool) -> Self {
        let subject: &dyn ComparedKind = specs;
        Self { subject, specs, rng: Rng::new(seed), apply, collections: subject.collections() }
    }

    /// Generates the next request.
    pub fn next(&mut self) -> Request {
        match self.rng.below(100) {
            0..17 => self.create(),
            17..33 => self.put(),
            33..43 => self.merge_patch(),
            43..52 => self.json_patch(),
            52..72 if self.apply => self.apply(),
            52..72 => self.merge_patch(),
            72..80 => self.delete(),
            80..81 if self.rng.chance(50) => self.create_generated(),
            80..81 => self.delete_collection(),
            81..85 => self.get(),
            85..96 if self.rng.chance(4) => self.watch(),
            85..96 => self.list(),
            _ => self.odd(),
        }
    }

    fn object(&mut self, label: &'static str, method: Method) -> Request {
        let name = self.rng.one(&NAMES).to_owned();
        Request { name: Some(name), ..self.collection(label, method) }
    }

    fn collection(&mut self, label: &'static str, method: Method) -> Request {
        let index = self.rng.index(self.collections.len());
        Request {
            label,
            method,
            collection: self.collections[index].path.clone(),
            name: None,
            subresource: "",
            query: Vec::new(),
            content_type: None,
            accept: None,
            user_agent: self.rng.one(&AGENTS),
            impersonated: None,
            body: Body::Empty,
        }
    }

    fn kind_of(&self, request: &Request) -> &'static str {
        self.collections.iter().find(|known| known.path == request.collection).map_or("", |known| known.kind)
    }

    fn write_options(&mut self, request: &mut Request) {
        if self.rng.chance(8) {
            request.query.push(("dryRun", if self.rng.chance(90) { "All" } else { "Some" }.to_owned()));
        }
        if self.rng.chance(25) {
            let values = ["Strict", "Strict", "Warn", "Ignore", "Never"];
            request.query.push(("fieldValidation", self.rng.one(&values).to_owned()));
        }
        if self.rng.chance(30) && !request.query.iter().any(|(name, _)| *name == "fieldManager") {
            request.query.push(("fieldManager", self.rng.one(&MANAGERS).to_owned()));
        }
        if self.rng.chance(4) {
            request.accept = Some(self.rng.one(&[TABLE, PARTIAL, "application/yaml;q=0.5,application/json"]));
        }
    }

    fn create(&mut self) -> Request {
        let mut request = self.collection("create", Method::POST);
        request.content_type = Some(JSON);
        self.write_options(&mut request);
        let (api_version, kind) = (self.subject.api_version(), self.kind_of(&request));
        let name = self.rng.one(&NAMES);
        let (metadata, spec) = (self.metadata(), self.specs.spec(&mut self.rng, name));
        let mut body = json!({ "apiVersion": api_version, "kind": kind, "metadata": metadata, "spec": spec });
        body["metadata"]["name"] = name.into();
        if self.rng.chance(12) {
            body["status"] = self.specs.status(&mut self.rng);
        }
        if self.rng.chance(22) {
            request.label = self.spoil(&mut body);
        }
        if request.label == GENERATED_NAME {
            // The created object would have different names on the two servers.
            request.query = vec![("dryRun", "All".to_owned())];
            body["spec"] = self.subject.marker(kind)["spec"].take();
        }
        request.body = Body::Json(body);
        if self.rng.chance(3) {
            request.label = "create from bytes";
            let start =
                format!(r#"{{"apiVersion":"{api_version}","kind":"{kind}","metadata":{{"name":"{name}"}},"spec":"#);
            let doubled = self.specs.doubled(name);
            let odd = [
                format!("{start}{doubled}}}"),
                format!("{start}{}", &doubled[..doubled.len() / 2]),
                "[]".to_owned(),
                "null".to_owned(),
                String::new(),
                "\"text\"".to_owned(),
            ];
            let index = self.rng.index(odd.len());
            request.body = Body::Raw(odd[index].clone());
        }
        request
    }

    /// Generates a create with `generateName`. All such objects are equal except for their names, so they need not be matched.
    fn create_generated(&mut self) -> Request {
        let mut request = self.collection(GENERATED_NAME, Method::POST);
        request.content_type = Some(JSON);
        request.user_agent = AGENTS[0];
        let metadata = json!({ "generateName": "made-", "labels": { "made": "yes" } });
        let kind = self.kind_of(&request);
        request.body = Body::Json(json!({
            "apiVersion": self.subject.api_version(), "kind": kind, "metadata": metadata,
            "spec": self.subject.marker(kind)["spec"],
        }));
        if self.subject.has_service() {
            // Two equal objects would need the same addresses.
            request.query.push(("dryRun", "All".to_owned()));
        }
        request
    }

    /// Puts something wrong or unusual into an object. Returns its label.
    fn spoil(&mut self, body: &mut Value) -> &'static str {
        let cases = mutations::all(self.specs);
        let (label, pointer, value) = cases[self.rng.index(cases.len())].clone();
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
        let identity = json!({ "apiVersion": self.subject.api_version(), "kind": kind });
        let mut changes = identity.clone();
        changes["metadata"] = self.metadata_change();
        if self.rng.chance(75) {
            changes["spec"] = self.specs.changes(&mut self.rng);
        }
        if self.rng.chance(20) {
            changes["status"] = self.status_change();
        }
        if self.rng.chance(22) {
            request.label = "status update";
            request.subresource = "/status";
            changes["status"] = self.status_change();
        }
        if self.rng.chance(12) {
            changes = identity;
        }
        match self.rng.below(100) {
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
        let name = request.name.clone().unwrap_or_default();
        let mut patch = json!({});
        if self.rng.chance(50) {
            patch["metadata"] = self.metadata_change();
        }
        if self.rng.chance(70) {
            patch["spec"] = self.specs.changes(&mut self.rng);
        }
        if self.rng.chance(30) {
            request.label = "status merge patch";
            request.subresource = "/status";
            patch["status"] = self.status_change();
        }
        match self.rng.below(100) {
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
        request.body = match self.rng.below(100) {
            0 => Body::Raw("[]".to_owned()),
            1 => Body::Raw("{\"spec\":".to_owned()),
            2 => Body::Raw(format!(r#"{{"spec":{}}}"#, self.specs.doubled(&name))),
            3 => Body::Raw(String::new()),
            4..7 => Body::Json(json!({})),
            _ => Body::Json(patch),
        };
        request
    }

    /// Generates a status for a body that replaces whole lists. It keeps the conditions that the service has set.
    fn status_change(&mut self) -> Value {
        let mut status = self.specs.status(&mut self.rng);
        if self.subject.has_service()
            && let Some(conditions) = status["conditions"].as_array_mut()
        {
            conditions.insert(0, OWN_CONDITIONS.into());
        }
        status
    }

    fn json_patch(&mut self) -> Request {
        let mut request = self.object("json patch", Method::PATCH);
        request.content_type = Some(JSON_PATCH);
        self.write_options(&mut request);
        let operations: Vec<Value> = (0..=self.rng.below(3)).map(|_| self.operation()).collect();
        request.body = match self.rng.below(100) {
            0 => Body::Raw("{}".to_owned()),
            1 => Body::Raw("[{\"op\":".to_owned()),
            2 => Body::Raw(r#"[{"op":"frobnicate","path":"/spec/text","value":1}]"#.to_owned()),
            3 => Body::Raw(r#"[{"op":"replace","path":"spec","value":1}]"#.to_owned()),
            4 => Body::Raw(r#"[{"op":"add","value":1}]"#.to_owned()),
            5 => Body::Raw("[]".to_owned()),
            _ => Body::Json(operations.into()),
        };
        if self.rng.chance(20) {
            request.label = "status json patch";
            request.subresource = "/status";
        }
        request
    }

    fn operation(&mut self) -> Value {
        let text = self.rng.one(&["a", "b", "c"]);
        match self.rng.below(35) {
            0 => json!({ "op": "add", "path": "/metadata/labels", "value": { "tier": text } }),
            1 => json!({ "op": "replace", "path": "/metadata/labels/tier", "value": text }),
            2 => json!({ "op": "remove", "path": "/metadata/labels/tier" }),
            3 => json!({ "op": "replace", "path": "/metadata/resourceVersion", "value": RIGHT_VERSION }),
            4 => json!({ "op": "replace", "path": "/metadata/resourceVersion", "value": STALE_VERSION }),
            5 => json!({ "op": "test", "path": "/metadata/uid", "value": UID }),
            6 => json!({ "op": "replace", "path": "/metadata/managedFields", "value": [{}] }),
            7 => json!({ "op": "replace", "path": "", "value": { "spec": {} } }),
            8 => json!({ "op": "add", "path": "/metadata/finalizers/-", "value": HOLD }),
            9 => json!({ "op": "remove", "path": "/metadata/ownerReferences" }),
            10 => json!({ "op": "add", "path": "/metadata/annotations/a~1b", "value": text }),
            11 => json!({ "op": "add", "path": "/metadata/annotations", "value": { "note": text } }),
            _ => self.specs.operation(&mut self.rng),
        }
    }

    fn apply(&mut self) -> Request {
        let mut request = self.object("apply", Method::PATCH);
        request.content_type = Some(APPLY);
        request.query.push(("fieldManager", self.rng.one(&MANAGERS[..3]).to_owned()));
        if self.rng.chance(35) {
            request.query.push(("force", if self.rng.chance(85) { "true" } else { "false" }.to_owned()));
        }
        self.write_options(&mut request);
        request.user_agent = AGENTS[0];
        let kind = self.kind_of(&request);
        let mut metadata = json!({ "name": request.name });
        if self.rng.chance(40) {
            metadata["labels"] = self.labels();
        }
        if self.rng.chance(25) {
            metadata["annotations"] = json!({ "note": self.rng.one(&["x", "y"]) });
        }
        if self.rng.chance(8) {
            metadata["finalizers"] = json!([HOLD]);
        }
        if self.rng.chance(6) {
            metadata["ownerReferences"] = json!([owner("x", false)]);
        }
        let mut body = json!({ "apiVersion": self.subject.api_version(), "kind": kind, "metadata": metadata });
        if self.rng.chance(85) {
            body["spec"] = self.specs.applied(&mut self.rng, request.name.as_deref().unwrap_or_default());
        }
        if self.rng.chance(20) {
            request.label = "status apply";
            request.subresource = "/status";
            body["status"] = self.specs.status(&mut self.rng);
        } else if self.rng.chance(6) {
            body["status"] = self.specs.status(&mut self.rng);
        }
        match self.rng.below(100) {
            0..2 => put(&mut body, "/metadata/resourceVersion", RIGHT_VERSION.into()),
            2..4 => put(&mut body, "/metadata/resourceVersion", STALE_VERSION.into()),
            4..5 => put(&mut body, "/metadata/uid", "11111111-1111-4111-8111-111111111111".into()),
            5..6 => put(&mut body, "/metadata/managedFields", json!([{ "manager": "x" }])),
            6..9 => {
                let cases = self.specs.misapplied();
                let (pointer, value) = cases[self.rng.index(cases.len())].clone();
                put(&mut body, pointer, value);
            }
            9..10 => request.query.retain(|(name, _)| *name != "fieldManager"),
            10..18 => request.label = self.spoil(&mut body),
            _ => {}
        }
        if let Some(conditions) = body.pointer_mut("/status/conditions").and_then(Value::as_array_mut) {
            // An applier does not send list items that other managers own.
            conditions.retain(|condition| condition != OWN_CONDITIONS);
        }
        request.body = if self.rng.chance(1) { Body::Raw("spec: [".to_owned()) } else { Body::Json(body) };
        request
    }

    fn delete(&mut self) -> Request {
        let mut request = self.object("delete", Method::DELETE);
        if self.rng.chance(6) {
            request.query.push(("dryRun", "All".to_owned()));
        }
        if self.rng.chance(10) {
            let policies = ["Foreground", "Orphan", "Background", "Sideways"];
            request.query.push(("propagationPolicy", self.rng.one(&policies).to_owned()));
        }
        let options = match self.rng.below(16) {
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
            11 => json!({ "orphanDependents": self.rng.chance(50) }),
            _ => return request,
        };
        request.content_type = Some(JSON);
        request.body = Body::Json(options);
        request
    }

    fn delete_collection(&mut self) -> Request {
        let mut request = self.collection("delete collection", Method::DELETE);
        let selector = self.rng.one(&["tier=a", "tier=b", "made=yes", "made=yes", "tier in (a,c)", "not good!"]);
        request.query.push(("labelSelector", selector.to_owned()));
        request
    }

    fn get(&mut self) -> Request {
        let mut request = self.object("get", Method::GET);
        if self.rng.chance(30) {
            request.subresource = "/status";
        }
        if self.rng.chance(50) {
            request.accept = Some(self.rng.one(&[
                TABLE,
                PARTIAL,
                PARTIAL_LIST,
                "application/yaml;q=0.1,application/json",
                "image/png",
                "*/*",
            ]));
        }
        if self.rng.chance(10) {
            let values = ["0", "abc", RIGHT_VERSION];
            request.query.push(("resourceVersion", self.rng.one(&values).to_owned()));
        }
        request
    }

    fn list(&mut self) -> Request {
        let mut request = self.collection("list", Method::GET);
        if self.rng.chance(15) {
            request.collection = self.subject.path(self.subject.resource().plural);
        }
        if self.rng.chance(40) {
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
            request.query.push(("labelSelector", self.rng.one(&labels).to_owned()));
        }
        if self.rng.chance(30) {
            let general = ["metadata.name=a", "metadata.name!=a", "metadata.namespace=default", "nonsense"];
            let fields = [&general, self.specs.field_selectors()].concat();
            request.query.push(("fieldSelector", self.rng.one(&fields).to_owned()));
        }
        if self.rng.chance(30) {
            let limits = ["1", "2", "3", "500", "0", "x", "-1"];
            request.query.push(("limit", self.rng.one(&limits).to_owned()));
        }
        if self.rng.chance(12) {
            request.query.push(("continue", if self.rng.chance(90) { CONTINUE } else { "nonsense" }.to_owned()));
        }
        if self.rng.chance(8) {
            let values = ["abc", "-1", "0", LIST_VERSION];
            request.query.push(("resourceVersion", self.rng.one(&values).to_owned()));
        }
        if self.rng.chance(6) {
            request
                .query
                .push(("resourceVersionMatch", self.rng.one(&["Exact", "NotOlderThan", "Sometime"]).to_owned()));
        }
        if self.rng.chance(3) {
            request.query.push(("sendInitialEvents", "true".to_owned()));
        }
        if self.rng.chance(35) {
            request.accept = Some(self.rng.one(&[TABLE, PARTIAL_LIST, PARTIAL, "text/html"]));
            if self.rng.chance(40) {
                request.query.push(("includeObject", self.rng.one(&["None", "Object", "Metadata", "All"]).to_owned()));
            }
        }
        request
    }

    /// Generates a watch of the events since the last list, with a timeout of one second.
    fn watch(&mut self) -> Request {
        let mut request = self.collection("watch", Method::GET);
        if self.rng.chance(30) {
            request.collection = self.subject.path(self.subject.resource().plural);
        }
        request.query = vec![("watch", "true".to_owned()), ("timeoutSeconds", "1".to_owned())];
        let versions = [LIST_VERSION, LIST_VERSION, LIST_VERSION, LIST_VERSION, "", "0", "abc"];
        request.query.push(("resourceVersion", self.rng.one(&versions).to_owned()));
        if self.rng.chance(40) {
            let selectors = ["tier=a", "tier!=a", "tier", "a b"];
            request.query.push(("labelSelector", self.rng.one(&selectors).to_owned()));
        }
        if self.rng.chance(30) {
            let selectors = [&["metadata.name=a"], self.specs.field_selectors()].concat();
            request.query.push(("fieldSelector", self.rng.one(&selectors).to_owned()));
        }
        if self.rng.chance(30) {
            request.accept = Some(self.rng.one(&[TABLE, PARTIAL]));
        }
        if self.rng.chance(10) {
            request.query.push(("resourceVersionMatch", self.rng.one(&["Exact", "NotOlderThan"]).to_owned()));
        }
        request
    }

    fn odd(&mut self) -> Request {
        let mut request = self.object("odd request", Method::PATCH);
        request.body = Body::Json(json!({ "spec": self.specs.small_change() }));
        match self.rng.below(10) {
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
        if self.rng.chance(60) {
            metadata["labels"] = self.labels();
        }
        if self.rng.chance(30) {
            metadata["annotations"] = json!({ "note": self.rng.one(&["x", "y"]) });
        }
        if self.rng.chance(15) {
            metadata["finalizers"] = json!([HOLD]);
        }
        if self.rng.chance(10) {
            metadata["ownerReferences"] = json!([owner(self.rng.one(&["x", "y"]), self.rng.chance(50))]);
        }
        metadata
    }

    fn labels(&mut self) -> Value {
        let mut labels = json!({ "tier": self.rng.one(&["a", "b", "c"]) });
        if self.rng.chance(30) {
            labels["app"] = self.rng.one(&["x", "y"]).into();
        }
        labels
    }

    fn metadata_change(&mut self) -> Value {
        match self.rng.below(12) {
            0 => json!({ "labels": null }),
            1..4 => json!({ "labels": self.labels() }),
            4 => json!({ "annotations": { "note": null } }),
            5 => json!({ "annotations": { "other": self.rng.one(&["x", "y", ""]) } }),
            6 => json!({ "finalizers": null }),
            7 => json!({ "finalizers": [] }),
            8 => json!({ "finalizers": [HOLD, "oracle.example.com/more"] }),
            9 => json!({ "finalizers": ["oracle.example.com/more"] }),
            10 => json!({ "ownerReferences": [owner("x", false)] }),
            _ => json!({}),
        }
    }
}

const HOLD: &str = "oracle.example.com/hold";

/// Sets the field at a JSON pointer, and creates missing parents.
pub fn put(value: &mut Value, pointer: &str, new: Value) {
    let mut at = value;
    for step in pointer.split('/').skip(1) {
        if !at.is_object() {
            *at = json!({});
        }
        at = &mut at[step];
    }
    *at = new;
}
