//! The files of a repository, in memory.
//!
//! The checks read this instead of the disk, so that a test can plant a fault.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::{Path, PathBuf},
};

/// Names without files that people write; `.git` is a file in a linked worktree.
const SKIPPED: [&str; 6] = [".git", "target", "data", "corpus", "artifacts", "node_modules"];

/// Text files by their path relative to the root, with `/` as the separator.
#[derive(Clone, Debug, Default)]
pub struct Tree {
    files: BTreeMap<String, String>,
    folders: BTreeSet<String>,
}

/// Returns the folder of the repository that this program was built from.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

impl Tree {
    /// Reads the repository that this program was built from.
    pub fn of_this_repository() -> io::Result<Self> {
        let mut tree = Self::default();
        tree.read(&root(), "")?;
        Ok(tree)
    }

    /// Creates a tree of the given files.
    #[cfg(test)]
    pub fn planted(files: &[(&str, &str)]) -> Self {
        let mut tree = Self::default();
        for (path, text) in files {
            tree.add((*path).to_owned(), (*text).to_owned());
        }
        tree
    }

    /// Returns all files, in the order of their paths.
    pub fn files(&self) -> impl Iterator<Item = (&str, &str)> {
        self.files.iter().map(|(path, text)| (path.as_str(), text.as_str()))
    }

    /// Returns the files with an extension.
    pub fn with_extension(&self, extension: &str) -> impl Iterator<Item = (&str, &str)> {
        self.files().filter(move |(path, _)| Path::new(path).extension().is_some_and(|found| found == extension))
    }

    /// Returns the text of a file.
    pub fn text(&self, path: &str) -> Option<&str> {
        self.files.get(path).map(String::as_str)
    }

    /// True if the file or folder exists; the path of the root is empty.
    pub fn has(&self, path: &str) -> bool {
        path.is_empty() || self.files.contains_key(path) || self.folders.contains(path)
    }

    fn read(&mut self, folder: &Path, prefix: &str) -> io::Result<()> {
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if SKIPPED.contains(&name.as_str()) {
                continue;
            }
            let path = format!("{prefix}{name}");
            let file_type = entry.file_type()?;
            if file_type.is_dir() {
                self.read(&entry.path(), &format!("{path}/"))?;
            } else if file_type.is_file() {
                // A file that is not UTF-8 gets an empty text, so that it exists and no check reads it.
                self.add(path, String::from_utf8(fs::read(entry.path())?).unwrap_or_default());
            }
        }
        Ok(())
    }

    fn add(&mut self, path: String, text: String) {
        let ends_of_folders = path.match_indices('/').map(|(end, _)| path[..end].to_owned());
        self.folders.extend(ends_of_folders);
        self.files.insert(path, text);
    }
}
