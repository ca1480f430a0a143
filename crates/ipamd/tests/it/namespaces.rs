//! Namespaces in standalone mode, and the release of their blocks.

use http::Method;
use serde_json::{Value, json};
use testkit::claim;

use crate::support::{API, ServerFixture, Watch, assert_refused, body, failure, names, text};

const NAMESPACES: &str = "/api/v1/namespaces";
const TEAM: &str = "/api/v1/namespaces/team";

async fn all(front: &ServerFixture, plural: &str) -> Value {
    body(&front.get(&format!("{API}/{plural}")).await, 200)
}

#[tokio::test]
async fn default_and_kube_system_exist_from_first_start() {
    let mut front = ServerFixture::open().await;
    assert_eq!(names(&body(&front.get(NAMESPACES).await, 200)), ["default", "kube-system"]);
    front.server.restart().await;
    let front = ServerFixture::to(front.server);
    assert_eq!(names(&body(&front.get(NAMESPACES).await, 200)), ["default", "kube-system"]);
    let refused = failure(&front.send(Method::DELETE, "/api/v1/namespaces/default", &[], "").await);
    assert_refused(&refused, 403, "Forbidden", &["this namespace may not be deleted"]);
}

#[tokio::test]
async fn claim_in_missing_namespace_is_404() {
    let front = ServerFixture::with_pool().await;
    let claims = format!("{API}/namespaces/team/ipclaims");
    let wanted = json!({ "metadata": { "name": "a" }, "spec": { "poolRef": { "name": "root" }, "prefixLength": 24 } });
    let refused = failure(&front.post(&claims, wanted.clone()).await);
    assert_refused(&refused, 404, "NotFound", &["namespaces \"team\" not found"]);
    assert_eq!(front.addresses("root").await.1, 0);
    front.namespace("team").await;
    let namespace = body(&front.get(TEAM).await, 200);
    assert_eq!((text(&namespace, "/kind"), text(&namespace, "/status/phase")), ("Namespace", "Active"));
    body(&front.post(&claims, wanted).await, 201);
}

