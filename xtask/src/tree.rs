//! The files of a repository, in memory.
//!
//! The checks look at this instead of at a disk, so that a test plants a fault by writing a line of text.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::{Path, PathBuf},
};

/// What holds nothing that a person wrote; `.git` is a file in a linked worktree.
const SKIPPED: [&str; 6] = [".git", "target", "data", "corpus", "artifacts", "node_modules"];

/// Text files by their path from the root, with `/` between the parts.
#[derive(Clone, Debug, Default)]
pub struct Tree {
    files: BTreeMap<String, String>,
    folders: BTreeSet<String>,
}

/// The folder of the repository that this program was built from.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

impl Tree {
    /// The repository that this program was built from.
    pub fn of_this_repository() -> io::Result<Self> {
        let mut tree = Self::default();
        tree.read(&root(), "")?;
        Ok(tree)
    }

    /// A tree of these files.
    #[cfg(test)]
    pub fn planted(files: &[(&str, &str)]) -> Self {
        let mut tree = Self::default();
        for (path, text) in files {
            tree.add((*path).to_owned(), (*text).to_owned());
        }
        tree
    }

    /// All files, in order of path.
    pub fn files(&self) -> impl Iterator<Item = (&str, &str)> {
        self.files.iter().map(|(path, text)| (path.as_str(), text.as_str()))
    }

    /// The files whose name ends with `.extension`.
    pub fn with_extension(&self, extension: &str) -> impl Iterator<Item = (&str, &str)> {
        self.files().filter(move |(path, _)| Path::new(path).extension().is_some_and(|found| found == extension))
    }

    /// The text of a file.
    pub fn text(&self, path: &str) -> Option<&str> {
        self.files.get(path).map(String::as_str)
    }

    /// Whether there is a file or a folder of this path; the root's is empty.
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
                // What is no UTF-8 is no text: it exists, and no check looks into it.
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
