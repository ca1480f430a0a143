//! The list of compatibility promises and their tests.
//!
//! `docs/compatibility.toml` is the list, and `docs/compatibility.md` is generated from it. `tidy/compatibility.rs` checks that the
//! tests exist. Nothing here runs a test.

use std::fmt::{self, Write as _};

use toml::{Table, Value};

use crate::tree::Tree;

pub const LIST: &str = "docs/compatibility.toml";
pub const PAGE: &str = "docs/compatibility.md";

const OPENING: &str = "\
# Compatibility

The behavior that Kubernetes clients expect of an API server, one promise in each row, and the tests that assert it for this server.
**M** (must): without it a common client fails, or data is at risk. **S** (should): clients work better with it. **N**: nice to have.
*pass* means that the test in the last column asserts the promise; any other result is the reason why there is no test.

This page is generated from [compatibility.toml](compatibility.toml): edit that, and run `cargo xtask compatibility`.
";

/// A group of promises.
#[derive(Debug, PartialEq, Eq)]
pub struct Section {
    pub id: String,
    pub title: String,
    pub items: Vec<Item>,
}

/// One promise.
#[derive(Debug, PartialEq, Eq)]
pub struct Item {
    /// The ID: that of the section, a hyphen, and a number or name.
    pub id: String,
    pub rank: Rank,
    pub promise: String,
    /// The tests that assert it: `crate::module::name`, or `path: name` for a check of a script.
    pub tests: Vec<String>,
    /// The reason if there are no tests; otherwise empty.
    pub reason: String,
}

/// The importance of a promise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rank {
    Must,
    Should,
    Nice,
}

impl Rank {
    const ALL: [Self; 3] = [Self::Must, Self::Should, Self::Nice];

    const fn letter(self) -> &'static str {
        match self {
            Self::Must => "M",
            Self::Should => "S",
            Self::Nice => "N",
        }
    }
}

impl fmt::Display for Rank {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.letter())
    }
}

/// Parses the list.
pub fn parse(text: &str) -> Result<Vec<Section>, String> {
    let list: Table = text.parse().map_err(|error| format!("cannot be read: {error}"))?;
    only(&list, &["section"])?;
    tables(&list, "section")?.into_iter().map(section).collect()
}

/// Returns the page for the list.
pub fn page(sections: &[Section], tree: &Tree) -> String {
    let mut text = OPENING.to_owned() + "\n" + &counts(sections);
    for section in sections {
        write!(
            text,
            "\n## {} {}\n\n| | rank | promise | result | proof |\n|---|---|---|---|---|\n",
            section.id, section.title
        )
        .expect("a String takes everything");
        for item in &section.items {
            let result = if item.tests.is_empty() { cell(&item.reason) } else { "pass".to_owned() };
            let proof: Vec<_> = item.tests.iter().map(|test| link(tree, test)).collect();
            writeln!(
                text,
                "| {} | {} | {} | {result} | {} |",
                item.id,
                item.rank,
                cell(&item.promise),
                proof.join("<br>")
            )
            .expect("a String takes everything");
        }
    }
    text
}

/// Returns the path of the file that contains a test.
pub fn place(tree: &Tree, test: &str) -> Option<String> {
    if let Some((path, name)) = test.split_once(": ") {
        return tree.text(path).is_some_and(|text| has_check(text, name)).then(|| path.to_owned());
    }
    let (module, name) = test.rsplit_once("::")?;
    let (crate_name, module) = module.split_once("::")?;
    let module = module.replace("::", "/");
    // The tests of a small module are in the file of the module.
    let modules = [Some(module.as_str()), module.strip_suffix("/tests")].into_iter().flatten();
    let folders = ["tests/it", "tests", "src"];
    let mut files =
        modules.flat_map(|module| folders.map(|folder| format!("crates/{crate_name}/{folder}/{module}.rs")));
    files.find(|path| tree.text(path).is_some_and(|text| has_test(text, name)))
}

