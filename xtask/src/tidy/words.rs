//! Words that a reader of this repository would have to ask about, each with what to write in its place.
//!
//! They come from an earlier vocabulary of this code. A word is found in every case, and inside identifiers of several words.

use std::path::Path;

use super::Fault;
use crate::tree::Tree;

/// Words that are nowhere, and what to write in their place.
const WORDS: [(&str, &str); 14] = [
    ("whoever", "the caller, the client, the replica"),
    ("somebody", "a caller, a client, another process"),
    ("anybody", "any caller, any client"),
    ("everybody", "every caller, all clients"),
    ("nobody", "no caller, no client; or say what does not happen"),
    ("wish", "read set, request"),
    ("wishes", "read sets, requests"),
    ("crew", "commit context"),
    ("guise", "impersonated user"),
    ("ears", "listener"),
    ("voyage", "transaction"),
    ("sea", "lossy store"),
    ("anew", "again"),
    ("whence", "from which"),
];

/// A word that comments and pages do not have: it stood for *after*, *through* and *on top of*.
const BEHIND: (&str, &str) = ("behind", "after, later than, through, in addition to");

/// The files that people write.
const EXTENSIONS: [&str; 13] =
    ["go", "java", "js", "json", "md", "mjs", "py", "rs", "sh", "sql", "toml", "yaml", "yml"];

/// Files that name the words: this one, and the page that maps earlier names to the present ones.
const EXEMPT: [&str; 2] = ["xtask/src/tidy/words.rs", "docs/renamed.md"];

/// The words in the lines of the tree.
pub fn check(tree: &Tree) -> Vec<Fault> {
    tree.files()
        .filter(|(path, _)| is_written(path) && !EXEMPT.contains(path))
        .flat_map(|(path, text)| check_file(path, text))
        .collect()
}

fn is_written(path: &str) -> bool {
    let extension = Path::new(path).extension().and_then(|extension| extension.to_str());
    extension.is_none_or(|extension| EXTENSIONS.contains(&extension)) && path != "LICENSE"
}

fn check_file<'a>(path: &'a str, text: &'a str) -> impl Iterator<Item = Fault> + 'a {
    text.lines().zip(1..).flat_map(move |(line, number)| {
        let everywhere = WORDS.iter().filter(move |(word, _)| has_word(line, word));
        let in_prose = Some(&BEHIND).filter(|(word, _)| has_word(prose(path, line), word));
        let found = everywhere.chain(in_prose);
        found.map(move |(word, instead)| Fault::new(path, number, format!("`{word}`: write {instead}")))
    })
}

/// The part of a line that is prose: of a page all of it, otherwise the comment.
fn prose<'a>(path: &str, line: &'a str) -> &'a str {
    let start = match Path::new(path).extension().and_then(|extension| extension.to_str()) {
        Some("md") => return line,
        Some("rs" | "go" | "java" | "js" | "mjs") => "//",
        Some("sql") => "--",
        _ => "#",
    };
    line.find(start).map_or("", |at| &line[at..])
}

fn has_word(line: &str, word: &str) -> bool {
    line.split(|c: char| !c.is_alphanumeric()).any(|found| found.eq_ignore_ascii_case(word))
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;
    use crate::tidy::lines;

    #[test]
    fn word_is_found_in_prose_and_in_identifiers_with_its_replacement() {
        let tree = Tree::planted(&[
            ("a.rs", "//! A.\nlet nobody_reads = Crew::new();\n"),
            ("b.md", "Whoever reads this.\n"),
            ("Makefile", "all: ## Sweeps the sea\n"),
            ("c.rs", "// nobodys search season\n"),
        ]);
        expect![[r"
            Makefile:1: `sea`: write lossy store
            a.rs:2: `nobody`: write no caller, no client; or say what does not happen
            a.rs:2: `crew`: write commit context
            b.md:1: `whoever`: write the caller, the client, the replica
        "]]
        .assert_eq(&lines(&check(&tree)));
    }

    #[test]
    fn behind_is_found_in_comments_and_pages_alone() {
        let tree = Tree::planted(&[
            ("a.rs", "//! A.\nlet behind = 1; // one behind\n"),
            ("b.md", "behind\n"),
            ("c.sh", "is_behind # no\n"),
        ]);
        let faults = check(&tree);
        let found: Vec<_> = faults.iter().map(|fault| (fault.path.as_str(), fault.line)).collect();
        assert_eq!(found, [("a.rs", 2), ("b.md", 1)]);
    }
}
