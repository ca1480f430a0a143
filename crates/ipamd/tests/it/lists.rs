//! Lists: one snapshot across all pages, selectors, and the meaning of resourceVersion.

use serde_json::Value;
use testkit::{claim, pool};

use crate::support::{
    API, CLAIMS, POOLS, ServerFixture, assert_causes, assert_refused, body, failure, names, revision, text,
};

/// A server with one pool and claims `c00`, `c01`, ... with the labels `parity` and `index`.
async fn with_claims(count: usize) -> ServerFixture {
    let front = ServerFixture::open().await;
    front.pool(pool("root").cidr("10.0.0.0/16")).await;
    for index in 0..count {
        let parity = if index % 2 == 0 { "even" } else { "odd" };
        let claim = claim(&format!("c{index:02}")).pool("root").length(28).label("parity", parity);
        front.claim(claim.label("index", &index.to_string())).await;
    }
    front
}

async fn list(front: &ServerFixture, query: &str) -> Value {
    body(&front.get(&format!("{CLAIMS}?{query}")).await, 200)
}

#[tokio::test]
async fn empty_list_has_a_resource_version() {
    let front = ServerFixture::open().await;
    for (path, kind) in [
        (POOLS.to_owned(), "IPPoolList"),
        (format!("{API}/ipclaims"), "IPClaimList"),
        (format!("{API}/ipallocations"), "IPAllocationList"),
        (CLAIMS.to_owned(), "IPClaimList"),
    ] {
        let list = body(&front.get(&path).await, 200);
        assert_eq!((text(&list, "/kind"), text(&list, "/apiVersion")), (kind, "ipam.miloapis.com/v1alpha1"));
        assert_eq!(list["items"], serde_json::json!([]), "never null");
        assert!(revision(&list) >= 1);
    }
}

