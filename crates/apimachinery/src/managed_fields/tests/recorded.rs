//! Comparison with the Kubernetes libraries on random sequences of writes.
//!
//! Each line of the record is a sequence of operations on one object, each with the resulting object and entries
//! (without times), or the error. The record excludes cases with a known difference in how Go formats mistyped values.

use super::*;

#[test]
fn recorded_results_of_kubernetes_are_reproduced() {
    let mut operations = 0;
    for (number, line) in include_str!("recorded.jsonl").lines().enumerate() {
        let recorded: Value = serde_json::from_str(line).unwrap();
        let mut bench = Bench::new(&schema());
        for (step, operation) in recorded.as_array().unwrap().iter().enumerate() {
            let expected = &operation["expected"];
            let found = replay(&mut bench, operation);
            // Go writes 1 for 1.0.
            let same = super::super::value::equal(&found, expected);
            assert!(same, "line {}, operation {step}: {operation}\nfound {found}", number + 1);
            operations += 1;
        }
    }
    assert!(operations > 300, "{operations}");
}

fn replay(bench: &mut Bench, operation: &Value) -> Value {
    let (manager, body) = (operation["manager"].as_str().unwrap(), &operation["object"]);
    let field_manager = if operation["sub"] == "status" { &bench.status } else { &bench.object };
    let (live, now) = (bench.live.clone(), format!("2030-01-01T00:00:{:02}Z", bench.clock).parse().unwrap());
    let (mut object, entries) = match operation["op"].as_str().unwrap() {
        "patch" => {
            let empty = json!({"apiVersion": VERSION, "kind": "Thing"});
            let mut new = live.clone().unwrap_or(empty);
            json_patch::merge(&mut new, body);
            let entries = field_manager.update(live.as_ref(), &new, manager, now);
            (new, entries)
        }
        verb => {
            let on_conflict = if verb == "force" { OnConflict::Force } else { OnConflict::Fail };
            match field_manager.apply(live.as_ref(), body, manager, on_conflict, now) {
                Ok(applied) => (applied.object, applied.managed_fields),
                Err(error) => return json!({"error": error.to_string()}),
            }
        }
    };
    if !object["metadata"].is_object() {
        object["metadata"] = json!({});
    }
    object["metadata"]["uid"] = "u".into();
    bench.clock += 1;
    bench.store(object, entries);
    let mut stored = bench.live.clone().unwrap();
    stored["metadata"].as_object_mut().unwrap().remove("managedFields");
    let entries = bench.entries().into_iter().map(|mut entry| {
        entry.as_object_mut().unwrap().remove("time");
        entry
    });
    let mut entries: Vec<Value> = entries.collect();
    entries
        .sort_by_key(|entry| ["operation", "manager", "subresource"].map(|key| entry[key].as_str().map(str::to_owned)));
    json!({"object": stored, "managed": entries})
}
