//! Errors that depend on the kinds: one request for each code, and what needs a server: holders, permissions and field
//! validation. The rules themselves are tested in `crates/ipam/src/tests`.

use http::Method;
use kube::core::Status;
use serde_json::{Value, json};
use testkit::{Claim, claim, pool};

use super::support::{API, CLAIMS, POOLS, ServerFixture, assert_causes, assert_refused, body, failure, warnings};

/// The allocation of the deleted claim `kept`.
const KEPT: &str = "IPAllocation default/alloc-6d8685aa1a4a6211 (retained from IPClaim kept)";
const RBAC: &str = "/apis/rbac.authorization.k8s.io/v1";

/// Creates by POST and by server-side apply, each with and without dry run; returns the errors.
async fn by_every_way(front: &ServerFixture, collection: &str, object: Value) -> Vec<Status> {
    let media = [("content-type", "application/apply-patch+yaml")];
    let place = format!("{collection}/{}?fieldManager=f", object["metadata"]["name"].as_str().unwrap());
    let apply =
        async |query: &str| front.send(Method::PATCH, &format!("{place}{query}"), &media, object.to_string()).await;
    let answers = [
        front.post(collection, object.clone()).await,
        front.post(&format!("{collection}?dryRun=All"), object.clone()).await,
        apply("").await,
        apply("&force=true&dryRun=All").await,
    ];
    answers.iter().map(failure).collect()
}

#[tokio::test]
async fn all_field_errors_are_returned_together() {
    let front = ServerFixture::open().await;
    let faulty = claim("a").family("IPv5").length(0).spec("reclaimPolicy", "Maybe").spec("address", "nowhere");
    let status = front.refused_claim(faulty).await;
    assert_refused(&status, 422, "Invalid", &["IPClaim.ipam.miloapis.com \"a\" is invalid: ["]);
    assert_causes(
        &status,
        &[
            ("FieldValueRequired", "spec"),
            ("FieldValueNotSupported", "spec.ipFamily"),
            ("FieldValueInvalid", "spec.prefixLength"),
            ("FieldValueNotSupported", "spec.reclaimPolicy"),
            ("FieldValueInvalid", "spec.address"),
        ],
    );
    let details = status.details.unwrap();
    assert_eq!(
        (details.name.as_str(), details.group.as_str(), details.kind.as_str()),
        ("a", "ipam.miloapis.com", "IPClaim")
    );
    assert_eq!(front.everything().await, json!([[], [], []]));
}

#[tokio::test]
async fn unknown_pool_is_bad_request() {
    let front = ServerFixture::with_pool().await;
    let status = front.refused_claim(claim("a").pool("seven").length(24)).await;
    assert_refused(&status, 400, "BadRequest", &["IPPool \"seven\" not found"]);
    assert_causes(&status, &[("PoolNotFound", "spec.poolRef.name")]);
    let status = front.refused_claim(claim("a").select("tier", "core").length(24)).await;
    assert_refused(&status, 400, "BadRequest", &["no IPPool matches spec.poolSelector"]);
    assert_causes(&status, &[("NoPoolMatch", "spec.poolSelector")]);
}

#[tokio::test]
async fn claim_on_full_pool_is_507() {
    let front = ServerFixture::open().await;
    front.pool(pool("tiny").cidr("192.0.2.0/31")).await;
    front.claim(claim("held").pool("tiny").length(32)).await;
    let before = front.everything().await;
    for status in by_every_way(&front, CLAIMS, claim("late").pool("tiny").length(31).into()).await {
        assert_refused(&status, 507, "InsufficientStorage", &["exhausted", "tiny", "/31", "/32"]);
        let causes = status.details.iter().flat_map(|details| &details.causes);
        let facts: Vec<_> =
            causes.map(|cause| (cause.reason.as_str(), cause.field.as_str(), cause.message.as_str())).collect();
        assert_eq!(
            facts,
            [
                ("PoolExhausted", "spec.prefixLength", status.message.as_str()),
                ("LargestFree", "", "32"),
                ("Pool", "", "tiny")
            ]
        );
    }
    assert_eq!(front.everything().await, before, "a rejected claim changes nothing");
    front.delete_claim("held").await;
    assert_eq!(front.block(claim("late").pool("tiny").length(31)).await, "192.0.2.0/31", "the name is unused");
}

