//! Files that an operator may replace while the server runs, and their parsed contents.
//!
//! A change is detected by polling and comparing the contents. This works for Kubernetes secrets, which are mounted as symbolic
//! links that are replaced, for tools that write in place, and for file systems without notifications.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use sha2::{Digest as _, Sha256};
use tokio::io::AsyncReadExt as _;

use crate::limits;

/// A set of files that are parsed together to a `T`.
pub struct Watched<T> {
    paths: Vec<PathBuf>,
    parse: fn(&[Contents]) -> anyhow::Result<T>,
    /// The SHA-256 of the contents or of the read error at the last check.
    seen: Option<[u8; 32]>,
}

/// The contents of one file.
pub struct Contents {
    /// The path of the file.
    pub path: PathBuf,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

impl<T> Watched<T> {
    /// Creates a set of files. `parse` gets their contents in the order of `paths`; its error must name the invalid file.
    pub fn new(paths: Vec<PathBuf>, parse: fn(&[Contents]) -> anyhow::Result<T>) -> Self {
        Self { paths, parse, seen: None }
    }

    /// Reads the files. Returns `None` if nothing has changed since the last call; otherwise the parsed contents, or the error of
    /// reading or parsing them.
    pub async fn changed(&mut self) -> Option<anyhow::Result<T>> {
        let read = self.read().await;
        let seen = match &read {
            Ok(files) => digest(files.iter().map(|file| file.bytes.as_slice())),
            Err(error) => digest([format!("{error:#}").as_bytes()]),
        };
        if self.seen.replace(seen) == Some(seen) {
            return None;
        }
        Some(read.and_then(|files| (self.parse)(&files)))
    }

    async fn read(&self) -> anyhow::Result<Vec<Contents>> {
        let mut files = Vec::with_capacity(self.paths.len());
        for path in &self.paths {
            let bytes = read(path).await.with_context(|| format!("cannot read {}", path.display()))?;
            files.push(Contents { path: path.clone(), bytes });
        }
        Ok(files)
    }
}

async fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let file = tokio::fs::File::open(path).await?;
    file.take(limits::CREDENTIAL_FILE_BYTES_MAX + 1).read_to_end(&mut bytes).await?;
    let limit = limits::CREDENTIAL_FILE_BYTES_MAX;
    ensure!(bytes.len() as u64 <= limit, "it has more than {limit} bytes");
    Ok(bytes)
}

fn digest<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> [u8; 32] {
    let mut digest = Sha256::new();
    for part in parts {
        digest.update((part.len() as u64).to_be_bytes());
        digest.update(part);
    }
    digest.finalize().into()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn text(files: &[Contents]) -> anyhow::Result<String> {
        let texts = files.iter().map(|file| Ok(std::str::from_utf8(&file.bytes)?.to_owned()));
        Ok(texts.collect::<anyhow::Result<Vec<_>>>()?.join("+"))
    }

    #[tokio::test]
    async fn change_of_any_file_is_returned_once() {
        let directory = tempfile::tempdir().unwrap();
        let [one, two] = ["one", "two"].map(|name| directory.path().join(name));
        fs::write(&one, "a").unwrap();
        let mut watched = Watched::new(vec![one.clone(), two.clone()], text);
        assert!(format!("{:#}", watched.changed().await.unwrap().unwrap_err()).contains("two: "));
        assert!(watched.changed().await.is_none(), "an error is returned once");
        fs::write(&two, "b").unwrap();
        assert_eq!(watched.changed().await.unwrap().unwrap(), "a+b");
        assert!(watched.changed().await.is_none());
        fs::write(&one, "").unwrap();
        fs::write(&two, "ab").unwrap();
        assert_eq!(watched.changed().await.unwrap().unwrap(), "+ab");
        fs::write(&two, [0xff]).unwrap();
        assert!(watched.changed().await.unwrap().is_err());
        assert!(watched.changed().await.is_none());
        fs::write(&two, "ab").unwrap();
        assert_eq!(watched.changed().await.unwrap().unwrap(), "+ab", "valid contents after an error are a change");
    }

    #[tokio::test]
    async fn replaced_symbolic_link_is_a_change() {
        let directory = tempfile::tempdir().unwrap();
        let [one, two, link, next] = ["one", "two", "link", "next"].map(|name| directory.path().join(name));
        fs::write(&one, "a").unwrap();
        fs::write(&two, "b").unwrap();
        std::os::unix::fs::symlink(&one, &link).unwrap();
        let mut watched = Watched::new(vec![link.clone()], text);
        assert_eq!(watched.changed().await.unwrap().unwrap(), "a");
        std::os::unix::fs::symlink(&two, &next).unwrap();
        fs::rename(&next, &link).unwrap();
        assert_eq!(watched.changed().await.unwrap().unwrap(), "b");
    }

    #[tokio::test]
    async fn file_over_the_limit_is_rejected() {
        let mut watched = Watched::new(vec!["/dev/zero".into()], text);
        let error = format!("{:#}", watched.changed().await.unwrap().unwrap_err());
        assert_eq!(error, "cannot read /dev/zero: it has more than 16777216 bytes");
    }
}
