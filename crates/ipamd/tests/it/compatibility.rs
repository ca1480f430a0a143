//! Kubernetes API behavior that no other file here tests; `docs/compatibility.md` lists what each test shows.

use std::collections::BTreeSet;

use http::Method;
use kube::api::{ListParams, Patch, PatchParams};
use serde_json::{Value, json};
use testkit::{Answer, claim, pool};

use crate::support::{
    API, CLAIMS, POOLS, ServerFixture, TIMEOUT, assert_causes, assert_refused, body, failure, names, revision, text,
};

const CLAIM: &str = "/apis/ipam.miloapis.com/v1alpha1/namespaces/default/ipclaims/a";
const DISCOVERY: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
const TABLE: &str = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";
const METADATA: &str = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1";
const WATCH_LIST: &str = "watch=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true";

async fn with_claim() -> ServerFixture {
    let front = ServerFixture::with_pool().await;
    front.claim(claim("a").pool("root").length(24).label("x", "1")).await;
    front
}

async fn put(front: &ServerFixture, path: &str, object: &Value) -> Answer {
    front.http.send_json(Method::PUT, path, object).await.unwrap()
}

#[tokio::test]
async fn every_advertised_verb_is_served() {
    let front = ServerFixture::with_pool().await;
    let resources = body(&front.get(API).await, 200)["resources"].take();
    for resource in resources.as_array().unwrap() {
        let (plural, subresource) = match text(resource, "/name").split_once('/') {
            Some((plural, subresource)) => (plural, format!("/{subresource}")),
            None => (text(resource, "/name"), String::new()),
        };
        let namespace = if resource["namespaced"] == true { "/namespaces/default" } else { "" };
        let collection = format!("{API}{namespace}/{plural}");
        let one = format!("{collection}/missing{subresource}");
        for verb in resource["verbs"].as_array().unwrap() {
            let (method, path) = match verb.as_str().unwrap() {
                "create" => (Method::POST, collection.clone()),
                "delete" => (Method::DELETE, one.clone()),
                // The selector matches no object.
                "deletecollection" => (Method::DELETE, format!("{collection}?labelSelector=none")),
                "get" => (Method::GET, one.clone()),
                "list" => (Method::GET, collection.clone()),
                "patch" => (Method::PATCH, one.clone()),
                "update" => (Method::PUT, one.clone()),
                "watch" => (Method::GET, format!("{collection}?watch=true&timeoutSeconds=1")),
                other => panic!("unknown verb {other}"),
            };
            let media = if method == Method::PATCH { "application/merge-patch+json" } else { "application/json" };
            let content = if method == Method::GET || method == Method::DELETE { "" } else { "{}" };
            let answer = front.send(method, &path, &[("content-type", media)], content).await;
            assert!(answer.status != 405 && answer.status.as_u16() < 500, "{verb} {path}: {}", answer.text());
        }
    }
}

#[tokio::test]
async fn core_group_is_in_discovery() {
    let front = ServerFixture::open().await;
    for path in ["/api", "/apis"] {
        let aggregated = front.get_as(path, &format!("{DISCOVERY},application/json")).await;
        assert_eq!(aggregated.header("content-type"), Some(DISCOVERY), "{path}");
        assert_eq!(text(&body(&aggregated, 200), "/kind"), "APIGroupDiscoveryList");
    }
    let versions = body(&front.get("/api").await, 200);
    assert_eq!((text(&versions, "/kind"), &versions["versions"]), ("APIVersions", &json!(["v1"])));
    assert!(versions["serverAddressByClientCIDRs"].is_array(), "{versions}");
    let resources = body(&front.get("/api/v1").await, 200);
    assert_eq!((text(&resources, "/kind"), text(&resources, "/groupVersion")), ("APIResourceList", "v1"));
    assert!(resources["resources"].is_array(), "{resources}");
}

