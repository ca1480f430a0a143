//! Checks that the pure crates use no async code, clocks, randomness, files or sockets.
//!
//! They get times, IDs and seeds as arguments. The check searches for words, so it finds only accidental uses.

use super::Fault;
use crate::tree::Tree;

/// The crates without side effects.
const PURE: [&str; 4] = ["address", "apimachinery", "consistency", "ipam"];

/// Forbidden words in code, and the reasons.
const FORBIDDEN: [(&str, &str); 18] = [
    ("async fn", "waits"),
    (".await", "waits"),
    ("tokio::", "waits"),
    ("std::thread", "starts a thread"),
    ("SystemTime", "reads a clock"),
    ("Instant::", "reads a clock"),
    ("Timestamp::now", "reads a clock"),
    ("Zoned::now", "reads a clock"),
    ("getrandom", "uses randomness"),
    ("rand::", "uses randomness"),
    ("new_v4", "uses randomness"),
    ("std::fs", "uses files"),
    ("std::env::", "uses the environment of the process"),
    ("std::process", "uses the environment of the process"),
    ("TcpStream", "uses sockets"),
    ("TcpListener", "uses sockets"),
    ("UdpSocket", "uses sockets"),
    ("println!", "writes to a stream"),
];

/// Returns the forbidden words in the sources of the pure crates.
pub fn check(tree: &Tree) -> Vec<Fault> {
    tree.with_extension("rs")
        .filter(|(path, _)| is_pure(path))
        .flat_map(|(path, text)| check_file(path, text))
        .collect()
}

fn is_pure(path: &str) -> bool {
    PURE.iter().any(|name| path.starts_with(&format!("crates/{name}/src/")))
}

fn check_file<'a>(path: &'a str, text: &'a str) -> impl Iterator<Item = Fault> + 'a {
    text.lines().zip(1..).filter(|(line, _)| !line.trim_start().starts_with("//")).flat_map(move |(line, number)| {
        let found = FORBIDDEN.iter().filter(|(word, _)| line.contains(word));
        found.map(move |(word, what)| Fault::new(path, number, format!("`{word}` {what}; this crate is pure")))
    })
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;
    use crate::tidy::lines;

    #[test]
    fn clock_is_a_fault_only_in_pure_crates() {
        let clock = "//! Not a `SystemTime`.\nlet now = SystemTime::now();\n";
        let tree = Tree::planted(&[("crates/ipam/src/pool.rs", clock), ("crates/ipamd/src/main.rs", clock)]);
        expect![[r"
            crates/ipam/src/pool.rs:2: `SystemTime` reads a clock; this crate is pure
        "]]
        .assert_eq(&lines(&check(&tree)));
    }

    #[test]
    fn every_forbidden_word_is_found() {
        for (word, _) in FORBIDDEN {
            let tree = Tree::planted(&[("crates/address/src/lib.rs", word)]);
            assert_eq!(check(&tree).len(), 1, "{word}");
        }
    }

    #[test]
    fn tests_of_pure_crates_are_not_checked() {
        let tree = Tree::planted(&[("crates/address/tests/it/history.rs", "use rand::Rng;\nstd::fs::read(path)")]);
        assert_eq!(check(&tree), []);
    }
}
