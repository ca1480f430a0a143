//! The client's command line: `get`, `create`, `apply`, `delete`. Uses only the public API. The commands behave like
//! those of kubectl.
//!
//! Results are written to standard output, everything else to standard error. Exit codes: 0 success, 1 an error of the
//! server or connection, 2 invalid input (no object of the command was sent).

mod api_client;
mod apply;
mod args;
mod client;
mod create;
mod delete;
mod get;
mod manifest;
mod output;
mod proxy;
mod report;
mod resource;
mod table;

#[cfg(test)]
mod mock_server;
#[cfg(test)]
mod tests;

use std::{
    io::{ErrorKind, Write},
    process::ExitCode,
};

pub use args::{Command, Connection};

use crate::{
    api_client::ApiClient,
    report::{Failure, Report},
};

/// Runs one command. Results are written to `out`, errors and warnings to `err`; returns an error only if writing
/// fails.
pub async fn run(
    connection: &Connection,
    command: Command,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> anyhow::Result<ExitCode> {
    let mut report = Report::new(out, err);
    let done = match ApiClient::connect(connection).await {
        Ok(api) => dispatch(&api, command, &mut report).await,
        Err(failure) => Err(failure),
    };
    match done.or_else(|failure| report.failed(failure)) {
        // The reader of standard output has closed the pipe, for example `head`.
        Err(Failure::Output(error)) if error.kind() == ErrorKind::BrokenPipe => Ok(ExitCode::SUCCESS),
        Err(Failure::Output(error)) => Err(error.into()),
        Ok(()) | Err(_) => Ok(report.exit_code()),
    }
}

async fn dispatch(api: &ApiClient, command: Command, report: &mut Report<'_>) -> Result<(), Failure> {
    match command {
        Command::Get(arguments) => get::run(api, &arguments, report).await,
        Command::Create(arguments) => create::run(api, &arguments, report).await,
        Command::Apply(arguments) => apply::run(api, &arguments, report).await,
        Command::Delete(arguments) => delete::run(api, &arguments, report).await,
    }
}
