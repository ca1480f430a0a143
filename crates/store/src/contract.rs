//! The test suite for every store.
//!
//! Each case is a function that takes an empty store and panics if the store violates the contract. [`contract_tests!`]
//! generates a test for each case; [`model_check`] runs random operations on the store and on the [memory
//! model](crate::memory) and compares the results.
//!
//! The tests of a store define how to open one:
//!
//! ```text
//! async fn open() -> (Arc<dyn Store>, TempDir) { … }
//! store::contract_tests!(open);
//! ```
//!
//! [`contract_tests!`]: crate::contract_tests

#![expect(clippy::unwrap_used, clippy::panic, reason = "a suite of tests may stop at the first surprise")]

pub mod bulk_load;
pub mod commits;
pub mod compaction;
pub mod concurrency;
pub mod keys;
pub mod model_check;
pub mod notifications;
pub mod pages;
pub mod snapshots;
pub mod spans;
pub mod tails;

use bytes::Bytes;

use crate::{Entry, Error, Key, Page, Record, Revision, Span, Store, Write, page};

/// Generates a test for each case. `$open` is an async function that returns an empty `Arc<dyn Store>`, and a value
/// that must live as long as the store.
#[macro_export]
macro_rules! contract_tests {
    ($open:ident) => {
        $crate::contract_tests! { $open =>
            commits: a_new_store_is_empty, a_commit_is_whole, a_refused_commit_leaves_nothing,
                preconditions_are_checked, one_key_several_times_in_one_commit, a_dropped_transaction_changes_nothing,
                a_transaction_reads_what_is_there, a_read_sees_what_is_there, an_empty_commit_writes_nothing,
                values_come_back_as_they_were, a_deletion_of_nothing_is_in_the_log;
            compaction: what_is_compacted_is_refused, current_versions_stay, a_snapshot_at_the_horizon_is_whole,
                the_tail_keeps_its_previous_versions, a_deletion_at_the_head, beyond_the_head_and_backwards,
                inside_a_commit, of_a_long_history, a_page_that_was_overtaken;
            concurrency: committers_make_one_log, readers_see_whole_commits, a_cancelled_commit_is_whole_or_absent;
            keys: a_prefix_ends_where_it_says, order_is_by_bytes, nothing_in_a_key_is_special, the_longest_key;
            bulk_load: a_snapshot_stays_as_it_was, a_filled_log_is_what_was_read, a_filling_that_is_given_up_leaves_nothing,
                only_an_empty_log_is_filled, a_filling_is_guarded, a_jump_goes_ahead, a_jump_forgets;
            notifications: news_come_with_the_head, news_add_up_beside_others;
            pages: a_page_of_records_ends_at_its_size, a_page_of_entries_ends_at_its_size;
            snapshots: an_old_revision_is_as_it_was, inside_a_commit_means_its_end, pages_of_one_snapshot,
                many_versions_of_one_key, the_future_is_refused, counts, a_page_knows_whether_there_is_more;
            spans: overlaps_are_refused, neighbours_are_accepted, the_ends_of_the_numbers, spaces_are_separate,
                a_release_must_match, taken_again_in_one_commit, backwards_is_refused, holders_are_found,
                pages_of_spans;
            tails: from_each_revision, beyond_the_head_is_empty, previous_versions;
        }
        $crate::contract_tests! { @random $open =>
            random_operations_1: 1, random_operations_2: 2, random_operations_3: 3, random_operations_4: 4
        }
    };
    ($open:ident => $($module:ident: $($case:ident),+;)+) => {
        $(mod $module {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $case() {
                let (store, _kept) = super::$open().await;
                $crate::contract::$module::$case(store).await;
            })+
        })+
    };
    (@random $open:ident => $($name:ident: $seed:literal),+) => {
        mod model_check {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $name() {
                let (store, _kept) = super::$open().await;
                $crate::contract::model_check::compare(store, $seed, 2_000).await;
            })+
        }
    };
}

/// Creates a key.
pub fn key(text: &str) -> Key {
    Key::new(text).unwrap()
}

/// Returns a write that creates `key`.
pub fn create(text: &str, value: &str) -> Write {
    write(text, None, Some(value))
}

