//! A snapshot of the store: a separate connection in a long-lived read transaction.

use std::sync::Arc;

use async_trait::async_trait;
use rusqlite::Connection;
use store::{Error, Key, Page, Revision, Snapshot, Span};
use tokio::task::spawn_blocking;

use crate::data_file::DataFile;
use crate::error::{broken_off, closed, failed};
use crate::memtable::{IndexMemtables, MemtableSet};
use crate::reader::connect;
use crate::view::{LogBounds, ReadView};
use crate::{snapshot, span, view};

/// The snapshot. While it exists, the write-ahead log cannot be restarted and grows.
pub struct SqliteSnapshot {
    /// `None` if a call was canceled before it finished.
    connection: Option<Connection>,
    memtables: Arc<MemtableSet>,
    bounds: LogBounds,
    /// Outlives the connection. `None` for a detached file.
    _data: Option<Arc<DataFile>>,
}

impl SqliteSnapshot {
    /// Begins a snapshot of a store.
    pub async fn begin(data: Arc<DataFile>, index: Arc<IndexMemtables>) -> Result<Self, Error> {
        let path = data.path().to_owned();
        let begin = move || Self::on(connect(&path).map_err(failed)?, &index, Some(data));
        spawn_blocking(begin).await.map_err(|error| broken_off(&error))?
    }

    /// Begins a snapshot on a connection.
    pub fn on(connection: Connection, index: &IndexMemtables, data: Option<Arc<DataFile>>) -> Result<Self, Error> {
        let (memtables, bounds) = view::begin(&connection, index).map_err(failed)?;
        Ok(Self { connection: Some(connection), memtables, bounds, _data: data })
    }

    async fn run<T: Send + 'static>(
        &mut self,
        read: impl FnOnce(&ReadView<'_>) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let connection = self.connection.take().ok_or_else(closed)?;
        let (memtables, bounds) = (Arc::clone(&self.memtables), self.bounds);
        let work = move || {
            let found = read(&ReadView { connection: &connection, memtables: &memtables, bounds });
            (found, connection)
        };
        let (found, connection) = spawn_blocking(work).await.map_err(|error| broken_off(&error))?;
        self.connection = Some(connection);
        found
    }
}

#[async_trait]
impl Snapshot for SqliteSnapshot {
    fn revision(&self) -> Revision {
        self.bounds.head
    }

    async fn list(&mut self, prefix: &str, after: Option<&Key>, limit: usize) -> Result<Page, Error> {
        let (prefix, after) = (prefix.to_owned(), after.cloned());
        self.run(move |view| snapshot::list(view, &prefix, after.as_ref(), None, limit)).await
    }

    async fn spans(&mut self, after: Option<(&str, u128)>, limit: usize) -> Result<Vec<Span>, Error> {
        let after = after.map(|(space, first)| (space.to_owned(), first));
        self.run(move |view| {
            span::page(view.connection, after.as_ref().map(|(space, first)| (space.as_str(), *first)), limit)
        })
        .await
    }
}
