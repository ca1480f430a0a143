//! Whole commands against a scripted server: requests, output and exit code.

use std::fs;

use expect_test::{Expect, expect};
use serde_json::{Value, json};

use crate::mock_server::{Script, claim_table, refused, transcript};

const ROOT: &str = "/apis/ipam.miloapis.com/v1alpha1";

async fn check(line: &str, script: Script<'_>, expected: Expect) {
    expected.assert_eq(&transcript(line, script).await);
}

/// Replaces `FILE` in the line by the path of a file with this text.
async fn check_file(line: &str, text: &str, script: Script<'_>, expected: Expect) {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("file.yaml");
    fs::write(&file, text).unwrap();
    let file = file.to_str().unwrap();
    let text = transcript(&line.replace("FILE", file), script).await;
    expected.assert_eq(&text.replace(file, "FILE"));
}

fn claim(name: &str, length: i32) -> String {
    json!({ "apiVersion": "ipam.miloapis.com/v1alpha1", "kind": "IPClaim", "metadata": { "name": name }, "spec": { "prefixLength": length } })
        .to_string()
}

fn bound(name: &str, length: i32, revision: &str) -> Value {
    let mut claim: Value = serde_json::from_str(&claim(name, length)).unwrap();
    claim["metadata"]["resourceVersion"] = revision.into();
    claim["status"] = json!({ "phase": "Bound", "allocatedCIDR": format!("10.0.0.0/{length}") });
    claim
}

fn exhausted() -> Value {
    let mut status = refused(507, "InsufficientStorage", "IPPool \"root\" is exhausted");
    status["details"]["causes"] =
        json!([{ "reason": "PoolExhausted", "field": "spec.prefixLength", "message": "no free /24" }]);
    status
}

