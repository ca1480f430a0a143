//! Server-side apply: field ownership, conflicts, pruning, and requests that change nothing.

use http::Method;
use serde_json::{Value, json};
use testkit::{Answer, claim};

use crate::support::{CLAIMS, POOLS, ServerFixture, assert_refused, body, failure, revision, text};

const CLAIM: &str = "/apis/ipam.miloapis.com/v1alpha1/namespaces/default/ipclaims/a";
const POOL: &str = "/apis/ipam.miloapis.com/v1alpha1/ippools/root";

async fn apply(front: &ServerFixture, path: &str, query: &str, config: &Value) -> Answer {
    let media = [("content-type", "application/apply-patch+yaml")];
    front.send(Method::PATCH, &format!("{path}?{query}"), &media, config.to_string()).await
}

fn config(labels: Value) -> Value {
    json!({
        "apiVersion": "ipam.miloapis.com/v1alpha1", "kind": "IPClaim",
        "metadata": {"name": "a", "namespace": "default", "labels": labels},
        "spec": {"poolRef": {"name": "root"}, "prefixLength": 24},
    })
}

/// The managers sorted by name, each as name, operation, and `/subresource` if there is one. The server orders entries
/// by their timestamps in seconds, which the tests do not control.
fn managers(object: &Value) -> Vec<String> {
    let entries = object["metadata"]["managedFields"].as_array().cloned().unwrap_or_default();
    let text = |entry: &Value, name: &str| entry[name].as_str().unwrap_or_default().to_owned();
    let one = |entry: &Value| {
        let subresource = entry["subresource"].as_str().map(|name| format!("/{name}")).unwrap_or_default();
        format!("{} {}{subresource}", text(entry, "manager"), text(entry, "operation"))
    };
    let mut managers: Vec<_> = entries.iter().map(one).collect();
    managers.sort();
    managers
}

/// Returns the managed fields entry of a manager.
fn entry_of<'a>(object: &'a Value, manager: &str) -> &'a Value {
    let entries = object["metadata"]["managedFields"].as_array().expect("managedFields is a list");
    entries.iter().find(|entry| entry["manager"] == manager).expect("the manager owns something")
}

#[tokio::test]
async fn first_apply_creates_and_identical_apply_is_a_no_op() {
    let front = ServerFixture::with_pool().await;
    let web = config(json!({"app": "web"}));
    let created = body(&apply(&front, CLAIM, "fieldManager=flux", &web).await, 201);
    assert_eq!(text(&created, "/status/allocatedCIDR"), "10.0.0.0/24");
    assert_eq!(managers(&created), ["flux Apply"]);
    let owned = &created["metadata"]["managedFields"][0];
    assert_eq!(
        owned["fieldsV1"],
        json!({
            "f:metadata": {"f:labels": {"f:app": {}}},
            "f:spec": {"f:poolRef": {"f:name": {}}, "f:prefixLength": {}},
        }),
        "no manager owns the defaults"
    );
    let from = revision(&body(&front.get(CLAIMS).await, 200));
    let mut watch = front.watch(&format!("{CLAIMS}?watch=true&resourceVersion={from}")).await;
    for query in ["fieldManager=flux", "fieldManager=flux&force=true", "fieldManager=flux&dryRun=All&force=true"] {
        assert_eq!(body(&apply(&front, CLAIM, query, &web).await, 200), created, "{query}");
    }
    let metrics = front.get("/metrics").await;
    assert!(String::from_utf8_lossy(&metrics.body).contains("verb=\"APPLY\""), "applies have their own verb");
    let changed = body(&apply(&front, CLAIM, "fieldManager=flux", &config(json!({"app": "db"}))).await, 200);
    assert!(revision(&changed) > revision(&created));
    assert_eq!(changed["metadata"]["generation"], 1, "a change of labels does not raise the generation");
    assert_eq!(text(&watch.expect("MODIFIED", "a").await, "/metadata/labels/app"), "db", "the first event");
}

#[tokio::test]
async fn apply_accepts_yaml_and_ignores_status() {
    let front = ServerFixture::with_pool().await;
    let yaml = "apiVersion: ipam.miloapis.com/v1alpha1\nkind: IPClaim\nmetadata:\n  name: a\nspec:\n  poolRef: {name: root}\n  prefixLength: 28\nstatus:\n  phase: Error\n";
    let media = [("content-type", "application/apply-patch+yaml")];
    let answer = front.send(Method::PATCH, &format!("{CLAIM}?fieldManager=me"), &media, yaml).await;
    let created = body(&answer, 201);
    assert_eq!((text(&created, "/status/phase"), text(&created, "/metadata/namespace")), ("Bound", "default"));
    assert_eq!(created["metadata"]["managedFields"][0]["fieldsV1"].get("f:status"), None);
}

