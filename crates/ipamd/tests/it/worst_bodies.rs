//! The most expensive requests of each kind, each sent while another client makes claims. The tests print processor
//! time, memory, the length of the response, and the latencies of the claims. All but the latencies have limits;
//! latencies have none, because other tests run at the same time.

mod bodies;
mod process;

use std::{
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    time::{Duration, Instant},
};

use http::{Method, StatusCode};
use serde_json::{Value, json};
use testkit::{Answer, Server, claim, pool};

use self::{
    bodies::{ADMIN, EDITOR, Make, OPERATOR, Shot},
    process::Usage,
};
use crate::support::{API, BINARY, ServerFixture, body, failure};

/// The length of a body in bytes: slightly less than the limit of requests.
const BODY_BYTES: usize = 3 * 1024 * 1024 - 4096;
/// The maximum length of a response: this factor times its request and the requests before it, or
/// [`ANSWER_BYTES_MIN`] if that is more.
const ANSWER_TIMES_MAX: usize = 10;
const ANSWER_BYTES_MIN: usize = 64 * 1024;
/// The maximum growth of the peak memory during a request. It is measured as the growth of the whole process, so pages of
/// the store and rounding by the allocator are included.
const MEMORY_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// The maximum processor time of one request, over all threads: three times the measured time. A test build is about ten
/// times slower than a release build; a request whose work is not linear in its body takes minutes.
const PROCESS_TIME_MAX: Duration = Duration::from_secs(4);
/// The maximum processor time of one request on the committer thread: three times its limit of 50 ms per request.
const COMMITTER_TIME_MAX: Duration = Duration::from_millis(150);
/// The maximum ratio of the cost of a body of twice the length: two, with room for variation between runs.
const TIMES_FOR_TWICE_MAX: u32 = 3;
/// Below this time the growth cannot be measured.
const TIME_TO_COMPARE_MIN: Duration = Duration::from_millis(400);
/// The minimum number of claims that run concurrently with each request.
const CLAIMS_MIN: usize = 5;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn worst_metadata_stays_within_cost_limits() {
    Range::open().await.try_all(bodies::METADATA).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn worst_managed_fields_stay_within_cost_limits() {
    Range::open().await.try_all(bodies::MANAGED).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn worst_json_and_yaml_trees_stay_within_cost_limits() {
    Range::open().await.try_all(bodies::TREES).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn worst_config_maps_stay_within_cost_limits() {
    Range::open().await.try_all(bodies::CONFIG_MAPS).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn worst_patches_stay_within_cost_limits() {
    Range::open().await.try_all(bodies::PATCHES).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn worst_roles_claims_and_pools_stay_within_cost_limits() {
    Range::open().await.try_all(bodies::KINDS).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn worst_deletes_and_headers_stay_within_cost_limits() {
    Range::open().await.try_all(bodies::OTHERS).await;
}

/// A server, and a counter for unique names.
struct Range {
    front: ServerFixture,
    names: AtomicUsize,
}

/// The cost of one request.
struct Cost {
    request: usize,
    /// The length in bytes of the request and of those that created the objects in the response.
    shown: usize,
    status: StatusCode,
    answer: usize,
    process: Duration,
    committer: Duration,
    memory: u64,
}

impl Range {
    async fn open() -> Self {
        // Freed memory is returned to the system at once, so that a request cannot reuse what an earlier one freed.
        let server = Server::builder(BINARY.as_ref()).environment("MIMALLOC_PURGE_DELAY", "0").start().await;
        let front = ServerFixture::to(server);
        front.pool(pool("root").cidr("10.0.0.0/8")).await;
        for (user, role) in [(EDITOR, "edit"), (ADMIN, "admin")] {
            bind(&front, user, role).await;
        }
        bind_everywhere(&front, OPERATOR).await;
        Self { front, names: AtomicUsize::new(0) }
    }

    async fn try_all(self, all: &[(&str, Make)]) {
        println!(
            "{:<58} {:>8} {:>4} {:>9} {:>9} {:>8} {:>8} | claims {:>4} {:>7} {:>7} {:>7}",
            "", "bytes", "", "cpu", "committer", "MiB", "answer", "", "p50", "p99", "max"
        );
        let mut faults = Vec::new();
        for (name, make) in all {
            let half = self.cost(&self.shot(*make, BODY_BYTES / 2).await).await;
            let whole = self.cost(&self.shot(*make, BODY_BYTES).await).await;
            let claims = self.claims_beside(&self.shot(*make, BODY_BYTES).await).await;
            print(name, &whole, &claims);
            faults.extend(whole.faults(&half).into_iter().map(|fault| format!("{name}: {fault}")));
        }
        let log = self.front.server.log();
        assert!(!log.contains("panicked"), "{log}");
        assert!(faults.is_empty(), "{faults:#?}");
    }

    /// Makes a request with a new name, and sends the requests that it depends on.
    async fn shot(&self, make: Make, bytes: usize) -> Shot {
        let shot = make(bytes, &format!("n{}", self.names.fetch_add(1, Ordering::Relaxed)));
        for before in &shot.before {
            let answer = self.send(before).await;
            assert!(answer.status.is_success(), "{} {}: {:.300}", before.method, before.path, answer.text());
        }
        shot
    }

    async fn send(&self, shot: &Shot) -> Answer {
        self.front.http.send(shot.request()).await.unwrap()
    }

    /// Sends a request without concurrent claims and measures its cost.
    async fn cost(&self, shot: &Shot) -> Cost {
        let id = self.front.server.process_id().unwrap();
        let before = Usage::reset(id);
        let answer = self.send(shot).await;
        let after = Usage::now(id);
        let headers: usize = answer.headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
        if answer.status.is_client_error() {
            let body = answer.text();
            assert!(!body.is_empty() && answer.status != StatusCode::REQUEST_TIMEOUT, "{body}");
        }
        assert!(!answer.status.is_server_error(), "{:.300}", answer.text());
        Cost {
            request: shot.bytes(),
            shown: shot.shown_bytes(),
            status: answer.status,
            answer: headers + answer.body.len(),
            process: after.process.saturating_sub(before.process),
            committer: after.committer.saturating_sub(before.committer),
            memory: after.memory_peak.saturating_sub(before.memory),
        }
    }

    /// Measures the latencies of claims while a request runs.
    async fn claims_beside(&self, shot: &Shot) -> Vec<Duration> {
        let is_answered = AtomicBool::new(false);
        let request = async {
            self.send(shot).await;
            is_answered.store(true, Ordering::Relaxed);
        };
        let claims = async {
            let mut took = Vec::new();
            while !is_answered.load(Ordering::Relaxed) || took.len() < CLAIMS_MIN {
                let name = format!("beside-{}", self.names.fetch_add(1, Ordering::Relaxed));
                let started = Instant::now();
                self.front.claim(claim(&name).pool("root").length(32)).await;
                took.push(started.elapsed());
            }
            took.sort_unstable();
            took
        };
        futures::future::join(request, claims).await.1
    }
}

impl Cost {
    fn faults(&self, half: &Self) -> Vec<String> {
        let mut faults = Vec::new();
        let answer_max = ANSWER_BYTES_MIN.max(ANSWER_TIMES_MAX * self.shown);
        if self.answer > answer_max {
            faults.push(format!("the answer of {} bytes is longer than {answer_max}", self.answer));
        }
        if self.memory > MEMORY_BYTES_MAX {
            faults.push(format!("memory grew by {} MiB", self.memory >> 20));
        }
        if self.process > PROCESS_TIME_MAX {
            faults.push(format!("it took {:?} of the processor", self.process));
        }
        if self.committer > COMMITTER_TIME_MAX {
            faults.push(format!("it took {:?} of the committer", self.committer));
        }
        let is_twice = self.request + 8192 >= 2 * half.request && self.status == half.status;
        let is_too_much = self.process > half.process * TIMES_FOR_TWICE_MAX;
        if is_twice && self.process > TIME_TO_COMPARE_MIN && is_too_much {
            faults.push(format!("half of it took {:?} of the processor, all of it {:?}", half.process, self.process));
        }
        faults
    }
}

fn print(name: &str, cost: &Cost, claims: &[Duration]) {
    let part = |hundredths: usize| claims[(claims.len() * hundredths / 100).min(claims.len() - 1)].as_millis();
    println!(
        "{name:<58} {:>8} {:>4} {:>6} ms {:>6} ms {:>8.1} {:>8} | claims {:>4} {:>4} ms {:>4} ms {:>4} ms",
        cost.request,
        cost.status.as_u16(),
        cost.process.as_millis(),
        cost.committer.as_millis(),
        cost.memory as f64 / f64::from(1 << 20),
        cost.answer,
        claims.len(),
        part(50),
        part(99),
        part(100),
    );
}

/// Binds a role to a user in the namespace `default`.
async fn bind(front: &ServerFixture, user: &str, role: &str) {
    let subject = json!({"kind": "User", "name": user});
    let binding = json!({
        "metadata": {"name": user}, "roleRef": {"kind": "ClusterRole", "name": role}, "subjects": [subject],
    });
    body(&front.post("/apis/rbac.authorization.k8s.io/v1/namespaces/default/rolebindings", binding).await, 201);
}

/// Binds `cluster-admin` to a user who is not in the group `system:masters`.
async fn bind_everywhere(front: &ServerFixture, user: &str) {
    let binding = json!({
        "metadata": {"name": user}, "roleRef": {"kind": "ClusterRole", "name": "cluster-admin"},
        "subjects": [{"kind": "User", "name": user}],
    });
    body(&front.post("/apis/rbac.authorization.k8s.io/v1/clusterrolebindings", binding).await, 201);
}

#[tokio::test]
async fn over_long_lists_are_rejected_with_limit() {
    let front = ServerFixture::with_pool().await;
    let texts = |count: usize| -> Value { (0..count).map(|n| format!("x/f{n}")).collect() };
    let map = |count: usize| -> Value {
        (0..count).map(|n| (format!("k{n}"), Value::from("v"))).collect::<serde_json::Map<_, _>>().into()
    };
    let meta = |field: &str, value: Value| json!({"metadata": {"name": "a", field: value}});
    let (maps, rbac) = ("/api/v1/namespaces/default/configmaps", "/apis/rbac.authorization.k8s.io/v1");
    let rule = json!({"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]});
    let role_ref = json!({"kind": "ClusterRole", "name": "view"});
    let expressions =
        |value: Value| json!({"metadata": {"name": "a"}, "spec": {"poolSelector": {"matchExpressions": value}}});
    let condition = |n: usize| json!({"type": format!("T{n}"), "status": "True"});
    let conditions = |count: usize| -> Value { (0..count).map(condition).collect() };
    for (path, field, limit, object) in [
        (maps, "metadata.labels", 1000, meta("labels", map(1001))),
        (maps, "metadata.annotations", 10_000, meta("annotations", map(10_001))),
        (maps, "metadata.finalizers", 1000, meta("finalizers", texts(1001))),
        (maps, "metadata.ownerReferences", 1000, meta("ownerReferences", vec![json!({"uid": "u"}); 1001].into())),
        (maps, "metadata.managedFields", 1000, meta("managedFields", vec![json!({}); 1001].into())),
        (maps, "data", 16_384, json!({"metadata": {"name": "a"}, "data": map(16_385)})),
        (maps, "binaryData", 16_384, json!({"metadata": {"name": "a"}, "binaryData": map(16_385)})),
        (
            "/api/v1/namespaces",
            "spec.finalizers",
            1000,
            json!({"metadata": {"name": "a"}, "spec": {"finalizers": texts(1001)}}),
        ),
        (&format!("{rbac}/clusterroles"), "rules", 1000, json!({"metadata": {"name": "a"}, "rules": vec![rule; 1001]})),
        (
            &format!("{rbac}/clusterrolebindings"),
            "subjects",
            5000,
            json!({"metadata": {"name": "a"}, "roleRef": role_ref, "subjects": vec![json!({"kind": "User", "name": "u"}); 5001]}),
        ),
        (
            &format!("{API}/namespaces/default/ipclaims"),
            "spec.poolSelector.matchLabels",
            100,
            json!({"metadata": {"name": "a"}, "spec": {"poolSelector": {"matchLabels": map(101)}}}),
        ),
        (
            &format!("{API}/namespaces/default/ipclaims"),
            "spec.poolSelector.matchExpressions",
            100,
            expressions(vec![json!({"key": "a", "operator": "Exists"}); 101].into()),
        ),
        (
            &format!("{API}/namespaces/default/ipclaims"),
            "spec.poolSelector.matchExpressions[0].values",
            1000,
            expressions(json!([{"key": "a", "operator": "In", "values": vec!["v"; 1001]}])),
        ),
    ] {
        refuses_too_many(&front.post(path, object).await, field, limit);
    }
    front.pool(pool("p").cidr("192.0.2.0/24")).await;
    for (path, over) in
        [(format!("{API}/ippools/p/status"), 101), ("/api/v1/namespaces/default/status".to_owned(), 101)]
    {
        let answer = front.patch(&path, "merge", &json!({"status": {"conditions": conditions(over)}})).await;
        refuses_too_many(&answer, "status.conditions", 100);
    }
}

/// Asserts an error that names the list and its limit.
#[track_caller]
fn refuses_too_many(answer: &Answer, field: &str, limit: usize) {
    let status = failure(answer);
    let cause = status.details.as_ref().and_then(|details| details.causes.first()).unwrap();
    assert_eq!(
        (status.code, cause.reason.as_str(), cause.field.as_str()),
        (422, "FieldValueTooMany", field),
        "{status:?}"
    );
    let words = format!("must have at most {limit} items");
    assert!(cause.message.starts_with("Too many: ") && cause.message.ends_with(&words), "{}", cause.message);
}

#[tokio::test]
async fn role_rule_products_are_bounded() {
    let front = ServerFixture::open().await;
    bind(&front, ADMIN, "admin").await;
    let many = |count: usize| -> Vec<String> { (0..count).map(|n| format!("n{n}")).collect() };
    let role = |name: &str, rules: Value| json!({"metadata": {"name": name}, "rules": rules});
    let allowing =
        |verbs: usize, resources: usize| json!({"verbs": many(verbs), "apiGroups": [""], "resources": many(resources)});
    let path = "/apis/rbac.authorization.k8s.io/v1/namespaces/default/roles";
    let status = failure(&front.post(path, role("a", json!([allowing(101, 99), allowing(1, 2)]))).await);
    for words in
        ["10001 pairs", "verbs x apiGroups x resources x resourceNames", "at most 10000 are allowed", "use '*'"]
    {
        assert!(status.code == 422 && status.message.contains(words), "{}", status.message);
    }
    body(&front.post(path, role("a", json!([allowing(100, 99), allowing(10, 10)]))).await, 201);
    let huge =
        json!({"verbs": many(1000), "apiGroups": many(1000), "resources": many(1000), "resourceNames": many(1000)});
    for user in [ADMIN, EDITOR] {
        let headers = [("impersonate-user", user), ("content-type", "application/json")];
        let answer = front.send(Method::POST, path, &headers, role("b", json!([huge])).to_string()).await;
        let expected = if user == ADMIN { 422 } else { 403 };
        assert_eq!(failure(&answer).code, expected, "{user}: {:.300}", answer.text());
    }
}

#[tokio::test]
async fn many_invalid_owners_cause_one_short_error() {
    let front = ServerFixture::open().await;
    let owner =
        |n: usize| json!({"apiVersion": "v1", "kind": "K", "name": "n", "uid": n.to_string(), "controller": true});
    let owners: Vec<Value> = (0..400).map(owner).collect();
    let map = json!({"metadata": {"name": "a", "ownerReferences": owners}});
    let answer = front.post("/api/v1/namespaces/default/configmaps", map).await;
    let status = failure(&answer);
    assert_eq!(status.details.unwrap().causes.len(), 1);
    assert!(answer.body.len() < 8192, "{} bytes", answer.body.len());
}

/// Checks lists and maps of objects in the OpenAPI documents. Schemas that only occur in responses are skipped.
#[tokio::test]
async fn every_list_schema_has_a_limit() {
    let front = ServerFixture::open().await;
    let (mut counted, mut unlimited) = (0, Vec::new());
    for version in ["api/v1", "apis/ipam.miloapis.com/v1alpha1", "apis/rbac.authorization.k8s.io/v1"] {
        let document = front.get(&format!("/openapi/v3/{version}")).await.json().unwrap();
        for (name, schema) in document["components"]["schemas"].as_object().unwrap() {
            let is_of_objects = name.ends_with(".ObjectMeta") || !name.starts_with("io.k8s.apimachinery.");
            if is_of_objects && !name.ends_with("List") {
                counted += lists_without_limit(schema, name, &mut unlimited);
            }
        }
    }
    assert!(unlimited.is_empty() && counted > 15, "{counted} lists and maps, without a limit: {unlimited:#?}");
}

/// Collects the paths of lists and maps that have no limit, and returns the number of all.
fn lists_without_limit(schema: &Value, path: &str, unlimited: &mut Vec<String>) -> usize {
    let is_list = schema["type"] == "array";
    let is_map = schema["additionalProperties"].is_object();
    let limit = if is_list { &schema["maxItems"] } else { &schema["maxProperties"] };
    if (is_list || is_map) && !limit.is_u64() {
        unlimited.push(path.to_owned());
    }
    let fields = schema["properties"].as_object().into_iter().flatten();
    let inside = fields.map(|(name, field)| lists_without_limit(field, &format!("{path}.{name}"), unlimited));
    let inside: usize = inside.sum();
    let items = if is_list { lists_without_limit(&schema["items"], &format!("{path}[]"), unlimited) } else { 0 };
    inside + items + usize::from(is_list || is_map)
}
