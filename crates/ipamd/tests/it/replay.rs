//! Replays the requests of other clients that scripts/record-requests.sh recorded: each response must have the recorded
//! status, media type and shape.
//!
//! The recordings hold requests and outlines of the responses. If a response changes on purpose, record again and
//! review the difference.

use std::{collections::BTreeMap, fs, path::Path};

use bytes::Bytes;
use http::Request;
use serde::Deserialize;
use serde_json::Value;

use crate::support::{ServerFixture, text};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Entry {
    method: String,
    path: String,
    #[serde(default)]
    query: String,
    headers: BTreeMap<String, String>,
    #[serde(default)]
    body: String,
    answer: Outline,
}

#[derive(Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
struct Outline {
    status: u16,
    content_type: String,
    api_version: String,
    kind: String,
    reason: String,
}

impl Entry {
    fn is_watch(&self) -> bool {
        self.query.split('&').any(|parameter| ["watch=true", "watch=1"].contains(&parameter))
    }

    /// The body with the object's current resourceVersion where the recorded one named the version that was current
    /// then. The revisions differ between runs, because they depend on how requests are grouped into commits.
    async fn body(&self, front: &ServerFixture) -> String {
        let recorded = serde_json::from_str(&self.body).ok().filter(|_| self.answer.reason != "Conflict");
        let Some(mut body): Option<Value> = recorded else { return self.body.clone() };
        let places: Vec<&mut Value> = match &mut body {
            Value::Array(operations) => {
                let named =
                    operations.iter_mut().filter(|operation| text(operation, "/path") == "/metadata/resourceVersion");
                named.filter_map(|operation| operation.get_mut("value")).collect()
            }
            whole => whole.pointer_mut("/metadata/resourceVersion").into_iter().collect(),
        };
        if places.is_empty() {
            return self.body.clone();
        }
        let object = self.path.trim_end_matches("/status");
        let present: Value = front.get(object).await.json().unwrap();
        for place in places {
            *place = present["metadata"]["resourceVersion"].clone();
        }
        body.to_string()
    }

    async fn replay(&self, front: &ServerFixture) -> Outline {
        let target = if self.query.is_empty() { self.path.clone() } else { format!("{}?{}", self.path, self.query) };
        let mut request = Request::builder().method(self.method.as_str()).uri(target);
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        let request = request.body(Bytes::from(self.body(front).await)).unwrap();
        let content_type = |headers: &http::HeaderMap| {
            headers.get("content-type").map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default()
        };
        if self.is_watch() {
            let stream = front.http.open(request).await.unwrap();
            let (status, content_type) = (stream.status.as_u16(), content_type(&stream.headers));
            return Outline { status, content_type, ..Outline::default() };
        }
        let answer = front.http.send(request).await.unwrap();
        let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        let member = |pointer| text(&body, pointer).to_owned();
        Outline {
            status: answer.status.as_u16(),
            content_type: content_type(&answer.headers),
            api_version: member("/apiVersion"),
            kind: member("/kind"),
            reason: member("/reason"),
        }
    }
}

/// Replays one recording against a new server.
async fn replay(record: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/requests").join(record);
    let front = ServerFixture::open().await;
    let mut differences = Vec::new();
    for (number, line) in fs::read_to_string(path).unwrap().lines().enumerate() {
        let entry: Entry = serde_json::from_str(line).unwrap();
        let got = entry.replay(&front).await;
        if got != entry.answer {
            let Entry { method, path, query, answer, .. } = entry;
            differences
                .push(format!("{}: {method} {path}?{query}\n  got:    {got:?}\n  wanted: {answer:?}", number + 1));
        }
    }
    assert!(differences.is_empty(), "{record}:\n{}", differences.join("\n"));
}

macro_rules! records {
    ($($name:ident $record:literal;)*) => {
        $(#[tokio::test]
        async fn $name() {
            replay($record).await;
        })*

        #[test]
        fn every_request_recording_has_a_test() {
            let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/requests");
            let mut there: Vec<_> =
                fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
            there.sort_unstable();
            assert_eq!(there, [$($record),*]);
        }
    };
}

records! {
    client_go_0_26 "client-go-0.26.jsonl";
    client_go_0_37 "client-go-0.37.jsonl";
    kubectl_1_30 "kubectl-1.30.jsonl";
    kubectl_1_33 "kubectl-1.33.jsonl";
    python "python.jsonl";
}
