//! Writes the server's own events, like a client.
//!
//! An event is updated with a new count as long as it exists and was written by this server; otherwise a new one is
//! created. Events are written one at a time, so that a commit contains at most one, however many there are.

use std::sync::Arc;

use apimachinery::{
    body::Decoded, command::ObjectKey, decoding::ObjectDecoder, kind::State, object::Object, options::FieldValidation,
};
use apiserver::{
    context::ApiContext,
    event_queue::{DueEvent, EventQueue, WrittenEvent},
    limits::{BACKGROUND_RETRY_MAX, BACKGROUND_RETRY_MIN},
};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::PLURAL;
use crate::{
    limits,
    log_follower::{self, ReconcileError},
};

/// The reporting component.
const COMPONENT: &str = "ipam";
/// The namespace of events about cluster-scoped objects, as in Kubernetes.
const NAMESPACE_OF_OTHERS: &str = "default";
/// Maximum length of the object's name in the name of an event, in bytes.
const STEM_BYTES: usize = 200;

/// Runs until dropped.
pub async fn run<W: State>(api: Arc<ApiContext<W>>) {
    let Some(event_queue) = &api.event_queue else { return std::future::pending().await };
    let mut failures = 0;
    loop {
        event_queue.wait().await;
        while let Some(due) = event_queue.take(Instant::now()) {
            match write(&api, &due).await {
                Ok(written) => {
                    failures = 0;
                    event_queue.written(due.key, written, Instant::now());
                }
                Err(trouble) => {
                    put_back(event_queue, due, &trouble, failures);
                    failures += 1;
                    break;
                }
            }
        }
    }
}

/// Returns an event to the queue, with a delay that doubles with each failure.
fn put_back(event_queue: &EventQueue, due: DueEvent, trouble: &ReconcileError, failures: u32) {
    tracing::warn!(error = %trouble, reason = due.occurrence.content.reason, "an event could not be written; retrying");
    let delay = BACKGROUND_RETRY_MIN.saturating_mul(1_u32.checked_shl(failures).unwrap_or(u32::MAX));
    event_queue.put_back(due, Instant::now() + delay.min(BACKGROUND_RETRY_MAX));
}

/// Updates the count of the event that was written before, or creates an event.
async fn write<W: State>(api: &ApiContext<W>, due: &DueEvent) -> Result<WrittenEvent, ReconcileError> {
    if let Some(WrittenEvent { key, count }) = &due.written {
        let count = count.saturating_add(due.count);
        let change = json!({
            "count": shown(count), "lastTimestamp": due.last, "message": note(due),
            "involvedObject": {"resourceVersion": due.occurrence.regarding.metadata.resource_version},
        });
        if log_follower::patch(api, key.clone(), &change, None, COMPONENT).await? {
            return Ok(WrittenEvent { key: key.clone(), count });
        }
    }
    create(api, due).await
}

async fn create<W: State>(api: &ApiContext<W>, due: &DueEvent) -> Result<WrittenEvent, ReconcileError> {
    let entropy = (api.random_source)().map_err(ReconcileError::Refused)?;
    let key = key(due, u64::from_be_bytes(*entropy.0.first_chunk().expect("the entropy has 32 bytes")));
    let resource = api.registry.get(PLURAL).expect("a standalone server has events").resource();
    let schema = api.schemas.get(resource);
    let decoder = ObjectDecoder { resource, schema, name: &key.name, validation: FieldValidation::Strict };
    let body = Decoded { value: event(&key, due), duplicates: Vec::new() };
    let event = decoder.decode_body(body).map_err(ReconcileError::Refused)?;
    log_follower::create(api, key.clone(), event, COMPONENT).await?;
    Ok(WrittenEvent { key, count: due.count })
}

fn key(due: &DueEvent, random: u64) -> ObjectKey {
    let meta = &due.occurrence.regarding.metadata;
    // A truncated name may end with a character that is not allowed before the dot.
    let stem = cut_at(&meta.name, STEM_BYTES).trim_end_matches(|c: char| !c.is_ascii_alphanumeric());
    let namespace = if meta.namespace.is_empty() { NAMESPACE_OF_OTHERS } else { &meta.namespace };
    ObjectKey {
        resource: PLURAL,
        scope: due.occurrence.scope.clone(),
        namespace: namespace.to_owned(),
        name: format!("{stem}.{random:016x}"),
    }
}

fn event(key: &ObjectKey, due: &DueEvent) -> Value {
    let (object, content) = (&due.occurrence.regarding, &due.occurrence.content);
    let meta = &object.metadata;
    json!({
        "metadata": {"name": key.name, "namespace": key.namespace},
        "involvedObject": {
            "apiVersion": object.api_version, "kind": object.kind, "name": meta.name, "namespace": meta.namespace,
            "uid": meta.uid, "resourceVersion": meta.resource_version,
        },
        "type": content.event_type.as_str(), "reason": content.reason, "message": note(due),
        "firstTimestamp": due.first, "lastTimestamp": due.last, "count": shown(due.count),
        "source": {"component": COMPONENT}, "reportingComponent": COMPONENT,
    })
}

fn note(due: &DueEvent) -> &str {
    cut_at(&due.occurrence.content.note, limits::EVENT_NOTE_BYTES_MAX)
}

fn cut_at(text: &str, bytes_max: usize) -> &str {
    &text[..text.floor_char_boundary(bytes_max)]
}

/// A count in the type of the event's field.
fn shown(count: u64) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}

/// The uid of the object and the reason of an event that the server itself has written; `None` for other events.
pub fn recorded(event: &Object) -> Option<(&str, &str)> {
    let is_own = event.text("/source/component") == COMPONENT;
    is_own.then(|| (event.text("/involvedObject/uid"), event.text("/reason")))
}
