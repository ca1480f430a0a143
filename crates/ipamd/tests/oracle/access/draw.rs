//! Random writes of roles and bindings by various users, from a seed, with access reviews after each write.

mod bodies;

use std::collections::VecDeque;

use apimachinery::rbac::{CLUSTER_ROLE, GROUP};
use http::Method;
use serde_json::{Value, json};

use self::bodies::{GROUPS, PATHS, VERBS};
use super::{
    Access, CLUSTER_ROLE_BINDINGS, CLUSTER_ROLES, IMPERSONATED_USERS, NAMESPACES, ROLE_BINDINGS, is_role, role_ref,
    subject,
};
use crate::{
    compared_kind::{Collection, ComparedKind, NAMES},
    generate::{AGENTS, APPLY, JSON, JSON_PATCH, MERGE, STRATEGIC, TABLE, put},
    request::{Body, ImpersonatedUser, Request, STALE_VERSION},
    rng::Rng,
};

const REVIEWS: &str = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
/// The number of access reviews after a write.
const QUESTIONS: u32 = 3;
/// Names that are used only in dry runs of creates.
const ODD_NAMES: [&str; 5] = ["system:x", "a/bc", "..", "A b%", ""];
const ASKED_RESOURCES: [&str; 5] = ["pods", "roles", "rolebindings", "clusterroles", "clusterrolebindings"];

/// Generates requests.
pub struct Draw {
    rng: Rng,
    apply: bool,
    collections: Vec<Collection>,
    next: VecDeque<Request>,
}

impl Draw {
    /// A generator for a seed.
    pub fn new(seed: u64, apply: bool) -> Self {
        let collections = (&Access as &dyn ComparedKind).collections();
        Self { rng: Rng::new(seed), apply, collections, next: beginning().into() }
    }

    fn write(&mut self) -> Request {
        let mut request = match self.rng.below(100) {
            0..28 => self.create(),
            28..44 => self.replace(),
            44..58 => self.patch(),
            58..66 => self.json_patch(),
            66..80 if self.apply => self.apply(),
            66..80 => self.create(),
            80..92 => self.object("delete", Method::DELETE),
            92..95 => self.delete_collection(),
            95..98 => self.object("get", Method::GET),
            _ => self.list(),
        };
        if self.rng.chance(60) {
            request.impersonated = Some(self.rng.one(&IMPERSONATED_USERS));
        }
        if request.writes() && self.rng.chance(5) && request.query.is_empty() {
            request.query.push(("dryRun", "All".to_owned()));
        }
        request
    }

    fn object(&mut self, label: &'static str, method: Method) -> Request {
        let name = self.rng.one(&NAMES).to_owned();
        let index = self.rng.index(self.collections.len());
        Request { name: Some(name), ..request(label, method, &self.collections[index].path) }
    }

