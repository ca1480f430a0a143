//! What SQLite itself finds wrong in a file.

use rusqlite::Connection;
use store::Error;

use crate::SqliteStore;
use crate::failure::failed;

/// Reads every page, and looks for pages that are lost or used twice, keys that are out of order, indexes that differ from
/// their tables, and rows that break a constraint. It ends after a hundred faults.
const CHECK: &str = "PRAGMA integrity_check(100)";

/// What it answers when there is nothing.
const SOUND: &str = "ok";

impl SqliteStore {
    /// What SQLite finds wrong in the data file, in its own words. Nothing is changed.
    ///
    /// # Errors
    /// If the file cannot be read at all.
    pub async fn integrity(&self) -> Result<Vec<String>, Error> {
        self.readers.run(|view| check(view.connection)).await
    }
}

/// The faults of the file that this is a connection to.
pub fn check(connection: &Connection) -> Result<Vec<String>, Error> {
    let mut statement = connection.prepare(CHECK).map_err(failed)?;
    let found = statement.query_map([], |row| row.get::<_, String>(0)).map_err(failed)?;
    let lines = found.collect::<rusqlite::Result<Vec<_>>>().map_err(failed)?;
    // A line may begin with the name of the database and go on over several.
    Ok(lines.iter().flat_map(|line| line.lines()).filter(|line| *line != SOUND).map(str::to_owned).collect())
}
