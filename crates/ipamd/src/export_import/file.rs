//! A writer that creates a file of lines atomically, and a reader with a limit on the length of lines. Both compute the SHA-256 of
//! the lines. The path `-` is standard output or input.

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
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, BufReader, BufWriter},
};

use crate::limits::EXPORT_LINE_BYTES_MAX;

/// The path that means standard output or input.
const STANDARD: &str = "-";
/// The size of the read and write buffers, in bytes.
const BUFFER_BYTES: usize = 256 << 10;

/// A writer of lines that computes their SHA-256.
pub struct Lines<W> {
    out: W,
    digest: Sha256,
}

impl<W: AsyncWrite + Unpin> Lines<W> {
    /// Creates a writer without lines.
    pub fn new(out: W) -> Self {
        Self { out, digest: Sha256::new() }
    }

    /// Writes `line`, which ends with a line break.
    pub async fn line(&mut self, line: &[u8]) -> anyhow::Result<()> {
        self.digest.update(line);
        self.out.write_all(line).await.context("cannot write the file")
    }

    /// Returns the SHA-256 of all lines so far, in hexadecimal.
    pub fn sha256(&self) -> String {
        hexadecimal(self.digest.clone())
    }
}

/// A file that is being written. It has a temporary name until [`Output::finish`]. Dropping it deletes the file.
pub struct Output {
    /// The lines.
    pub lines: Lines<BufWriter<File>>,
    /// The temporary and the final path; `None` for standard output, and after `finish`.
    names: Option<(PathBuf, PathBuf)>,
}

impl Output {
    /// Creates the temporary file, readable only by its owner.
    ///
    /// # Errors
    /// If `path` exists, or the temporary file cannot be created.
    pub fn create(path: &Path) -> anyhow::Result<Self> {
        let (file, names) = if path.as_os_str() == STANDARD {
            (fs::File::from(io::stdout().as_fd().try_clone_to_owned()?), None)
        } else {
            let partial = partial(path);
            if path.exists() {
                bail!("{} exists already: use another path", path.display());
            }
            // The file of an interrupted export may have another mode, so it is not reused.
            match fs::remove_file(&partial) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(error).with_context(|| format!("cannot remove {}", partial.display()));
                }
                _ => {}
            }
            let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&partial);
            (made.with_context(|| format!("cannot create {}", partial.display()))?, Some((partial, path.to_owned())))
        };
        Ok(Self { lines: Lines::new(BufWriter::with_capacity(BUFFER_BYTES, file.into())), names })
    }

    /// Syncs the file to disk and gives it its final name. Fails if that name exists.
    pub async fn finish(mut self) -> anyhow::Result<()> {
        self.lines.out.flush().await.context("cannot write the file")?;
        let Some((partial, path)) = self.names.take() else { return Ok(()) };
        let named = async {
            self.lines.out.get_ref().sync_all().await?;
            // A link, because a rename would replace a file that another process created in the meantime.
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
            // If this fails, the next export to the same path removes the file.
            let _ = fs::remove_file(partial);
        }
    }
}

/// Returns a digest in lower-case hexadecimal.
fn hexadecimal(digest: Sha256) -> String {
    format!("{:x}", digest.finalize())
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
    /// In bytes; `None` if the input is not a regular file.
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
    /// If the file cannot be opened.
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

    /// Returns the size in bytes; `None` if the input is not a regular file.
    pub fn size(&self) -> Option<u64> {
        self.size
    }

    /// Returns the number of bytes read so far.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Returns the number of the last line read, from 1.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Returns the SHA-256 of all lines before the last one read, in hexadecimal.
    pub fn sha256(&self) -> String {
        hexadecimal(self.digest.clone())
    }

    /// Reads the next line, including its line break. Returns `None` at the end of the file.
    ///
    /// # Errors
    /// If the line cannot be read, is longer than `EXPORT_LINE_BYTES_MAX`, or has no line break.
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
