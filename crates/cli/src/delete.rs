//! `delete`: deletes objects by name.

use serde_json::Value;

use crate::{
    api_client::{ApiClient, RequestBuilder},
    args::Delete,
    output::dry_run_note,
    report::{Failure, Report, printable},
    resource::{Resource, RestMapper, targets},
};

pub(crate) async fn run(api: &ApiClient, arguments: &Delete, report: &mut Report<'_>) -> Result<(), Failure> {
    let resolved = resolve_targets(api, arguments, report).await?;
    let namespace = arguments.namespace.name.as_deref().unwrap_or(&api.namespace);
    for (resource, name) in &resolved {
        let request = RequestBuilder::delete(&resource.path(Some(namespace), Some(name))).dry_run(arguments.dry_run);
        match api.send(request, report).await {
            Ok(answer) => {
                let outcome = outcome(&answer);
                let note = dry_run_note(arguments.dry_run);
                writeln!(report.out, "{} \"{}\" {outcome}{note}", resource.full_name(), printable(name))?;
            }
            Err(failure) => report.item_failed("", failure)?,
        }
    }
    Ok(())
}

async fn resolve_targets(
    api: &ApiClient,
    arguments: &Delete,
    report: &mut Report<'_>,
) -> Result<Vec<(Resource, String)>, Failure> {
    let mut mapper = RestMapper::new(api);
    let mut resolved = Vec::new();
    for (word, name) in targets(&arguments.resource, &arguments.names)? {
        let resources = mapper.by_word(&word, report).await?;
        let (Some(name), [resource]) = (name, resources.as_slice()) else {
            return Err(Failure::InvalidInput("specify the objects as RESOURCE NAME, or RESOURCE/NAME".to_owned()));
        };
        resolved.push((resource.clone(), name));
    }
    Ok(resolved)
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
