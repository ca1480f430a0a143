//! The limits of the service: the constants of every `limits.rs`, and the page that is generated from them.
//!
//! The documentation of a constant describes the limit. Its last paragraph has the form
//! `Unit: bytes. Flag: --max-body. Test: path::function.`: the unit, the flag that sets the limit (optional), and the tests that
//! fail without it. `docs/limits.md` is generated from it; `tidy/limits.rs` checks it.

use std::{collections::BTreeMap, fmt::Write as _};

use crate::tree::Tree;

pub const PAGE: &str = "docs/limits.md";

const OPENING: &str = "\
# Limits

Every limit of the service: its meaning, its value, the flag that sets it if there is one, and the tests of it.
The value of a limit with a flag is the default.

This page is generated from the `limits.rs` files of the crates: edit those, and run `cargo xtask limits`.
";

/// A constant of a `limits.rs`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limit {
    pub name: String,
    /// The line of the constant, from 1.
    pub line: usize,
    /// The first paragraph of its documentation.
    pub text: String,
    /// The expression in the source.
    pub expression: String,
    pub unit: String,
    pub flag: Option<String>,
    /// `path::function` of each test.
    pub tests: Vec<String>,
}

/// Returns the files with limits, in the order of their paths.
pub fn files(tree: &Tree) -> impl Iterator<Item = (&str, &str)> {
    tree.files().filter(|(path, _)| path.starts_with("crates/") && path.ends_with("/src/limits.rs"))
}

/// Parses the constants of a file, in their order.
pub fn parse(text: &str) -> Vec<Limit> {
    let mut limits = Vec::new();
    let mut documentation: Vec<&str> = Vec::new();
    let lines: Vec<&str> = text.lines().collect();
    for (index, line) in lines.iter().enumerate() {
        if let Some(comment) = line.trim_start().strip_prefix("///") {
            documentation.push(comment.trim());
            continue;
        }
        let declaration = line.strip_prefix("pub const ").or_else(|| line.strip_prefix("pub(crate) const "));
        if let Some(declaration) = declaration {
            // rustfmt breaks a long constant after the equals sign.
            let whole = lines[index..].iter().map(|line| line.trim()).collect::<Vec<_>>().join(" ");
            let expression =
                whole.split_once("= ").and_then(|(_, rest)| rest.split_once(';')).map_or("", |found| found.0);
            let name = declaration.split(':').next().unwrap_or_default();
            limits.push(limit(name, index + 1, &documentation, expression));
        }
        documentation.clear();
    }
    limits
}

/// Returns the page for the files.
pub fn page(tree: &Tree) -> String {
    let mut page = OPENING.to_owned();
    for (path, text) in files(tree) {
        let limits = parse(text);
        let values = values(&limits);
        let name = path.trim_start_matches("crates/").trim_end_matches("/src/limits.rs");
        let _ = write!(page, "\n## {name}\n\n| limit | value | flag | test | constant |\n|---|---|---|---|---|\n");
        for limit in &limits {
            let value =
                values.get(limit.name.as_str()).map_or_else(|| limit.expression.clone(), |&n| shown(n, &limit.unit));
            let flag = limit.flag.as_ref().map_or(String::new(), |flag| format!("`{flag}`"));
            let tests: Vec<_> = limit.tests.iter().map(|test| link(test)).collect();
            let _ = writeln!(
                page,
                "| {} | {value} | {flag} | {} | `{}` |",
                cell(&limit.text),
                tests.join("<br>"),
                limit.name
            );
        }
    }
    page
}

/// Splits the name of a test into the file and the function.
pub fn split(test: &str) -> Option<(&str, &str)> {
    test.rsplit_once("::")
}

fn limit(name: &str, line: usize, documentation: &[&str], expression: &str) -> Limit {
    let paragraphs = documentation.split(|line| line.is_empty()).map(|lines| lines.join(" "));
    let (mut text, mut facts) = (String::new(), String::new());
    for paragraph in paragraphs {
        if paragraph.starts_with("Unit: ") {
            facts = paragraph;
        } else if text.is_empty() {
            text = paragraph;
        }
    }
    let fact = |key: &str| {
        let (_, rest) = facts.split_once(key)?;
        let end = [". Flag: ", ". Test: "].iter().filter_map(|next| rest.find(next)).min();
        Some(rest[..end.unwrap_or(rest.len())].trim_end_matches('.').replace('`', ""))
    };
    Limit {
        name: name.to_owned(),
        line,
        text,
        expression: expression.to_owned(),
        unit: fact("Unit: ").unwrap_or_default(),
        flag: fact("Flag: "),
        tests: fact("Test: ").map(|tests| tests.split(", ").map(str::to_owned).collect()).unwrap_or_default(),
    }
}

