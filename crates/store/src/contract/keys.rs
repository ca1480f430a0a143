//! Keys: ordered by bytes, matched by prefix, without special characters.

use std::sync::Arc;

use super::{commit, create, key};
use crate::{Revision, Store, limits::KEY_BYTES_MAX};

async fn fill(store: &dyn Store, keys: &[&str]) {
    commit(store, keys.iter().map(|key| create(key, "")).collect()).await.unwrap();
}

async fn listed(store: &dyn Store, prefix: &str, after: Option<&str>) -> Vec<String> {
    let after = after.map(key);
    let page = store.list(prefix, after.as_ref(), None, 100).await.unwrap();
    let count = store.count(prefix, after.as_ref(), page.revision, 100).await.unwrap();
    assert_eq!(count, page.records.len(), "the count under {prefix:?}");
    page.records.into_iter().map(|record| record.key.as_str().to_owned()).collect()
}

/// `a/` does not match `a`, `a0` (`0` is the byte after the slash) or `ab`.
pub async fn prefix_matches_only_keys_that_start_with_it(store: Arc<dyn Store>) {
    fill(&*store, &["a", "a.", "a/", "a/x", "a/x/y", "a/z", "a0", "ab", "b"]).await;
    assert_eq!(listed(&*store, "a/", None).await, ["a/", "a/x", "a/x/y", "a/z"]);
    assert_eq!(listed(&*store, "a/x", None).await, ["a/x", "a/x/y"]);
    assert_eq!(listed(&*store, "a/x/", None).await, ["a/x/y"]);
    assert_eq!(listed(&*store, "c", None).await, [""; 0]);
    assert_eq!(listed(&*store, "", None).await.len(), 9);
    // Start keys before the prefix, equal to it, inside it, at its end and after it.
    assert_eq!(listed(&*store, "a/", Some("a")).await.len(), 4);
    assert_eq!(listed(&*store, "a/", Some("a/")).await, ["a/x", "a/x/y", "a/z"]);
    assert_eq!(listed(&*store, "a/", Some("a/x")).await, ["a/x/y", "a/z"]);
    assert_eq!(listed(&*store, "a/", Some("a/y")).await, ["a/z"]);
    assert_eq!(listed(&*store, "a/", Some("a/z")).await, [""; 0]);
    assert_eq!(listed(&*store, "a/", Some("ab")).await, [""; 0]);
}

/// The order does not depend on a locale or on UTF-16.
pub async fn keys_are_ordered_by_bytes(store: Arc<dyn Store>) {
    let mut keys = ["a", "B", "b", "A", "á", "ab", "a b", "a-b", "\u{FFFF}", "\u{10000}", "\u{10FFFF}", "10", "9", "~"];
    fill(&*store, &keys).await;
    keys.sort_unstable();
    assert_eq!(listed(&*store, "", None).await, keys);
    for (place, from) in keys.iter().enumerate() {
        assert_eq!(listed(&*store, "", Some(from)).await, keys[place + 1..]);
    }
    assert_eq!(listed(&*store, "\u{10FFFF}", None).await, ["\u{10FFFF}"]);
}

/// Wildcards, quotes and control characters are literal; case and accents are significant.
pub async fn special_characters_in_keys_are_literal(store: Arc<dyn Store>) {
    let mut keys = ["%", "_", "a%b", "a_b", "aXb", "'", "\"", "\\", ";--", "\u{1}", "\n", "é", "e\u{301}", " ", "a "];
    fill(&*store, &keys).await;
    keys.sort_unstable();
    assert_eq!(listed(&*store, "", None).await, keys);
    for name in keys {
        assert!(store.get(&key(name)).await.unwrap().is_some(), "{name:?}");
    }
    for (prefix, matches) in [("%", 1), ("a%", 1), ("a_", 1), ("_", 1), ("'", 1), ("\\", 1), ("A", 0)] {
        assert_eq!(listed(&*store, prefix, None).await.len(), matches, "{prefix:?}");
    }
    assert_eq!(store.get(&key("É")).await.unwrap(), None);
}

/// Two keys of the maximum length that differ in the last byte.
pub async fn keys_of_maximum_length_are_distinct(store: Arc<dyn Store>) {
    let stem = "k".repeat(KEY_BYTES_MAX - 1);
    let (a, b) = (format!("{stem}a"), format!("{stem}b"));
    fill(&*store, &[&a, &b]).await;
    assert_eq!(store.get(&key(&a)).await.unwrap().unwrap().revision, Revision(1));
    assert_eq!(listed(&*store, &stem, Some(&a)).await, [b]);
}
