//! Which crate may know which. Anything that is not listed is forbidden: a new arrow is a new line here, and a paragraph
//! in `docs/decisions/`.

use toml::{Table, Value};

use super::Fault;
use crate::tree::Tree;

/// Each crate and the crates of ours that its code may use.
const ARROWS: [(&str, &[&str]); 12] = [
    ("address", &[]),
    ("apimachinery", &[]),
    ("consistency", &[]),
    ("store", &[]),
    ("store-sqlite", &["store"]),
    ("store-postgres", &["store"]),
    ("apiserver", &["apimachinery", "store"]),
    ("ipam", &["address", "apimachinery"]),
    ("cli", &["ipam"]),
    (
        "ipamd",
        &[
            "address",
            "apimachinery",
            "apiserver",
            "cli",
            "consistency",
            "ipam",
            "store",
            "store-postgres",
            "store-sqlite",
        ],
    ),
    (TESTKIT, &["cli", "ipamd"]),
    ("xtask", &[]),
];

/// The crate that only tests use.
const TESTKIT: &str = "testkit";

/// The crates whose tests may start a whole server, or a database.
const TESTED_AS_A_WHOLE: [&str; 3] = ["cli", "ipamd", "store-postgres"];

/// The tables of a manifest that make an arrow, and whether they make it for tests only.
const TABLES: [(&str, bool); 3] = [("dependencies", false), ("build-dependencies", false), ("dev-dependencies", true)];

/// Faults in the manifests of the crates.
pub fn check(tree: &Tree) -> Vec<Fault> {
    let manifests = tree.with_extension("toml").filter_map(|(path, text)| Some((path, crate_of(path)?, text)));
    manifests.flat_map(|(path, name, text)| check_manifest(path, name, text)).collect()
}

/// The crate whose manifest this is: that of its folder, by which Cargo finds it.
fn crate_of(path: &str) -> Option<&str> {
    let folder = path.strip_suffix("/Cargo.toml")?;
    match folder.strip_prefix("crates/") {
        Some(name) if !name.contains('/') => Some(name),
        Some(_) => None,
        None => (folder == "xtask").then_some(folder),
    }
}

fn check_manifest(path: &str, name: &str, text: &str) -> Vec<Fault> {
    let Some((_, allowed)) = ARROWS.iter().find(|(known, _)| *known == name) else {
        return vec![Fault::new(path, 0, format!("the crate {name} is not in the table of arrows of xtask"))];
    };
    let manifest: Table = match text.parse() {
        Ok(manifest) => manifest,
        Err(error) => return vec![Fault::new(path, 0, format!("cannot be read: {error}"))],
    };
    let targets = manifest.get("target").and_then(Value::as_table).into_iter().flat_map(Table::values);
    let tables = targets.filter_map(Value::as_table).chain([&manifest]);
    tables
        .flat_map(|table| TABLES.iter().filter_map(|(key, tests)| Some((table.get(*key)?.as_table()?, *tests))))
        .flat_map(|(table, tests)| table.iter().map(move |entry| (package(entry), tests)))
        .filter(|(package, _)| ARROWS.iter().any(|(known, _)| known == package))
        .filter(|(package, tests)| {
            let in_tests = *tests && *package == TESTKIT && TESTED_AS_A_WHOLE.contains(&name);
            !in_tests && !allowed.contains(package)
        })
        .map(|(package, tests)| {
            let tests = if tests { " even in its tests" } else { "" };
            Fault::new(path, 0, format!("{name} must not know {package}{tests}"))
        })
        .collect()
}

/// The package that an entry of a dependency table names.
fn package<'a>((key, value): (&'a String, &'a Value)) -> &'a str {
    value.get("package").and_then(Value::as_str).unwrap_or(key)
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;
    use crate::tidy::lines;

    #[expect(clippy::needless_pass_by_value, reason = "reads as a table")]
    fn check_one(path: &str, manifest: &str, expected: Expect) {
        expected.assert_eq(&lines(&check(&Tree::planted(&[(path, manifest)]))));
    }

    #[test]
    fn a_forbidden_arrow_is_found_in_every_table() {
        check_one(
            "crates/address/Cargo.toml",
            "[dependencies]\nstore.workspace = true\nserde = \"1\"\n",
            expect![[r"
                crates/address/Cargo.toml: address must not know store
            "]],
        );
        check_one(
            "crates/apiserver/Cargo.toml",
            "[dependencies]\nstore.workspace = true\n[build-dependencies]\nipam.workspace = true\n",
            expect![[r"
                crates/apiserver/Cargo.toml: apiserver must not know ipam
            "]],
        );
        check_one(
            "crates/ipam/Cargo.toml",
            "[target.'cfg(unix)'.dependencies]\napiserver = { path = \"../apiserver\" }\n",
            expect![[r"
                crates/ipam/Cargo.toml: ipam must not know apiserver
            "]],
        );
        check_one(
            "crates/cli/Cargo.toml",
            "[dependencies]\nserver = { package = \"apiserver\", path = \"../apiserver\" }\n",
            expect![[r"
                crates/cli/Cargo.toml: cli must not know apiserver
            "]],
        );
    }

    #[test]
    fn the_testkit_is_for_the_tests_of_the_whole_only() {
        check_one("crates/ipamd/Cargo.toml", "[dev-dependencies]\ntestkit.workspace = true\n", expect![""]);
        check_one(
            "crates/ipamd/Cargo.toml",
            "[dependencies]\ntestkit.workspace = true\n",
            expect![[r"
                crates/ipamd/Cargo.toml: ipamd must not know testkit
            "]],
        );
        check_one(
            "crates/store/Cargo.toml",
            "[dev-dependencies]\ntestkit.workspace = true\n",
            expect![[r"
                crates/store/Cargo.toml: store must not know testkit even in its tests
            "]],
        );
    }

    #[test]
    fn a_crate_that_nobody_placed_is_a_fault() {
        check_one(
            "crates/extra/Cargo.toml",
            "",
            expect![[r"
                crates/extra/Cargo.toml: the crate extra is not in the table of arrows of xtask
            "]],
        );
    }

    #[test]
    fn what_the_design_draws_is_allowed() {
        for (name, allowed) in ARROWS {
            let dependencies: String =
                allowed.iter().map(|other| (*other).to_owned() + ".workspace = true\n").collect();
            let path =
                if name == "xtask" { "xtask/Cargo.toml".to_owned() } else { format!("crates/{name}/Cargo.toml") };
            check_one(&path, &format!("[dependencies]\n{dependencies}"), expect![""]);
        }
    }
}
