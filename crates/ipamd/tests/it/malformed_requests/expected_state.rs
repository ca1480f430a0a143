//! The expected contents of the store: the objects that the accepted requests wrote.

use std::{collections::BTreeMap, time::Duration};

use http::Method;
use rand::{Rng as _, rngs::SmallRng};
use serde_json::Value;

use super::{Reply, generator::MalformedRequest};
use crate::support::{API, CLAIMS, POOLS, ServerFixture, TIMEOUT, body, text};

/// Objects by path, as in their latest response.
#[derive(Default)]
pub struct ExpectedState(BTreeMap<String, Value>);

impl ExpectedState {
    pub fn join(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    /// Returns a random object and its path, except for the worker's own pool.
    pub fn any(&self, random: &mut SmallRng) -> Option<(String, &Value)> {
        let objects: Vec<_> = self.0.iter().filter(|(path, _)| !path.contains("/home-")).collect();
        let (path, object) = objects.get(random.random_range(0..objects.len().max(1)))?;
        Some(((*path).clone(), object))
    }

    /// Records the effect of an accepted request.
    pub fn record(&mut self, shot: &MalformedRequest, reply: &Reply) {
        let writes = [Method::POST, Method::PUT, Method::PATCH, Method::DELETE].contains(&shot.method);
        if !writes || reply.status >= 300 || shot.uri.contains("dryRun=All") {
            return;
        }
        let answer = reply.json().unwrap_or_else(|| panic!("accepted without an object in the response: {shot:?}"));
        if is_going(&answer) {
            self.0.remove(&path_of(&answer));
        } else if answer["kind"] == "Status" {
            self.0.remove(shot.uri.split('?').next().unwrap_or_default());
        } else {
            self.0.insert(path_of(&answer), answer);
        }
    }

    /// Asserts that the server stores exactly these objects, and that all names are valid in Kubernetes.
    pub async fn assert_is_what_is_stored(&self, front: &ServerFixture) {
        let stored = tokio::time::timeout(TIMEOUT, settled(front)).await.expect("the garbage collector is done");
        let booked: BTreeMap<_, _> = self.0.iter().map(|(path, object)| (path.clone(), essence(object))).collect();
        for path in stored.keys() {
            assert!(booked.contains_key(path), "{path} is stored, but no response says so");
            let names = path.trim_start_matches(API).split('/');
            for name in names {
                let is_fine = name.len() <= 253
                    && name
                        .bytes()
                        .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-.".contains(&byte));
                assert!(is_fine, "{path} has an invalid name");
            }
        }
        for (path, object) in &booked {
            assert_eq!(stored.get(path), Some(object), "{path} differs from its response");
        }
    }
}

/// Returns all objects, after the garbage collector has released every object that only it holds.
async fn settled(front: &ServerFixture) -> BTreeMap<String, Value> {
    loop {
        let mut items = Vec::new();
        for collection in [POOLS.to_owned(), format!("{API}/ipclaims")] {
            let list = body(&front.get(&collection).await, 200);
            items.extend(list["items"].as_array().unwrap().iter().cloned());
        }
        if !items.iter().any(is_going) {
            return items.iter().map(|item| (path_of(item), essence(item))).collect();
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// True for finalizers of the garbage collector.
fn is_of_the_collector(finalizer: &Value) -> bool {
    finalizer == "orphan" || finalizer == "foregroundDeletion"
}

/// True if the object is being deleted and only the garbage collector's finalizers are left.
fn is_going(object: &Value) -> bool {
    let finalizers = object["metadata"]["finalizers"].as_array().map_or(&[][..], Vec::as_slice);
    object["metadata"]["deletionTimestamp"].is_string() && finalizers.iter().all(is_of_the_collector)
}

fn path_of(object: &Value) -> String {
    let name = text(object, "/metadata/name");
    if object["kind"] == "IPPool" {
        return format!("{POOLS}/{name}");
    }
    let namespace = text(object, "/metadata/namespace");
    format!("{}/{name}", CLAIMS.replace("/default/", &format!("/{namespace}/")))
}

/// The object without the fields that the service itself changes, such as a pool's status.
fn essence(object: &Value) -> Value {
    let mut essence = object.clone();
    essence.as_object_mut().unwrap().remove("status");
    essence["metadata"].as_object_mut().unwrap().remove("resourceVersion");
    if essence["metadata"]["deletionTimestamp"].is_string()
        && let Some(finalizers) = essence["metadata"]["finalizers"].as_array_mut()
    {
        finalizers.retain(|finalizer| !is_of_the_collector(finalizer));
    }
    essence
}
