//! The checks of the tree. Each check is a function from the tree to its faults.
//!
//! Formatting and lints are checked by rustfmt and clippy.

mod arrows;
mod compatibility;
mod cycles;
mod limits;
mod links;
mod opening;
mod purity;
mod shown;
mod text;
mod words;

use std::fmt;

use crate::tree::Tree;

/// A fault in the tree.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fault {
    /// The file.
    path: String,
    /// The line, from 1; 0 for the whole file.
    line: usize,
    /// The description.
    message: String,
}

impl Fault {
    fn new(path: &str, line: usize, message: impl Into<String>) -> Self {
        Self { path: path.to_owned(), line, message: message.into() }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}: {}", self.path, self.message),
            line => write!(f, "{}:{line}: {}", self.path, self.message),
        }
    }
}

/// Returns the faults of all checks.
pub fn faults(tree: &Tree) -> Vec<Fault> {
    [
        arrows::check,
        cycles::check,
        purity::check,
        links::check,
        opening::check,
        shown::check,
        text::check,
        compatibility::check,
        limits::check,
        words::check,
    ]
    .iter()
    .flat_map(|check| check(tree))
    .collect()
}

/// Formats faults as lines, for the tests of the checks.
#[cfg(test)]
fn lines(faults: &[Fault]) -> String {
    faults.iter().map(ToString::to_string).map(|line| line + "\n").collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One test for each check of this repository, so that `cargo test` reports the check that fails.
    macro_rules! this_repository {
        ($($check:ident),*) => {$(
            #[test]
            fn $check() {
                let tree = Tree::of_this_repository().unwrap();
                let faults = super::$check::check(&tree);
                assert!(faults.is_empty(), "\n{}", lines(&faults));
            }
        )*};
    }
    this_repository!(arrows, cycles, purity, links, opening, shown, text, compatibility, limits, words);

    #[test]
    fn faults_of_all_checks_are_collected() {
        let tree = Tree::planted(&[
            ("crates/address/Cargo.toml", "[dependencies]\nstore.workspace = true\n"),
            ("crates/address/src/lib.rs", "use std::fs;\n"),
            ("README.md", "[gone](gone.md) \n"),
        ]);
        let mut paths: Vec<_> = faults(&tree).into_iter().map(|fault| (fault.path, fault.line)).collect();
        paths.dedup();
        let expected = [
            ("crates/address/Cargo.toml", 0),
            ("crates/address/src/lib.rs", 1),
            ("README.md", 1),
            ("crates/address/src/lib.rs", 1),
            ("README.md", 1),
            ("docs/compatibility.toml", 0),
        ];
        assert_eq!(paths, expected.map(|(path, line)| (path.to_owned(), line)));
    }
}
