//! Checks all text files for tabs, trailing whitespace, paths of one machine and markers of unfinished work.

use std::path::Path;

use super::Fault;
use crate::tree::Tree;

/// The extensions of files that people write. Files without an extension are checked too.
const EXTENSIONS: [&str; 8] = ["json", "md", "py", "rs", "sh", "sql", "toml", "yaml"];

/// Markers of unfinished work, which must be an issue instead.
const MARKERS: [&str; 3] = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X")];

/// Beginnings of paths that exist only on one machine.
const MACHINE_PATHS: [&str; 4] =
    [concat!("/ho", "me/"), concat!("/ro", "ot/"), concat!("/wo", "rk/"), concat!("/Us", "ers/")];

/// Returns the faults in lines of text.
pub fn check(tree: &Tree) -> Vec<Fault> {
    tree.files().filter(|(path, _)| is_written(path)).flat_map(|(path, text)| check_file(path, text)).collect()
}

fn is_written(path: &str) -> bool {
    match Path::new(path).extension().and_then(|extension| extension.to_str()) {
        Some(extension) => EXTENSIONS.contains(&extension),
        None => true,
    }
}

fn check_file(path: &str, text: &str) -> Vec<Fault> {
    let mut faults = Vec::new();
    for (line, number) in text.split_terminator('\n').zip(1..) {
        faults.extend(check_line(path, line).map(|message| Fault::new(path, number, message)));
    }
    if !text.is_empty() && (!text.ends_with('\n') || text.ends_with("\n\n")) {
        faults.push(Fault::new(path, 0, "does not end with exactly one line break"));
    }
    faults
}

fn check_line(path: &str, line: &str) -> impl Iterator<Item = String> {
    let is_recipe = path.ends_with("Makefile") && line.starts_with('\t');
    let body = if is_recipe { &line[1..] } else { line };
    let tab = body.contains('\t').then(|| "has a tab".to_owned());
    let trailing = line.ends_with([' ', '\t', '\r']).then(|| "ends with whitespace".to_owned());
    let marker = MARKERS.iter().find(|marker| has_word(line, marker));
    let machine = MACHINE_PATHS.iter().filter(|_| path != file!()).find(|start| has_path(line, start));
    [
        tab,
        trailing,
        marker.map(|marker| format!("has the marker {marker}: finish it, or create an issue")),
        machine.map(|start| format!("names a path of one machine ({start}...)")),
    ]
    .into_iter()
    .flatten()
}

/// True if the line contains `word` as a whole word.
fn has_word(line: &str, word: &str) -> bool {
    line.split(|c: char| !c.is_alphanumeric() && c != '_').any(|found| found == word)
}

/// True if a path in the line begins with `start`.
fn has_path(line: &str, start: &str) -> bool {
    line.match_indices(start)
        .any(|(at, _)| !line[..at].ends_with(|c: char| c.is_alphanumeric() || "._-$}~".contains(c)))
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;
    use crate::tidy::lines;

    #[expect(clippy::needless_pass_by_value, reason = "reads as a table")]
    fn check_one(path: &str, text: &str, expected: Expect) {
        expected.assert_eq(&lines(&check(&Tree::planted(&[(path, text)]))));
    }

    #[test]
    fn tabs_and_trailing_whitespace_are_faults() {
        check_one(
            "a.rs",
            "//! A.\n\tlet a;\nlet b; \nlet c;\r\n",
            expect![[r"
                a.rs:2: has a tab
                a.rs:3: ends with whitespace
                a.rs:4: ends with whitespace
            "]],
        );
        check_one("Makefile", "all:\n\tcargo build\n", expect![""]);
        check_one(
            "Makefile",
            "all:\n\tcargo\tbuild\n",
            expect![[r"
                Makefile:2: has a tab
            "]],
        );
    }

    #[test]
    fn file_must_end_with_one_line_break() {
        for end in ["", "\n\n"] {
            check_one(
                "a.md",
                &format!("A.{end}"),
                expect![[r"
                    a.md: does not end with exactly one line break
                "]],
            );
        }
        check_one("a.md", "A.\n", expect![""]);
        check_one("a.md", "", expect![""]);
    }

    #[test]
    fn markers_of_unfinished_work_are_faults() {
        for marker in MARKERS {
            let tree = Tree::planted(&[("a.sh", &format!("# {marker}: later\n")), ("b.sh", &format!("{marker}S=1\n"))]);
            let faults = check(&tree);
            assert_eq!(faults.len(), 1, "{marker}: {}", lines(&faults));
        }
    }

    #[test]
    fn machine_paths_are_faults() {
        for start in MACHINE_PATHS {
            let tree = Tree::planted(&[
                ("a.toml", &format!("path = \"{start}user\"\n")),
                ("b.toml", &format!("path = \"docs{start}ers\"\n")),
            ]);
            let faults = check(&tree);
            assert_eq!(faults.len(), 1, "{start}: {}", lines(&faults));
        }
    }

    #[test]
    fn files_with_other_extensions_are_ignored() {
        check_one("Cargo.lock", "\t\n", expect![""]);
    }
}
