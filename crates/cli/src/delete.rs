//! `delete`: deletes objects by name.

use serde_json::Value;

use crate::{
    args::Delete,
    output::dry_run_note,
    report::{Failure, Report, printable},
    resource::{Catalogue, Resource, targets},
    wire::{Call, Wire},
};

pub(crate) async fn run(wire: &Wire, arguments: &Delete, report: &mut Report<'_>) -> Result<(), Failure> {
    let doomed = doomed(wire, arguments, report).await?;
    let namespace = arguments.namespace.name.as_deref().unwrap_or(&wire.namespace);
    for (resource, name) in &doomed {
        let call = Call::delete(&resource.path(Some(namespace), Some(name))).dry_run(arguments.dry_run);
        match wire.call(call, report).await {
            Ok(answer) => {
                let outcome = outcome(&answer);
                let note = dry_run_note(arguments.dry_run);
                writeln!(report.out, "{} \"{}\" {outcome}{note}", resource.full_name(), printable(name))?;
            }
            Err(failure) => report.part_failed("", failure)?,
        }
    }
    Ok(())
}

async fn doomed(wire: &Wire, arguments: &Delete, report: &mut Report<'_>) -> Result<Vec<(Resource, String)>, Failure> {
    let mut catalogue = Catalogue::new(wire);
    let mut doomed = Vec::new();
    for (word, name) in targets(&arguments.resource, &arguments.names)? {
        let resources = catalogue.by_word(&word, report).await?;
        let (Some(name), [resource]) = (name, resources.as_slice()) else {
            return Err(Failure::Misunderstood("specify the objects as RESOURCE NAME, or RESOURCE/NAME".to_owned()));
        };
        doomed.push((resource.clone(), name));
    }
    Ok(doomed)
}

/// The result of a delete. An object with finalizers is returned in the response.
fn outcome(answer: &Value) -> String {
    let finalizers = answer.pointer("/metadata/finalizers").and_then(Value::as_array).into_iter().flatten();
    let finalizers: Vec<&str> = finalizers.filter_map(Value::as_str).collect();
    if finalizers.is_empty() || answer.pointer("/metadata/deletionTimestamp").is_none() {
        return "deleted".to_owned();
    }
    printable(&format!("is being deleted and waits for {}", finalizers.join(", ")))
}
