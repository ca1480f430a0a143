//! Checks that every Rust file begins with module documentation.

use super::Fault;
use crate::tree::Tree;

/// Returns the Rust files that do not begin with `//!`.
pub fn check(tree: &Tree) -> Vec<Fault> {
    tree.with_extension("rs")
        .filter(|(_, text)| !text.starts_with("//! "))
        .map(|(path, _)| Fault::new(path, 1, "has no module documentation (`//!`) in its first line"))
        .collect()
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;
    use crate::tidy::lines;

    #[test]
    fn file_without_module_documentation_is_a_fault() {
        let tree = Tree::planted(&[
            ("a.rs", "//! A thing.\n"),
            ("b.rs", "use std::fmt;\n"),
            ("c.rs", ""),
            ("d.rs", "//!\n//! Late.\n"),
        ]);
        expect![[r"
            b.rs:1: has no module documentation (`//!`) in its first line
            c.rs:1: has no module documentation (`//!`) in its first line
            d.rs:1: has no module documentation (`//!`) in its first line
        "]]
        .assert_eq(&lines(&check(&tree)));
    }
}