#[tokio::test]
async fn discovery_and_openapi_have_cache_headers() {
    let front = ServerFixture::open().await;
    let varies = |answer: &Answer| {
        answer.headers.get_all("vary").iter().any(|vary| vary.to_str().unwrap().to_lowercase().contains("accept"))
    };
    let discovery = front.get_as("/apis", DISCOVERY).await;
    assert_eq!((discovery.header("cache-control"), varies(&discovery)), (Some("public"), true));
    let index = body(&front.get("/openapi/v3").await, 200);
    let url = text(&index, "/paths/apis~1ipam.miloapis.com~1v1alpha1/serverRelativeURL").to_owned();
    let document = front.get(&url).await;
    let kept = document.header("cache-control").unwrap();
    assert!(kept.contains("public") && kept.contains("immutable"), "{kept}");
    assert!(document.headers.contains_key("expires"), "a year, as in kube-apiserver");
    assert!(varies(&document));
    let tag = document.header("etag").unwrap();
    let again = front.send(Method::GET, &url, &[("if-none-match", tag)], "").await;
    assert_eq!((again.status.as_u16(), again.body.len()), (304, 0));
}

#[tokio::test]
async fn git_version_is_valid_semver() {
    let front = ServerFixture::open().await;
    let version = body(&front.get("/version").await, 200);
    let git = text(&version, "/gitVersion");
    let (kubernetes, own) = git.strip_prefix('v').unwrap().split_once('+').unwrap_or_else(|| panic!("{git}"));
    let numbers: Vec<u32> = kubernetes.split('.').map(|number| number.parse().unwrap()).collect();
    assert_eq!((numbers.len(), numbers[1].to_string().as_str()), (3, text(&version, "/minor")), "{git}");
    assert!(own.chars().all(|c| c.is_ascii_alphanumeric() || ".-".contains(c)), "{own} is no build of a semver");
}

#[tokio::test]
async fn object_meta_schema_has_kubernetes_merge_keys() {
    let front = ServerFixture::open().await;
    let document = body(&front.get("/openapi/v3/apis/ipam.miloapis.com/v1alpha1").await, 200);
    let schemas = &document["components"]["schemas"];
    let of = |kind: &str| &schemas[format!("io.k8s.apimachinery.pkg.apis.meta.v1.{kind}")];
    let meta = &of("ObjectMeta")["properties"];
    assert_eq!(meta["finalizers"]["x-kubernetes-list-type"], "set");
    assert_eq!(meta["ownerReferences"]["x-kubernetes-list-type"], "map");
    assert_eq!(meta["ownerReferences"]["x-kubernetes-list-map-keys"], json!(["uid"]));
    assert_eq!(of("OwnerReference")["x-kubernetes-map-type"], "atomic");
}

#[tokio::test]
async fn unknown_query_parameters_are_ignored() {
    let front = with_claim().await;
    let plain = front.get(CLAIM).await;
    let more = front
        .send(
            Method::GET,
            &format!("{CLAIM}?timeout=32s&colour=red&watch=false&x"),
            &[("content-type", "application/json")],
            "",
        )
        .await;
    assert_eq!((more.status, more.body), (plain.status, plain.body));
    let created = front.post(&format!("{CLAIMS}?colour=red"), claim("b").pool("root").length(24)).await;
    assert_eq!(created.status, 201);
}

#[tokio::test]
async fn timeout_parameter_limits_the_request() {
    let front = with_claim().await;
    for bad in ["soon", "5", "-1s"] {
        let status = failure(&front.get(&format!("{CLAIMS}?timeout={bad}")).await);
        assert_refused(&status, 400, "BadRequest", &["invalid timeout specified in the request URL"]);
    }
    assert_eq!(front.get(&format!("{CLAIMS}?timeout=1m0.5s")).await.status, 200);
    let started = std::time::Instant::now();
    let late = front.get(&format!("{CLAIMS}?resourceVersion=1000000&timeout=50ms")).await;
    let words = "Timeout: request did not complete within the allotted timeout";
    assert_refused(&failure(&late), 504, "Timeout", &[words]);
    assert!(started.elapsed().as_secs() < 3, "it has stopped waiting for the revision");
}

#[tokio::test]
async fn yaml_bodies_and_responses_are_supported() {
    let front = ServerFixture::with_pool().await;
    let yaml = "apiVersion: ipam.miloapis.com/v1alpha1\nkind: IPClaim\nmetadata: {name: a}\nspec:\n  poolRef: {name: root}\n  prefixLength: 24\n";
    let media = [("content-type", "application/yaml"), ("accept", "application/yaml")];
    let created = front.send(Method::POST, CLAIMS, &media, yaml).await;
    assert_eq!((created.status.as_u16(), created.header("content-type")), (201, Some("application/yaml")));
    assert!(created.text().contains("allocatedCIDR: 10.0.0.0/24"), "{}", created.text());
    let read = front.get_as(CLAIM, "application/yaml").await;
    assert_eq!((read.status.as_u16(), read.body), (200, created.body));
    let missing = front.get_as(&format!("{CLAIMS}/missing"), "application/yaml").await;
    assert_eq!(failure(&missing).code, 404, "an API error is JSON");
}

