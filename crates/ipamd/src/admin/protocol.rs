//! What is said over the socket: one line of JSON from the caller, and lines of JSON to it.

use std::{io, path::PathBuf};

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use tokio::io::{AsyncBufRead, AsyncBufReadExt as _, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use crate::limits::ADMIN_LINE_BYTES_MAX;

/// What a server can be asked for.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum Request {
    /// A copy of its store.
    Backup {
        /// The file to make, as the server sees it: an absolute path.
        to: PathBuf,
    },
}

/// What it says.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Event {
    /// It is under way. Said every now and then even if nothing has moved.
    Progress {
        /// Bytes that are copied.
        copied: u64,
        /// Bytes that there are.
        total: u64,
    },
    /// It is done; nothing follows.
    Done {
        /// Where the log of the copy ends.
        revision: u64,
    },
    /// It was not done, and nothing is left of it; nothing follows.
    Refused {
        /// Why.
        message: String,
    },
}

/// Sends one line.
pub async fn send(to: &mut (impl AsyncWrite + Unpin), message: &impl Serialize) -> io::Result<()> {
    let mut line = serde_json::to_vec(message)?;
    line.push(b'\n');
    to.write_all(&line).await?;
    to.flush().await
}

/// Receives one line; `None` where the other side has ended.
pub async fn receive<T: DeserializeOwned>(from: &mut (impl AsyncBufRead + Unpin)) -> io::Result<Option<T>> {
    let mut line = Vec::new();
    from.take(ADMIN_LINE_BYTES_MAX).read_until(b'\n', &mut line).await?;
    if line.is_empty() {
        return Ok(None);
    }
    if !line.ends_with(b"\n") {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "the line has no end, or is too long"));
    }
    Ok(Some(serde_json::from_slice(&line)?))
}