#[tokio::test]
async fn list_items_are_complete_and_sorted() {
    let front = with_claims(3).await;
    front.namespace("another").await;
    front.claim_in("another", claim("z").pool("root").length(28)).await;
    let list = body(&front.get(&format!("{API}/ipclaims")).await, 200);
    let keys: Vec<_> = list["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| (text(item, "/metadata/namespace"), text(item, "/metadata/name")))
        .collect();
    assert_eq!(keys, [("another", "z"), ("default", "c00"), ("default", "c01"), ("default", "c02")]);
    for item in list["items"].as_array().unwrap() {
        assert_eq!((text(item, "/kind"), text(item, "/apiVersion")), ("IPClaim", "ipam.miloapis.com/v1alpha1"));
        assert!(revision(item) <= revision(&list));
        assert_eq!(text(item, "/status/phase"), "Bound");
    }
}

#[tokio::test]
async fn all_list_pages_come_from_one_snapshot() {
    let front = with_claims(10).await;
    let first = list(&front, "limit=3").await;
    let at = revision(&first);
    assert_eq!((names(&first), &first["metadata"]["remainingItemCount"]), (vec!["c00", "c01", "c02"], &Value::from(7)));
    let mut seen: Vec<String> = names(&first).into_iter().map(str::to_owned).collect();
    let mut token = text(&first, "/metadata/continue").to_owned();
    for gone in 3.. {
        if token.is_empty() {
            break;
        }
        front.delete_claim(&format!("c{gone:02}")).await;
        front.claim(claim(&format!("c{gone:02}-new")).pool("root").length(28)).await;
        let page = list(&front, &format!("limit=3&continue={token}")).await;
        assert_eq!(revision(&page), at, "every page has the revision of the first");
        seen.extend(names(&page).into_iter().map(str::to_owned));
        token = text(&page, "/metadata/continue").to_owned();
    }
    assert_eq!(seen, (0..10).map(|index| format!("c{index:02}")).collect::<Vec<_>>());
    let now = list(&front, "").await;
    assert!(names(&now).contains(&"c03-new") && !names(&now).contains(&"c03"), "{:?}", names(&now));
}

#[tokio::test]
async fn pages_are_filled_after_filtering() {
    let front = with_claims(10).await;
    let first = list(&front, "limit=3&labelSelector=parity%3Dodd").await;
    assert_eq!(names(&first), ["c01", "c03", "c05"]);
    assert_eq!(first["metadata"].get("remainingItemCount"), None, "it is unknown with a selector");
    let token = text(&first, "/metadata/continue");
    let rest = list(&front, &format!("limit=3&labelSelector=parity%3Dodd&continue={token}")).await;
    assert_eq!((names(&rest), text(&rest, "/metadata/continue")), (vec!["c07", "c09"], ""));
    let exact = list(&front, "limit=10").await;
    assert_eq!((names(&exact).len(), text(&exact, "/metadata/continue")), (10, ""), "no empty page at the end");
}

#[tokio::test]
async fn label_selectors_support_the_full_grammar() {
    let front = with_claims(4).await;
    for (selector, expected) in [
        ("parity=even", vec!["c00", "c02"]),
        ("parity==even", vec!["c00", "c02"]),
        ("parity!=even", vec!["c01", "c03"]),
        ("parity%20in%20(even,%20none)", vec!["c00", "c02"]),
        ("parity%20notin%20(even)", vec!["c01", "c03"]),
        ("parity,index!=0", vec!["c01", "c02", "c03"]),
        ("!parity", vec![]),
        ("colour!=red", vec!["c00", "c01", "c02", "c03"]),
        ("parity=even,index%20in%20(2,3)", vec!["c02"]),
    ] {
        assert_eq!(names(&list(&front, &format!("labelSelector={selector}")).await), expected, "{selector}");
    }
    for bad in ["parity%20in%20even", "=x", "a%20b", "parity%20in%20(", "!", "a=b,,c", "a=b%20c"] {
        assert_refused(&failure(&front.get(&format!("{CLAIMS}?labelSelector={bad}")).await), 400, "BadRequest", &[]);
    }
}

#[tokio::test]
async fn field_selectors_filter_by_documented_fields() {
    let front = with_claims(2).await;
    front.pool(pool("six").cidr("2001:db8::/64")).await;
    front.pool(pool("child").parent("root").length(24)).await;
    front.claim(claim("v6").pool("six").length(80)).await;
    let claims = "ipclaims?fieldSelector=";
    let allocations = "ipallocations?fieldSelector=";
    for (query, expected) in [
        ("ippools?fieldSelector=metadata.name=six", 1),
        ("ippools?fieldSelector=spec.ipFamily=IPv6", 1),
        ("ippools?fieldSelector=spec.parentPoolRef.name=root", 1),
        ("ippools?fieldSelector=status.phase=Ready", 3),
        ("ippools?fieldSelector=status.phase!=Ready", 0),
        (&format!("{claims}metadata.name=c00"), 1),
        (&format!("{claims}metadata.namespace=default"), 3),
        (&format!("{claims}metadata.namespace=other"), 0),
        (&format!("{claims}spec.poolRef.name=root,metadata.name!=c00"), 1),
        (&format!("{claims}status.poolRef.name=six"), 1),
        (&format!("{claims}status.phase=Bound"), 3),
        (&format!("{claims}status.allocatedCIDR=10.0.0.16/28"), 1),
        (&format!("{claims}spec.ipFamily==IPv6"), 1),
        (&format!("{allocations}spec.ipFamily=IPv6"), 1),
        (&format!("{allocations}spec.poolRef.name=root"), 2),
        (&format!("{allocations}status.allocatedCIDR=10.0.0.0/28"), 1),
        (&format!("{allocations}status.phase=Ready"), 3),
    ] {
        let list = body(&front.get(&format!("{API}/{query}")).await, 200);
        assert_eq!(names(&list).len(), expected, "{query}: {:?}", names(&list));
    }
}

#[tokio::test]
async fn unknown_field_selector_error_lists_supported_fields() {
    let front = ServerFixture::open().await;
    for (plural, known) in [
        ("ippools", ["spec.ipFamily", "spec.parentPoolRef.name", "status.phase"].as_slice()),
        (
            "ipclaims",
            &["spec.ipFamily", "spec.poolRef.name", "status.poolRef.name", "status.phase", "status.allocatedCIDR"],
        ),
        ("ipallocations", &["spec.ipFamily", "spec.poolRef.name", "status.allocatedCIDR", "status.phase"]),
    ] {
        let status = failure(&front.get(&format!("{API}/{plural}?fieldSelector=spec.colour%3Dred")).await);
        assert_refused(&status, 400, "BadRequest", &["spec.colour", "metadata.name"]);
        assert_refused(&status, 400, "BadRequest", known);
        assert_eq!(status.message.contains("metadata.namespace"), plural != "ippools", "{}", status.message);
    }
    assert_eq!(failure(&front.get(&format!("{POOLS}?fieldSelector=metadata.name")).await).code, 400);
}

#[tokio::test]
async fn resource_version_match_selects_minimum_or_exact_revision() {
    let front = with_claims(2).await;
    let then = revision(&list(&front, "").await);
    front.claim(claim("later").pool("root").length(28)).await;
    let now = revision(&list(&front, "").await);
    assert!(now > then);
    for (query, count, at) in [
        (String::new(), 3, now),
        ("resourceVersion=0".to_owned(), 3, now),
        ("resourceVersion=0&limit=500".to_owned(), 3, now),
        (format!("resourceVersion={then}"), 3, now),
        (format!("resourceVersion={then}&resourceVersionMatch=NotOlderThan"), 3, now),
        (format!("resourceVersion={then}&resourceVersionMatch=NotOlderThan&limit=5"), 3, now),
        (format!("resourceVersion={then}&resourceVersionMatch=Exact"), 2, then),
        (format!("resourceVersion={then}&limit=5"), 2, then),
        ("resourceVersion=0&resourceVersionMatch=NotOlderThan".to_owned(), 3, now),
    ] {
        let list = list(&front, &query).await;
        assert_eq!((names(&list).len(), revision(&list)), (count, at), "{query}");
    }
}

#[tokio::test]
async fn invalid_list_parameters_are_rejected() {
    let front = with_claims(2).await;
    let token = text(&list(&front, "limit=1").await, "/metadata/continue").to_owned();
    for (query, code) in [
        ("limit=abc".to_owned(), 400),
        ("resourceVersion=abc".to_owned(), 400),
        ("resourceVersion=-1".to_owned(), 400),
        ("resourceVersion=1.5".to_owned(), 400),
        ("timeoutSeconds=soon".to_owned(), 400),
        ("continue=nonsense".to_owned(), 400),
        ("continue=Li4vLi4vZXRj".to_owned(), 400),
        (format!("continue={token}x!"), 400),
        (format!("continue={token}&resourceVersion=5"), 400),
        (format!("continue={token}&resourceVersionMatch=Exact"), 422),
        ("resourceVersionMatch=Exact".to_owned(), 422),
        ("resourceVersionMatch=NotOlderThan".to_owned(), 422),
        ("resourceVersion=0&resourceVersionMatch=Exact".to_owned(), 422),
        ("resourceVersion=1&resourceVersionMatch=Sometimes".to_owned(), 422),
        ("sendInitialEvents=true".to_owned(), 422),
    ] {
        let status = failure(&front.get(&format!("{CLAIMS}?{query}")).await);
        assert_eq!(status.code, code, "{query}: {}", status.message);
        assert_eq!(status.reason, if code == 400 { "BadRequest" } else { "Invalid" }, "{query}");
    }
}

#[tokio::test]
async fn list_at_future_revision_waits_then_times_out() {
    let front = with_claims(1).await;
    let now = revision(&list(&front, "").await);
    let answer = front.get(&format!("{CLAIMS}?resourceVersion={}", now + 1_000)).await;
    let status = failure(&answer);
    assert_refused(&status, 504, "Timeout", &["Too large resource version"]);
    assert_causes(&status, &[("ResourceVersionTooLarge", "")]);
    assert_eq!((answer.header("retry-after"), status.details.unwrap().retry_after_seconds), (Some("1"), 1));
    let path = format!("{CLAIMS}?resourceVersion={}", now + 1);
    let waited = front.get(&path);
    let made = front.claim(claim("awaited").pool("root").length(28));
    let (waited, _) = futures::join!(waited, made);
    assert!(names(&body(&waited, 200)).contains(&"awaited"));
}
