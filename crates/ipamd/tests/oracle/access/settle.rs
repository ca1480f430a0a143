//! Waits until permissions are in effect. kube-apiserver follows roles and bindings with one informer for each of the four kinds, so
//! a write is in effect after a delay. After such a write, [`Settler`] writes another object of the same kind, a mark, which grants
//! a permission to a user. When the user has the permission, the informer has seen both writes.

use std::time::{Duration, Instant};

use apimachinery::rbac::{CLUSTER_ROLE, GROUP, ROLE};
use bytes::Bytes;
use http::Request as Wire;
use serde_json::{Value, json};

use super::{CLUSTER_ROLE_BINDINGS, CLUSTER_ROLES, ROLE_BINDINGS, ROLES, role_ref, subject};
use crate::{generate::JSON, wire::Client};

/// The maximum time until a permission is in effect.
const DEADLINE: Duration = Duration::from_secs(20);
const POLL_INTERVAL: Duration = Duration::from_millis(2);
/// A namespace in which nothing else is written.
const NAMESPACE: &str = "kube-system";
/// The verb that each mark grants.
const VERB: &str = "settle";
/// The role that grants the verb on all marks.
const EVERY_MARK: &str = "every-mark";

/// Waits until permissions are in effect.
pub struct Settler {
    client: Client,
    marks: usize,
}

impl Settler {
    /// Writes the roles and bindings that the marks need, on a server that has no marks.
    pub async fn new(client: Client) -> anyhow::Result<Self> {
        let settler = Self { client, marks: 0 };
        let bound = |kind, plural| binding(plural, &role_ref(kind, plural), &subject("User", &holder(plural, 0)));
        settler.put(CLUSTER_ROLES, &role(EVERY_MARK, None)).await?;
        settler.put(CLUSTER_ROLE_BINDINGS, &bound(CLUSTER_ROLE, CLUSTER_ROLES)).await?;
        settler.put(ROLE_BINDINGS, &bound(ROLE, ROLES)).await?;
        Ok(settler)
    }

    /// Waits until kube-apiserver enforces all earlier writes to the kind of this collection. Returns immediately for
    /// kinds other than roles and bindings.
    pub async fn settle(&mut self, collection: &str) -> anyhow::Result<()> {
        let plurals = [CLUSTER_ROLES, CLUSTER_ROLE_BINDINGS, ROLES, ROLE_BINDINGS];
        let Some(plural) = plurals.into_iter().find(|plural| collection.ends_with(&format!("/{plural}"))) else {
            return Ok(());
        };
        self.marks += 1;
        let mark = self.marks;
        let object = if [CLUSTER_ROLES, ROLES].contains(&plural) {
            role(plural, Some(mark))
        } else {
            let holder = subject("User", &holder(plural, mark));
            binding(plural, &role_ref(CLUSTER_ROLE, EVERY_MARK), &holder)
        };
        self.put(plural, &object).await?;
        let started = Instant::now();
        while !self.holds(plural, mark).await? {
            anyhow::ensure!(started.elapsed() < DEADLINE, "mark {mark} of {plural} grants no permission");
            tokio::time::sleep(POLL_INTERVAL).await;
        }
        Ok(())
    }

    async fn holds(&self, plural: &str, mark: usize) -> anyhow::Result<bool> {
        let what = json!({
            "verb": VERB, "group": GROUP, "resource": "marks", "name": mark.to_string(), "namespace": NAMESPACE,
        });
        let review = json!({ "spec": { "user": holder(plural, mark), "resourceAttributes": what } });
        let request = Wire::post("/apis/authorization.k8s.io/v1/subjectaccessreviews").header("content-type", JSON);
        let answer = self.client.send(request.body(Bytes::from(review.to_string()))?).await?;
        anyhow::ensure!(answer.code == 201, "the SubjectAccessReview is rejected: {}", answer.json());
        Ok(answer.json()["status"]["allowed"] == true)
    }

    /// Creates or replaces an object.
    async fn put(&self, plural: &str, object: &Value) -> anyhow::Result<()> {
        let place = if [ROLES, ROLE_BINDINGS].contains(&plural) {
            format!("namespaces/{NAMESPACE}/{plural}")
        } else {
            plural.to_owned()
        };
        let name = object["metadata"]["name"].as_str().unwrap_or_default();
        let request = Wire::put(format!("/apis/{GROUP}/v1/{place}/{name}")).header("content-type", JSON);
        let answer = self.client.send(request.body(Bytes::from(object.to_string()))?).await?;
        anyhow::ensure!(matches!(answer.code, 200 | 201), "the mark {name} is rejected: {}", answer.json());
        Ok(())
    }
}

/// Returns the user to whom a mark grants a permission. For roles it is always the same user, who is bound to the role; for bindings
/// it is another user for each mark.
fn holder(plural: &str, mark: usize) -> String {
    if [CLUSTER_ROLES, ROLES].contains(&plural) {
        format!("{VERB}-{plural}")
    } else {
        format!("{VERB}-{plural}-{mark}")
    }
}

fn role(name: &str, mark: Option<usize>) -> Value {
    let names: Vec<String> = mark.iter().map(ToString::to_string).collect();
    let rule = json!({ "verbs": [VERB], "apiGroups": [GROUP], "resources": ["marks"], "resourceNames": names });
    json!({ "metadata": { "name": format!("{VERB}-{name}") }, "rules": [rule] })
}

fn binding(name: &str, role: &Value, subject: &Value) -> Value {
    let mut role = role.clone();
    role["name"] = format!("{VERB}-{}", role["name"].as_str().unwrap_or_default()).into();
    json!({ "metadata": { "name": format!("{VERB}-{name}") }, "roleRef": role, "subjects": [subject] })
}