/// Returns a write that replaces the version `expected` of `key`.
pub fn replace(text: &str, expected: u64, value: &str) -> Write {
    write(text, Some(expected), Some(value))
}

/// Returns a write that deletes the version `expected` of `key`.
pub fn delete(text: &str, expected: u64) -> Write {
    write(text, Some(expected), None)
}

fn write(text: &str, expected: Option<u64>, value: Option<&str>) -> Write {
    Write {
        key: key(text),
        value: value.map(|value| Bytes::copy_from_slice(value.as_bytes())),
        expected: expected.map(Revision),
        releases: Vec::new(),
        takes: Vec::new(),
    }
}

/// Returns a write that creates `key` and takes a span.
pub fn take(text: &str, span: Span) -> Write {
    Write { takes: vec![span], ..create(text, "") }
}

/// Returns a span of `holder`.
pub fn span(space: &str, first: u128, last: u128, holder: &str) -> Span {
    Span { space: space.to_owned(), first, last, holder: key(holder) }
}

/// Commits one transaction.
pub async fn commit(store: &dyn Store, writes: Vec<Write>) -> Result<(), Error> {
    store.begin().await?.commit(writes).await
}

/// Returns a page of all held spans.
pub async fn spans(store: &dyn Store, after: Option<(&str, u128)>, limit: usize) -> Result<Vec<Span>, Error> {
    store.snapshot().await?.spans(after, limit).await
}

/// Returns all records of the prefix as of `at`, page by page.
pub async fn records(store: &dyn Store, prefix: &str, at: Option<u64>) -> Vec<Record> {
    let (mut at, mut records) = (at.map(Revision), Vec::<Record>::new());
    loop {
        let after = records.last().map(|record| record.key.clone());
        let page = store.list(prefix, after.as_ref(), at, usize::MAX).await.unwrap();
        at = Some(page.revision);
        records.extend(page.records);
        if !page.more {
            return records;
        }
    }
}

/// Returns all entries after `after`, page by page.
pub async fn entries(store: &dyn Store, after: Revision) -> Vec<Entry> {
    let mut entries = Vec::<Entry>::new();
    loop {
        let known = entries.last().map_or(after, |entry| entry.revision);
        let page = store.tail(known, usize::MAX).await.unwrap();
        let is_all = !page::is_full(&page, usize::MAX);
        entries.extend(page);
        if is_all {
            return entries;
        }
    }
}

/// Commits several batches, which must succeed.
async fn commits(store: &dyn Store, batches: Vec<Vec<Write>>) {
    for batch in batches {
        commit(store, batch).await.unwrap();
    }
}

async fn head(store: &dyn Store) -> u64 {
    store.head().await.unwrap().revision.0
}

/// Returns all records as of `at`, as `key=value` in one line.
async fn dump(store: &dyn Store, at: Option<u64>) -> String {
    let page = store.list("", None, at.map(Revision), usize::MAX).await.unwrap();
    assert!(!page.more, "a list without a limit has no second page");
    text(&page)
}

fn text(page: &Page) -> String {
    let pairs: Vec<String> = page.records.iter().map(pair).collect();
    pairs.join(" ")
}

fn pair(record: &Record) -> String {
    format!("{}={}", record.key, String::from_utf8_lossy(&record.value))
}

fn assert_guarded<T: std::fmt::Debug>(outcome: Result<T, Error>) {
    match outcome {
        Err(Error::SpanConflict(_)) => {}
        other => panic!("expected an overlap error, got {other:?}"),
    }
}

fn assert_precondition<T: std::fmt::Debug>(outcome: Result<T, Error>, of: &str, is: Option<u64>) {
    match outcome {
        Err(Error::Precondition { key, found, .. }) => {
            assert_eq!((key.as_str(), found), (of, is.map(Revision)));
        }
        other => panic!("expected a precondition of {of}, got {other:?}"),
    }
}

fn assert_compacted<T: std::fmt::Debug>(outcome: Result<T, Error>, request: u64, horizon: u64) {
    match outcome {
        Err(Error::Compacted { requested, compacted }) => {
            assert_eq!((requested, compacted), (Revision(request), Revision(horizon)));
        }
        other => panic!("expected that {request} is compacted, got {other:?}"),
    }
}
