//! The modules of a crate import each other in one direction only.
//!
//! Each top-level module of a crate is a node, with everything below it. Paths that begin with `crate::` or `super::` are
//! its edges, and so are names that `lib.rs` exports from a module. Tests are not looked at: they may import what they test.

use std::collections::{BTreeMap, BTreeSet};

use super::Fault;
use crate::tree::Tree;

/// The imports of a crate: each module with those that it imports, and the file of each import.
type Imports = BTreeMap<String, BTreeMap<String, String>>;

/// The cycles between the modules of each crate.
pub fn check(tree: &Tree) -> Vec<Fault> {
    let mut crates: BTreeMap<&str, Vec<(&str, &str)>> = BTreeMap::new();
    for (path, text) in tree.with_extension("rs") {
        if let Some((folder, module)) = path.split_once("/src/").filter(|(folder, _)| !folder.contains("/tests")) {
            crates.entry(folder).or_default().push((module, text));
        }
    }
    crates.into_iter().flat_map(|(folder, files)| check_crate(folder, &files)).collect()
}

fn check_crate(folder: &str, files: &[(&str, &str)]) -> Vec<Fault> {
    let imports = imports(files);
    let cycles = cycles(&imports);
    let fault = |cycle: Vec<&str>| {
        let edges = cycle.iter().flat_map(|from| imports[*from].iter().map(move |edge| (from, edge)));
        let edges = edges.filter(|(_, (to, _))| cycle.contains(&to.as_str()));
        let edges: Vec<_> = edges.map(|(from, (to, file))| format!("{from} -> {to} ({file})")).collect();
        Fault::new(&format!("{folder}/src"), 0, format!("modules import each other: {}", edges.join(", ")))
    };
    cycles.into_iter().map(fault).collect()
}

fn imports(files: &[(&str, &str)]) -> Imports {
    let modules: BTreeSet<&str> = files.iter().map(|(path, _)| segments(path)[0]).collect();
    let root = files.iter().find(|(path, _)| *path == "lib.rs").map_or("", |(_, text)| *text);
    let exported = exports(root, &modules);
    let mut imports = Imports::new();
    for (path, text) in files.iter().filter(|(path, _)| !is_root(path) && !is_test(path)) {
        let segments = segments(path);
        let own = imports.entry(segments[0].to_owned()).or_default();
        for name in names_from_root(&code(text), segments.len()) {
            let module = exported.get(&name).copied().or_else(|| modules.get(name.as_str()).copied());
            if let Some(module) = module.filter(|module| *module != segments[0]) {
                own.entry(module.to_owned()).or_insert_with(|| (*path).to_owned());
            }
        }
    }
    imports
}

/// `a/b.rs` is the module `a::b`.
fn segments(path: &str) -> Vec<&str> {
    path.strip_suffix(".rs").unwrap_or(path).split('/').collect()
}

fn is_root(path: &str) -> bool {
    matches!(path, "lib.rs" | "main.rs") || path.starts_with("bin/")
}

fn is_test(path: &str) -> bool {
    segments(path).contains(&"tests")
}

/// The text without comments and without the tests at its end.
fn code(text: &str) -> String {
    let lines = text.lines().take_while(|line| *line != "mod tests {");
    lines.map(|line| line.split("//").next().unwrap_or_default()).collect::<Vec<_>>().join("\n")
}

/// The names that `lib.rs` exports, each with its module.
fn exports<'a>(root: &str, modules: &BTreeSet<&'a str>) -> BTreeMap<String, &'a str> {
    let code = code(root);
    let mut exported = BTreeMap::new();
    for (at, _) in code.match_indices("pub use ") {
        let path = &code[at + "pub use ".len()..];
        let Some((module, rest)) = path.split_once("::") else { continue };
        if let Some(module) = modules.get(module) {
            exported.extend(heads(rest).into_iter().map(|name| (name, *module)));
        }
    }
    exported
}