#[tokio::test]
async fn unknown_and_duplicate_fields_warn_or_fail() {
    let front = ServerFixture::with_pool().await;
    let body = r#"{"metadata":{"name":"a"},"spec":{"poolRef":{"name":"root"},"prefixLength":24,"prefixLength":25,"colour":"red"}}"#;
    let send =
        async |path: String| front.send(Method::POST, &path, &[("content-type", "application/json")], body).await;
    let strict = failure(&send(format!("{CLAIMS}?fieldValidation=Strict")).await);
    assert_refused(
        &strict,
        400,
        "BadRequest",
        &["strict decoding error", r#"unknown field "spec.colour""#, r#"duplicate field "spec.prefixLength""#],
    );
    let bad = failure(&send(format!("{CLAIMS}?fieldValidation=Loud")).await);
    assert_refused(&bad, 422, "Invalid", &["fieldValidation"]);
    let warned = send(CLAIMS.to_owned()).await;
    assert_eq!(warned.status, 201, "{}", warned.text());
    let warnings = warnings(&warned);
    assert!(warnings.contains(&r#"299 - "unknown field \"spec.colour\"""#), "{warnings:?}");
    assert!(warnings.iter().any(|warning| warning.contains("prefixLength")), "{warnings:?}");
}

#[tokio::test]
async fn rejected_create_is_422_and_never_409() {
    let front = ServerFixture::open().await;
    front.pool(pool("corp").cidr("10.0.0.0/8")).await;
    front.pool(pool("lan").parent("corp").cidr("10.1.0.0/16")).await;
    front.pool(pool("hosts").cidr("192.0.2.0/24")).await;
    front.claim(claim("taken").pool("hosts").address("192.0.2.1")).await;
    front.claim(claim("kept").pool("hosts").address("192.0.2.2").retain()).await;
    front.delete_claim("kept").await;
    let mut going: Value = pool("going").cidr("172.16.0.0/16").into();
    going["metadata"]["finalizers"] = json!(["example.com/hold"]);
    body(&front.post(POOLS, going).await, 201);
    front.send(Method::DELETE, &format!("{POOLS}/going"), &[], "").await;

    let taken = |field| vec![("AddressTaken", field), ("HeldBy", field)];
    for (collection, object, causes, words) in [
        (
            POOLS,
            pool("a").cidr("10.5.0.0/16").into(),
            vec![("PoolOverlap", "spec.cidr")],
            "\"corp\", which is 10.0.0.0/8",
        ),
        (POOLS, pool("a").parent("corp").cidr("10.1.2.0/24").into(), taken("spec.cidr"), "held by IPPool lan"),
        (
            POOLS,
            pool("a").parent("going").length(24).into(),
            vec![("PoolTerminating", "spec.parentPoolRef.name")],
            "another",
        ),
        (CLAIMS, claim("a").pool("going").length(24).into(), vec![("PoolTerminating", "spec.poolRef.name")], "another"),
        (
            CLAIMS,
            claim("a").pool("hosts").address("192.0.2.1").into(),
            taken("spec.address"),
            "held by IPClaim default/taken",
        ),
        (
            CLAIMS,
            claim("a").pool("hosts").address("192.0.2.2").into(),
            taken("spec.address"),
            &format!("held by {KEPT}"),
        ),
        (
            CLAIMS,
            claim("kept").pool("hosts").length(32).into(),
            vec![("AllocationRetained", "metadata.name")],
            "192.0.2.2/32",
        ),
    ] {
        let object: Value = object;
        for status in by_every_way(&front, collection, object).await {
            assert_refused(&status, 422, "Invalid", &[words]);
            assert_causes(&status, &causes);
        }
    }
}

#[tokio::test]
async fn holders_of_requested_block_are_named_in_block_order() {
    let front = ServerFixture::open().await;
    front.pool(pool("root").cidr("10.0.0.0/16")).await;
    front.namespace("web").await;
    front.claim_in("web", claim("b").pool("root").address("10.0.0.64/26")).await;
    front.claim(claim("a").pool("root").address("10.0.0.0/26")).await;
    let status = front.refused_claim(claim("c").pool("root").address("10.0.0.0/24")).await;
    let both = "spec.address: held by IPClaim default/a, spec.address: held by IPClaim web/b]";
    assert_refused(&status, 422, "Invalid", &[both]);
    for index in 0..2 {
        front.claim(claim(&format!("d{index}")).pool("root").length(26)).await;
    }
    let status = front.refused_claim(claim("c").pool("root").address("10.0.0.0/24")).await;
    let named = "spec.address: held by IPClaim default/d0, spec.address: held by others]";
    assert_refused(&status, 422, "Invalid", &[named]);
}

/// Sends a request as user jane, which must fail, and returns the error.
async fn as_jane(front: &ServerFixture, method: Method, path: &str, body: Value) -> Status {
    let headers = [("impersonate-user", "jane"), ("content-type", "application/json")];
    failure(&front.send(method, path, &headers, body.to_string()).await)
}

async fn allow(front: &ServerFixture, collection: &str, role: &str) {
    let subject = json!({ "apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "jane" });
    let reference = json!({ "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role });
    let binding = json!({ "metadata": { "name": role }, "roleRef": reference, "subjects": [subject] });
    body(&front.post(&format!("{RBAC}/{collection}"), binding).await, 201);
}

#[tokio::test]
async fn holder_is_named_only_to_callers_who_may_get_it() {
    let front = ServerFixture::with_pool().await;
    front.namespace("vault").await;
    front.claim_in("vault", claim("secret").pool("root").address("10.0.0.7")).await;
    front.pool(pool("hidden").parent("root").cidr("10.0.1.0/24")).await;
    let rule = json!({ "apiGroups": ["ipam.miloapis.com"], "resources": ["ippools"], "verbs": ["delete"] });
    let remover = json!({ "metadata": { "name": "remover" }, "rules": [rule] });
    body(&front.post(&format!("{RBAC}/clusterroles"), remover).await, 201);
    allow(&front, "clusterrolebindings", "remover").await;
    allow(&front, "namespaces/default/rolebindings", "edit").await;

    let ask = async |address: &str| {
        let wanted: Claim = claim("mine").pool("root").address(address);
        as_jane(&front, Method::POST, CLAIMS, wanted.into()).await
    };
    let remove = async || as_jane(&front, Method::DELETE, &format!("{API}/ippools/root"), json!({})).await;
    let unnamed = "held by an object of kind IPClaim that you may not get";
    for status in [ask("10.0.0.7").await, remove().await] {
        assert!(status.message.contains(unnamed), "{}", status.message);
        let text = serde_json::to_string(&status).unwrap();
        assert!(!["vault", "secret", "hidden"].iter().any(|name| text.contains(name)), "{text}");
    }
    assert_refused(&ask("10.0.1.7").await, 422, "Invalid", &["held by an object of kind IPPool that you may not get"]);

    allow(&front, "namespaces/vault/rolebindings", "view").await;
    assert_refused(&ask("10.0.0.7").await, 422, "Invalid", &["held by IPClaim vault/secret"]);
    let both = "held by IPClaim vault/secret, held by an object of kind IPPool that you may not get";
    assert_refused(&remove().await, 409, "Conflict", &["2 active allocation(s)", both]);
}
