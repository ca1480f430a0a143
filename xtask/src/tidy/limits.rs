//! Checks the limits: each constant of a `limits.rs` has a unit and existing tests, and `docs/limits.md` is up to date.

use super::Fault;
use crate::{
    limits::{self, Limit, PAGE},
    tree::Tree,
};

/// Returns the faults of the limits and of their page.
pub fn check(tree: &Tree) -> Vec<Fault> {
    let mut faults = Vec::new();
    for (path, text) in limits::files(tree) {
        for limit in limits::parse(text) {
            let messages = check_limit(tree, &limit).into_iter();
            faults.extend(messages.map(|message| Fault::new(path, limit.line, format!("{}: {message}", limit.name))));
        }
    }
    faults.extend(limits_elsewhere(tree));
    if limits::files(tree).next().is_some() && tree.text(PAGE) != Some(&limits::page(tree)) {
        faults.push(Fault::new(PAGE, 0, "differs from the limits.rs files: run `cargo xtask limits`"));
    }
    faults
}

/// Returns the constants whose name ends with `_MAX` that are outside the `limits.rs` of their crate.
fn limits_elsewhere(tree: &Tree) -> Vec<Fault> {
    let roots: Vec<_> = limits::files(tree).map(|(path, _)| path.trim_end_matches("limits.rs")).collect();
    let mut faults = Vec::new();
    for (path, text) in tree.files() {
        let is_source = path.rsplit_once('.').is_some_and(|(_, extension)| extension == "rs")
            && roots.iter().any(|root| path.starts_with(root));
        if !is_source || path.contains("/tests") || path.ends_with("/src/limits.rs") {
            continue;
        }
        let lines = text.lines().take_while(|line| *line != "#[cfg(test)]").enumerate();
        faults.extend(lines.filter_map(|(index, line)| {
            let (_, declaration) = line.split_once("const ")?;
            let name = declaration.split(':').next()?;
            let message = || format!("{name}: a limit must be in limits.rs, with its unit and its test");
            name.ends_with("_MAX").then(|| Fault::new(path, index + 1, message()))
        }));
    }
    faults
}

fn check_limit(tree: &Tree, limit: &Limit) -> Vec<String> {
    let mut messages = Vec::new();
    if limit.unit.is_empty() {
        messages.push("its documentation does not end with a paragraph `Unit: ... Test: ...`".to_owned());
    }
    if limit.tests.is_empty() {
        messages.push("no test is named".to_owned());
    }
    let missing = limit.tests.iter().filter(|test| !exists(tree, test));
    messages.extend(missing.map(|test| format!("there is no test {test}")));
    messages
}

fn exists(tree: &Tree, test: &str) -> bool {
    let Some((path, name)) = limits::split(test) else { return false };
    tree.text(path).is_some_and(|text| text.contains(&format!("fn {name}(")))
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;
    use crate::tidy::lines;

    const LIMITS: &str = "crates/x/src/limits.rs";

    fn tree(source: &str) -> Tree {
        let test = ("crates/x/tests/a.rs", "fn b() {}\n");
        let page = limits::page(&Tree::planted(&[(LIMITS, source), test]));
        Tree::planted(&[(LIMITS, source), (PAGE, &page), test])
    }

    #[test]
    fn limit_without_unit_or_existing_test_is_a_fault() {
        let source = "\
/// A.
pub const A: usize = 1;
/// B.
///
/// Unit: bytes. Test: `crates/x/tests/a.rs::b`, `crates/x/tests/a.rs::c`, `d`.
pub const B: usize = 1;
";
        expect![[r"
            crates/x/src/limits.rs:2: A: its documentation does not end with a paragraph `Unit: ... Test: ...`
            crates/x/src/limits.rs:2: A: no test is named
            crates/x/src/limits.rs:6: B: there is no test crates/x/tests/a.rs::c
            crates/x/src/limits.rs:6: B: there is no test d
        "]]
        .assert_eq(&lines(&check(&tree(source))));
    }

    #[test]
    fn limit_in_another_file_is_a_fault() {
        let source = "pub const A_MAX: usize = 1;\nconst A: usize = 1;\n#[cfg(test)]\nmod tests {\n    const B_MAX: usize = 1;\n}\n";
        let limits = tree("");
        let mut files: Vec<_> = limits.files().collect();
        files.extend([
            ("crates/x/src/a.rs", source),
            ("crates/x/src/tests/a.rs", source),
            ("crates/y/src/a.rs", source),
        ]);
        expect![[r"
            crates/x/src/a.rs:1: A_MAX: a limit must be in limits.rs, with its unit and its test
        "]]
        .assert_eq(&lines(&check(&Tree::planted(&files))));
    }

    #[test]
    fn page_that_differs_from_the_constants_is_a_fault() {
        let source = "/// A.\n///\n/// Unit: bytes. Test: `crates/x/tests/a.rs::b`.\npub const A: usize = 1;\n";
        let fresh = tree(source);
        assert_eq!(check(&fresh), []);
        let changed = source.replace("= 1", "= 2");
        let files: Vec<_> =
            fresh.files().map(|(path, text)| (path, if path == LIMITS { &changed } else { text })).collect();
        expect![[r"
            docs/limits.md: differs from the limits.rs files: run `cargo xtask limits`
        "]]
        .assert_eq(&lines(&check(&Tree::planted(&files))));
    }
}
