//! `create`: creates objects; fails for those that exist.

use http::Method;
use serde_json::Value;

use crate::{
    api_client::{ApiClient, JSON, RequestBuilder},
    args::Write,
    manifest::{self, Manifest},
    output,
    report::{Failure, Report},
};

pub(crate) async fn run(api: &ApiClient, arguments: &Write, report: &mut Report<'_>) -> Result<(), Failure> {
    let Some(manifests) = manifest::load(api, &arguments.files, &arguments.namespace, report).await? else {
        return Ok(());
    };
    for manifest in &manifests {
        match post(api, manifest, arguments, report).await {
            Ok(object) => {
                output::print_result(
                    &manifest.resource,
                    &object,
                    "created",
                    arguments.output,
                    arguments.dry_run,
                    report,
                )?;
            }
            Err(failure) => report.item_failed(&manifest.label(), failure)?,
        }
    }
    Ok(())
}

/// Creates the object, and returns it as stored by the server.
pub(crate) async fn post(
    api: &ApiClient,
    manifest: &Manifest,
    arguments: &Write,
    report: &mut Report<'_>,
) -> Result<Value, Failure> {
    let request = RequestBuilder::write(Method::POST, &manifest.collection_path(), JSON, &manifest.object);
    api.send(request.dry_run(arguments.dry_run), report).await
}
