//! The client of the admin socket.

use std::{io, path::Path, time::Duration};

use anyhow::{Context as _, bail};
use tokio::{io::BufReader, net::UnixStream, time::timeout};

use super::{
    protocol::{self, Event, Request},
    socket,
};
use crate::limits::ADMIN_SILENCE_TIMEOUT;

/// A connection to the admin socket of a server.
pub struct Connection {
    stream: UnixStream,
    /// The longest wait for the next line.
    patience: Duration,
}

/// Connects to the server of a data directory. Returns `None` if no server runs.
pub async fn connect(directory: &Path) -> anyhow::Result<Option<Connection>> {
    let path = directory.join(socket::NAME);
    match socket::connect(directory).await {
        Ok(stream) => Ok(stream.map(|stream| Connection { stream, patience: ADMIN_SILENCE_TIMEOUT })),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            Err(error).with_context(|| format!("cannot connect to {}: run this as the server's user", path.display()))
        }
        Err(error) => Err(error).with_context(|| format!("cannot connect to {}", path.display())),
    }
}

impl Connection {
    /// Requests a backup to `to`, reports its progress (bytes copied, bytes in total), and returns the revision of the copy.
    /// Dropping the future cancels the backup.
    pub async fn back_up(self, to: &Path, mut progress: impl FnMut(u64, u64)) -> anyhow::Result<u64> {
        let (reader, mut writer) = self.stream.into_split();
        let mut reader = BufReader::new(reader);
        protocol::send(&mut writer, &Request::Backup { to: to.to_owned() }).await.context("cannot send the request")?;
        loop {
            let event = timeout(self.patience, protocol::receive(&mut reader)).await;
            let event = event.with_context(|| {
                format!("the server has sent nothing for {:?}: check that it still runs", self.patience)
            })?;
            match event.context("cannot read the response of the server")? {
                Some(Event::Progress { copied, total }) => progress(copied, total),
                Some(Event::Done { revision }) => return Ok(revision),
                Some(Event::Refused { message }) => bail!("the server made no backup: {message}"),
                None => bail!("the server ended before the backup was complete: no backup was made"),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[tokio::test]
    async fn client_gives_up_on_silent_server() {
        let directory = tempfile::tempdir().unwrap();
        let listener = socket::listen(directory.path()).unwrap();
        let connection = connect(directory.path()).await.unwrap().unwrap();
        let connection = Connection { patience: Duration::from_millis(50), ..connection };
        let _silent = listener.accept().await.unwrap();
        let error = connection.back_up(Path::new("/b"), |_, _| ()).await.unwrap_err();
        assert!(error.to_string().contains("sent nothing for 50ms"), "{error:#}");
    }

    #[tokio::test]
    async fn connection_closed_before_the_result_is_an_error() {
        let directory = tempfile::tempdir().unwrap();
        let listener = socket::listen(directory.path()).unwrap();
        let connection = connect(directory.path()).await.unwrap().unwrap();
        drop(listener.accept().await.unwrap());
        let error = connection.back_up(Path::new("/b"), |_, _| ()).await.unwrap_err();
        let said = format!("{error:#}");
        assert!(said.contains("ended before the backup was complete") || said.contains("cannot"), "{said}");
    }

    #[tokio::test]
    async fn stale_socket_connects_to_nothing_and_is_replaced() {
        let directory = tempfile::tempdir().unwrap();
        assert!(connect(directory.path()).await.unwrap().is_none(), "no socket at all");
        drop(socket::listen(directory.path()).unwrap());
        assert!(directory.path().join(socket::NAME).exists());
        assert!(connect(directory.path()).await.unwrap().is_none());
        let _listener = socket::listen(directory.path()).unwrap();
        assert!(connect(directory.path()).await.unwrap().is_some());
    }

    #[tokio::test]
    async fn socket_works_in_directory_with_long_path() {
        let directory = tempfile::tempdir().unwrap();
        let deep = directory.path().join("d".repeat(200));
        fs::create_dir(&deep).unwrap();
        let _listener = socket::listen(&deep).unwrap();
        assert!(connect(&deep).await.unwrap().is_some());
    }
}