    fn kind_of(&self, request: &Request) -> &'static str {
        self.collections.iter().find(|known| known.path == request.collection).map_or("", |known| known.kind)
    }

    /// Generates the fields of an object except apiVersion, kind and metadata.
    fn fields(&mut self, kind: &str) -> Value {
        if is_role(kind) { bodies::role(&mut self.rng, kind) } else { bodies::binding(&mut self.rng, kind) }
    }

    /// Generates a whole object, sometimes with something wrong or unusual in it.
    fn whole(&mut self, request: &mut Request) -> Value {
        let kind = self.kind_of(request);
        let mut body = self.fields(kind);
        body["apiVersion"] = format!("{GROUP}/v1").into();
        body["kind"] = kind.into();
        body["metadata"] = json!({ "name": request.name });
        if self.rng.chance(40) {
            body["metadata"]["labels"] = json!({ "tier": self.rng.one(&["a", "b"]) });
        }
        self.spoil(request, kind, &mut body);
        body
    }

    fn spoil(&mut self, request: &mut Request, kind: &str, body: &mut Value) {
        if self.rng.chance(18) {
            let (label, pointer, value) = bodies::mutation(&mut self.rng, kind);
            request.label = label;
            put(body, pointer, value);
        }
    }

    fn create(&mut self) -> Request {
        let mut request = self.object("create", Method::POST);
        let mut body = self.whole(&mut request);
        request.name = None;
        request.content_type = Some(JSON);
        if self.rng.chance(4) {
            request.label = "odd name";
            request.query.push(("dryRun", "All".to_owned()));
            body["metadata"]["name"] = self.rng.one(&ODD_NAMES).into();
        }
        if self.rng.chance(10) {
            request.query.push(("fieldValidation", "Strict".to_owned()));
        }
        request.body = Body::Json(body);
        request
    }

    /// Generates an update: of the present object, or with a new object.
    fn replace(&mut self) -> Request {
        let mut request = self.object("update", Method::PUT);
        request.content_type = Some(JSON);
        if self.rng.chance(50) {
            request.label = "replace";
            let body = self.whole(&mut request);
            request.body = Body::Json(body);
            return request;
        }
        let mut changes = self.changes(&mut request);
        changes["apiVersion"] = format!("{GROUP}/v1").into();
        changes["kind"] = self.kind_of(&request).into();
        if self.rng.chance(5) {
            changes["metadata"]["resourceVersion"] = STALE_VERSION.into();
        }
        request.body = Body::Current(changes);
        request
    }

    /// Generates a merge patch.
    fn changes(&mut self, request: &mut Request) -> Value {
        let kind = self.kind_of(request);
        let mut changes = match self.rng.below(10) {
            0..6 => self.fields(kind),
            6 => json!({ "metadata": { "finalizers": ["oracle.example.com/hold"] } }),
            7 => json!({ "metadata": { "finalizers": null } }),
            8 => json!({}),
            _ => json!({ "metadata": { "labels": { "tier": self.rng.one(&["a", "b"]) } } }),
        };
        if self.rng.chance(85)
            && let Some(fields) = changes.as_object_mut()
        {
            // A change of `roleRef` is an error.
            fields.remove("roleRef");
        }
        self.spoil(request, kind, &mut changes);
        changes
    }

    fn patch(&mut self) -> Request {
        let mut request = self.object("merge patch", Method::PATCH);
        request.content_type = Some(MERGE);
        if self.rng.chance(40) {
            request.label = "strategic merge patch";
            request.content_type = Some(STRATEGIC);
        }
        let changes = self.changes(&mut request);
        request.body = Body::Json(changes);
        request
    }

    fn json_patch(&mut self) -> Request {
        let mut request = self.object("json patch", Method::PATCH);
        request.content_type = Some(JSON_PATCH);
        let kind = self.kind_of(&request);
        let operations = (0..=self.rng.below(2)).map(|_| bodies::operation(&mut self.rng, kind));
        request.body = Body::Json(operations.collect());
        request
    }

    fn apply(&mut self) -> Request {
        let mut request = self.object("apply", Method::PATCH);
        request.content_type = Some(APPLY);
        request.query.push(("fieldManager", self.rng.one(&["alice", "bob"]).to_owned()));
        if self.rng.chance(50) {
            request.query.push(("force", "true".to_owned()));
        }
        let body = self.whole(&mut request);
        request.body = Body::Json(body);
        request
    }

    /// Generates a delete of all objects with a label. Other objects are defaults of the server, or grant the initial permissions.
    fn delete_collection(&mut self) -> Request {
        let mut request = self.object("delete collection", Method::DELETE);
        request.name = None;
        request.query.push(("labelSelector", "tier=a".to_owned()));
        request
    }

    fn list(&mut self) -> Request {
        let mut request = self.object("list", Method::GET);
        request.name = None;
        request.query.push(("labelSelector", "tier".to_owned()));
        if self.rng.chance(50) {
            request.accept = Some(TABLE);
        }
        request
    }

    /// Generates an access review for one of the users.
    fn question(&mut self) -> Request {
        let spec = if self.rng.chance(15) {
            let (verb, path) = (self.rng.one(&["get", "post", "*"]), self.rng.one(&PATHS));
            json!({ "nonResourceAttributes": { "verb": verb, "path": path } })
        } else {
            let resource = self.rng.one(&ASKED_RESOURCES);
            let group = if self.rng.chance(10) {
                self.rng.one(&GROUPS)
            } else if resource == "pods" {
                ""
            } else {
                GROUP
            };
            let mut attributes = json!({
                "verb": self.rng.one(&VERBS),
                "group": group,
                "resource": resource,
                "subresource": self.rng.one(&["", "", "", "log", "status"]),
                "name": self.rng.one(&["", "", "a", "b"]),
                "namespace": self.rng.one(&["", NAMESPACES[0], NAMESPACES[0], NAMESPACES[1], "nowhere"]),
            });
            attributes.as_object_mut().into_iter().for_each(|fields| fields.retain(|_, value| value != ""));
            json!({ "resourceAttributes": attributes })
        };
        let impersonated: ImpersonatedUser = self.rng.one(&IMPERSONATED_USERS);
        review(impersonated, &spec)
    }
}

