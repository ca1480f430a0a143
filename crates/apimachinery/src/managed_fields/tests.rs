//! Tests of ownership and apply. The cases have the names of those in structured-merge-diff and
//! `k8s.io/apimachinery/pkg/util/managedfields`, so that coverage can be compared; the code is our own.
//!
//! `recorded.jsonl` contains random sequences of writes with the results of the Kubernetes libraries (apimachinery
//! 0.34, structured-merge-diff 6.3), for objects of `schema.json`.

mod apply;
mod field_manager;
mod lists;
mod recorded;
mod schemas;
mod sets;
mod typed;
mod values;

use std::{fmt::Write, sync::Arc};

use expect_test::Expect;
use serde_json::{Value, json};

use super::{
    codec::FieldsError,
    entries::ManagedFields,
    field_manager::ApplyError,
    typed::{Comparison, Strictness},
    *,
};
use crate::{limits::APPLIERS_MAX, time::Time};

const VERSION: &str = "store.example.com/v1";

/// The schema of most tests, with a field of each type.
fn schema() -> Value {
    serde_json::from_str(include_str!("tests/schema.json")).unwrap()
}

/// Parses YAML.
fn yaml(text: &str) -> Value {
    serde_saphyr::from_str(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

/// An object with this spec.
fn thing(spec: Value) -> Value {
    json!({"apiVersion": VERSION, "kind": "Thing", "metadata": {"name": "o"}, "spec": spec})
}

/// A set from `fieldsV1`.
fn field_set(text: &str) -> FieldSet {
    FieldSet::from_fields_v1(&serde_json::from_str(text).unwrap()).unwrap()
}

/// A set of paths of field names.
fn fields(paths: &[&str]) -> FieldSet {
    paths.iter().map(|path| Path::fields(path.split('.'))).collect()
}

/// An object and its writers; each write is one second later.
struct Bench {
    object: FieldManager,
    status: FieldManager,
    live: Option<Value>,
    clock: u32,
}

impl Bench {
    fn new(schema: &Value) -> Self {
        let schema = Arc::new(Schema::compile(schema));
        let field_manager = |subresource, reset: &[&str]| {
            FieldManager::new(Arc::clone(&schema), VERSION, "Thing", subresource, fields(reset))
        };
        Self {
            object: field_manager("", &["status"]),
            status: field_manager("status", &["apiVersion", "kind", "metadata", "spec"]),
            live: None,
            clock: 0,
        }
    }

    fn now(&mut self) -> Time {
        self.clock += 1;
        format!("2030-01-01T00:00:{:02}Z", self.clock).parse().unwrap()
    }

    fn apply(&mut self, manager: &str, config: &Value, on_conflict: OnConflict) -> Result<(), ApplyError> {
        let now = self.now();
        let applied = self.object.apply(self.live.as_ref(), config, manager, on_conflict, now)?;
        self.store(applied.object, applied.managed_fields);
        Ok(())
    }

    /// Replaces the object by `new`, including entries if there are any.
    fn update(&mut self, manager: &str, new: Value) {
        let now = self.now();
        let entries = self.object.update(self.live.as_ref(), &new, manager, now);
        self.store(new, entries);
    }

    fn update_status(&mut self, manager: &str, status: Value) {
        let now = self.now();
        let mut new = self.live.clone().unwrap();
        new["status"] = status;
        let entries = self.status.update(self.live.as_ref(), &new, manager, now);
        self.store(new, entries);
    }

    fn apply_status(&mut self, manager: &str, status: Value) -> Result<(), ApplyError> {
        let now = self.now();
        let config = json!({"apiVersion": VERSION, "kind": "Thing", "metadata": {"name": "o"}, "status": status});
        let applied = self.status.apply(self.live.as_ref(), &config, manager, OnConflict::Fail, now)?;
        self.store(applied.object, applied.managed_fields);
        Ok(())
    }

    fn store(&mut self, mut object: Value, entries: Vec<Value>) {
        let metadata = object["metadata"].as_object_mut().unwrap();
        metadata.remove("managedFields");
        if !entries.is_empty() {
            metadata.insert("managedFields".to_owned(), entries.into());
        }
        self.live = Some(object);
    }

    fn entries(&self) -> Vec<Value> {
        let live = self.live.as_ref().and_then(|live| live["metadata"]["managedFields"].as_array().cloned());
        live.unwrap_or_default()
    }

    /// The owners, one line each; paths in the spec are without `.spec`.
    fn owners(&self) -> String {
        let mut text = String::new();
        for entry in self.entries() {
            let set = FieldSet::from_fields_v1(&entry["fieldsV1"]).unwrap();
            let short = |path: &Path| path.to_string().replacen(".spec.", ".", 1);
            let paths: Vec<String> = set.paths().iter().map(short).collect();
            let subresource = entry["subresource"].as_str().map(|name| format!("/{name}")).unwrap_or_default();
            let (manager, operation) = (&entry["manager"].as_str().unwrap(), entry["operation"].as_str().unwrap());
            writeln!(text, "{operation} {manager}{subresource}: {}", paths.join(" ")).unwrap();
        }
        text
    }

    /// Runs a script: each line has `apply`, `force` or `update`, the manager, and the spec. Returns the errors,
    /// followed by the final spec and its owners.
    fn run(&mut self, script: &str) -> String {
        let mut text = String::new();
        for line in script.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let (who, spec) = line.split_once(": ").unwrap();
            let (verb, manager) = who.split_once(' ').unwrap();
            let object = thing(yaml(spec));
            let result = match verb {
                "apply" => self.apply(manager, &object, OnConflict::Fail),
                "force" => self.apply(manager, &object, OnConflict::Force),
                "update" => {
                    self.update(manager, object);
                    Ok(())
                }
                _ => panic!("{verb}"),
            };
            if let Err(error) = result {
                writeln!(text, "{error}").unwrap();
            }
        }
        if let Some(live) = &self.live {
            writeln!(text, "{}", live["spec"]).unwrap();
        }
        text + &self.owners()
    }
}

fn check(script: &str, expected: Expect) {
    check_with(&schema(), script, expected);
}

#[expect(clippy::needless_pass_by_value, reason = "reads as a table")]
fn check_with(schema: &Value, script: &str, expected: Expect) {
    expected.assert_eq(&Bench::new(schema).run(script));
}
