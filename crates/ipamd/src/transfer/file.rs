//! The two ends of a file of lines: one that writes it whole or not at all, one that reads it with a limit on every line. Both know
//! the digest of what went through them. `-` is standard output or input.

use std::{
    fs::{self, OpenOptions},
    io,
    os::{fd::AsFd as _, unix::fs::OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail};
use sha2::{Digest as _, Sha256};
use tokio::{
    fs::File,
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader, BufWriter},
};

use super::tally::hexadecimal;
use crate::limits::EXPORT_LINE_BYTES_MAX;

/// Standard output or input.
const STANDARD: &str = "-";
/// Bytes between the program and the system.
const BUFFER_BYTES: usize = 256 << 10;

/// A file in the making. Until [`Output::finish`] it has another name.
pub struct Output {
    file: BufWriter<File>,
    /// Where it is written and what it will be called.
    names: Option<(PathBuf, PathBuf)>,
    digest: Sha256,
}

impl Output {
    /// Begins a new file, readable by its owner only.
    ///
    /// # Errors
    /// If there is a file of that name, or it cannot be made.
    pub fn create(path: &Path) -> anyhow::Result<Self> {
        let (file, names) = if path.as_os_str() == STANDARD {
            (fs::File::from(io::stdout().as_fd().try_clone_to_owned()?), None)
        } else {
            let partial = partial(path);
            if path.exists() {
                bail!("{} is there already: name a new file", path.display());
            }
            // What an interrupted export left may have another mode.
            match fs::remove_file(&partial) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(error).context("cannot begin anew");
                }
                _ => {}
            }
            let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&partial);
            (made.with_context(|| format!("cannot create {}", partial.display()))?, Some((partial, path.to_owned())))
        };
        Ok(Self { file: BufWriter::with_capacity(BUFFER_BYTES, file.into()), names, digest: Sha256::new() })
    }

    /// Writes a line, its end included.
    pub async fn line(&mut self, line: &[u8]) -> anyhow::Result<()> {
        self.digest.update(line);
        self.file.write_all(line).await.context("cannot write the file")
    }

    /// The SHA-256 of everything so far, in hexadecimal.
    pub fn sha256(&self) -> String {
        hexadecimal(self.digest.clone())
    }

    /// Makes it durable and gives it its name.
    pub async fn finish(mut self) -> anyhow::Result<()> {
        self.file.flush().await.context("cannot write the file")?;
        let Some((partial, path)) = self.names.take() else { return Ok(()) };
        let named = async {
            self.file.get_ref().sync_all().await?;
            // A link, because a rename would replace a file that somebody made meanwhile.
            fs::hard_link(&partial, &path)?;
            fs::File::open(directory(&path))?.sync_all()
        };
        let named = named.await.with_context(|| format!("cannot create {}", path.display()));
        fs::remove_file(&partial).with_context(|| format!("cannot remove {}", partial.display()))?;
        named
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        if let Some((partial, _)) = &self.names {
            // It is of no use to anybody; if it stays, the next export removes it.
            let _ = fs::remove_file(partial);
        }
    }
}

fn partial(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".partial");
    name.into()
}

fn directory(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// A file that is read.
pub struct Input {
    file: BufReader<File>,
    /// In bytes, where that is known.
    size: Option<u64>,
    digest: Sha256,
    bytes: u64,
    number: u64,
    line: Vec<u8>,
}

impl Input {
    /// Opens a file.
    ///
    /// # Errors
    /// If it cannot be opened.
    pub fn open(path: &Path) -> anyhow::Result<Self> {
        let file = if path.as_os_str() == STANDARD {
            fs::File::from(io::stdin().as_fd().try_clone_to_owned()?)
        } else {
            fs::File::open(path).with_context(|| format!("cannot open {}", path.display()))?
        };
        let size = file.metadata().ok().filter(fs::Metadata::is_file).map(|file| file.len());
        let file = BufReader::with_capacity(BUFFER_BYTES, file.into());
        Ok(Self { file, size, digest: Sha256::new(), bytes: 0, number: 0, line: Vec::new() })
    }

    /// How long it is, in bytes, where that is known.
    pub fn size(&self) -> Option<u64> {
        self.size
    }

    /// Bytes read so far.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The number of the latest line, from 1.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// The SHA-256 of everything before the latest line, in hexadecimal.
    pub fn sha256(&self) -> String {
        hexadecimal(self.digest.clone())
    }

    /// The next line with its end; `None` where the file ends.
    ///
    /// # Errors
    /// If it cannot be read, is too long, or has no end.
    pub async fn line(&mut self) -> anyhow::Result<Option<&[u8]>> {
        self.digest.update(&self.line);
        self.line.clear();
        let mut limited = (&mut self.file).take(EXPORT_LINE_BYTES_MAX);
        let read = limited.read_until(b'\n', &mut self.line).await.context("cannot read the file")?;
        if read == 0 {
            return Ok(None);
        }
        self.bytes += read as u64;
        self.number += 1;
        if !self.line.ends_with(b"\n") {
            let is_too_long = read as u64 == EXPORT_LINE_BYTES_MAX;
            bail!(
                "{}",
                if is_too_long { "the line is too long" } else { "the file ends inside this line: it was cut off" }
            );
        }
        Ok(Some(&self.line))
    }
}
