//! Random operations on a store and on the memory model: the results must be equal.
//!
//! The operations are generated from a seed, with few keys and few numbers, so that they collide often. `Operation`
//! covers every call of the store. A failure reports the seed, the index and the operation.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use rand::rngs::SmallRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};

use super::{key, span, spans};
use crate::memory::MemoryStore;
use crate::{Error, Key, Revision, Span, Store, Write};

const KEYS: [&str; 12] = ["a", "a/", "a/1", "a/2", "a/2/x", "a/3", "a0", "ab", "b", "b/1", "b/2", "c"];
const PREFIXES: [&str; 7] = ["", "a", "a/", "a/2", "b/", "c", "d"];
const SPACES: [&str; 3] = ["", "s", "s2"];

/// Spans use this many numbers at both ends of the range.
const NUMBERS: u128 = 48;

#[derive(Debug)]
enum Operation {
    Commit { read: Vec<Key>, writes: Vec<Write> },
    Abandon { read: Vec<Key>, after: Revision, limit: usize },
    Get(Key),
    Read(Vec<Key>),
    List { prefix: &'static str, after: Option<Key>, at: Option<Revision>, limit: usize },
    Count { prefix: &'static str, after: Option<Key>, at: Revision, limit: usize },
    Tail(Revision, usize),
    Spans(Option<(&'static str, u128)>, usize),
    OverlappingSpans(&'static str, u128, u128, usize),
    Compact(Revision),
}

/// Runs `operations` random operations on `store`, which must be empty, and on the model.
pub async fn compare(store: Arc<dyn Store>, seed: u64, operations: usize) {
    let model = MemoryStore::new();
    let mut generator = Generator::new(seed);
    for place in 0..operations {
        let operation = generator.next_operation();
        let expected = answer(&model, &operation).await;
        let found = answer(&*store, &operation).await;
        assert_eq!(found, expected, "seed {seed}, operation {place}: {operation:?}");
        let heads = (store.head().await.unwrap(), model.head().await.unwrap());
        assert_eq!(heads.0, heads.1, "seed {seed}, the head after operation {place}: {operation:?}");
    }
}

/// Returns the result of an operation as text. Of an error only the parts that the contract defines.
async fn answer(store: &dyn Store, operation: &Operation) -> String {
    match operation {
        Operation::Commit { read, writes } => {
            let transaction = store.begin().await.unwrap();
            let records = transaction.read(read).await.unwrap();
            format!("{records:?} {}", render(transaction.commit(writes.clone()).await))
        }
        Operation::Abandon { read, after, limit } => {
            let transaction = store.begin().await.unwrap();
            let records = transaction.read(read).await.unwrap();
            format!("{records:?} {}", render(transaction.tail(*after, *limit).await))
        }
        Operation::Get(key) => render(store.get(key).await),
        Operation::Read(keys) => render(store.read(keys).await),
        Operation::List { prefix, after, at, limit } => render(store.list(prefix, after.as_ref(), *at, *limit).await),
        Operation::Count { prefix, after, at, limit } => render(store.count(prefix, after.as_ref(), *at, *limit).await),
        Operation::Tail(after, limit) => render(store.tail(*after, *limit).await),
        Operation::Spans(after, limit) => render(spans(store, *after, *limit).await),
        Operation::OverlappingSpans(space, first, last, limit) => {
            render(store.overlapping_spans(space, *first, *last, *limit).await)
        }
        Operation::Compact(revision) => render(store.compact(*revision).await),
    }
}

fn render<T: std::fmt::Debug>(outcome: Result<T, Error>) -> String {
    match outcome {
        Err(Error::SpanConflict(_)) => "the guard".to_owned(),
        other => format!("{other:?}"),
    }
}

/// Generates operations, and tracks enough state to generate commits that succeed.
struct Generator {
    random: SmallRng,
    state: State,
}

#[derive(Clone, Default)]
struct State {
    head: u64,
    live: BTreeMap<&'static str, Revision>,
    held: Vec<Span>,
}

impl Generator {
    fn new(seed: u64) -> Self {
        Self { random: SmallRng::seed_from_u64(seed), state: State::default() }
    }

    fn next_operation(&mut self) -> Operation {
        match self.random.random_range(0..100) {
            0..40 => self.commit(),
            40..50 => self.faulty_commit(),
            50..53 => {
                let after = self.revision();
                Operation::Abandon { read: self.keys(), after, limit: self.limit() }
            }
            53..55 => Operation::Get(key(self.name())),
            55..58 => Operation::Read(self.keys()),
            58..72 => {
                let at = self.random.random_bool(0.7).then(|| self.revision());
                Operation::List { prefix: self.prefix(), after: self.after(), at, limit: self.limit() }
            }
            72..80 => {
                let at = self.revision();
                Operation::Count { prefix: self.prefix(), after: self.after(), at, limit: self.limit() }
            }
            80..88 => Operation::Tail(self.revision(), self.limit()),
            88..92 => {
                let after = self.random.random_bool(0.7).then(|| (self.space(), self.range().0));
                Operation::Spans(after, self.limit())
            }
            92..98 => {
                let (first, last) = self.range();
                Operation::OverlappingSpans(self.space(), first, last, self.limit())
            }
            _ => {
                // Mostly older revisions, so that history remains for later operations.
                let horizon = self.random.random_range(0..=self.state.head);
                Operation::Compact(Revision(self.random.random_range(0..=horizon)))
            }
        }
    }

    fn commit(&mut self) -> Operation {
        let mut next = self.state.clone();
        let n_writes = self.random.random_range(0..=6);
        let writes = (0..n_writes).map(|_| self.write(&mut next)).collect();
        self.state = next;
        Operation::Commit { read: self.keys(), writes }
    }

    /// Generates a commit with valid writes around an invalid one, so that there is something to roll back.
    fn faulty_commit(&mut self) -> Operation {
        let mut next = self.state.clone();
        let mut writes: Vec<Write> = (0..self.random.random_range(0..4)).map(|_| self.write(&mut next)).collect();
        let fault = self.fault(&mut next);
        writes.push(fault);
        writes.extend((0..self.random.random_range(0..3)).map(|_| self.write(&mut next)));
        Operation::Commit { read: self.keys(), writes }
    }

    /// Generates a write that succeeds after the writes that led to `state`.
    fn write(&mut self, state: &mut State) -> Write {
        let name = self.name();
        let expected = state.live.get(name).copied();
        let revision = Revision(state.head + 1);
        let deletes = self.random.random_bool(if expected.is_some() { 0.3 } else { 0.05 });
        let value = (!deletes).then(|| Bytes::from(format!("{name} at {revision}")));
        state.head += 1;
        if deletes {
            state.live.remove(name);
        } else {
            state.live.insert(name, revision);
        }
        let releases = self.releases(state);
        let takes = self.takes(state, name);
        Write { key: key(name), value, expected, releases, takes }
    }

    fn releases(&mut self, state: &mut State) -> Vec<Span> {
        let n_released = self.random.random_range(0..=2).min(state.held.len());
        (0..n_released).map(|_| state.held.swap_remove(self.random.random_range(0..state.held.len()))).collect()
    }

    fn takes(&mut self, state: &mut State, holder: &str) -> Vec<Span> {
        let mut takes = Vec::new();
        for _ in 0..self.random.random_range(0..=3) {
            let (first, last) = self.range();
            let wanted = span(self.space(), first, last, holder);
            if !state.held.iter().any(|held| overlap(held, &wanted)) {
                state.held.push(wanted.clone());
                takes.push(wanted);
            }
        }
        takes
    }

    /// Generates a write with exactly one error.
    fn fault(&mut self, state: &mut State) -> Write {
        let before = state.clone();
        let mut write = self.write(state);
        let held = before.held.choose(&mut self.random).cloned();
        match (self.random.random_range(0..6), held) {
            (0, Some(held)) => write = Write { takes: vec![self.overlapping(&held)], releases: vec![], ..write },
            (1, Some(held)) => write = Write { releases: vec![self.mistaken(held)], takes: vec![], ..write },
            (2, _) => {
                let first = self.random.random_range(1..NUMBERS);
                write = Write { takes: vec![span("s", first, first - 1, "a")], releases: vec![], ..write };
            }
            _ => {
                let wrong = write.expected.map_or(1, |revision| revision.0 + 1);
                write.expected = Some(Revision(wrong));
            }
        }
        write
    }

    fn overlapping(&mut self, held: &Span) -> Span {
        let first = self.random.random_range(held.first.saturating_sub(3)..=held.last);
        let start = first.max(held.first);
        let last = self.random.random_range(start..=start.saturating_add(3));
        Span { first, last, holder: key("x"), ..held.clone() }
    }

    fn mistaken(&mut self, held: Span) -> Span {
        match self.random.random_range(0..4) {
            0 => Span { space: format!("{}?", held.space), ..held },
            1 => Span { first: held.first ^ 1, ..held },
            2 => Span { last: held.last ^ 1, ..held },
            _ => Span { holder: key("other"), ..held },
        }
    }

    /// Generates a range of one to six numbers at either end of the number range.
    fn range(&mut self) -> (u128, u128) {
        let first = self.random.random_range(0..NUMBERS);
        let last = (first + self.random.random_range(0..6)).min(NUMBERS);
        if self.random.random_bool(0.5) { (first, last) } else { (u128::MAX - last, u128::MAX - first) }
    }

    /// Generates a revision in the log, or up to 2 after the head.
    fn revision(&mut self) -> Revision {
        let beyond = self.state.head + 2;
        let recent = self.state.head.saturating_sub(20);
        let from = if self.random.random_bool(0.7) { recent } else { 0 };
        Revision(self.random.random_range(from..=beyond))
    }

    fn keys(&mut self) -> Vec<Key> {
        (0..self.random.random_range(0..6)).map(|_| key(self.name())).collect()
    }

    fn name(&mut self) -> &'static str {
        KEYS.choose(&mut self.random).unwrap()
    }

    fn prefix(&mut self) -> &'static str {
        PREFIXES.choose(&mut self.random).unwrap()
    }

    fn space(&mut self) -> &'static str {
        SPACES.choose(&mut self.random).unwrap()
    }

    fn after(&mut self) -> Option<Key> {
        self.random.random_bool(0.5).then(|| key(self.name()))
    }

    fn limit(&mut self) -> usize {
        *[0, 1, 2, 3, 5, 100].choose(&mut self.random).unwrap()
    }
}

fn overlap(left: &Span, right: &Span) -> bool {
    left.space == right.space && left.first <= right.last && right.first <= left.last
}