#[tokio::test]
async fn field_of_another_manager_conflicts_until_forced() {
    let front = ServerFixture::with_pool().await;
    body(&apply(&front, CLAIM, "fieldManager=flux", &config(json!({"app": "web", "tier": "1"}))).await, 201);
    let other = config(json!({"app": "db", "tier": "2"}));
    let status = failure(&apply(&front, CLAIM, "fieldManager=argo", &other).await);
    assert_refused(
        &status,
        409,
        "Conflict",
        &["Apply failed with 2 conflicts: conflicts with \"flux\":\n- .metadata.labels.app\n- .metadata.labels.tier"],
    );
    let causes = &status.details.as_ref().unwrap().causes;
    let causes: Vec<_> = causes.iter().map(|cause| (cause.reason.as_str(), cause.field.as_str())).collect();
    let reason = "FieldManagerConflict";
    assert_eq!(causes, [(reason, ".metadata.labels.app"), (reason, ".metadata.labels.tier")]);
    let taken = body(&apply(&front, CLAIM, "fieldManager=argo&force=true", &other).await, 200);
    assert_eq!(taken["metadata"]["labels"], json!({"app": "db", "tier": "2"}));
    assert_eq!(managers(&taken), ["argo Apply", "flux Apply"]);
    let of_flux = entry_of(&taken, "flux")["fieldsV1"].to_string();
    assert!(!of_flux.contains("f:app") && of_flux.contains("f:poolRef"), "{of_flux}");
}

#[tokio::test]
async fn omitted_field_is_removed_unless_another_manager_owns_it() {
    let front = ServerFixture::with_pool().await;
    let all = json!({"mine": "1", "shared": "1"});
    body(&apply(&front, CLAIM, "fieldManager=flux", &config(all)).await, 201);
    body(&apply(&front, CLAIM, "fieldManager=argo", &config(json!({"shared": "1"}))).await, 200);
    let merge = json!({"metadata": {"labels": {"patched": "1"}}});
    let patched = body(&front.patch(&format!("{CLAIM}?fieldManager=hand"), "merge", &merge).await, 200);
    assert_eq!(managers(&patched), ["argo Apply", "flux Apply", "hand Update"]);
    let left = body(&apply(&front, CLAIM, "fieldManager=flux", &config(json!({}))).await, 200);
    assert_eq!(left["metadata"]["labels"], json!({"shared": "1", "patched": "1"}));
    let left = body(&apply(&front, CLAIM, "fieldManager=argo", &config(json!({}))).await, 200);
    assert_eq!(left["metadata"]["labels"], json!({"patched": "1"}));
}

#[tokio::test]
async fn apply_to_created_object_shares_or_conflicts_on_fields() {
    let front = ServerFixture::with_pool().await;
    front.claim(claim("a").pool("root").length(24).label("app", "web")).await;
    let created = body(&front.get(CLAIM).await, 200);
    assert_eq!(managers(&created), ["unknown Update"]);
    let same = body(&apply(&front, CLAIM, "fieldManager=flux", &config(json!({"app": "web"}))).await, 200);
    assert_eq!(managers(&same), ["flux Apply", "unknown Update"], "the same values are owned by both");
    let status = failure(&apply(&front, CLAIM, "fieldManager=flux", &config(json!({"app": "db"}))).await);
    assert_refused(&status, 409, "Conflict", &["Apply failed with 1 conflict: conflict with \"unknown\" using"]);
    // As csaupgrade does: a JSON patch with the resourceVersion as a precondition rewrites the entries.
    let version = &same["metadata"]["resourceVersion"];
    let patch = json!([
        {"op": "replace", "path": "/metadata/managedFields", "value": [entry_of(&same, "flux")]},
        {"op": "replace", "path": "/metadata/resourceVersion", "value": version},
    ]);
    let upgraded = body(&front.patch(&format!("{CLAIM}?fieldManager=flux"), "json", &patch).await, 200);
    assert_eq!(managers(&upgraded), ["flux Apply"]);
    let changed = body(&apply(&front, CLAIM, "fieldManager=flux", &config(json!({"app": "db"}))).await, 200);
    assert_eq!(text(&changed, "/metadata/labels/app"), "db");
}

#[tokio::test]
async fn dry_run_apply_returns_object_and_stores_nothing() {
    let front = ServerFixture::with_pool().await;
    let config = config(json!({"app": "web"}));
    let dry = body(&apply(&front, CLAIM, "fieldManager=flux&dryRun=All", &config).await, 201);
    assert_eq!(text(&dry, "/status/allocatedCIDR"), "10.0.0.0/24");
    assert_eq!(dry["metadata"].get("resourceVersion"), None, "it is created, not configured");
    assert_eq!(front.get(CLAIM).await.status, 404);
}

