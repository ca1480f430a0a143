//! SQLite's integrity check.

use rusqlite::Connection;
use store::Error;

use crate::SqliteStore;
use crate::error::failed;

/// Reads every page and reports lost or doubly used pages, keys out of order, indexes that differ from their tables,
/// and violated constraints. Reports at most 100 errors.
const CHECK: &str = "PRAGMA integrity_check(100)";

/// The result of the check if there are no errors.
const SOUND: &str = "ok";

impl SqliteStore {
    /// Runs SQLite's integrity check and returns its messages; empty if there are no errors. Changes nothing.
    ///
    /// # Errors
    /// If the file cannot be read at all.
    pub async fn integrity(&self) -> Result<Vec<String>, Error> {
        self.readers.run(|view| check(view.connection)).await
    }
}

/// Returns the errors of the database of this connection.
pub fn check(connection: &Connection) -> Result<Vec<String>, Error> {
    let mut statement = connection.prepare(CHECK).map_err(failed)?;
    let found = statement.query_map([], |row| row.get::<_, String>(0)).map_err(failed)?;
    let lines = found.collect::<rusqlite::Result<Vec<_>>>().map_err(failed)?;
    // A message may begin with a line with the database name, and may have several lines.
    Ok(lines.iter().flat_map(|line| line.lines()).filter(|line| *line != SOUND).map(str::to_owned).collect())
}
