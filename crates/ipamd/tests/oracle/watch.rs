//! Watches with different selectors and formats on both servers, open for the whole run.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use bytes::Bytes;
use http::Request as Wire;
use serde_json::{Value, json};

use crate::{
    compared_kind::Collection,
    normalize::{Rules, generated},
    run::until,
    wire::{Answer, Client, Events},
};

/// The maximum time until an event arrives.
const EVENT_DEADLINE: Duration = Duration::from_secs(30);
/// The name prefix of the objects that mark a position in all streams.
const MARKER: &str = "marker";

/// The open watches on both servers.
pub struct Watches {
    streams: Vec<Stream>,
    collections: Vec<Collection>,
    markers: usize,
}

struct Stream {
    path: String,
    ours: Events,
    theirs: Events,
}

/// The compared events of one watch.
pub struct Told {
    /// The resource, selector and format of the watch.
    pub path: String,
    /// The number of compared events.
    pub events: usize,
    /// Pairs of events of our server and kube-apiserver that differ.
    pub unequal: Vec<(Value, Value)>,
}

impl Watches {
    /// Opens the watches.
    pub async fn open(ours: &Client, theirs: &Client, rules: Rules) -> anyhow::Result<Self> {
        let mut streams = Vec::new();
        for (resource, accept, selector) in rules.subject.streams() {
            let path = format!("{}?watch=true&timeoutSeconds=7200&{selector}", rules.subject.path(resource));
            let (ours, theirs) = tokio::join!(ours.watch(&path, accept), theirs.watch(&path, accept));
            let path = format!("{resource}?{selector} as {accept}");
            streams.push(Stream { path, ours: ours?, theirs: theirs? });
        }
        Ok(Self { streams, collections: rules.subject.collections(), markers: 0 })
    }

    /// Writes a marker to both servers, and compares the events since the last marker.
    pub async fn since_last_time(
        &mut self,
        ours: &Client,
        theirs: &Client,
        rules: Rules,
        tainted: &BTreeSet<String>,
    ) -> anyhow::Result<Vec<Told>> {
        self.markers += 1;
        let marker = format!("{MARKER}-{}", self.markers);
        for collection in self.collections.iter().filter(|collection| !collection.path.contains("attic")) {
            for client in [ours, theirs] {
                mark(client, collection, &marker, rules).await?;
            }
        }
        let mut compared = Vec::new();
        for stream in &self.streams {
            let what = format!("the end of {marker} in {}", stream.path);
            let is_last =
                |event: &Value| event["type"] == "DELETED" && target(event, rules).ends_with(&format!("/{marker}"));
            let wanted = |who| format!("{who} sends {what}");
            let our = until(&wanted("our server"), EVENT_DEADLINE, || stream.ours.take_until(is_last)).await?;
            let their = until(&wanted("kube-apiserver"), EVENT_DEADLINE, || stream.theirs.take_until(is_last)).await?;
            compared.push(compare(&stream.path, &our, &their, rules, tainted));
            anyhow::ensure!(!stream.ours.ended(), "our server ended the watch {}", stream.path);
            anyhow::ensure!(!stream.theirs.ended(), "kube-apiserver ended the watch {}", stream.path);
        }
        Ok(compared)
    }
}

/// Normalizes the answer to a watch that has ended: its events, by object.
pub fn answer(answer: &Answer, rules: Rules, tainted: &BTreeSet<String>) -> Value {
    let mut shown = rules.answer(answer);
    if answer.code == 200 {
        let lines = answer.body.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        let events: Vec<Value> = lines.map(|line| serde_json::from_slice(line).unwrap_or_default()).collect();
        let mut by_object: BTreeMap<String, Vec<Value>> = BTreeMap::new();
        for (target, event) in clean(&events, rules, tainted) {
            by_object.entry(target).or_default().push(event);
        }
        shown["body"] = json!({ "events": by_object });
    }
    shown
}

/// Removes the events of tainted objects and normalizes the others. Returns each with the path of its object.
fn clean(events: &[Value], rules: Rules, tainted: &BTreeSet<String>) -> Vec<(String, Value)> {
    let events = events.iter().map(|event| (target(event, rules), event));
    let kept = events.filter(|(target, _)| !tainted.contains(target));
    kept.map(|(target, event)| (target, rules.event(event))).collect()
}

/// Creates and deletes an object that every selector matches.
async fn mark(client: &Client, collection: &Collection, name: &str, rules: Rules) -> anyhow::Result<()> {
    let mut body = rules.subject.marker(collection.kind);
    body["apiVersion"] = rules.subject.api_version().into();
    body["kind"] = collection.kind.into();
    body["metadata"] = json!({ "name": name, "labels": { "tier": "a" } });
    let create = Wire::post(&collection.path).header("content-type", "application/json");
    let answer = client.send(create.body(Bytes::from(body.to_string()))?).await?;
    anyhow::ensure!(answer.code == 201, "the marker is rejected: {}", answer.json());
    let answer = client.send(Wire::delete(format!("{}/{name}", collection.path)).body(Bytes::new())?).await?;
    anyhow::ensure!(answer.code == 200, "the marker is not deleted: {}", answer.json());
    Ok(())
}

fn compare(path: &str, ours: &[Value], theirs: &[Value], rules: Rules, tainted: &BTreeSet<String>) -> Told {
    let (ours, theirs) = (clean(ours, rules, tainted), clean(theirs, rules, tainted));
    let events = ours.len().max(theirs.len());
    let mut unequal = Vec::new();
    let by_object = |events: &[(String, Value)]| {
        let mut by_object: BTreeMap<String, Vec<Value>> = BTreeMap::new();
        for (target, event) in events {
            by_object.entry(target.clone()).or_default().push(event.clone());
        }
        by_object
    };
    let (mut our, their) = (by_object(&ours), by_object(&theirs));
    for (target, theirs) in their {
        let ours = our.remove(&target).unwrap_or_default();
        if ours.len() == theirs.len() {
            unequal.extend(ours.into_iter().zip(theirs).filter(|(a, b)| a != b));
        } else {
            unequal.push((json!({ "events": types(&ours) }), json!({ "events": types(&theirs) })));
        }
    }
    unequal.extend(our.into_values().map(|ours| (json!({ "events": types(&ours) }), json!({ "events": "" }))));
    let order = |events: &[(String, Value)]| events.iter().map(|(target, _)| target.clone()).collect::<Vec<_>>();
    if unequal.is_empty() && order(&ours) != order(&theirs) {
        unequal.push((json!({ "order": order(&ours) }), json!({ "order": order(&theirs) })));
    }
    Told { path: path.to_owned(), events, unequal }
}

fn types(events: &[Value]) -> String {
    events.iter().map(|event| event["type"].as_str().unwrap_or("?")).collect::<Vec<_>>().join(" ")
}

/// Returns the path of the object of an event.
fn target(event: &Value, rules: Rules) -> String {
    let object = &event["object"];
    let object = if object["kind"] == "Table" { &object["rows"][0]["object"] } else { object };
    let text = |name: &str| object["metadata"][name].as_str().unwrap_or_default();
    let name = generated(text("name")).unwrap_or_else(|| text("name").to_owned());
    let collections = rules.subject.collections();
    let holds = || collections.iter().filter(|collection| collection.holds(text("namespace")));
    // A row of a table does not say the kind of its object.
    let collection = holds().find(|collection| object["kind"] == collection.kind).or_else(|| holds().next());
    format!("{}/{name}", collection.map_or("", |collection| &collection.path))
}