#[tokio::test]
async fn deleted_namespace_frees_all_its_blocks() {
    let front = ServerFixture::with_pool().await;
    front.namespace("team").await;
    front.namespace("other").await;
    for index in 0..20 {
        front.claim_in("team", claim(&format!("c{index}")).pool("root").length(24)).await;
    }
    front.claim_in("other", claim("stays").pool("root").length(24)).await;
    let kept = json!({
        "metadata": { "name": "kept" },
        "spec": { "poolRef": { "name": "root" }, "prefixLength": 24, "reclaimPolicy": "Retain" },
    });
    body(&front.post(&format!("{API}/namespaces/team/ipclaims"), kept.clone()).await, 201);
    // This block is already retained, after its claim was deleted.
    let mut earlier = kept;
    earlier["metadata"]["name"] = json!("earlier");
    body(&front.post(&format!("{API}/namespaces/team/ipclaims"), earlier).await, 201);
    body(&front.send(Method::DELETE, &format!("{API}/namespaces/team/ipclaims/earlier"), &[], "").await, 200);
    assert_eq!(front.addresses("root").await.1, 23 * 256);

    let answer = body(&front.send(Method::DELETE, TEAM, &[], "").await, 200);
    assert_eq!(text(&answer, "/status/phase"), "Terminating");
    front.gone(TEAM).await;
    assert_eq!(front.addresses("root").await.1, 256, "only the block of the other namespace");
    assert_eq!(names(&all(&front, "ipclaims").await), ["stays"]);
    assert_eq!(all(&front, "ipallocations").await["items"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn namespace_deletion_waits_for_finalizer_across_restart() {
    let mut front = ServerFixture::with_pool().await;
    front.namespace("team").await;
    front.claim_in("team", claim("held").pool("root").length(24).finalizer("example.com/hold")).await;
    front.claim_in("team", claim("free").pool("root").length(24)).await;
    body(&front.send(Method::DELETE, TEAM, &[], "").await, 200);
    front.gone(&format!("{API}/namespaces/team/ipclaims/free")).await;
    front.server.restart().await;
    let front = ServerFixture::to(front.server);
    let late = json!({ "metadata": { "name": "late" }, "spec": { "poolRef": { "name": "root" }, "prefixLength": 24 } });
    let refused = failure(&front.post(&format!("{API}/namespaces/team/ipclaims"), late).await);
    let message = "ipclaims.ipam.miloapis.com \"late\" is forbidden: unable to create new content in namespace team \
                   because it is being terminated";
    assert_refused(&refused, 403, "Forbidden", &[message]);
    assert_eq!(refused.details.unwrap().causes[0].reason, "NamespaceTerminating");
    let held = format!("{API}/namespaces/team/ipclaims/held");
    let claim = body(&front.get(&held).await, 200);
    assert_eq!(text(&claim, "/status/phase"), "Releasing");
    assert_eq!(front.addresses("root").await.1, 256);
    body(&front.patch(&held, "merge", &json!({ "metadata": { "finalizers": null } })).await, 200);
    front.gone(TEAM).await;
    assert_eq!(front.addresses("root").await.1, 0);
}

/// Waits for a version of the namespace that has these conditions: type, status, reason and message.
async fn wait_for_conditions(watch: &mut Watch, conditions: &[[&str; 4]]) -> Value {
    loop {
        let event = watch.next().await;
        assert_eq!(event["type"], "MODIFIED", "{event}");
        let present: Vec<_> = event["object"]["status"]["conditions"].as_array().into_iter().flatten().collect();
        let matches = conditions.iter().all(|wanted| {
            present.iter().any(|it| [&it["type"], &it["status"], &it["reason"], &it["message"]] == *wanted)
        });
        if matches {
            return event["object"].clone();
        }
    }
}

#[tokio::test]
async fn conditions_explain_why_namespace_deletion_waits() {
    let front = ServerFixture::with_pool().await;
    front.namespace("team").await;
    let held = claim("held").pool("root").length(24).finalizer("example.com/hold").finalizer("example.com/audit");
    front.claim_in("team", held).await;
    let kept = json!({
        "metadata": { "name": "kept" },
        "spec": { "poolRef": { "name": "root" }, "prefixLength": 24, "reclaimPolicy": "Retain" },
    });
    body(&front.post(&format!("{API}/namespaces/team/ipclaims"), kept).await, 201);
    let from = text(&body(&front.get(NAMESPACES).await, 200), "/metadata/resourceVersion").to_owned();
    let selector = "fieldSelector=metadata.name%3Dteam";
    let mut watch = front.watch(&format!("{NAMESPACES}?watch=true&{selector}&resourceVersion={from}")).await;
    body(&front.send(Method::DELETE, TEAM, &[], "").await, 200);

    let finalizers = |names: &str| format!("Some content in the namespace has finalizers remaining: {names}");
    let both = finalizers("example.com/audit in 1 resource instances, example.com/hold in 1 resource instances");
    let namespace = wait_for_conditions(
        &mut watch,
        &[
            [
                "NamespaceDeletionDiscoveryFailure",
                "False",
                "ResourcesDiscovered",
                "All resources successfully discovered",
            ],
            [
                "NamespaceDeletionGroupVersionParsingFailure",
                "False",
                "ParsedGroupVersions",
                "All legacy kube types successfully parsed",
            ],
            [
                "NamespaceDeletionContentFailure",
                "False",
                "ContentDeleted",
                "All content successfully deleted, may be waiting on finalization; retained IPAllocations are deleted as \
                 well, and their blocks are freed",
            ],
            [
                "NamespaceContentRemaining",
                "True",
                "SomeResourcesRemain",
                "Some resources are remaining: ipallocations.ipam.miloapis.com has 1 resource instances, \
                 ipclaims.ipam.miloapis.com has 1 resource instances",
            ],
            ["NamespaceFinalizersRemaining", "True", "SomeFinalizersRemain", &both],
        ],
    )
    .await;
    assert_eq!(text(&namespace, "/status/phase"), "Terminating");
    assert_eq!(front.addresses("root").await.1, 256, "the block of the retained allocation is free");

    let held = format!("{API}/namespaces/team/ipclaims/held");
    body(&front.patch(&held, "merge", &json!({ "metadata": { "finalizers": ["example.com/audit"] } })).await, 200);
    let audit = finalizers("example.com/audit in 1 resource instances");
    wait_for_conditions(&mut watch, &[["NamespaceFinalizersRemaining", "True", "SomeFinalizersRemain", &audit]]).await;
    body(&front.patch(&held, "merge", &json!({ "metadata": { "finalizers": null } })).await, 200);
    front.gone(TEAM).await;
    assert_eq!(front.addresses("root").await.1, 0);
}
