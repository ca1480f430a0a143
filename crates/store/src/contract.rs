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
            commits: new_store_is_empty, commit_is_atomic_with_consecutive_revisions, failed_commit_is_rolled_back,
                wrong_expected_revision_is_rejected, commit_may_write_a_key_several_times, dropped_transaction_releases_head_and_changes_nothing,
                transaction_reads_current_versions_in_key_order_given, read_returns_current_versions_while_head_is_locked, empty_commit_succeeds_without_writes,
                empty_binary_and_large_values_round_trip, deletion_of_missing_key_is_logged;
            compaction: reads_before_the_horizon_are_rejected, compact_keeps_current_versions_of_any_age, snapshot_at_the_horizon_is_complete,
                tail_after_the_horizon_keeps_previous_versions, compacted_deletion_at_the_head_keeps_the_head, compact_clamps_to_head_and_ignores_regress,
                compact_inside_a_commit_keeps_its_end_readable, compact_of_long_history_runs_beside_a_commit, page_of_a_compacted_snapshot_is_rejected;
            concurrency: concurrent_transactions_lose_no_update, concurrent_reads_see_whole_commits, canceled_commit_is_complete_or_absent;
            keys: prefix_matches_only_keys_that_start_with_it, keys_are_ordered_by_bytes, special_characters_in_keys_are_literal, keys_of_maximum_length_are_distinct;
            bulk_load: snapshot_is_unaffected_by_commits_and_compaction, loaded_log_equals_its_source, abandoned_load_leaves_the_log_empty,
                load_of_nonempty_log_is_rejected, load_rejects_overlapping_spans, advance_revision_keeps_objects, advance_revision_discards_history;
            notifications: transaction_tail_returns_entries_up_to_the_head, transaction_tail_has_no_gaps_with_concurrent_commits;
            pages: page_of_records_ends_at_the_size_limit, page_of_entries_ends_at_the_size_limit;
            snapshots: list_at_old_revision_returns_old_state, revision_inside_a_commit_reads_its_end, pages_of_a_list_are_consistent_during_writes,
                key_with_many_versions_is_read_at_every_revision, revision_after_the_head_is_rejected, count_respects_prefix_start_snapshot_and_limit, page_reports_exactly_if_there_is_more;
            spans: overlapping_spans_are_rejected, adjacent_spans_are_accepted, spans_at_the_ends_of_the_number_range, equal_spans_in_different_spaces_are_accepted,
                release_must_match_a_held_span_exactly, span_can_be_released_and_taken_in_one_commit, span_that_ends_before_it_begins_is_rejected, overlapping_spans_are_found_in_order,
                spans_are_paged_by_space_and_number;
            tails: tail_from_every_revision_with_every_limit, tail_after_the_head_is_empty, tail_entries_contain_previous_versions;
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