#[tokio::test]
async fn get_lists_in_pages() {
    let list = format!("GET {ROOT}/namespaces/default/ipclaims");
    let mut first = claim_table();
    first["metadata"] = json!({ "continue": "more/" });
    let expected = expect![[r"
        GET /apis/ipam.miloapis.com/v1alpha1/namespaces/default/ipclaims?limit=500&labelSelector=tier%3Dedge
        GET /apis/ipam.miloapis.com/v1alpha1/namespaces/default/ipclaims?limit=500&labelSelector=tier%3Dedge&continue=more%2F
        --- out
        NAME       CIDR          LENGTH   AGE
        web        10.0.0.0/24   24       5m
        database   <none>        28       <none>
        web        10.0.0.0/24   24       5m
        database   <none>        28       <none>
        --- err
        --- exit 0
    "]];
    check("get ipclaim -l tier=edge", &[(&list, 200, first), (&list, 200, claim_table())], expected).await;
}

#[tokio::test]
async fn get_shows_several_kinds() {
    let (pools, claims) = (format!("GET {ROOT}/ippools"), format!("GET {ROOT}/ipclaims"));
    let pool = json!({ "kind": "Table", "columnDefinitions": [{ "name": "Name" }], "rows": [{ "cells": ["root"] }] });
    let none = json!({ "kind": "Table", "columnDefinitions": [{ "name": "Name" }], "rows": null });
    let expected = expect![[r"
        GET /apis/ipam.miloapis.com/v1alpha1/ippools?limit=500
        GET /apis/ipam.miloapis.com/v1alpha1/ipclaims?limit=500
        GET /apis/ipam.miloapis.com/v1alpha1/ipallocations?limit=500
        --- out
        NAME
        ippool/root

        NAMESPACE   NAME               CIDR          LENGTH   AGE
        default     ipclaim/web        10.0.0.0/24   24       5m
        other       ipclaim/database   <none>        28       <none>
        --- err
        --- exit 0
    "]];
    let allocations = format!("GET {ROOT}/ipallocations");
    check("get ipam -A", &[(&pools, 200, pool), (&claims, 200, claim_table()), (&allocations, 200, none)], expected)
        .await;
}

#[tokio::test]
async fn get_by_name_shows_found_and_reports_missing() {
    let path = format!("GET {ROOT}/namespaces/a/ipclaims/web");
    let expected = expect![[r"
        GET /apis/ipam.miloapis.com/v1alpha1/namespaces/a/ipclaims/web
        GET /apis/ipam.miloapis.com/v1alpha1/namespaces/a/ipclaims/missing
        --- out
        ipclaim.ipam.miloapis.com/web
        --- err
        Error from server (NotFound): GET /apis/ipam.miloapis.com/v1alpha1/namespaces/a/ipclaims/missing is not in the script
        --- exit 1
    "]];
    check("get ipclaims web missing -n a -o name", &[(&path, 200, bound("web", 24, "1"))], expected).await;
    let expected = expect![[r#"
        GET /apis/ipam.miloapis.com/v1alpha1/namespaces/a/ipclaims/web
        --- out
        apiVersion: ipam.miloapis.com/v1alpha1
        kind: IPClaim
        metadata:
          name: web
          resourceVersion: "1"
        spec:
          prefixLength: 24
        status:
          allocatedCIDR: 10.0.0.0/24
          phase: Bound
        --- err
        --- exit 0
    "#]];
    check("get ipclaim/web -n a -o yaml", &[(&path, 200, bound("web", 24, "1"))], expected).await;
}

#[tokio::test]
async fn get_adds_api_version_and_kind_to_list_items() {
    let path = format!("GET {ROOT}/ippools");
    let list = json!({ "kind": "IPPoolList", "metadata": {}, "items": [{ "metadata": { "name": "root" } }] });
    let expected = expect![[r#"
        GET /apis/ipam.miloapis.com/v1alpha1/ippools?limit=500
        --- out
        {
          "apiVersion": "v1",
          "items": [
            {
              "apiVersion": "ipam.miloapis.com/v1alpha1",
              "kind": "IPPool",
              "metadata": {
                "name": "root"
              }
            }
          ],
          "kind": "List",
          "metadata": {
            "resourceVersion": ""
          }
        }
        --- err
        --- exit 0
    "#]];
    check("get ippools -o json", &[(&path, 200, list)], expected).await;
}

#[tokio::test]
async fn get_reports_an_empty_result() {
    let none = || json!({ "kind": "Table", "columnDefinitions": [], "rows": [] });
    for (line, path, said) in [
        ("get ipclaims", "/namespaces/default/ipclaims", "Nothing found in namespace default."),
        ("get ipclaims -A", "/ipclaims", "Nothing found."),
        ("get ippools", "/ippools", "Nothing found."),
    ] {
        let text = transcript(line, &[(&format!("GET {ROOT}{path}"), 200, none())]).await;
        assert!(text.ends_with(&format!("--- out\n--- err\n{said}\n--- exit 0\n")), "{line}: {text}");
    }
}

#[tokio::test]
async fn invalid_arguments_are_rejected_before_sending() {
    for (line, said) in [
        ("get pods", "Error: there is no resource \"pods\"; there are: ippools, ipclaims, ipallocations"),
        ("get ippools,ipclaims a", "Error: names can be given for one resource only"),
        ("delete ipclaims", "Error: specify the objects as RESOURCE NAME, or RESOURCE/NAME"),
        ("delete ipam a", "Error: specify the objects as RESOURCE NAME, or RESOURCE/NAME"),
    ] {
        assert_eq!(transcript(line, &[]).await, format!("\n--- out\n--- err\n{said}\n--- exit 2\n"), "{line}");
    }
}

#[tokio::test]
async fn create_shows_the_allocated_block() {
    let path = format!("POST {ROOT}/namespaces/team/ipclaims");
    let expected = expect![[r#"
        POST /apis/ipam.miloapis.com/v1alpha1/namespaces/team/ipclaims?fieldManager=ipam&fieldValidation=Strict {"apiVersion":"ipam.miloapis.com/v1alpha1","kind":"IPClaim","metadata":{"name":"web"},"spec":{"prefixLength":24}}
        POST /apis/ipam.miloapis.com/v1alpha1/namespaces/team/ipclaims?fieldManager=ipam&fieldValidation=Strict {"apiVersion":"ipam.miloapis.com/v1alpha1","kind":"IPClaim","metadata":{"name":"db"},"spec":{"prefixLength":24}}
        --- out
        ipclaim.ipam.miloapis.com/web created: 10.0.0.0/24
        --- err
        FILE: ipclaim/db: Error from server (InsufficientStorage): IPPool "root" is exhausted
          spec.prefixLength: PoolExhausted: no free /24
        --- exit 1
    "#]];
    let text = format!("{}\n{}", claim("web", 24), claim("db", 24));
    check_file(
        "create -f FILE -n team",
        &text,
        &[(&path, 201, bound("web", 24, "1")), (&path, 507, exhausted())],
        expected,
    )
    .await;
}

#[tokio::test]
async fn dry_run_is_sent_and_shown() {
    let path = format!("POST {ROOT}/namespaces/default/ipclaims");
    let expected = expect![[r#"
        POST /apis/ipam.miloapis.com/v1alpha1/namespaces/default/ipclaims?fieldManager=ipam&fieldValidation=Strict&dryRun=All {"apiVersion":"ipam.miloapis.com/v1alpha1","kind":"IPClaim","metadata":{"name":"web"},"spec":{"prefixLength":24}}
        --- out
        ipclaim.ipam.miloapis.com/web created (server dry run): 10.0.0.0/24
        --- err
        --- exit 0
    "#]];
    check_file("apply -f FILE --dry-run=server", &claim("web", 24), &[(&path, 201, bound("web", 24, "1"))], expected)
        .await;
}

#[tokio::test]
async fn apply_creates_configures_or_leaves_unchanged() {
    let (collection, path) =
        (format!("POST {ROOT}/namespaces/default/ipclaims"), format!("{ROOT}/namespaces/default/ipclaims/web"));
    let (read, change) = (format!("GET {path}"), format!("PATCH {path}"));
    let exists = || refused(409, "AlreadyExists", "it exists");
    let mut labelled = bound("web", 24, "2");
    labelled["metadata"]["labels"] = json!({ "tier": "edge" });
    let last_line = async |line: &str, script: Script<'_>| {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("f.json");
        fs::write(&file, claim("web", 24)).unwrap();
        transcript(&line.replace("FILE", file.to_str().unwrap()), script).await
    };
    let created = last_line("apply -f FILE", &[(&collection, 201, bound("web", 24, "1"))]).await;
    assert!(created.contains("web created: 10.0.0.0/24\n"), "{created}");
    let script = |after: Value| {
        [
            (collection.as_str(), 409, exists()),
            (read.as_str(), 200, bound("web", 24, "1")),
            (change.as_str(), 200, after),
        ]
    };
    for (after, verb) in [(labelled, "configured"), (bound("web", 24, "1"), "unchanged")] {
        let text = last_line("apply -f FILE", &script(after)).await;
        assert!(text.contains(&format!("web {verb}: 10.0.0.0/24\n")), "{text}");
        assert!(
            text.contains(&format!("{change}?fieldManager=ipam&fieldValidation=Strict {}", claim("web", 24))),
            "{text}"
        );
    }
    let mut conflict = script(refused(422, "Invalid", "spec.prefixLength is immutable"));
    conflict[2].1 = 422;
    let text = last_line("apply -f FILE", &conflict).await;
    assert!(
        text.ends_with(
            "f.json: ipclaim/web: Error from server (Invalid): spec.prefixLength is immutable\n--- exit 1\n"
        ),
        "{text}"
    );
}

#[tokio::test]
async fn nothing_is_sent_if_one_object_is_invalid() {
    for (text, said) in [
        ("kind: IPClaim", "an object has no apiVersion"),
        ("apiVersion: ipam.miloapis.com/v1alpha1", "an object has no kind"),
        (
            "{apiVersion: ipam.miloapis.com/v1alpha1, kind: Pod}",
            "the server has no kind Pod in ipam.miloapis.com/v1alpha1",
        ),
        ("{apiVersion: v1, kind: Pod}", "the server has no kind Pod in v1"),
        (
            "{apiVersion: ipam.miloapis.com/v1alpha1, kind: IPClaim, metadata: {name: a, namespace: b}}",
            "an object has namespace \"b\", which differs from the requested \"c\"",
        ),
    ] {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("f.yaml");
        fs::write(&file, format!("{}\n---\n{text}", claim("web", 24).replacen('{', "{ ", 1))).unwrap();
        let yaml = fs::read_to_string(&file).unwrap();
        fs::write(&file, format!("# a comment\n---\n{yaml}")).unwrap();
        let text = transcript(&format!("create -n c -f {}", file.display()), &[]).await;
        assert!(!text.contains("POST"), "{text}");
        assert!(text.ends_with(&format!("f.yaml: Error: {said}\n--- exit 2\n")), "{said}: {text}");
    }
}

#[tokio::test]
async fn delete_reports_remaining_finalizers() {
    let path = |name: &str| format!("DELETE {ROOT}/namespaces/default/ipclaims/{name}");
    let mut waiting = bound("b", 24, "1");
    waiting["metadata"]["finalizers"] = json!(["example.com/drain"]);
    waiting["metadata"]["deletionTimestamp"] = "2026-12-01T00:00:00Z".into();
    let done = json!({ "kind": "Status", "status": "Success" });
    let expected = expect![[r#"
        DELETE /apis/ipam.miloapis.com/v1alpha1/namespaces/default/ipclaims/a
        DELETE /apis/ipam.miloapis.com/v1alpha1/namespaces/default/ipclaims/b
        DELETE /apis/ipam.miloapis.com/v1alpha1/namespaces/default/ipclaims/c
        --- out
        ipclaim.ipam.miloapis.com "a" deleted
        ipclaim.ipam.miloapis.com "b" is being deleted and waits for example.com/drain
        --- err
        Error from server (NotFound): DELETE /apis/ipam.miloapis.com/v1alpha1/namespaces/default/ipclaims/c is not in the script
        --- exit 1
    "#]];
    check("delete ipclaim a b c", &[(&path("a"), 200, done), (&path("b"), 200, waiting)], expected).await;
}