#[tokio::test]
async fn field_names_are_case_sensitive() {
    let front = ServerFixture::with_pool().await;
    let claim = r#"{"metadata":{"name":"a"},"spec":{"poolRef":{"name":"root"},"prefixLength":24,"PrefixLength":25}}"#;
    let media = [("content-type", "application/json")];
    let strict = front.send(Method::POST, &format!("{CLAIMS}?fieldValidation=Strict"), &media, claim).await;
    assert_refused(&failure(&strict), 400, "BadRequest", &[r#"unknown field "spec.PrefixLength""#]);
    let created = body(&front.send(Method::POST, CLAIMS, &media, claim).await, 201);
    assert_eq!(created["spec"]["prefixLength"], 24);
}

#[tokio::test]
async fn namespace_of_cluster_scoped_pool_is_dropped() {
    let front = ServerFixture::open().await;
    let mut manifest: Value = pool("p").cidr("10.0.0.0/8").into();
    manifest["metadata"]["namespace"] = "somewhere".into();
    let created = body(&front.post(POOLS, manifest).await, 201);
    assert_eq!(created["metadata"].get("namespace"), None);
}

#[tokio::test]
async fn absent_fields_are_omitted_not_null() {
    fn has_null(value: &Value) -> bool {
        match value {
            Value::Null => true,
            Value::Array(items) => items.iter().any(has_null),
            Value::Object(fields) => fields.values().any(has_null),
            _ => false,
        }
    }
    let front = with_claim().await;
    front.pool(pool("child").parent("root").length(24)).await;
    for plural in ["ippools", "ipclaims", "ipallocations"] {
        let list = body(&front.get(&format!("{API}/{plural}")).await, 200);
        assert!(!names(&list).is_empty() && !has_null(&list), "{list}");
    }
}

#[tokio::test]
async fn create_ignores_deletion_timestamp_and_self_link() {
    let front = ServerFixture::with_pool().await;
    let mut manifest: Value = claim("a").pool("root").length(24).into();
    manifest["metadata"]["deletionTimestamp"] = "2001-01-01T00:00:00Z".into();
    manifest["metadata"]["deletionGracePeriodSeconds"] = 30.into();
    manifest["metadata"]["selfLink"] = "/somewhere".into();
    let created = body(&front.post(CLAIMS, manifest).await, 201);
    for field in ["deletionTimestamp", "deletionGracePeriodSeconds", "selfLink"] {
        assert_eq!(created["metadata"].get(field), None, "{field}");
    }
    let uid = text(&created, "/metadata/uid").as_bytes();
    assert!(uid[14] == b'4' && b"89ab".contains(&uid[19]), "a random UUID");
}

#[tokio::test]
async fn name_takes_precedence_over_generate_name() {
    let front = ServerFixture::with_pool().await;
    let mut manifest: Value = claim("a").pool("root").length(24).into();
    manifest["metadata"]["generateName"] = "other-".into();
    assert_eq!(text(&body(&front.post(CLAIMS, manifest).await, 201), "/metadata/name"), "a");
}

#[tokio::test]
async fn field_manager_defaults_to_user_agent_prefix() {
    let front = ServerFixture::with_pool().await;
    let long = "x".repeat(200);
    for (name, query, agent, expected) in [
        ("a", "", "kubectl/v1.33.0 (linux/amd64) kubernetes/abc", "kubectl"),
        ("b", "?fieldManager=me", "kubectl/v1.33.0", "me"),
        ("c", "", &long, &long[..128]),
    ] {
        let manifest = Value::from(claim(name).pool("root").length(28)).to_string();
        let headers = [("content-type", "application/json"), ("user-agent", agent)];
        let answer = front.send(Method::POST, &format!("{CLAIMS}{query}"), &headers, manifest).await;
        let created = body(&answer, 201);
        assert_eq!(text(&created, "/metadata/managedFields/0/manager"), expected);
    }
    for bad in [&long, "a%00b"] {
        let status =
            failure(&front.post(&format!("{CLAIMS}?fieldManager={bad}"), claim("d").pool("root").length(28)).await);
        assert_refused(&status, 422, "Invalid", &["fieldManager"]);
    }
}

#[tokio::test]
async fn get_accepts_resource_version() {
    let front = with_claim().await;
    let now = revision(&body(&front.get(CLAIMS).await, 200));
    let plain = front.get(CLAIM).await;
    for version in ["", "0", "1", &now.to_string()] {
        assert_eq!(front.get(&format!("{CLAIM}?resourceVersion={version}")).await.body, plain.body, "{version:?}");
    }
    assert_eq!(failure(&front.get(&format!("{CLAIM}?resourceVersion=x")).await).code, 400);
    let future = failure(&front.get(&format!("{CLAIM}?resourceVersion={}", now + 1_000)).await);
    assert_causes(&future, &[("ResourceVersionTooLarge", "")]);
}

#[tokio::test]
async fn terminating_object_accepts_metadata_changes() {
    let front = ServerFixture::with_pool().await;
    front.claim(claim("a").pool("root").length(24).finalizer("example.com/hold")).await;
    let from = revision(&body(&front.get(CLAIMS).await, 200));
    let mut watch = front.watch(&format!("{CLAIMS}?watch=true&resourceVersion={from}")).await;
    let going = body(&front.send(Method::DELETE, CLAIM, &[], "").await, 200);
    assert_eq!((text(&going, "/kind"), &going["metadata"]["deletionGracePeriodSeconds"]), ("IPClaim", &json!(0)));
    assert_eq!(watch.expect("MODIFIED", "a").await, going);
    let labelled = json!({ "metadata": { "labels": { "last": "words" } } });
    let edited = body(&front.patch(CLAIM, "merge", &labelled).await, 200);
    assert_eq!(text(&edited, "/metadata/labels/last"), "words");
    assert_eq!(edited["metadata"]["deletionTimestamp"], going["metadata"]["deletionTimestamp"]);
    let ended = body(&front.patch(CLAIM, "merge", &json!({ "metadata": { "finalizers": null } })).await, 200);
    assert_eq!((text(&ended, "/kind"), text(&ended, "/metadata/name")), ("IPClaim", "a"), "the answer is the object");
    assert_eq!(front.get(CLAIM).await.status, 404);
}

#[tokio::test]
async fn replace_keeps_server_set_metadata() {
    let front = with_claim().await;
    let before = body(&front.get(CLAIM).await, 200);
    let mut changed = before.clone();
    changed["metadata"]["creationTimestamp"] = "2001-01-01T00:00:00Z".into();
    changed["metadata"]["generation"] = 99.into();
    assert_eq!(body(&put(&front, CLAIM, &changed).await, 200), before);
    changed["metadata"]["deletionTimestamp"] = "2001-01-01T00:00:00Z".into();
    let status = failure(&put(&front, CLAIM, &changed).await);
    assert_refused(&status, 422, "Invalid", &["metadata.deletionTimestamp", "field is immutable"]);
}

#[tokio::test]
async fn delete_collection_honors_limit_and_dry_run() {
    let front = with_claim().await;
    for name in ["b", "c"] {
        front.claim(claim(name).pool("root").length(24)).await;
    }
    let options = json!({ "kind": "DeleteOptions", "apiVersion": "v1", "dryRun": ["All"] });
    let dry = front.http.send_json(Method::DELETE, &format!("{CLAIMS}?limit=2"), &options).await.unwrap();
    assert_eq!(names(&body(&dry, 200)), ["a", "b"]);
    let options = json!({ "kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": "Background" });
    let wet = front.http.send_json(Method::DELETE, &format!("{CLAIMS}?limit=2"), &options).await.unwrap();
    assert_eq!(names(&body(&wet, 200)), ["a", "b"], "the dry run deleted nothing");
    assert_eq!(names(&body(&front.get(CLAIMS).await, 200)), ["c"]);
    let bad = front.http.send_json(Method::DELETE, CLAIMS, &json!({ "propagationPolicy": "Sideways" })).await.unwrap();
    assert_eq!(failure(&bad).code, 422);
}

#[tokio::test]
async fn status_replace_requires_current_resource_version() {
    let front = ServerFixture::with_pool().await;
    let path = format!("{POOLS}/root");
    let before = body(&front.get(&path).await, 200);
    let condition = json!({
        "type": "Announced", "status": "True", "reason": "Bgp", "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z",
    });
    let mut changed = before.clone();
    changed["status"]["conditions"].as_array_mut().unwrap().push(condition);
    changed["spec"]["visibility"] = "shared".into();
    changed["metadata"]["labels"] = json!({ "x": "y" });
    let after = body(&put(&front, &format!("{path}/status"), &changed).await, 200);
    assert_eq!(after["status"]["conditions"].as_array().unwrap().len(), 3);
    assert_eq!((&after["spec"], after["metadata"].get("labels")), (&before["spec"], None));
    assert_eq!(after["metadata"]["generation"], before["metadata"]["generation"]);
    let stale = failure(&put(&front, &format!("{path}/status"), &changed).await);
    assert_refused(&stale, 409, "Conflict", &["the object has been modified"]);
}

#[tokio::test]
async fn conditions_have_all_required_fields() {
    let front = with_claim().await;
    for path in [format!("{POOLS}/root"), CLAIM.to_owned()] {
        let object = body(&front.get(&path).await, 200);
        let conditions = object["status"]["conditions"].as_array().unwrap();
        assert!(conditions.iter().any(|condition| condition["type"] == "Ready"), "{path}");
        for condition in conditions {
            for field in ["type", "status", "reason", "lastTransitionTime"] {
                assert!(!text(condition, &format!("/{field}")).is_empty(), "{field} of {condition}");
            }
            assert!(condition["message"].is_string(), "{condition}");
        }
    }
}

#[tokio::test]
async fn invalid_option_is_reported_on_the_options_kind() {
    let front = with_claim().await;
    let merge = ("content-type", "application/merge-patch+json");
    let json_body = ("content-type", "application/json");
    let new = Value::from(claim("b").pool("root").length(24)).to_string();
    for (method, path, media, content, kind) in [
        (Method::POST, format!("{CLAIMS}?dryRun=Some"), json_body, new.as_str(), "CreateOptions"),
        (Method::PATCH, format!("{CLAIM}?dryRun=Some"), merge, "{}", "PatchOptions"),
        (Method::DELETE, format!("{CLAIM}?dryRun=Some"), json_body, "", "DeleteOptions"),
        (Method::GET, format!("{CLAIMS}?sendInitialEvents=true"), json_body, "", "ListOptions"),
    ] {
        let status = failure(&front.send(method, &path, &[media], content.to_owned()).await);
        assert_refused(&status, 422, "Invalid", &[&format!("{kind}.meta.k8s.io \"\" is invalid: ")]);
        if kind != "ListOptions" {
            assert_causes(&status, &[("FieldValueNotSupported", "dryRun")]);
        }
        let details = status.details.unwrap();
        assert_eq!((details.name.as_str(), details.group.as_str(), details.kind.as_str()), ("", "meta.k8s.io", kind));
    }
}

#[tokio::test]
async fn apply_rejects_unknown_fields_in_every_validation_mode() {
    let front = ServerFixture::with_pool().await;
    let config = json!({
        "apiVersion": "ipam.miloapis.com/v1alpha1", "kind": "IPClaim", "metadata": { "name": "a" },
        "spec": { "poolRef": { "name": "root" }, "prefixLength": 24, "colour": "red" },
    });
    let media = [("content-type", "application/apply-patch+yaml")];
    for mode in ["Ignore", "Warn", "Strict"] {
        let path = format!("{CLAIM}?fieldManager=m&fieldValidation={mode}");
        let status = failure(&front.send(Method::PATCH, &path, &media, config.to_string()).await);
        assert_refused(&status, 400, "BadRequest", &[".spec.colour: field not declared in schema"]);
    }
    assert_eq!(front.get(CLAIM).await.status, 404);
}

#[tokio::test]
async fn bookmarks_have_the_media_type_of_the_watch() {
    let front = ServerFixture::with_pool().await;
    let path = format!("{CLAIMS}?{WATCH_LIST}");
    let event = front.watch_as(&path, METADATA).await.next().await;
    let object = &event["object"];
    assert_eq!((text(&event, "/type"), text(object, "/kind")), ("BOOKMARK", "PartialObjectMetadata"));
    assert_eq!(text(object, "/apiVersion"), "meta.k8s.io/v1");
    assert_eq!(object["metadata"]["annotations"]["k8s.io/initial-events-end"], "true");
    let event = front.watch_as(&path, TABLE).await.next().await;
    let table = &event["object"];
    assert_eq!((text(&event, "/type"), text(table, "/kind")), ("BOOKMARK", "Table"));
    assert_eq!(table["rows"].as_array().unwrap().len(), 1);
    let row = &table["rows"][0]["object"];
    assert_eq!(row["metadata"]["annotations"]["k8s.io/initial-events-end"], "true");
    assert_eq!(row["metadata"]["resourceVersion"], table["metadata"]["resourceVersion"]);
}

#[tokio::test]
async fn small_responses_and_watches_are_not_compressed() {
    let front = with_claim().await;
    for path in [CLAIM.to_owned(), format!("{CLAIMS}?watch=true&resourceVersion=0&timeoutSeconds=1")] {
        let answer = front.send(Method::GET, &path, &[("accept-encoding", "gzip")], "").await;
        assert_eq!((answer.status.as_u16(), answer.header("content-encoding")), (200, None), "{path}");
        assert!(answer.text().contains("allocatedCIDR"), "{path}");
    }
}

#[tokio::test]
async fn write_responses_honor_accept_header() {
    let front = ServerFixture::with_pool().await;
    let new = Value::from(claim("a").pool("root").length(24).finalizer("example.com/hold")).to_string();
    for (accept, kind) in [(TABLE, "Table"), (METADATA, "PartialObjectMetadata")] {
        let path = format!("{CLAIMS}?dryRun=All");
        let headers = [("content-type", "application/json"), ("accept", accept)];
        let created = body(&front.send(Method::POST, &path, &headers, new.clone()).await, 201);
        assert_eq!(text(&created, "/kind"), kind);
    }
    front.post(CLAIMS, serde_json::from_str::<Value>(&new).unwrap()).await;
    for (accept, kind) in [(TABLE, "Table"), (METADATA, "PartialObjectMetadata")] {
        let headers = [("content-type", "application/merge-patch+json"), ("accept", accept)];
        let patch = json!({ "metadata": { "labels": { "form": kind } } }).to_string();
        let patched = body(&front.send(Method::PATCH, CLAIM, &headers, patch).await, 200);
        let deleted = body(&front.send(Method::DELETE, CLAIM, &[("accept", accept)], "").await, 200);
        assert_eq!((text(&patched, "/kind"), text(&deleted, "/kind")), (kind, kind));
    }
}

#[tokio::test]
async fn kube_rs_reads_and_patches_partial_metadata() {
    let front = with_claim().await;
    let one = front.claims.get_metadata("a").await.unwrap();
    let list = front.claims.list_metadata(&ListParams::default()).await.unwrap();
    assert_eq!((list.items.len(), &list.items[0].metadata), (1, &one.metadata));
    let patch = Patch::Merge(json!({ "metadata": { "labels": { "x": "2" } } }));
    let patched = front.claims.patch_metadata("a", &PatchParams::default(), &patch).await.unwrap();
    assert_eq!(patched.metadata.labels.unwrap()["x"], "2");
    let beta = front.get_as(CLAIM, "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1beta1").await;
    assert_eq!(text(&body(&beta, 200), "/apiVersion"), "meta.k8s.io/v1beta1");
}

#[tokio::test]
async fn error_responses_forbid_content_sniffing() {
    let front = ServerFixture::open().await;
    let unauthorized = front.server.http_anonymous().get(POOLS).await.unwrap();
    assert_eq!((unauthorized.status.as_u16(), unauthorized.header("x-content-type-options")), (401, Some("nosniff")));
    let nowhere = front.get("/nowhere").await;
    assert_eq!((nowhere.status.as_u16(), nowhere.text().trim_end()), (404, "404 page not found"));
}

#[tokio::test]
async fn health_probes_are_plain_text_with_one_path_per_check() {
    let front = ServerFixture::open().await;
    for path in ["/livez", "/readyz", "/healthz", "/readyz/ping", "/readyz/store", "/readyz/shutdown"] {
        let answer = front.get(path).await;
        assert_eq!((answer.status.as_u16(), answer.text().trim_end()), (200, "ok"), "{path}");
        assert_eq!(answer.header("content-type"), Some("text/plain; charset=utf-8"), "{path}");
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{path}");
    }
    assert_eq!(front.get("/readyz/nothing").await.status, 404);
    let excluded = front.get("/readyz?verbose&exclude=ping&exclude=store").await.text();
    for name in ["ping", "store"] {
        assert!(excluded.lines().any(|line| line == format!("[+]{name} excluded: ok")), "{excluded}");
    }
}

#[tokio::test]
async fn plain_http_request_gets_no_http_response() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let front = ServerFixture::open().await;
    let mut stream = tokio::net::TcpStream::connect(("127.0.0.1", front.server.port())).await.unwrap();
    stream.write_all(b"GET /livez HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    // A closed connection is accepted, too.
    let _ = tokio::time::timeout(TIMEOUT, stream.read_to_end(&mut answer)).await.expect("an end");
    assert!(!String::from_utf8_lossy(&answer).contains("HTTP/1.1"), "{answer:?}");
}

#[tokio::test]
async fn metrics_have_the_names_of_kube_apiserver() {
    let front = with_claim().await;
    let mut watch = front.watch(&format!("{CLAIMS}?watch=true&resourceVersion=0")).await;
    watch.expect("ADDED", "a").await;
    let metrics = front.get("/metrics").await.text();
    let families: BTreeSet<_> = metrics.lines().filter_map(|line| line.strip_prefix("# TYPE ")).collect();
    for family in [
        "apiserver_request counter",
        "apiserver_request_duration_seconds histogram",
        "apiserver_longrunning_requests gauge",
    ] {
        assert!(families.contains(family), "{family} is missing in {families:?}");
    }
    let request =
        metrics.lines().find(|line| line.starts_with("apiserver_request_total{") && line.contains("POST")).unwrap();
    for label in
        ["verb=\"POST\"", "group=\"ipam.miloapis.com\"", "version=\"v1alpha1\"", "subresource=\"\"", "code=\"201\""]
    {
        assert!(request.contains(label), "{label} is missing in {request}");
    }
    for bound in ["0.005", "0.1", "1.0", "60.0"] {
        let bucket = format!("le=\"{bound}\"");
        assert!(
            metrics
                .lines()
                .any(|line| line.starts_with("apiserver_request_duration_seconds_bucket") && line.contains(&bucket)),
            "{bucket}"
        );
    }
}

#[tokio::test]
async fn status_causes_match_those_of_kubernetes() {
    let front = with_claim().await;
    let long = json!({ "metadata": { "annotations": { "long": "x".repeat(300 << 10) } } });
    let status = failure(&front.patch(CLAIM, "merge", &long).await);
    assert_refused(&status, 422, "Invalid", &["metadata.annotations: Too long: may not be more than 262144 bytes"]);
    assert_causes(&status, &[("FieldValueTooLong", "metadata.annotations")]);

    let wrong = failure(&front.post(CLAIMS, claim("b").pool("root").spec("prefixLength", json!({}))).await);
    assert_refused(&wrong, 422, "Invalid", &["spec.prefixLength: Invalid value: "]);
    assert_causes(&wrong, &[("FieldValueTypeInvalid", "spec.prefixLength")]);

    let mut condition = json!({
        "type": "Announced", "status": "True", "reason": "Bgp", "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z",
    });
    let root = body(&front.get(&format!("{POOLS}/root")).await, 200);
    let with = |conditions: &[&Value]| {
        let mut changed = root.clone();
        changed["status"]["conditions"].as_array_mut().unwrap().extend(conditions.iter().copied().cloned());
        changed
    };
    let status = failure(&put(&front, &format!("{POOLS}/root/status"), &with(&[&condition, &condition])).await);
    assert_refused(&status, 422, "Invalid", &["Duplicate value: {\"type\":\"Announced\"}"]);
    assert_causes(&status, &[("FieldValueDuplicate", "status.conditions[3]")]);
    condition.as_object_mut().unwrap().remove("reason");
    let status = failure(&put(&front, &format!("{POOLS}/root/status"), &with(&[&condition])).await);
    assert_refused(&status, 422, "Invalid", &["status.conditions[2].reason: Required value"]);
    assert_causes(&status, &[("FieldValueRequired", "status.conditions[2].reason")]);
}
