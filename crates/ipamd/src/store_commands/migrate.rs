//! `ipam store migrate`: the schema of a PostgreSQL database. The schema of a SQLite file is migrated when it is opened.

use std::{cmp::Ordering, io::Write, process::ExitCode};

use store_postgres::Status;

use crate::{config::Migrate, database};

/// The exit code of `ipam store migrate status` if the schema version is not the one of this program.
const NOT_CURRENT: u8 = 1;

/// Runs a command, and writes its result to `out`.
pub async fn run(command: Migrate, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    match command {
        Migrate::Up(database) => {
            let pool = store_postgres::connect(database.dsn.expose()).map_err(database::redact)?;
            let before = store_postgres::migrate(&pool).await.map_err(database::redact)?;
            writeln!(out, "{}", done(before))?;
            Ok(ExitCode::SUCCESS)
        }
        Migrate::Status(database) => {
            let pool = store_postgres::connect(database.dsn.expose()).map_err(database::redact)?;
            let status = store_postgres::status(&pool).await.map_err(database::redact)?;
            writeln!(out, "{}", state(status))?;
            let is_current = status.version == status.known;
            Ok(if is_current { ExitCode::SUCCESS } else { ExitCode::from(NOT_CURRENT) })
        }
    }
}

fn done(before: Status) -> String {
    let Status { version, known } = before;
    match version.cmp(&known) {
        Ordering::Less => format!("migrated from schema version {version} to {known}"),
        Ordering::Equal => format!("schema version {version} is current; nothing to do"),
        Ordering::Greater => format!("schema version {version} is newer than this program's {known}; nothing to do"),
    }
}

fn state(status: Status) -> String {
    let Status { version, known } = status;
    let verdict = match version.cmp(&known) {
        Ordering::Less => "outdated: run `ipam store migrate up`",
        Ordering::Equal => "current",
        Ordering::Greater => "newer than this program: run a newer ipam",
    };
    format!("schema version: {version}\nknown version:  {known}\n{verdict}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn migrate_output_states_outdated_current_or_newer() {
        for (version, verdict, done_words) in
            [(0, "outdated", "from schema version 0 to 2"), (2, "current", "nothing to do"), (3, "newer than", "newer")]
        {
            let status = Status { version, known: 2 };
            assert!(state(status).contains(verdict) && done(status).contains(done_words), "{version}");
        }
    }
}
