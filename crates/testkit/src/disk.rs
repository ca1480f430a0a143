//! A simulated disk that loses unsynced writes at a power loss, and fails on request.
//!
//! The server runs with a library in `LD_PRELOAD` (`disk.c`), which records the synced contents of the database file and its
//! write-ahead log. After a `kill -9` the test creates the files that a machine would find after a power loss: the synced contents
//! and an arbitrary part of the unsynced sectors.

use std::{
    collections::HashMap,
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use tempfile::TempDir;

/// The unit that a disk writes atomically.
const SECTOR_BYTES: usize = 512;

/// The name of the database file in a data directory.
const FILE: &str = "ipam.db";

/// The simulated disk of one data directory.
pub struct Disk {
    data_dir: PathBuf,
    image: TempDir,
}

/// One of the two files of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The database file.
    Data,
    /// The write-ahead log.
    Log,
}

impl Disk {
    /// Creates the disk of `data_dir`, which must exist.
    pub fn under(data_dir: &Path) -> Self {
        let image = TempDir::with_prefix("ipam-disk-").expect("a temporary directory");
        compile(&library(image.path()));
        Self { data_dir: fs::canonicalize(data_dir).expect("the data directory exists"), image }
    }

    /// Copies the disk and its data directory to the new directory `to`. The next server there exits after `syncs` syncs.
    #[must_use]
    pub fn copy_that_ends(&self, to: &Path, syncs: usize) -> Self {
        fs::create_dir(to).expect("a new directory");
        copy_files(&self.data_dir, to, |_| true);
        let copy = Self::under(to);
        copy_files(self.image.path(), copy.image.path(), |_| true);
        fs::write(copy.image.path().join("end-after"), syncs.to_string()).expect("a mark for the library");
        copy
    }

    /// Returns the data directory.
    pub fn data_dir(&self) -> &Path {
        &self.data_dir
    }

    /// Returns the environment variables for the server.
    pub(crate) fn environment(&self) -> [(OsString, OsString); 3] {
        let file = self.data_dir.join(FILE);
        [
            ("LD_PRELOAD".into(), library(self.image.path()).into()),
            ("DISK_FILE".into(), file.into()),
            ("DISK_IMAGE".into(), self.image.path().into()),
        ]
    }

    /// Lets the next sync of this file fail.
    pub fn fail_sync(&self, part: Part) {
        self.mark(&format!("fail-{}", part.label()), true);
    }

    /// True if the failure of [`Disk::fail_sync`] has not happened yet.
    pub fn still_fails(&self, part: Part) -> bool {
        self.image.path().join(format!("fail-{}", part.label())).exists()
    }

    /// Sets whether the disk is full: no file can grow.
    pub fn set_full(&self, full: bool) {
        self.mark("full", full);
    }

    fn mark(&self, name: &str, set: bool) {
        let path = self.image.path().join(name);
        let done = if set { fs::write(path, "") } else { fs::remove_file(path) };
        done.expect("a mark for the library");
    }

    /// Writes the contents of the data directory after a power loss to the new directory `to`. The server must have been killed.
    /// `keeps` is called for each unsynced sector, and returns true if the sector had reached the disk.
    pub fn after_power_loss(&self, to: &Path, mut keeps: impl FnMut() -> bool) {
        fs::create_dir(to).expect("a new directory");
        copy_files(&self.data_dir, to, |name| !name.starts_with(FILE));
        let (synced, live) = (self.names("names"), self.names("live"));
        for part in [Part::Data, Part::Log] {
            let Some(id) = synced.get(part.label()) else { continue };
            let mut content = fs::read(self.image.path().join(id)).expect("what was synced");
            if live.get(part.label()) == Some(id) {
                let now = fs::read(part.in_dir(&self.data_dir)).expect("what was written");
                keep_sectors(&mut content, &now, &mut keeps);
            }
            fs::write(part.in_dir(to), content).expect("the file after the power loss");
        }
    }

    /// Reads a list of names that the library wrote.
    fn names(&self, list: &str) -> HashMap<String, String> {
        let text = fs::read_to_string(self.image.path().join(list)).expect("the library has written its names");
        let names = text.lines().filter_map(|line| line.split_once(' '));
        names.map(|(name, id)| (name.to_owned(), id.to_owned())).collect()
    }
}

impl Part {
    fn label(self) -> &'static str {
        match self {
            Self::Data => "db",
            Self::Log => "wal",
        }
    }

    fn in_dir(self, directory: &Path) -> PathBuf {
        directory.join(match self {
            Self::Data => FILE.to_owned(),
            Self::Log => format!("{FILE}-wal"),
        })
    }
}

/// Copies the wanted files of a directory, and all files of its subdirectories.
fn copy_files(from: &Path, to: &Path, wanted: fn(&str) -> bool) {
    for entry in fs::read_dir(from).expect("a directory") {
        let path = entry.expect("a file of it").path();
        let name = path.file_name().expect("a file has a name").to_string_lossy();
        if path.is_dir() {
            fs::create_dir(to.join(&*name)).expect("a new directory");
            copy_files(&path, &to.join(&*name), |_| true);
        } else if path.is_file() && wanted(&name) {
            fs::copy(&path, to.join(&*name)).expect("a copy");
        }
    }
}

/// Copies sectors in which `now` differs to `content` if `keeps` returns true.
fn keep_sectors(content: &mut Vec<u8>, now: &[u8], keeps: &mut impl FnMut() -> bool) {
    for (place, sector) in now.chunks(SECTOR_BYTES).enumerate() {
        let at = place * SECTOR_BYTES;
        let is_same = content.get(at..at + sector.len()) == Some(sector);
        if !is_same && keeps() {
            content.resize(content.len().max(at + sector.len()), 0);
            content[at..at + sector.len()].copy_from_slice(sector);
        }
    }
}

fn library(image: &Path) -> PathBuf {
    image.join("disk.so")
}

/// Compiles `disk.c`. A C compiler is required to build SQLite, so it is installed.
fn compile(to: &Path) {
    let mut compiler = Command::new("cc");
    compiler.args(["-shared", "-fPIC", "-O1", "-Wall", "-Wextra", "-Werror", "-x", "c", "-", "-o"]).arg(to);
    let mut child = compiler.stdin(Stdio::piped()).spawn().expect("cc runs");
    let mut source = child.stdin.take().expect("it is piped");
    std::io::Write::write_all(&mut source, include_bytes!("disk.c")).expect("cc reads");
    drop(source);
    assert!(child.wait().expect("cc ends").success(), "cc cannot compile disk.c");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kept_sectors_are_copied_as_a_whole() {
        let (old, new) = (vec![1; 3 * SECTOR_BYTES], vec![2; 4 * SECTOR_BYTES + 7]);
        let mut content = old.clone();
        let mut asked = 0;
        keep_sectors(&mut content, &new, &mut || {
            asked += 1;
            asked % 2 == 0
        });
        assert_eq!(asked, 5);
        let sectors: Vec<u8> = content.chunks(SECTOR_BYTES).map(|sector| sector[0]).collect();
        assert_eq!((sectors, content.len()), (vec![1, 2, 1, 2], 4 * SECTOR_BYTES));
    }
}
