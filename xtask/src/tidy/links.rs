//! Checks that the targets of relative links in Markdown exist: files or folders of the tree, and headings.
//!
//! Links to other sites are not checked, because that requires a network.

use std::{collections::BTreeMap, path::Path};

use super::Fault;
use crate::tree::Tree;

/// Returns the broken links.
pub fn check(tree: &Tree) -> Vec<Fault> {
    tree.with_extension("md")
        .flat_map(|(path, text)| {
            let links = prose(text).flat_map(|(number, line)| targets(&line).map(move |target| (number, target)));
            let faults = links.filter_map(|(number, target)| {
                let message = broken(tree, path, &target)?;
                Some(Fault::new(path, number, message))
            });
            faults.collect::<Vec<_>>()
        })
        .collect()
}

/// Returns the fault of a link, if it has one.
fn broken(tree: &Tree, path: &str, target: &str) -> Option<String> {
    if target.contains("://") || target.starts_with("mailto:") {
        return None;
    }
    let (file, anchor) = target.split_once('#').map_or((target, None), |(file, anchor)| (file, Some(anchor)));
    let file = if file.is_empty() { Some(path.to_owned()) } else { resolve(path, file) };
    let Some(file) = file.filter(|file| tree.has(file)) else {
        return Some(format!("the link {target} does not exist in this tree"));
    };
    let is_markdown = Path::new(&file).extension().is_some_and(|extension| extension == "md");
    let anchor = anchor.filter(|_| is_markdown)?;
    let headings = headings(tree.text(&file)?);
    (!headings.iter().any(|heading| heading == anchor)).then(|| format!("the link {target} has no heading"))
}

/// Resolves `target` relative to the file `path`. Returns `None` if it is outside the tree.
fn resolve(path: &str, target: &str) -> Option<String> {
    let mut parts: Vec<&str> = path.split('/').collect();
    parts.pop();
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()?),
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

/// Returns the lines of a text outside code blocks, without code spans, and their numbers.
fn prose(text: &str) -> impl Iterator<Item = (usize, String)> {
    let mut fenced = false;
    (1..).zip(text.lines()).filter_map(move |(number, line)| {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
            return None;
        }
        (!fenced).then(|| (number, line.split('`').step_by(2).collect::<Vec<_>>().join("`")))
    })
}

/// Returns the link targets in a line: `[text](target)`, `[text](target "title")` and `[name]: target`.
fn targets(line: &str) -> impl Iterator<Item = String> + use<> {
    let definition =
        line.strip_prefix('[').and_then(|rest| rest.split_once("]: ")).map(|(_, target)| target.to_owned());
    let inline: Vec<String> =
        line.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(target, _)| target.to_owned()).collect();
    definition.into_iter().chain(inline).filter_map(|target| target.split_whitespace().next().map(str::to_owned))
}

/// Returns the anchors of the headings of a text, as GitHub generates them.
fn headings(text: &str) -> Vec<String> {
    let mut seen = BTreeMap::<String, usize>::new();
    let titles = text.lines().filter(|line| line.starts_with('#')).map(|line| line.trim_start_matches('#').trim());
    titles
        .map(|title| {
            let kept = title.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
            let anchor: String = kept.flat_map(char::to_lowercase).map(|c| if c == ' ' { '-' } else { c }).collect();
            let count = seen.entry(anchor.clone()).or_default();
            *count += 1;
            if *count == 1 { anchor } else { format!("{anchor}-{}", *count - 1) }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;
    use crate::tidy::lines;

    #[test]
    fn link_to_missing_file_is_a_fault() {
        let tree = Tree::planted(&[
            ("README.md", "[a](docs/a.md)\n[b](docs/b.md) and [c](docs/a.md \"title\")\n[d]: gone.md\n"),
            ("docs/a.md", "[up](../README.md) [out](../../README.md) [folder](../docs) [root](..)\n"),
        ]);
        expect![[r"
            README.md:2: the link docs/b.md does not exist in this tree
            README.md:3: the link gone.md does not exist in this tree
            docs/a.md:1: the link ../../README.md does not exist in this tree
        "]]
        .assert_eq(&lines(&check(&tree)));
    }

    #[test]
    fn link_to_missing_heading_is_a_fault() {
        let tree = Tree::planted(&[
            ("a.md", "# One, two: `three`\n## Same\n## Same\n[1](#one-two-three) [2](#same-1) [3](#same-2)\n"),
            ("b.md", "[1](a.md#same) [2](a.md#four)\n"),
        ]);
        expect![[r"
            a.md:4: the link #same-2 has no heading
            b.md:1: the link a.md#four has no heading
        "]]
        .assert_eq(&lines(&check(&tree)));
    }

    #[test]
    fn links_in_code_and_to_other_sites_are_ignored() {
        let text = "`[a](gone)` [b](https://example.org/gone)\n```\n[c](gone)\n```\n[d](mailto:a@example.org)\n";
        assert_eq!(check(&Tree::planted(&[("a.md", text)])), []);
    }
}
