//! Connections to the data file, and their common settings.

use std::path::Path;

use rusqlite::{Connection, OpenFlags, config::DbConfig};

/// The busy timeout of the writer, in milliseconds. Only a checkpoint or another program can hold a `SQLite` lock.
pub const BUSY_MS: u32 = 5_000;

/// The size of the prepared statement cache of each connection; more than the number of statements.
const STATEMENTS_KEPT: usize = 32;

/// Opens a connection that may write. Settings that change the file are not applied yet.
pub fn connect_writer(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    configure(&connection)?;
    Ok(connection)
}

/// Applies the settings of every connection.
///
/// Without the query planner stability guarantee (QPSG), SQLite replans a statement with a range whenever another value
/// is bound, which costs several times as much as running it.
pub fn configure(connection: &Connection) -> rusqlite::Result<()> {
    connection.set_prepared_statement_cache_capacity(STATEMENTS_KEPT);
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    connection.pragma_update(None, "busy_timeout", BUSY_MS)
}
