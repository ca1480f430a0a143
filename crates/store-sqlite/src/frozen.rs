//! A snapshot of the store: a separate connection in a long-lived read transaction.

use std::sync::Arc;

use async_trait::async_trait;
use rusqlite::Connection;
use store::{Error, Key, Page, Revision, Snapshot, Span};
use tokio::task::spawn_blocking;

use crate::data_file::DataFile;
use crate::failure::{broken_off, closed, failed};
use crate::reader::connect;
use crate::recent::{Layers, Recent};
use crate::view::{Horizon, View};
use crate::{snapshot, span, view};

/// The snapshot. While it exists, the write-ahead log cannot be restarted and grows.
pub struct SqliteSnapshot {
    /// `None` if a call was canceled before it finished.
    connection: Option<Connection>,
    layers: Arc<Layers>,
    horizon: Horizon,
    /// Outlives the connection. `None` for a detached file.
    _data: Option<Arc<DataFile>>,
}

impl SqliteSnapshot {
    /// Begins a snapshot of a store.
    pub async fn begin(data: Arc<DataFile>, recent: Arc<Recent>) -> Result<Self, Error> {
        let path = data.path().to_owned();
        let begin = move || Self::on(connect(&path).map_err(failed)?, &recent, Some(data));
        spawn_blocking(begin).await.map_err(|error| broken_off(&error))?
    }

    /// Begins a snapshot on a connection.
    pub fn on(connection: Connection, recent: &Recent, data: Option<Arc<DataFile>>) -> Result<Self, Error> {
        let (layers, horizon) = view::begin(&connection, recent).map_err(failed)?;
        Ok(Self { connection: Some(connection), layers, horizon, _data: data })
    }

    async fn run<T: Send + 'static>(
        &mut self,
        read: impl FnOnce(&View<'_>) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let connection = self.connection.take().ok_or_else(closed)?;
        let (layers, horizon) = (Arc::clone(&self.layers), self.horizon);
        let work = move || {
            let found = read(&View { connection: &connection, recent: &layers, horizon });
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
        self.horizon.head
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
