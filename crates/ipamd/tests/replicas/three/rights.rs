//! Role bindings that are written through one replica, as enforced by all replicas.

use http::{Method, Request};
use serde_json::json;

use super::support::{CLAIMS, ServerFixture, revision};

const BINDINGS: &str = "/apis/rbac.authorization.k8s.io/v1/namespaces/default/rolebindings";

/// Returns true if the replica permits `jane` to list claims, after the replica has applied `revision`.
async fn may_list(front: &ServerFixture, replica: usize, revision: u64) -> bool {
    let http = front.server.server(replica).http();
    let seen = http.get(&format!("{CLAIMS}?resourceVersion={revision}")).await.unwrap();
    assert_eq!(seen.status, 200, "{}", seen.text());
    let request = Request::get(CLAIMS).header("impersonate-user", "jane").body(Vec::new()).unwrap();
    match http.send(request).await.unwrap().status.as_u16() {
        200 => true,
        403 => false,
        status => panic!("{status}"),
    }
}

#[tokio::test]
async fn permission_changes_apply_at_their_revision_on_every_replica() {
    let front = ServerFixture::open().await;
    let admin = front.server.server(0).http();
    for _ in 0..3 {
        let binding = json!({
            "metadata": { "name": "jane" }, "roleRef": { "kind": "ClusterRole", "name": "view" },
            "subjects": [{ "kind": "User", "name": "jane" }],
        });
        let given = admin.send_json(Method::POST, BINDINGS, &binding).await.unwrap();
        assert_eq!(given.status, 201, "{}", given.text());
        let given = revision(&given.json().unwrap());
        for replica in 0..3 {
            assert!(may_list(&front, replica, given).await, "{replica}");
        }
        let path = format!("{BINDINGS}/jane");
        let taken = admin.send_json(Method::DELETE, &path, &json!({})).await.unwrap();
        assert_eq!(taken.status, 200, "{}", taken.text());
        let taken = revision(&admin.get(BINDINGS).await.unwrap().json().unwrap());
        for replica in 0..3 {
            assert!(!may_list(&front, replica, taken).await, "{replica}");
        }
    }
}
