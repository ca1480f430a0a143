//! A scripted server that records requests.

use std::sync::{Arc, Mutex};

use clap::Parser;
use http::{Request, Response};
use http_body_util::BodyExt as _;
use kube::{Client, client::Body};
use serde_json::{Value, json};

use crate::{
    api_client::ApiClient,
    args::Command,
    dispatch,
    report::{Failure, Report},
};

/// Method and path without query, status code and body of the response; each entry is used once.
pub(crate) type Script<'a> = &'a [(&'a str, u16, Value)];

#[derive(Parser)]
struct Line {
    #[command(subcommand)]
    command: Command,
}

/// Runs a command line against a script; returns the requests, both output streams and the exit code.
pub(crate) async fn transcript(line: &str, script: Script<'_>) -> String {
    let words = std::iter::once("ipam").chain(line.split_whitespace());
    let command = Line::try_parse_from(words).unwrap().command;
    let (client, requests) = client(script);
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let mut report = Report::new(&mut out, &mut err);
    let api = ApiClient::with_client(client);
    if let Err(failure) = dispatch(&api, command, &mut report).await {
        report.failed(failure).map_err(|failure: Failure| format!("{failure:?}")).unwrap();
    }
    let code = report.exit_code();
    let code = (0..3).find(|number| code == (*number).into()).unwrap();
    let [out, err] = [out, err].map(|bytes| String::from_utf8(bytes).unwrap());
    let mut text = requests.lock().unwrap().join("\n");
    text += &format!("\n--- out\n{out}--- err\n{err}--- exit {code}\n");
    text
}

fn client(script: Script<'_>) -> (Client, Arc<Mutex<Vec<String>>>) {
    let script: Vec<(String, u16, Value)> =
        script.iter().map(|(line, code, body)| ((*line).to_owned(), *code, body.clone())).collect();
    let script = Arc::new(Mutex::new(script));
    let requests = Arc::new(Mutex::new(Vec::new()));
    let remembered = Arc::clone(&requests);
    let service = tower::service_fn(move |request: Request<Body>| {
        let (script, requests) = (Arc::clone(&script), Arc::clone(&remembered));
        async move {
            let (head, body) = request.into_parts();
            let body = body.collect().await?.to_bytes();
            let (line, text) =
                (format!("{} {}", head.method, head.uri.path()), String::from_utf8_lossy(&body).into_owned());
            let (code, answer) = answer(&script, &line);
            if !line.ends_with("/v1alpha1") {
                let query = head.uri.query().map(|query| format!("?{query}")).unwrap_or_default();
                requests.lock().unwrap().push(format!("{line}{query} {text}").trim_end().to_owned());
            }
            Ok::<_, kube::Error>(
                Response::builder().status(code).body(Body::from(answer.to_string().into_bytes())).unwrap(),
            )
        }
    });
    (Client::new(service, "default"), requests)
}

fn answer(script: &Mutex<Vec<(String, u16, Value)>>, line: &str) -> (u16, Value) {
    if line == "GET /apis/ipam.miloapis.com/v1alpha1" {
        return (200, discovery());
    }
    let mut script = script.lock().unwrap();
    match script.iter().position(|(scripted, ..)| scripted == line) {
        Some(idx) => {
            let (_, code, body) = script.remove(idx);
            (code, body)
        }
        None => (404, refused(404, "NotFound", &format!("{line} is not in the script"))),
    }
}

/// An error response.
pub(crate) fn refused(code: u16, reason: &str, message: &str) -> Value {
    json!({ "kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason, "message": message })
}

/// The discovery document.
pub(crate) fn discovery() -> Value {
    let resource = |plural: &str, singular: &str, kind: &str, short: &str, namespaced: bool| {
        json!({ "name": plural, "singularName": singular, "kind": kind, "shortNames": [short], "categories": ["ipam"],
                "namespaced": namespaced, "verbs": ["get"] })
    };
    json!({
        "kind": "APIResourceList", "apiVersion": "v1", "groupVersion": "ipam.miloapis.com/v1alpha1",
        "resources": [
            resource("ippools", "ippool", "IPPool", "ippool", false),
            { "name": "ippools/status", "singularName": "", "kind": "IPPool", "namespaced": false, "verbs": ["get"] },
            resource("ipclaims", "", "IPClaim", "ipclaim", true),
            resource("ipallocations", "ipallocation", "IPAllocation", "ipalloc", true),
        ],
    })
}

/// A table of two claims.
pub(crate) fn claim_table() -> Value {
    let row =
        |namespace: &str, cells: Value| json!({ "cells": cells, "object": { "metadata": { "namespace": namespace } } });
    json!({
        "kind": "Table", "apiVersion": "meta.k8s.io/v1",
        "columnDefinitions": [
            { "name": "Name", "priority": 0 }, { "name": "CIDR", "priority": 0 }, { "name": "Length", "priority": 0 },
            { "name": "Age", "priority": 0 }, { "name": "Allocation", "priority": 1 },
        ],
        "rows": [
            row("default", json!(["web", "10.0.0.0/24", 24, "5m", "alloc-1"])),
            row("other", json!(["database", null, 28, "<none>", "a\u{1b}[1m"])),
        ],
    })
}
