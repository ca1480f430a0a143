//! Spans: the store's own check against overlapping allocations.

use std::sync::Arc;

use super::{assert_guarded, commit, commits, create, dump, head, span, spans, take};
use crate::{Error, Span, Store, Write};

async fn taken(store: &dyn Store, name: &str, first: u128, last: u128) -> Result<(), Error> {
    commit(store, vec![take(name, span("s", first, last, name))]).await
}

fn released(name: &str, span: Span) -> Write {
    Write { releases: vec![span], ..create(name, "") }
}

/// Overlaps on every side, with one span and with neighbors.
pub async fn overlapping_spans_are_rejected(store: Arc<dyn Store>) {
    for (name, first, last) in [("a", 100, 199), ("b", 300, 399), ("c", 500, 500)] {
        taken(&*store, name, first, last).await.unwrap();
    }
    let overlaps = [
        (100, 199),
        (100, 100),
        (199, 199),
        (150, 160),
        (100, 150),
        (150, 199),
        (99, 100),
        (50, 150),
        (199, 200),
        (150, 250),
        (99, 200),
        (0, 1_000),
        (0, u128::MAX),
        (150, 350),
        (200, 300),
        (250, 600),
        (399, 400),
        (500, 500),
        (499, 500),
        (500, 501),
        (400, 600),
        (199, u128::MAX),
        (0, 100),
    ];
    for (first, last) in overlaps {
        assert_guarded(taken(&*store, "x", first, last).await);
        // The same inside one commit: between two writes, and between two spans of one write.
        let pair =
            [span("t", 100, 199, "x"), span("t", 300, 399, "x"), span("t", 500, 500, "x"), span("t", first, last, "y")];
        let one = Write { takes: pair.to_vec(), ..create("x", "") };
        assert_guarded(commit(&*store, vec![one]).await);
        let two = pair.into_iter().enumerate().map(|(place, span)| take(&format!("x{place}"), span));
        assert_guarded(commit(&*store, two.collect()).await);
    }
    assert_eq!((head(&*store).await, dump(&*store, None).await), (3, "a= b= c=".to_owned()));
    assert_eq!(spans(&*store, None, 9).await.unwrap().len(), 3);
}

/// Adjacent spans do not overlap.
pub async fn adjacent_spans_are_accepted(store: Arc<dyn Store>) {
    for (name, first, last) in [("a", 100, 199), ("b", 200, 200), ("c", 0, 99), ("d", 202, 300), ("e", 201, 201)] {
        taken(&*store, name, first, last).await.unwrap();
    }
    let firsts: Vec<u128> = spans(&*store, None, 9).await.unwrap().iter().map(|span| span.first).collect();
    assert_eq!(firsts, [0, 100, 200, 201, 202]);
}

/// 0 and `u128::MAX`, and the full range; large numbers must not be read as negative.
pub async fn spans_at_the_ends_of_the_number_range(store: Arc<dyn Store>) {
    let middle = 1_u128 << 127;
    taken(&*store, "a", 0, 0).await.unwrap();
    taken(&*store, "b", u128::MAX, u128::MAX).await.unwrap();
    taken(&*store, "c", middle - 1, middle).await.unwrap();
    for (first, last) in [(0, 0), (0, 1), (u128::MAX, u128::MAX), (u128::MAX - 1, u128::MAX), (middle, middle + 1)] {
        assert_guarded(taken(&*store, "x", first, last).await);
    }
    assert_guarded(taken(&*store, "x", 0, u128::MAX).await);
    taken(&*store, "d", 1, middle - 2).await.unwrap();
    taken(&*store, "e", middle + 1, u128::MAX - 1).await.unwrap();
    let all = commit(&*store, vec![take("f", span("whole", 0, u128::MAX, "f"))]).await;
    all.unwrap();
    assert_guarded(commit(&*store, vec![take("g", span("whole", 5, 5, "g"))]).await);
    let held = spans(&*store, None, 9).await.unwrap();
    let names: Vec<&str> = held.iter().map(|span| span.holder.as_str()).collect();
    assert_eq!(names, ["a", "d", "c", "e", "b", "f"]);
    assert_eq!((held[4].first, held[4].last), (u128::MAX, u128::MAX));
}

/// Equal numbers in different spaces do not conflict.
pub async fn equal_spans_in_different_spaces_are_accepted(store: Arc<dyn Store>) {
    let spaces = ["", "S", "s", "s/", "s/a", "ß"];
    for space in spaces {
        commit(&*store, vec![take(&format!("k{space}"), span(space, 10, 20, "k"))]).await.unwrap();
    }
    for space in spaces {
        assert_guarded(commit(&*store, vec![take("x", span(space, 15, 15, "x"))]).await);
        assert_eq!(store.overlapping_spans(space, 0, 99, 9).await.unwrap(), [span(space, 10, 20, "k")]);
    }
    let held = spans(&*store, None, 9).await.unwrap();
    assert_eq!(held.iter().map(|span| span.space.as_str()).collect::<Vec<_>>(), spaces);
}

