//! Checks that a code block in Markdown whose opening line names a file has the exact contents of that file.
//!
//! The tests run the files, so the examples on the pages work. Blocks without a file name are not checked.

use super::Fault;
use crate::tree::Tree;

/// Returns the code blocks that differ from their files.
pub fn check(tree: &Tree) -> Vec<Fault> {
    tree.with_extension("md")
        .flat_map(|(path, text)| {
            blocks(text).into_iter().filter_map(move |block| {
                let message = differs(tree, &block)?;
                Some(Fault::new(path, block.line, message))
            })
        })
        .collect()
}

fn differs(tree: &Tree, block: &Block<'_>) -> Option<String> {
    let file = block.file?;
    match tree.text(file) {
        None => Some(format!("the block names {file}, which does not exist in this tree")),
        Some(text) => (text != block.text).then(|| format!("the block differs from {file}")),
    }
}

/// A fenced block of code.
struct Block<'a> {
    /// The number of the opening line.
    line: usize,
    /// The second word of the opening line, after the language.
    file: Option<&'a str>,
    /// The contents.
    text: String,
}

fn blocks(text: &str) -> Vec<Block<'_>> {
    let mut blocks = Vec::new();
    let mut open: Option<Block<'_>> = None;
    for (number, line) in (1..).zip(text.lines()) {
        match (&mut open, line.strip_prefix("```")) {
            (None, Some(opening)) => {
                open = Some(Block { line: number, file: opening.split_whitespace().nth(1), text: String::new() });
            }
            (Some(_), Some(_)) => blocks.extend(open.take()),
            (Some(block), None) => block.text.extend([line, "\n"]),
            (None, None) => {}
        }
    }
    blocks
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;
    use crate::tidy::lines;

    #[test]
    fn code_block_that_differs_from_its_file_is_a_fault() {
        let page =
            "```yaml a.yaml\na: 1\n```\n\n```yaml a.yaml\na: 2\n```\n```yaml gone.yaml\n```\n```yaml\na: 3\n```\n";
        let tree = Tree::planted(&[("a.yaml", "a: 1\n"), ("page.md", page)]);
        expect![[r"
            page.md:5: the block differs from a.yaml
            page.md:8: the block names gone.yaml, which does not exist in this tree
        "]]
        .assert_eq(&lines(&check(&tree)));
    }
}
