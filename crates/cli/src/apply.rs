//! `apply`: creates missing objects, and merge-patches existing ones with the file. Fields that are not in the file are
//! kept.

use http::Method;
use serde_json::Value;

use crate::{
    api_client::{ApiClient, MERGE_PATCH, RequestBuilder},
    args::Write,
    create,
    manifest::{self, Manifest},
    output,
    report::{Failure, Report},
};

pub(crate) async fn run(api: &ApiClient, arguments: &Write, report: &mut Report<'_>) -> Result<(), Failure> {
    let Some(manifests) = manifest::load(api, &arguments.files, &arguments.namespace, report).await? else {
        return Ok(());
    };
    for manifest in &manifests {
        match apply(api, manifest, arguments, report).await {
            Ok((object, verb)) => {
                output::print_result(&manifest.resource, &object, verb, arguments.output, arguments.dry_run, report)?;
            }
            Err(failure) => report.item_failed(&manifest.label(), failure)?,
        }
    }
    Ok(())
}

async fn apply(
    api: &ApiClient,
    manifest: &Manifest,
    arguments: &Write,
    report: &mut Report<'_>,
) -> Result<(Value, &'static str), Failure> {
    if manifest.name().is_empty() {
        return Err(Failure::InvalidInput(
            "an object has no metadata/name; use create for names that the server generates".to_owned(),
        ));
    }
    match create::post(api, manifest, arguments, report).await {
        Err(Failure::Refused(status)) if status.is_already_exists() => {}
        other => return Ok((other?, "created")),
    }
    let path = manifest.object_path();
    let before = api.send(RequestBuilder::get(&path), report).await?;
    let change = RequestBuilder::write(Method::PATCH, &path, MERGE_PATCH, &manifest.object).dry_run(arguments.dry_run);
    let after = api.send(change, report).await?;
    let verb = if same(&before, &after) { "unchanged" } else { "configured" };
    Ok((after, verb))
}

/// True if nothing but status, resourceVersion and managed fields differs. The resourceVersion is ignored because a dry
/// run does not change it.
fn same(before: &Value, after: &Value) -> bool {
    let written = |object: &Value| {
        let mut object = object.clone();
        if let Some(object) = object.as_object_mut() {
            object.remove("status");
        }
        if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
            metadata.remove("resourceVersion");
            metadata.remove("managedFields");
        }
        object
    };
    written(before) == written(after)
}