/// A release must match space, both ends and holder; a span can be released only once.
pub async fn release_must_match_a_held_span_exactly(store: Arc<dyn Store>) {
    taken(&*store, "a", 10, 19).await.unwrap();
    let wrong = [
        span("t", 10, 19, "a"),
        span("s", 10, 18, "a"),
        span("s", 11, 19, "a"),
        span("s", 10, 20, "a"),
        span("s", 9, 19, "a"),
        span("s", 10, 19, "b"),
        span("s", 10, 19, "A"),
    ];
    for span in wrong {
        assert_guarded(commit(&*store, vec![released("x", span)]).await);
    }
    let twice = Write { releases: vec![span("s", 10, 19, "a"), span("s", 10, 19, "a")], ..create("x", "") };
    assert_guarded(commit(&*store, vec![twice]).await);
    assert_eq!(spans(&*store, None, 9).await.unwrap(), [span("s", 10, 19, "a")]);
    commit(&*store, vec![released("x", span("s", 10, 19, "a"))]).await.unwrap();
    assert_eq!(spans(&*store, None, 9).await.unwrap(), []);
    assert_guarded(commit(&*store, vec![released("y", span("s", 10, 19, "a"))]).await);
    taken(&*store, "b", 10, 19).await.unwrap();
}

/// A span is released and taken by one write, and by several writes of one commit in order.
pub async fn span_can_be_released_and_taken_in_one_commit(store: Arc<dyn Store>) {
    taken(&*store, "a", 10, 19).await.unwrap();
    let grown = Write { releases: vec![span("s", 10, 19, "a")], ..take("b", span("s", 10, 29, "b")) };
    commit(&*store, vec![grown]).await.unwrap();
    let batch = vec![
        released("c", span("s", 10, 29, "b")),
        take("d", span("s", 15, 25, "d")),
        released("e", span("s", 15, 25, "d")),
        take("f", span("s", 10, 19, "f")),
        take("g", span("s", 20, 29, "g")),
    ];
    commit(&*store, batch).await.unwrap();
    assert_eq!(spans(&*store, None, 9).await.unwrap(), [span("s", 10, 19, "f"), span("s", 20, 29, "g")]);
    // The other order is rejected: the span is still held at that point of the commit.
    let early = vec![take("h", span("s", 10, 10, "h")), released("i", span("s", 10, 19, "f"))];
    assert_guarded(commit(&*store, early).await);
}

/// A span must not end before it begins.
pub async fn span_that_ends_before_it_begins_is_rejected(store: Arc<dyn Store>) {
    for (first, last) in [(1, 0), (10, 9), (u128::MAX, 0)] {
        assert_guarded(taken(&*store, "a", first, last).await);
    }
    assert_eq!((head(&*store).await, spans(&*store, None, 9).await.unwrap()), (0, vec![]));
}

/// Overlapping spans of a range, in order, up to the limit.
pub async fn overlapping_spans_are_found_in_order(store: Arc<dyn Store>) {
    for (name, first, last) in [("a", 10, 19), ("b", 20, 20), ("c", 40, 49), ("d", 60, u128::MAX)] {
        taken(&*store, name, first, last).await.unwrap();
    }
    commit(&*store, vec![take("z", span("t", 0, 99, "z"))]).await.unwrap();
    let cases = [
        (0, 9, ""),
        (0, 10, "a"),
        (10, 10, "a"),
        (15, 15, "a"),
        (19, 19, "a"),
        (19, 20, "ab"),
        (20, 20, "b"),
        (21, 39, ""),
        (21, 40, "c"),
        (49, 59, "c"),
        (50, 59, ""),
        (0, 60, "abcd"),
        (0, u128::MAX, "abcd"),
        (u128::MAX, u128::MAX, "d"),
        (12, 45, "abc"),
    ];
    for (first, last, expected) in cases {
        for limit in 0..=5 {
            let held = store.overlapping_spans("s", first, last, limit).await.unwrap();
            let names: String = held.iter().map(|span| span.holder.as_str()).collect();
            assert_eq!(names, expected[..expected.len().min(limit)], "{first}..={last}, limit {limit}");
        }
    }
    assert_eq!(store.overlapping_spans("u", 0, u128::MAX, 9).await.unwrap(), []);
}

/// Ordered by space and number; any split into pages.
pub async fn spans_are_paged_by_space_and_number(store: Arc<dyn Store>) {
    let mut all = Vec::new();
    for (space, first) in [("a", 0), ("a", 1), ("a", u128::MAX), ("b", 0), ("b", 7), ("bb", 3)] {
        all.push(span(space, first, first, "k"));
    }
    let taken = all.iter().rev().enumerate().map(|(place, span)| vec![take(&format!("k{place}"), span.clone())]);
    commits(&*store, taken.collect()).await;
    for limit in 1..=7 {
        let mut seen: Vec<Span> = Vec::new();
        loop {
            let after = seen.last().map(|span| (span.space.as_str(), span.first));
            let page = spans(&*store, after, limit).await.unwrap();
            assert!(page.len() <= limit);
            if page.is_empty() {
                break;
            }
            seen.extend(page);
            assert!(seen.len() <= all.len(), "the pages do not end");
        }
        assert_eq!(seen, all, "limit {limit}");
    }
    assert_eq!(spans(&*store, Some(("a", 5)), 1).await.unwrap(), all[2..3]);
    assert_eq!(spans(&*store, Some(("aa", 5)), 1).await.unwrap(), all[3..4]);
    assert_eq!(spans(&*store, None, 0).await.unwrap(), []);
}
