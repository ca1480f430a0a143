//! Checks the compatibility list: each promise has existing tests or a reason, and the page is up to date.

use std::collections::BTreeSet;

use super::Fault;
use crate::{
    compatibility::{self, Item, LIST, PAGE, Rank},
    tree::Tree,
};

/// The beginning of the reason of a promise that is planned, and the sections in which a promise of rank M may have it.
const LATER: (&str, &str) = ("later issue", "7.");

/// Returns the faults of the list and of its page.
pub fn check(tree: &Tree) -> Vec<Fault> {
    let Some(list) = tree.text(LIST) else { return vec![Fault::new(LIST, 0, "is missing")] };
    let sections = match compatibility::parse(list) {
        Ok(sections) => sections,
        Err(error) => return vec![Fault::new(LIST, 0, error)],
    };
    let mut seen = BTreeSet::new();
    let mut faults = Vec::new();
    for item in sections.iter().flat_map(|section| &section.items) {
        let again = !seen.insert(&item.id);
        let mut messages = check_item(tree, item);
        messages.extend(again.then(|| "occurs twice".to_owned()));
        let line = line_of(list, &item.id, usize::from(again));
        faults.extend(messages.into_iter().map(|message| Fault::new(LIST, line, format!("{}: {message}", item.id))));
    }
    if tree.text(PAGE) != Some(&compatibility::page(&sections, tree)) {
        faults.push(Fault::new(PAGE, 0, "is out of date: run `cargo xtask compatibility`"));
    }
    faults
}

fn check_item(tree: &Tree, item: &Item) -> Vec<String> {
    let (later, section) = LATER;
    let missing = item.tests.iter().filter(|test| compatibility::place(tree, test).is_none());
    let mut messages: Vec<_> = missing.map(|test| format!("there is no test {test}")).collect();
    match (item.tests.is_empty(), item.reason.as_str()) {
        (true, "") => messages.push(format!("[{}] has neither a test nor a reason", item.rank)),
        (true, reason) if item.rank == Rank::Must && reason.starts_with(later) && !item.id.starts_with(section) => {
            messages.push(format!("[M] must not have the reason {later}"));
        }
        (false, reason) if !reason.is_empty() => messages.push("has both a test and a reason".to_owned()),
        _ => {}
    }
    messages
}

/// Returns the line of an item of the list, after `earlier` items with the same ID.
fn line_of(list: &str, id: &str, earlier: usize) -> usize {
    let wanted = format!("id = \"{id}\"");
    let mut lines = list.lines().zip(1..).filter(|(line, _)| line.trim() == wanted);
    lines.nth(earlier).map_or(0, |(_, number)| number)
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;
    use crate::tidy::lines;

    /// Returns an item of a list. `rest` is the tests or the reason.
    fn item(id: &str, rank: &str, rest: &str) -> String {
        format!("[[section.item]]\nid = \"{id}\"\nrank = \"{rank}\"\npromise = \"P.\"\n{rest}\n")
    }

    /// Returns a tree with one test, a list of these items and the page for it.
    fn tree(section: &str, items: &str) -> Tree {
        let list = format!("[[section]]\nid = \"{section}\"\ntitle = \"T\"\n{items}");
        let test = ("crates/x/tests/it/t.rs", "#[test]\nfn a() {}\n");
        let tree = Tree::planted(&[(LIST, &list), test]);
        let page = compatibility::parse(&list).map(|sections| compatibility::page(&sections, &tree));
        Tree::planted(&[(LIST, &list), (PAGE, &page.unwrap_or_default()), test])
    }

    #[expect(clippy::needless_pass_by_value, reason = "reads as a table")]
    fn check_list(section: &str, items: &str, expected: Expect) {
        expected.assert_eq(&lines(&check(&tree(section, items))));
    }

    #[test]
    fn list_with_existing_tests_has_no_faults() {
        let items = item("2-1", "M", "tests = [\"x::t::a\"]") + &item("2-2", "N", "reason = \"not served yet\"");
        check_list("2", &items, expect![""]);
    }

    #[test]
    fn outdated_page_is_a_fault() {
        let list = "[[section]]\nid = \"2\"\ntitle = \"T\"\nitem = []\n";
        let expected = expect![[r"
            docs/compatibility.md: is out of date: run `cargo xtask compatibility`
        "]];
        expected.assert_eq(&lines(&check(&Tree::planted(&[(LIST, list), (PAGE, "old")]))));
        expected.assert_eq(&lines(&check(&Tree::planted(&[(LIST, list)]))));
    }

    #[test]
    fn missing_test_is_a_fault() {
        let items = item("2-1", "M", "tests = [\"x::t::a\", \"x::t::b\", \"tests/e2e/a.sh: c\"]");
        let expected = expect![[r"
            docs/compatibility.toml:5: 2-1: there is no test x::t::b
            docs/compatibility.toml:5: 2-1: there is no test tests/e2e/a.sh: c
        "]];
        check_list("2", &items, expected);
    }

    #[test]
    fn promise_needs_either_a_test_or_a_reason() {
        let items = item("2-1", "M", "") + &item("2-2", "S", "tests = []");
        let expected = expect![[r"
            docs/compatibility.toml:5: 2-1: [M] has neither a test nor a reason
            docs/compatibility.toml:10: 2-2: [S] has neither a test nor a reason
        "]];
        check_list("2", &items, expected);
        let both = item("2-1", "M", "tests = [\"x::t::a\"]\nreason = \"half\"");
        let expected = expect![[r"
            docs/compatibility.toml:5: 2-1: has both a test and a reason
        "]];
        check_list("2", &both, expected);
    }

    #[test]
    fn must_promise_may_be_postponed_only_in_section_7() {
        let later = "reason = \"later issue: aggregation\"";
        let items =
            |section: &str| item(&format!("{section}-1"), "M", later) + &item(&format!("{section}-2"), "S", later);
        check_list("7.1", &items("7.1"), expect![""]);
        let expected = expect![[r"
            docs/compatibility.toml:5: 2.7-1: [M] must not have the reason later issue
        "]];
        check_list("2.7", &items("2.7"), expected);
    }

    #[test]
    fn duplicate_id_is_a_fault() {
        let one = item("2-1", "M", "tests = [\"x::t::a\"]");
        let expected = expect![[r"
            docs/compatibility.toml:10: 2-1: occurs twice
        "]];
        check_list("2", &(one.clone() + &one), expected);
    }

    #[test]
    fn unreadable_or_missing_list_is_a_fault() {
        let expected = expect![[r"
            docs/compatibility.toml: 2-1: the rank must be M, S or N
        "]];
        check_list("2", &item("2-1", "L", ""), expected);
        let missing = expect![[r"
            docs/compatibility.toml: is missing
        "]];
        missing.assert_eq(&lines(&check(&Tree::default())));
    }
}
