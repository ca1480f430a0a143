//! Fuzzes `fieldsV1` with arbitrary text: parsing never panics, parsed sets survive a round trip, and the set operations agree with
//! those of a `BTreeSet` of paths.
//!
//! Run `cargo +nightly fuzz run fields_v1` in the root of the repository. The input is two texts, separated by a line break.
#![no_main]

use std::collections::BTreeSet;

use apimachinery::managed_fields::{FieldSet, Path, PathElement};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let (left, right) = text.split_once('\n').unwrap_or((text, "{}"));
    if let Ok(Some(element)) = PathElement::from_text(left) {
        assert_eq!(PathElement::from_text(&element.to_text()), Ok(Some(element)));
    }
    let parse = |text| FieldSet::from_fields_v1(&serde_json::from_str(text).ok()?).ok();
    let (Some(a), Some(b)) = (parse(left), parse(right)) else {
        return;
    };
    assert_eq!(FieldSet::from_fields_v1(&a.to_fields_v1()).as_ref(), Ok(&a));

    let (left, right) = (paths(&a), paths(&b));
    assert_eq!(paths(&a.union(&b)), left.union(&right).cloned().collect());
    assert_eq!(paths(&a.intersection(&b)), left.intersection(&right).cloned().collect());
    assert_eq!(paths(&a.difference(&b)), left.difference(&right).cloned().collect());
});

/// Returns the members, and asserts that each occurs once.
fn paths(set: &FieldSet) -> BTreeSet<Path> {
    let named = set.paths();
    let paths: BTreeSet<Path> = named.iter().cloned().collect();
    assert_eq!((named.len(), set.len()), (paths.len(), paths.len()));
    assert!(paths.iter().all(|path| set.contains(&path.0)));
    paths
}
