//! Dry runs of objects that refer to each other, as in `kubectl diff -f` of a directory: each one succeeds although the
//! objects that it refers to do not exist yet.

use std::{fs, path::Path};

use http::Method;
use serde_json::{Value, json};
use testkit::{Answer, claim, pool};

use super::support::{
    API, CLAIMS, POOLS, ServerFixture, assert_causes, assert_refused, body, condition, failure, text, warnings,
};

const DRY: &str = "dryRun=All";

/// The documents of `examples/` in the order in which kubectl sends them: collection, name and text.
fn examples() -> Vec<(String, String, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples");
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = files.filter(|path| path.extension().is_some_and(|found| found == "yaml")).collect();
    files.sort();
    let texts = files.iter().map(|path| fs::read_to_string(path).unwrap());
    let documents = texts.flat_map(|text| text.split("\n---\n").map(str::to_owned).collect::<Vec<_>>());
    let value = |text: &str, key: &str| {
        let mut lines = text.lines().map(str::trim_start);
        lines.find_map(|line| line.strip_prefix(key)).unwrap_or_default().trim().to_owned()
    };
    documents
        .map(|text| {
            let collection = if value(&text, "kind:") == "IPPool" { POOLS } else { CLAIMS };
            (collection.to_owned(), value(&text, "name:"), text)
        })
        .collect()
}

async fn create(front: &ServerFixture, path: &str, yaml: &str) -> Answer {
    front.send(Method::POST, path, &[("content-type", "application/yaml")], yaml.to_owned()).await
}

async fn apply(front: &ServerFixture, path: &str, yaml: &str) -> Answer {
    let media = [("content-type", "application/apply-patch+yaml")];
    front.send(Method::PATCH, &format!("{path}?fieldManager=flux&{DRY}"), &media, yaml.to_owned()).await
}

#[tokio::test]
async fn dry_run_of_all_examples_succeeds_on_empty_server() {
    let front = ServerFixture::open().await;
    let examples = examples();
    assert!(examples.len() > 10, "{examples:?}");
    for (collection, name, yaml) in &examples {
        let created = body(&create(&front, &format!("{collection}?{DRY}"), yaml).await, 201);
        let applied = body(&apply(&front, &format!("{collection}/{name}"), yaml).await, 201);
        for dry in [created, applied] {
            let is_root = yaml.contains("\n  cidr:") && !yaml.contains("parentPoolRef");
            let expected = if is_root { "Ready" } else { "Pending" };
            assert_eq!((text(&dry, "/metadata/name"), text(&dry, "/status/phase")), (name.as_str(), expected), "{dry}");
            assert_eq!(dry["metadata"].get("resourceVersion"), None, "{name}");
        }
    }
    assert_eq!(front.everything().await, json!([[], [], []]), "nothing was made");
    for (collection, name, yaml) in &examples {
        let made = body(&create(&front, collection, yaml).await, 201);
        assert!(["Ready", "Bound"].contains(&text(&made, "/status/phase")), "{name}: {made}");
    }
}

#[tokio::test]
async fn dry_run_with_missing_pool_is_pending_with_warning() {
    let front = ServerFixture::with_pool().await;
    let before = front.everything().await;
    let absent = "IPPool \"nowhere\" not found".replace('"', "\\\"");
    let no_match = "no IPPool matches spec.poolSelector".to_owned();
    let cases: [(&str, Value, &str, &str); 4] = [
        (CLAIMS, claim("a").pool("nowhere").length(24).into(), "PoolNotFound", &absent),
        (CLAIMS, claim("a").pool("nowhere").address("10.0.0.9").family("IPv4").into(), "PoolNotFound", &absent),
        (CLAIMS, claim("a").select("tier", "edge").length(24).into(), "NoPoolMatch", &no_match),
        (POOLS, pool("a").parent("nowhere").length(24).into(), "PoolNotFound", &absent),
    ];
    for (collection, object, reason, words) in cases {
        let answer = front.post(&format!("{collection}?{DRY}"), object.clone()).await;
        let dry = body(&answer, 201);
        let status = &dry["status"];
        assert_eq!((text(status, "/phase"), status.get("allocatedCIDR")), ("Pending", None), "{object}");
        assert_eq!(status.get("capacity").or(status.get("boundAllocationRef")), None, "{object}");
        assert_eq!(
            (condition(status, "Allocated"), condition(status, "Ready")),
            (("False", reason), ("False", reason))
        );
        let said = warnings(&answer);
        assert!(matches!(said[..], [one] if one.contains("dry run") && one.contains(words)), "{said:?}");

        let real = failure(&front.post(collection, object).await);
        assert_refused(&real, 400, "BadRequest", &[]);
        assert!(real.message.contains("nowhere") || real.message == no_match, "{real:?}");
    }
    assert_eq!(front.everything().await, before);
}

#[tokio::test]
async fn dry_run_with_missing_pool_is_still_validated() {
    let front = ServerFixture::with_pool().await;
    let refused =
        async |collection: &str, object: Value| failure(&front.post(&format!("{collection}?{DRY}"), object).await);
    let nowhere = || claim("a").pool("nowhere");
    let cases: [(&str, Value, (&str, &str)); 6] = [
        (CLAIMS, nowhere().length(0).into(), ("FieldValueInvalid", "spec.prefixLength")),
        (CLAIMS, nowhere().address("10.0.0.1/24").into(), ("FieldValueInvalid", "spec.address")),
        (CLAIMS, claim("a").length(24).into(), ("FieldValueRequired", "spec")),
        (CLAIMS, claim("A").pool("nowhere").length(24).into(), ("FieldValueInvalid", "metadata.name")),
        (POOLS, pool("a").parent("nowhere").into(), ("FieldValueRequired", "spec.prefixLength")),
        (
            POOLS,
            pool("a").parent("nowhere").length(24).bounds(30, 20).into(),
            ("FieldValueInvalid", "spec.allocation.minPrefixLength"),
        ),
    ];
    for (collection, object, cause) in cases {
        let status = refused(collection, object).await;
        assert_refused(&status, 422, "Invalid", &[]);
        assert_causes(&status, &[cause]);
    }
    front.claim(claim("a").pool("root").length(24)).await;
    assert_refused(&refused(CLAIMS, nowhere().length(24).into()).await, 409, "AlreadyExists", &[]);
    let elsewhere = format!("{API}/namespaces/missing/ipclaims");
    assert_refused(
        &refused(&elsewhere, claim("b").pool("nowhere").length(24).into()).await,
        404,
        "NotFound",
        &["namespaces \"missing\" not found"],
    );
    let other = claim("b").length(24).spec("poolRef", json!({ "name": "nowhere", "projectRef": { "name": "other" } }));
    assert_refused(&refused(CLAIMS, other.into()).await, 403, "Forbidden", &[]);
}
