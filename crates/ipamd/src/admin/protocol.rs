//! The protocol of the admin socket: one line of JSON from the client, and one or more lines of JSON in response.

use std::{io, path::PathBuf};

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use tokio::io::{AsyncBufRead, AsyncBufReadExt as _, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use crate::limits::ADMIN_LINE_BYTES_MAX;

/// A request to the server.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum Request {
    /// Copy the store to a file.
    Backup {
        /// The absolute path of the file to create, in the file system of the server.
        to: PathBuf,
    },
}

/// A line of the response.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Event {
    /// The request is in progress. Sent every second, also if the numbers have not changed.
    Progress {
        /// Bytes copied so far.
        copied: u64,
        /// Bytes in total.
        total: u64,
    },
    /// The request succeeded. This is the last line.
    Done {
        /// The revision of the copy.
        revision: u64,
    },
    /// The request failed, and no file remains. This is the last line.
    Refused {
        /// The reason.
        message: String,
    },
}

/// Writes `message` as one line.
pub async fn send(to: &mut (impl AsyncWrite + Unpin), message: &impl Serialize) -> io::Result<()> {
    let mut line = serde_json::to_vec(message)?;
    line.push(b'\n');
    to.write_all(&line).await?;
    to.flush().await
}

/// Reads one line. Returns `None` at the end of the stream.
pub async fn receive<T: DeserializeOwned>(from: &mut (impl AsyncBufRead + Unpin)) -> io::Result<Option<T>> {
    let mut line = Vec::new();
    from.take(ADMIN_LINE_BYTES_MAX).read_until(b'\n', &mut line).await?;
    if line.is_empty() {
        return Ok(None);
    }
    if !line.ends_with(b"\n") {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "the line is incomplete or too long"));
    }
    Ok(Some(serde_json::from_slice(&line)?))
}