#[tokio::test]
async fn apply_to_status_has_separate_managed_fields() {
    let front = ServerFixture::with_pool().await;
    let condition = json!({
        "type": "Announced", "status": "True", "reason": "Bgp", "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z",
    });
    let config = json!({
        "apiVersion": "ipam.miloapis.com/v1alpha1", "kind": "IPPool", "metadata": {"name": "root"},
        "status": {"conditions": [condition]},
    });
    let status = format!("{POOL}/status");
    let applied = body(&apply(&front, &status, "fieldManager=bgp", &config).await, 200);
    assert_eq!(managers(&applied), ["bgp Apply/status", "unknown Update"]);
    let types: Vec<_> =
        applied["status"]["conditions"].as_array().unwrap().iter().map(|condition| text(condition, "/type")).collect();
    assert_eq!(types, ["Allocated", "Ready", "Announced"]);
    assert_eq!(body(&apply(&front, &status, "fieldManager=bgp", &config).await, 200), applied);
    front.claim(claim("a").pool("root").length(24)).await;
    let none = json!({"apiVersion": "ipam.miloapis.com/v1alpha1", "kind": "IPPool", "metadata": {"name": "root"}, "status": {}});
    let gone = body(&apply(&front, &status, "fieldManager=bgp", &none).await, 200);
    assert_eq!(gone["status"]["conditions"].as_array().unwrap().len(), 2);
    let missing = apply(&front, &format!("{POOLS}/missing/status"), "fieldManager=bgp", &json!({})).await;
    assert_refused(&failure(&missing), 404, "NotFound", &["ippools.ipam.miloapis.com \"missing\" not found"]);
}

#[tokio::test]
async fn invalid_apply_requests_are_rejected() {
    let front = ServerFixture::with_pool().await;
    let good = config(json!({}));
    let with = |pointer: &str, value: Value| {
        let mut config = good.clone();
        let (parent, name) = pointer.rsplit_once('/').unwrap();
        config.pointer_mut(parent).unwrap()[name] = value;
        config
    };
    let refusals = [
        ("", good.clone(), 422, "Invalid", "fieldManager: Required value: is required for apply patch"),
        ("fieldManager=f", with("/kind", json!("IPPool")), 400, "BadRequest", "invalid object type"),
        ("fieldManager=f", with("/metadata/name", json!("b")), 400, "BadRequest", "does not match the name on the URL"),
        ("fieldManager=f", with("/metadata/managedFields", json!([])), 400, "BadRequest", "must be nil"),
        (
            "fieldManager=f",
            with("/spec/colour", json!("red")),
            400,
            "BadRequest",
            ".spec.colour: field not declared in schema",
        ),
        ("fieldManager=f", with("/spec/prefixLength", json!("x")), 400, "BadRequest", ".spec.prefixLength"),
        ("fieldManager=f", with("/spec/prefixLength", json!(99)), 422, "Invalid", "spec.prefixLength"),
        ("fieldManager=f", with("/metadata/uid", json!("u")), 409, "Conflict", "uid mismatch"),
        ("fieldManager=f", json!([]), 400, "BadRequest", "must be JSON objects"),
        ("fieldManager=f", json!("x"), 400, "BadRequest", "must be JSON objects"),
        ("fieldManager=f", json!({"metadata": 1}), 400, "BadRequest", "must be JSON objects"),
    ];
    for (query, config, code, reason, message) in refusals {
        assert_refused(&failure(&apply(&front, CLAIM, query, &config).await), code, reason, &[message]);
    }
    let media = [("content-type", "application/apply-patch+yaml")];
    let twice = "apiVersion: ipam.miloapis.com/v1alpha1\nkind: IPClaim\nmetadata: {name: a, name: a}\n";
    let answer = front.send(Method::PATCH, &format!("{CLAIM}?fieldManager=f"), &media, twice).await;
    assert_refused(&failure(&answer), 400, "BadRequest", &["duplicate field \"metadata.name\""]);
    assert_eq!(front.get(CLAIM).await.status, 404);
    let versioned = with("/metadata/resourceVersion", json!("7"));
    body(&apply(&front, CLAIM, "fieldManager=f", &versioned).await, 201);
    let stale = with("/metadata/resourceVersion", json!("1"));
    assert_refused(
        &failure(&apply(&front, CLAIM, "fieldManager=f", &stale).await),
        409,
        "Conflict",
        &["has been modified"],
    );
}
