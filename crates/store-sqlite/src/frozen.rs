//! Everything as it was at one moment: a connection of its own, in a transaction that lasts.

use std::sync::Arc;

use async_trait::async_trait;
use rusqlite::Connection;
use store::{Error, Key, Page, Revision, Snapshot, Span};
use tokio::task::spawn_blocking;

use crate::data_file::DataFile;
use crate::failure::{closed, failed};
use crate::reader::connect;
use crate::{snapshot, span};

/// The connection. While it is open the write-ahead log keeps what it sees, and grows.
pub struct SqliteSnapshot {
    /// `None` if a call was given up half way.
    connection: Option<Connection>,
    revision: Revision,
    /// Outlives the connection.
    _data: Arc<DataFile>,
}

impl SqliteSnapshot {
    /// Begins now.
    pub async fn begin(data: Arc<DataFile>) -> Result<Self, Error> {
        let path = data.path().to_owned();
        let begin = move || {
            let connection = connect(&path)?;
            connection.execute_batch("BEGIN")?;
            // What is read first says which moment it is.
            let revision = snapshot::horizon(&connection)?.head;
            Ok((connection, revision))
        };
        let (connection, revision) = spawn_blocking(begin).await.map_err(|_| closed())?.map_err(failed)?;
        Ok(Self { connection: Some(connection), revision, _data: data })
    }

    async fn run<T: Send + 'static>(
        &mut self,
        read: impl FnOnce(&Connection) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let connection = self.connection.take().ok_or_else(closed)?;
        let work = move || (read(&connection), connection);
        let (found, connection) = spawn_blocking(work).await.map_err(|_| closed())?;
        self.connection = Some(connection);
        found
    }
}

#[async_trait]
impl Snapshot for SqliteSnapshot {
    fn revision(&self) -> Revision {
        self.revision
    }

    async fn list(&mut self, prefix: &str, after: Option<&Key>, limit: usize) -> Result<Page, Error> {
        let (prefix, after) = (prefix.to_owned(), after.cloned());
        self.run(move |connection| snapshot::list(connection, &prefix, after.as_ref(), None, limit)).await
    }

    async fn spans(&mut self, after: Option<(&str, u128)>, limit: usize) -> Result<Vec<Span>, Error> {
        let after = after.map(|(space, first)| (space.to_owned(), first));
        self.run(move |connection| {
            span::page(connection, after.as_ref().map(|(space, first)| (space.as_str(), *first)), limit)
        })
        .await
    }
}