impl Iterator for Draw {
    type Item = Request;

    fn next(&mut self) -> Option<Request> {
        if let Some(next) = self.next.pop_front() {
            return Some(next);
        }
        let write = self.write();
        if write.writes() {
            for _ in 0..QUESTIONS {
                let question = self.question();
                self.next.push_back(question);
            }
        }
        Some(write)
    }
}

fn request(label: &'static str, method: Method, collection: &str) -> Request {
    Request {
        label,
        method,
        collection: collection.to_owned(),
        name: None,
        subresource: "",
        query: Vec::new(),
        content_type: None,
        accept: None,
        user_agent: AGENTS[0],
        impersonated: None,
        body: Body::Empty,
    }
}

fn review(impersonated: ImpersonatedUser, spec: &Value) -> Request {
    let kind = "SelfSubjectAccessReview";
    let body = json!({ "apiVersion": "authorization.k8s.io/v1", "kind": kind, "spec": spec });
    Request {
        content_type: Some(JSON),
        impersonated: Some(impersonated),
        body: Body::Json(body),
        ..request("question", Method::POST, REVIEWS)
    }
}

/// Returns the initial requests. They permit some users to write roles and bindings, which otherwise only the administrator could;
/// and they permit one user to grant more permissions than they have, with roles of certain names.
fn beginning() -> Vec<Request> {
    let verbs = ["create", "update", "patch", "delete", "deletecollection", "get", "list"];
    let keeping = json!([
        { "verbs": verbs, "apiGroups": [GROUP], "resources": ["*"] },
        { "verbs": ["get"], "apiGroups": [""], "resources": ["pods"] },
    ]);
    let giving = json!([
        { "verbs": ["escalate"], "apiGroups": [GROUP], "resources": ["roles"], "resourceNames": ["a"] },
        { "verbs": ["bind"], "apiGroups": [GROUP], "resources": ["clusterroles", "roles"], "resourceNames": ["b"] },
    ]);
    let (keeper, giver) = (role_ref(CLUSTER_ROLE, "keeper"), role_ref(CLUSTER_ROLE, "giver"));
    let robot = json!({ "kind": "ServiceAccount", "name": "robot" });
    let in_default = format!("namespaces/{}/{ROLE_BINDINGS}", NAMESPACES[0]);
    let make = |place: &str, name: &str, mut body: Value| {
        body["metadata"] = json!({ "name": name });
        let request = request("create", Method::POST, &format!("/apis/{GROUP}/v1/{place}"));
        Request { content_type: Some(JSON), body: Body::Json(body), ..request }
    };
    let bind = |place: &str, role: &Value, subjects: Value| {
        make(place, role["name"].as_str().unwrap_or_default(), json!({ "roleRef": role, "subjects": subjects }))
    };
    vec![
        make(CLUSTER_ROLES, "keeper", json!({ "rules": keeping })),
        make(CLUSTER_ROLES, "giver", json!({ "rules": giving })),
        bind(CLUSTER_ROLE_BINDINGS, &keeper, json!([subject("Group", "team")])),
        bind(&in_default, &keeper, json!([subject("User", "joe"), robot])),
        bind(&in_default, &giver, json!([subject("User", "joe")])),
    ]
}