/// True if the text has a test function of this name.
fn has_test(text: &str, name: &str) -> bool {
    let signature = format!("fn {name}(");
    let lines: Vec<_> = text.lines().map(str::trim_start).collect();
    lines.iter().enumerate().any(|(at, line)| {
        let is_it = line.strip_prefix("async ").unwrap_or(line).starts_with(&signature);
        let mut marks = lines[..at].iter().rev().take_while(|line| line.starts_with("#["));
        is_it && marks.any(|mark| mark.starts_with("#[test]") || mark.starts_with("#[tokio::test"))
    })
}

/// True if a script has a check of this name: a quoted text, possibly with the prefix `$V ` (kubectl version), or a function.
fn has_check(text: &str, name: &str) -> bool {
    let quoted = ["\"", "'", "`"].iter().any(|quote| text.contains(&format!("{quote}{name}{quote}")));
    let function = text.contains(&format!(" {name}("));
    quoted || function || text.contains(&format!("\"$V {name}\""))
}

fn counts(sections: &[Section]) -> String {
    let mut text =
        "| rank | promises | proven | without a test, for the reason given |\n|---|---|---|---|\n".to_owned();
    let items = || sections.iter().flat_map(|section| &section.items);
    for rank in Rank::ALL {
        let all = items().filter(|item| item.rank == rank).count();
        let proven = items().filter(|item| item.rank == rank && !item.tests.is_empty()).count();
        writeln!(text, "| {rank} | {all} | {proven} | {} |", all - proven).expect("a String takes everything");
    }
    text
}

fn link(tree: &Tree, test: &str) -> String {
    match place(tree, test) {
        Some(path) => format!("[`{}`](../{path})", cell(test)),
        None => format!("`{}`", cell(test)),
    }
}

/// Escapes a text for a table cell.
fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

fn section(table: &Table) -> Result<Section, String> {
    only(table, &["id", "title", "item"])?;
    let id = text(table, "id")?;
    let items: Result<Vec<_>, _> = tables(table, "item")?.into_iter().map(item).collect();
    let items = items?;
    if let Some(item) = items.iter().find(|item| !item.id.starts_with(&format!("{id}-"))) {
        return Err(format!("{} is in section {id}", item.id));
    }
    Ok(Section { id, title: text(table, "title")?, items })
}

fn item(table: &Table) -> Result<Item, String> {
    let id = text(table, "id")?;
    let read = || {
        only(table, &["id", "rank", "promise", "tests", "reason"])?;
        let rank = text(table, "rank")?;
        let rank = Rank::ALL.into_iter().find(|known| known.letter() == rank);
        let tests = table.get("tests").map_or(Some(Vec::new()), texts);
        Ok(Item {
            id: id.clone(),
            rank: rank.ok_or("the rank must be M, S or N")?,
            promise: text(table, "promise")?,
            tests: tests.ok_or("tests must be a list of names")?,
            reason: if table.contains_key("reason") { text(table, "reason")? } else { String::new() },
        })
    };
    read().map_err(|error: String| format!("{id}: {error}"))
}

/// Rejects unknown keys, such as misspelled ones.
fn only(table: &Table, known: &[&str]) -> Result<(), String> {
    let unknown = table.keys().find(|key| !known.contains(&key.as_str()));
    unknown.map_or(Ok(()), |key| Err(format!("unknown key {key}")))
}

fn text(table: &Table, key: &str) -> Result<String, String> {
    let text = table.get(key).and_then(Value::as_str).filter(|text| !text.is_empty());
    text.map(str::to_owned).ok_or_else(|| format!("{key} must be a text"))
}

fn texts(value: &Value) -> Option<Vec<String>> {
    value.as_array()?.iter().map(|text| text.as_str().map(str::to_owned)).collect()
}