/// The first names after `crate::`, or after as many `super::` as lead to the root from a module of this depth.
fn names_from_root(code: &str, depth: usize) -> Vec<String> {
    let supers = "super::".repeat(depth);
    let paths = |start: &str| {
        let ends = code.match_indices(start).map(|(at, found)| (at, at + found.len())).collect::<Vec<_>>();
        ends.into_iter().filter(|(at, _)| !code[..*at].ends_with(|c: char| c.is_alphanumeric() || "_:".contains(c)))
    };
    paths("crate::").chain(paths(&supers)).flat_map(|(_, end)| heads(&code[end..])).collect()
}

/// The name at the beginning of a path, or each of those in the braces.
fn heads(path: &str) -> Vec<String> {
    let Some(group) = path.strip_prefix('{') else { return Vec::from_iter(head(path)) };
    let mut depth = 1;
    let mut is_first = true;
    let mut names = Vec::new();
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 1 => break,
            '}' => depth -= 1,
            ',' if depth == 1 => is_first = true,
            c if is_first && !c.is_whitespace() => {
                is_first = false;
                names.extend(head(&group[at..]));
            }
            _ => {}
        }
    }
    names
}

fn head(path: &str) -> Option<String> {
    let end = path.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(path.len());
    (end > 0).then(|| path[..end].to_owned())
}

/// The sets of modules that reach each other, each sorted.
fn cycles(imports: &Imports) -> Vec<Vec<&str>> {
    let reached: BTreeMap<&str, BTreeSet<&str>> =
        imports.keys().map(|module| (module.as_str(), reach(imports, module))).collect();
    let mut cycles: Vec<Vec<&str>> = Vec::new();
    for (module, from_it) in &reached {
        let cycle: Vec<&str> = from_it.iter().copied().filter(|other| reached[other].contains(module)).collect();
        if !cycle.is_empty() && !cycles.contains(&cycle) {
            cycles.push(cycle);
        }
    }
    cycles
}

/// The modules that can be reached from one by at least one import.
fn reach<'a>(imports: &'a Imports, module: &'a str) -> BTreeSet<&'a str> {
    let mut reached = BTreeSet::new();
    let mut next: Vec<&str> = vec![module];
    while let Some(module) = next.pop() {
        let imported = imports.get_key_value(module).into_iter().flat_map(|(_, imported)| imported.keys());
        next.extend(imported.map(String::as_str).filter(|imported| reached.insert(*imported)));
    }
    reached.retain(|module| imports.contains_key(*module));
    reached
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;
    use crate::tidy::lines;

    #[expect(clippy::needless_pass_by_value, reason = "reads as a table")]
    fn check_files(files: &[(&str, &str)], expected: Expect) {
        expected.assert_eq(&lines(&check(&Tree::planted(files))));
    }

    #[test]
    fn cycle_is_reported_once_with_its_imports() {
        check_files(
            &[
                ("crates/a/src/one.rs", "use crate::two::Two;\n"),
                ("crates/a/src/two.rs", "use super::{four, three::{One, Two}};\n"),
                ("crates/a/src/three/inner.rs", "fn f() { crate::one::f() }\n"),
                ("crates/a/src/four.rs", "use std::one;\n"),
            ],
            expect![[r"
                crates/a/src: modules import each other: one -> two (one.rs), three -> one (three/inner.rs), two -> three (two.rs)
            "]],
        );
    }

    #[test]
    fn name_exported_by_the_root_counts_as_its_module() {
        check_files(
            &[
                ("crates/a/src/lib.rs", "mod one;\npub use one::{One, Other};\n"),
                ("crates/a/src/one.rs", "use crate::two;\n"),
                ("crates/a/src/two.rs", "use crate::Other;\n"),
            ],
            expect![[r"
                crates/a/src: modules import each other: one -> two (one.rs), two -> one (two.rs)
            "]],
        );
    }

    #[test]
    fn submodules_tests_and_comments_are_not_cycles() {
        check_files(
            &[
                (
                    "crates/a/src/one.rs",
                    "// crate::two\nuse crate::one::inner;\n#[cfg(test)]\nmod tests {\n    use crate::two;\n}\n",
                ),
                ("crates/a/src/one/inner.rs", "use super::One;\n"),
                ("crates/a/src/one/tests.rs", "use crate::two;\n"),
                ("crates/a/src/two.rs", "use crate::one;\n"),
            ],
            expect![""],
        );
    }
}
