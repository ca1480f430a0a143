//! The allowed dependencies between crates. A dependency that is not listed is forbidden: add a new one here, and explain it in
//! `docs/decisions/`.

use toml::{Table, Value};

use super::Fault;
use crate::tree::Tree;

/// Each crate and the crates of this repository that its code may use.
const ARROWS: [(&str, &[&str]); 13] = [
    ("address", &[]),
    ("apimachinery", &[]),
    ("consistency", &[]),
    ("store", &[]),
    ("store-sqlite", &["store"]),
    ("store-postgres", &["store"]),
    ("apiserver", &["apimachinery", "store"]),
    (STANDALONE, &["apimachinery", "apiserver", "store"]),
    ("ipam", &["address", "apimachinery"]),
    ("cli", &["ipam"]),
    (
        "ipamd",
        &[
            "address",
            "apimachinery",
            "apiserver",
            STANDALONE,
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

/// The crate for tests only.
const TESTKIT: &str = "testkit";

/// The crate of the standalone mode, which the tests of the HTTP layer use.
const STANDALONE: &str = "apiserver-standalone";

/// Crates with the crate that only their tests may use: those with `TESTKIT` may start servers or databases.
const TEST_ARROWS: [(&str, &str); 4] =
    [("apiserver", STANDALONE), ("cli", TESTKIT), ("ipamd", TESTKIT), ("store-postgres", TESTKIT)];

/// The dependency tables of a manifest, and whether they are for tests only.
const TABLES: [(&str, bool); 3] = [("dependencies", false), ("build-dependencies", false), ("dev-dependencies", true)];

/// Returns the faults in the manifests of the crates.
pub fn check(tree: &Tree) -> Vec<Fault> {
    let manifests = tree.with_extension("toml").filter_map(|(path, text)| Some((path, crate_of(path)?, text)));
    manifests.flat_map(|(path, name, text)| check_manifest(path, name, text)).collect()
}

/// Returns the crate of a manifest, which has the name of its folder.
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
        return vec![Fault::new(
            path,
            0,
            format!("the crate {name} is not in the table of dependencies in xtask/src/tidy/arrows.rs"),
        )];
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
            let in_tests = *tests && TEST_ARROWS.contains(&(name, *package));
            !in_tests && !allowed.contains(package)
        })
        .map(|(package, tests)| {
            let tests = if tests { ", also not in tests" } else { "" };
            Fault::new(path, 0, format!("{name} must not depend on {package}{tests}"))
        })
        .collect()
}

/// Returns the package of an entry of a dependency table.
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
    fn forbidden_dependency_is_found_in_every_table() {
        check_one(
            "crates/address/Cargo.toml",
            "[dependencies]\nstore.workspace = true\nserde = \"1\"\n",
            expect![[r"
                crates/address/Cargo.toml: address must not depend on store
            "]],
        );
        check_one(
            "crates/apiserver/Cargo.toml",
            "[dependencies]\nstore.workspace = true\n[build-dependencies]\nipam.workspace = true\n",
            expect![[r"
                crates/apiserver/Cargo.toml: apiserver must not depend on ipam
            "]],
        );
        check_one(
            "crates/ipam/Cargo.toml",
            "[target.'cfg(unix)'.dependencies]\napiserver = { path = \"../apiserver\" }\n",
            expect![[r"
                crates/ipam/Cargo.toml: ipam must not depend on apiserver
            "]],
        );
        check_one(
            "crates/cli/Cargo.toml",
            "[dependencies]\nserver = { package = \"apiserver\", path = \"../apiserver\" }\n",
            expect![[r"
                crates/cli/Cargo.toml: cli must not depend on apiserver
            "]],
        );
    }

    #[test]
    fn testkit_is_allowed_only_in_tests_of_some_crates() {
        check_one("crates/ipamd/Cargo.toml", "[dev-dependencies]\ntestkit.workspace = true\n", expect![""]);
        check_one(
            "crates/ipamd/Cargo.toml",
            "[dependencies]\ntestkit.workspace = true\n",
            expect![[r"
                crates/ipamd/Cargo.toml: ipamd must not depend on testkit
            "]],
        );
        check_one(
            "crates/store/Cargo.toml",
            "[dev-dependencies]\ntestkit.workspace = true\n",
            expect![[r"
                crates/store/Cargo.toml: store must not depend on testkit, also not in tests
            "]],
        );
    }

    #[test]
    fn unlisted_crate_is_a_fault() {
        check_one(
            "crates/extra/Cargo.toml",
            "",
            expect![[r"
                crates/extra/Cargo.toml: the crate extra is not in the table of dependencies in xtask/src/tidy/arrows.rs
            "]],
        );
    }

    #[test]
    fn listed_dependencies_are_allowed() {
        for (name, allowed) in ARROWS {
            let dependencies: String =
                allowed.iter().map(|other| (*other).to_owned() + ".workspace = true\n").collect();
            let path =
                if name == "xtask" { "xtask/Cargo.toml".to_owned() } else { format!("crates/{name}/Cargo.toml") };
            check_one(&path, &format!("[dependencies]\n{dependencies}"), expect![""]);
        }
    }
}
