//! Connections to the data file, and the settings that each of them has.

use std::path::Path;

use rusqlite::{Connection, OpenFlags, config::DbConfig};

/// How long the writer waits for `SQLite`'s own locks. Only a checkpoint or a foreign tool can hold one.
pub const BUSY_MS: u32 = 5_000;

/// How many statements each connection keeps prepared; more than there are.
const STATEMENTS_KEPT: usize = 32;

/// A connection that may write, as yet without the settings that change the file.
pub fn connect_writer(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    configure(&connection)?;
    Ok(connection)
}

/// What every connection needs.
///
/// Without the planner's stability guarantee a statement with a range is planned anew whenever another value is bound
/// to it, which costs several times as much as running it.
pub fn configure(connection: &Connection) -> rusqlite::Result<()> {
    connection.set_prepared_statement_cache_capacity(STATEMENTS_KEPT);
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    connection.pragma_update(None, "busy_timeout", BUSY_MS)
}
