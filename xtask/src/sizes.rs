//! A report of the sizes of files and functions. It never fails.
//!
//! It relies on rustfmt: a function ends at the first closing brace with the indentation of its signature.

use std::fmt::Write as _;

use crate::tree::Tree;

/// Functions with more lines are listed.
const FUNCTION_LINES: usize = 70;
/// Files with more lines are listed.
const FILE_LINES: usize = 400;

/// Returns the report of all sources, without tests.
pub fn report(tree: &Tree) -> String {
    let sources = || tree.with_extension("rs").filter(|(path, _)| path.contains("/src/"));
    let files: Vec<(usize, String)> =
        sources().map(|(path, text)| (source_lines(text).count(), path.to_owned())).collect();
    let functions: Vec<(usize, String)> = sources()
        .flat_map(|(path, text)| {
            functions(text).into_iter().map(move |(name, lines)| (lines, format!("{path} {name}")))
        })
        .collect();
    section("files", files, FILE_LINES) + &section("functions", functions, FUNCTION_LINES)
}

fn section(what: &str, mut sizes: Vec<(usize, String)>, named: usize) -> String {
    sizes.sort_by(|a, b| b.cmp(a));
    let at = |share: usize| sizes.get(sizes.len() * share / 100).map_or(0, |(lines, _)| *lines);
    let mut text = format!("{} {what}: median {} lines, 90th percentile {}\n", sizes.len(), at(50), at(10));
    for (lines, name) in sizes.iter().take_while(|(lines, _)| *lines > named) {
        writeln!(text, "{lines:6} {name}").expect("a String takes everything");
    }
    text
}

/// Returns the lines before the tests of the file.
fn source_lines(text: &str) -> impl Iterator<Item = &str> {
    text.lines().take_while(|line| *line != "#[cfg(test)]")
}

/// Returns the names and line counts of the functions that have a body.
fn functions(text: &str) -> Vec<(String, usize)> {
    let mut found = Vec::new();
    let mut open: Vec<(usize, String, usize)> = Vec::new();
    for (number, line) in source_lines(text).enumerate() {
        let indent = line.len() - line.trim_start().len();
        if let Some(name) = function_name(line) {
            open.push((indent, name.to_owned(), number));
        }
        let closes =
            line.trim_start().starts_with('}') || (function_name(line).is_some() && line.ends_with(['}', ';']));
        if closes && open.last().is_some_and(|(opened, ..)| *opened == indent) {
            found.extend(open.pop().map(|(_, name, start)| (name, number + 1 - start)));
        }
    }
    found
}

/// Returns the name of the function whose signature begins in this line.
fn function_name(line: &str) -> Option<&str> {
    let (before, after) = line.split_once("fn ")?;
    let is_signature = before.split_whitespace().all(|word| {
        matches!(word, "async" | "const" | "unsafe" | "extern" | "default")
            || word.starts_with("pub")
            || word.starts_with('"')
    });
    let name = after.split(|c: char| !c.is_alphanumeric() && c != '_').next()?;
    (is_signature && !name.is_empty()).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_are_measured_from_signature_to_brace() {
        let text = "\
fn one() {}

impl A {
    pub(crate) async fn three(
        &self,
    ) {
        fn inner() {
        }
        if a {
        }
    }
}

#[cfg(test)]
mod tests {
    fn unseen() {
    }
}
";
        let found = functions(text);
        let expected = [("one", 1), ("inner", 2), ("three", 8)];
        assert_eq!(found, expected.map(|(name, lines)| (name.to_owned(), lines)));
    }

    #[test]
    fn report_lists_long_functions() {
        let body = "    a();\n".repeat(FUNCTION_LINES);
        let tree = Tree::planted(&[("crates/a/src/lib.rs", &format!("fn long() {{\n{body}}}\nfn short() {{\n}}\n"))]);
        let report = report(&tree);
        assert!(
            report.contains("2 functions: median 2 lines, 90th percentile 72\n    72 crates/a/src/lib.rs long\n"),
            "{report}"
        );
    }
}
