//! `create`: creates objects; fails for those that exist.

use http::Method;
use serde_json::Value;

use crate::{
    args::Write,
    manifest::{self, Manifest},
    output,
    report::{Failure, Report},
    wire::{Call, JSON, Wire},
};

pub(crate) async fn run(wire: &Wire, arguments: &Write, report: &mut Report<'_>) -> Result<(), Failure> {
    let Some(manifests) = manifest::load(wire, &arguments.files, &arguments.namespace, report).await? else {
        return Ok(());
    };
    for manifest in &manifests {
        match post(wire, manifest, arguments, report).await {
            Ok(object) => {
                output::written(&manifest.resource, &object, "created", arguments.output, arguments.dry_run, report)?;
            }
            Err(failure) => report.part_failed(&manifest.place(), failure)?,
        }
    }
    Ok(())
}

/// Creates the object, and returns it as stored by the server.
pub(crate) async fn post(
    wire: &Wire,
    manifest: &Manifest,
    arguments: &Write,
    report: &mut Report<'_>,
) -> Result<Value, Failure> {
    let call = Call::write(Method::POST, &manifest.collection_path(), JSON, &manifest.object);
    wire.call(call.dry_run(arguments.dry_run), report).await
}