fn tables<'a>(table: &'a Table, key: &str) -> Result<Vec<&'a Table>, String> {
    let tables = table.get(key).and_then(Value::as_array).and_then(|array| array.iter().map(Value::as_table).collect());
    tables.ok_or_else(|| format!("[[{key}]] is missing"))
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    const SHORT: &str = r#"
        [[section]]
        id = "2.4"
        title = "Update"
        [[section.item]]
        id = "2.4-1"
        rank = "M"
        promise = "`a|b` is replaced."
        tests = ["ipamd::patches::replaces", "tests/e2e/a.sh: an edit"]
        [[section.item]]
        id = "2.4-2"
        rank = "N"
        promise = "CBOR."
        reason = "not served yet"
    "#;

    #[test]
    fn page_has_a_row_for_each_promise_and_counts_by_rank() {
        let tree = Tree::planted(&[
            ("crates/ipamd/tests/it/patches.rs", "#[tokio::test]\nasync fn replaces() {}\n"),
            ("tests/e2e/a.sh", "does \"$V an edit\" k edit\n"),
        ]);
        let page = page(&parse(SHORT).unwrap(), &tree);
        expect![[r"

            | rank | promises | proven | without a test, for the reason given |
            |---|---|---|---|
            | M | 1 | 1 | 0 |
            | S | 0 | 0 | 0 |
            | N | 1 | 0 | 1 |

            ## 2.4 Update

            | | rank | promise | result | proof |
            |---|---|---|---|---|
            | 2.4-1 | M | `a\|b` is replaced. | pass | [`ipamd::patches::replaces`](../crates/ipamd/tests/it/patches.rs)<br>[`tests/e2e/a.sh: an edit`](../tests/e2e/a.sh) |
            | 2.4-2 | N | CBOR. | not served yet |  |
        "]]
        .assert_eq(page.strip_prefix(OPENING).unwrap());
    }

    #[test]
    fn test_names_resolve_to_files() {
        let of = |text: &'static str| move |path: &'static str| (path, text);
        let test =
            of("#[test]\nfn a() {}\n#[tokio::test(flavor = \"multi_thread\")]\n    async fn b() {}\nfn helper() {}\n");
        let script = of("# d\nis \"c 1\" x\nis \"$V d\" x\nfunc TestE(t *testing.T) {\n");
        let tree = Tree::planted(&[
            test("crates/x/tests/it/t.rs"),
            test("crates/x/tests/t2.rs"),
            test("crates/x/src/m/tests.rs"),
            test("crates/x/src/n.rs"),
            script("tests/e2e/s.sh"),
        ]);
        for (test, expected) in [
            ("x::t::a", Some("crates/x/tests/it/t.rs")),
            ("x::t::b", Some("crates/x/tests/it/t.rs")),
            ("x::t2::a", Some("crates/x/tests/t2.rs")),
            ("x::m::tests::a", Some("crates/x/src/m/tests.rs")),
            ("x::n::tests::a", Some("crates/x/src/n.rs")),
            ("x::t::helper", None),
            ("x::t::c", None),
            ("x::gone::a", None),
            ("y::t::a", None),
            ("a", None),
            ("tests/e2e/s.sh: c 1", Some("tests/e2e/s.sh")),
            ("tests/e2e/s.sh: d", Some("tests/e2e/s.sh")),
            ("tests/e2e/s.sh: TestE", Some("tests/e2e/s.sh")),
            ("tests/e2e/s.sh: c", None),
            ("tests/e2e/gone.sh: c 1", None),
        ] {
            assert_eq!(place(&tree, test).as_deref(), expected, "{test}");
        }
    }

    #[test]
    fn malformed_list_is_rejected() {
        let with = |from: &str, to: &str| parse(&SHORT.replacen(from, to, 1)).unwrap_err();
        assert_eq!(with("tests", "test"), "2.4-1: unknown key test");
        assert_eq!(with("\"M\"", "\"X\""), "2.4-1: the rank must be M, S or N");
        assert_eq!(with("2.4-2", "2.5-2"), "2.5-2 is in section 2.4");
        assert_eq!(with("title = \"Update\"", ""), "title must be a text");
        assert_eq!(with("\"not served yet\"", "1"), "2.4-2: reason must be a text");
        assert!(with("[[section]]", "[[section").starts_with("cannot be read: "));
        assert_eq!(parse(""), Err("[[section]] is missing".to_owned()));
    }
}
