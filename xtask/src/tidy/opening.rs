//! Every Rust file says first what it is.

use super::Fault;
use crate::tree::Tree;

/// Rust files that do not open with `//!`.
pub fn check(tree: &Tree) -> Vec<Fault> {
    tree.with_extension("rs")
        .filter(|(_, text)| !text.starts_with("//! "))
        .map(|(path, _)| Fault::new(path, 1, "opens without `//!`: what is it, and what does it deliberately not do?"))
        .collect()
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;
    use crate::tidy::lines;

    #[test]
    fn a_file_without_an_opening_is_a_fault() {
        let tree = Tree::planted(&[
            ("a.rs", "//! A thing.\n"),
            ("b.rs", "use std::fmt;\n"),
            ("c.rs", ""),
            ("d.rs", "//!\n//! Late.\n"),
        ]);
        expect![[r"
            b.rs:1: opens without `//!`: what is it, and what does it deliberately not do?
            c.rs:1: opens without `//!`: what is it, and what does it deliberately not do?
            d.rs:1: opens without `//!`: what is it, and what does it deliberately not do?
        "]]
        .assert_eq(&lines(&check(&tree)));
    }
}