/// Returns the values of all constants that are integers or durations; durations in milliseconds.
fn values(limits: &[Limit]) -> BTreeMap<&str, u128> {
    let mut values = BTreeMap::new();
    for limit in limits {
        if let Some(value) = evaluate(&limit.expression, &values) {
            values.insert(limit.name.as_str(), value);
        }
    }
    values
}

/// Evaluates a product, quotient or shift of numbers and earlier constants, or a duration of one. Returns `None` for other
/// expressions.
fn evaluate(expression: &str, known: &BTreeMap<&str, u128>) -> Option<u128> {
    let expression = expression.trim();
    if let Some(call) = expression.strip_prefix("Duration::from_") {
        let (unit, argument) = call.strip_suffix(')')?.split_once('(')?;
        let milliseconds = match unit {
            "millis" => 1,
            "secs" => 1_000,
            "mins" => 60_000,
            "hours" => 3_600_000,
            _ => return None,
        };
        return evaluate(argument, known)?.checked_mul(milliseconds);
    }
    let mut words = expression.split_whitespace();
    let mut value = operand(words.next()?, known)?;
    while let Some(operator) = words.next() {
        let right = operand(words.next()?, known)?;
        value = match operator {
            "*" => value.checked_mul(right)?,
            "/" => value.checked_div(right)?,
            "<<" => value.checked_shl(u32::try_from(right).ok()?)?,
            _ => return None,
        };
    }
    Some(value)
}

fn operand(word: &str, known: &BTreeMap<&str, u128>) -> Option<u128> {
    known.get(word).copied().or_else(|| word.replace('_', "").parse().ok())
}

/// Formats a value: bytes and times in the largest unit that divides them, counts with thousands separators.
fn shown(value: u128, unit: &str) -> String {
    let fills = |units: &[(u128, &str)]| {
        let fitting = units.iter().find(|(size, _)| value >= *size && value.is_multiple_of(*size));
        fitting.map(|(size, name)| format!("{} {name}", commas(value / size)))
    };
    match unit {
        "bytes" => fills(&[(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB"), (1, "bytes")]),
        "time" => fills(&[(3_600_000, "h"), (60_000, "min"), (1_000, "s"), (1, "ms")]),
        _ => None,
    }
    .unwrap_or_else(|| format!("{} {unit}", commas(value)))
}

fn commas(value: u128) -> String {
    let digits = value.to_string();
    let groups: Vec<&str> =
        digits.as_bytes().rchunks(3).rev().filter_map(|group| std::str::from_utf8(group).ok()).collect();
    groups.join(",")
}

fn link(test: &str) -> String {
    match split(test) {
        Some((path, name)) => format!("[`{name}`](../{path})"),
        None => format!("`{test}`"),
    }
}

/// Escapes a text for a table cell, and removes rustdoc links, which are invalid on the page.
fn cell(text: &str) -> String {
    text.replace("[`", "`").replace("`]", "`").replace('|', "\\|")
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    const SOURCE: &str = "\
use std::time::Duration;

/// The longest request body, as [`kube`]'s:
/// both.
///
/// More about it.
///
/// Unit: bytes. Flag: `--max-body`. Test: `crates/x/tests/it/a.rs::b`,
/// `crates/x/src/c.rs::d`.
pub const BODY_BYTES_MAX: usize = 3 * 1024 * 1024;
/// Half of it.
///
/// Unit: bytes. Test: `t.rs::e`.
pub const HALF: usize = BODY_BYTES_MAX / 2;
/// Age.
///
/// Unit: time. Test: `t.rs::f`.
pub(crate) const AGE: Duration =
    Duration::from_secs(90);
/// Many.
pub const MANY: usize = 1 << 20;
";

    #[test]
    fn page_shows_every_constant_with_value_flag_and_tests() {
        let tree = Tree::planted(&[("crates/x/src/limits.rs", SOURCE)]);
        expect![[r"

            ## x

            | limit | value | flag | test | constant |
            |---|---|---|---|---|
            | The longest request body, as `kube`'s: both. | 3 MiB | `--max-body` | [`b`](../crates/x/tests/it/a.rs)<br>[`d`](../crates/x/src/c.rs) | `BODY_BYTES_MAX` |
            | Half of it. | 1,536 KiB |  | [`e`](../t.rs) | `HALF` |
            | Age. | 90 s |  | [`f`](../t.rs) | `AGE` |
            | Many. | 1,048,576  |  |  | `MANY` |
        "]]
        .assert_eq(page(&tree).strip_prefix(OPENING).unwrap());
    }

    #[test]
    fn unsupported_expressions_have_no_value() {
        for expression in ["", "1 +", "1 + 1", "unknown", "Duration::from_nanos(1)", "Duration::ZERO", "1 / 0"] {
            assert_eq!(evaluate(expression, &BTreeMap::new()), None, "{expression}");
        }
    }
}
