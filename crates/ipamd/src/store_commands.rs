//! The `ipam store` commands.

mod backup;
pub mod bump_revision;
mod check;
mod migrate;

use std::{io::Write, process::ExitCode};

use crate::{config::StoreCommand, export_import, logging};

/// The exit code if the database cannot be connected to.
const NO_ANSWER: u8 = 8;

/// Runs a command, and writes its result to `out`.
///
/// # Errors
/// If the command failed.
pub async fn run(command: StoreCommand, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    match dispatch(command, out).await {
        Err(error) if is_unanswered(&error) => {
            eprintln!("Error: {error:?}");
            Ok(ExitCode::from(NO_ANSWER))
        }
        done => done,
    }
}

async fn dispatch(command: StoreCommand, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    match command {
        StoreCommand::Export(options) => {
            let _log = logging::start(options.logging.format, &options.logging.level)?;
            export_import::export(options).await?;
        }
        StoreCommand::Import(options) => {
            let _log = logging::start(options.logging.format, &options.logging.level)?;
            export_import::import(options).await?;
        }
        StoreCommand::BumpRevision(options) => bump_revision::run(options, out).await?,
        StoreCommand::Migrate(command) => return migrate::run(command, out).await,
        StoreCommand::Backup(options) => return backup::run(&options, out).await,
        StoreCommand::Check(options) => return check::run(&options, out).await,
    }
    Ok(ExitCode::SUCCESS)
}

fn is_unanswered(error: &anyhow::Error) -> bool {
    let connect = |cause: &store_postgres::OpenError| matches!(cause, store_postgres::OpenError::Connect(_));
    error.chain().any(|cause| cause.downcast_ref().is_some_and(connect))
}
