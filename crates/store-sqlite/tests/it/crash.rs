//! Crash recovery: the process is killed at random moments, repeatedly on one file.
//!
//! A child commits and reports the commits on a pipe; the parent kills it and checks the file. After SIGKILL the kernel
//! still writes all data, so this tests the order of writes and recovery, not syncing.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdout, Stdio};

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use store::{Entry, Key, Record, Revision, Span, Store, Write, contract};
use store_sqlite::SqliteStore;

use crate::{again, create, open};

const CHILD: &str = "STORE_SQLITE_CRASH";
const ROUNDS: u64 = 40;

/// The number of object names.
const NAMES: u64 = 24;

/// The prefix of the child's reports, which the test harness does not print otherwise.
const ACKNOWLEDGED: &str = "acknowledged up to";

#[tokio::test(flavor = "multi_thread")]
async fn acknowledged_commits_survive_sigkill() {
    if let Some(path) = std::env::var_os(CHILD) {
        return commit_until_killed(&open(Path::new(&path))).await;
    }
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("data.db");
    let mut random = SmallRng::seed_from_u64(1);
    let mut head = Revision(0);
    for round in 0..ROUNDS {
        let acknowledged = run_and_kill(&path, &mut random).max(head);
        let store = open(&path);
        head = check(&store, head, acknowledged, round).await;
    }
    assert!(head.0 > ROUNDS, "the children wrote next to nothing: {head}");
}

/// Lets a child commit for a while; returns the last revision that it acknowledged.
fn run_and_kill(path: &Path, random: &mut SmallRng) -> Revision {
    let mut child =
        again("crash::acknowledged_commits_survive_sigkill", CHILD, path).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut acknowledged = Revision(0);
    for _ in 0..random.random_range(0..30) {
        acknowledged = next_acknowledged(&mut lines).expect("the child lives until it is killed");
    }
    for _ in 0..random.random_range(0..1_000_000) {
        std::hint::spin_loop();
    }
    kill(&mut child);
    while let Some(later) = next_acknowledged(&mut lines) {
        acknowledged = later;
    }
    acknowledged
}

fn kill(child: &mut Child) {
    child.kill().unwrap();
    let status = child.wait().unwrap();
    assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(9), "the child ended by itself");
}

fn next_acknowledged(lines: &mut std::io::Lines<BufReader<ChildStdout>>) -> Option<Revision> {
    lines.find_map(|line| line.unwrap().strip_prefix(ACKNOWLEDGED)?.trim().parse().ok().map(Revision))
}

/// The child: random commits, and occasional compactions of what earlier children wrote.
async fn commit_until_killed(store: &SqliteStore) {
    let begun = store.head().await.unwrap().revision;
    let mut random = SmallRng::seed_from_u64(begun.0);
    let mut output = std::io::stdout();
    writeln!(output).unwrap();
    loop {
        if random.random_bool(0.1) {
            store.compact(Revision(random.random_range(0..=begun.0))).await.unwrap();
        }
        let transaction = store.begin().await.unwrap();
        let names: Vec<Key> = (0..NAMES).map(|number| create(&format!("k{number}"), "").key).collect();
        let records = transaction.read(&names).await.unwrap();
        let end = transaction.head().0;
        let writes = draw(&mut random, names.into_iter().zip(records));
        let end = end + writes.len() as u64;
        transaction.commit(writes).await.unwrap();
        writeln!(output, "{ACKNOWLEDGED} {end}").unwrap();
        output.flush().unwrap();
    }
}

/// Generates writes of some objects. A value contains the span of its holder, and its position in the commit.
fn draw(random: &mut SmallRng, objects: impl Iterator<Item = (Key, Option<Record>)>) -> Vec<Write> {
    let objects: Vec<_> = (0..).zip(objects).filter(|_| random.random_bool(0.3)).collect();
    let count = objects.len();
    let mut writes = Vec::new();
    for (place, (number, (key, record))) in objects.into_iter().enumerate() {
        let first: u128 = number * 100 + random.random_range(0..50);
        let last = first + random.random_range(0..50);
        let deletes = record.is_some() && random.random_bool(0.3);
        let padding = "x".repeat(random.random_range(0..2_000));
        let value = (!deletes).then(|| format!("{first} {last} {place} {count} {padding}").into());
        let takes = if deletes { vec![] } else { vec![span(&key, first, last)] };
        let releases = record.iter().map(held).collect();
        writes.push(Write { key, value, expected: record.map(|record| record.revision), releases, takes });
    }
    writes
}

fn span(holder: &Key, first: u128, last: u128) -> Span {
    Span { space: "s".into(), first, last, holder: holder.clone() }
}

/// Returns the span in a record's value.
fn held(record: &Record) -> Span {
    let numbers = numbers(&record.value);
    span(&record.key, numbers[0], numbers[1])
}

fn numbers(value: &[u8]) -> Vec<u128> {
    String::from_utf8_lossy(value).split(' ').take(4).map(|word| word.parse().unwrap()).collect()
}

/// Checks the state that the last child left. `before` is the head before it.
async fn check(store: &SqliteStore, before: Revision, acknowledged: Revision, round: u64) -> Revision {
    let head = store.head().await.unwrap().revision;
    assert!(head >= acknowledged, "round {round}: {acknowledged} was acknowledged and the log ends at {head}");
    let entries = contract::entries(store, before).await;
    let revisions = entries.iter().map(|entry| entry.revision.0);
    assert!(revisions.eq(before.0 + 1..=head.0), "round {round}: the log has a gap");
    check_ends(store, &entries, acknowledged, head, round).await;
    let live = contract::records(store, "", None).await;
    let replayed: BTreeMap<u128, Span> = live.iter().map(held).map(|span| (span.first, span)).collect();
    let spans = contract::spans(store, None, usize::MAX).await.unwrap();
    assert!(spans.iter().eq(replayed.values()), "round {round}: the spans are not what the log says");
    head
}

/// Checks that every commit is complete, including the acknowledged ones, and that at most one commit follows those.
async fn check_ends(store: &SqliteStore, entries: &[Entry], acknowledged: Revision, head: Revision, round: u64) {
    for entry in entries {
        let end = store.list("", None, Some(entry.revision), 0).await.unwrap().revision;
        assert!(
            end <= head && (entry.revision <= acknowledged) == (end <= acknowledged),
            "round {round}: half a commit"
        );
        if let Some(value) = &entry.value {
            let numbers = numbers(value);
            let remaining = u64::try_from(numbers[3] - numbers[2]).unwrap() - 1;
            assert_eq!(end.0, entry.revision.0 + remaining, "round {round}: a commit was cut");
        }
        if entry.revision > acknowledged {
            assert_eq!(end, head, "round {round}: two commits after the last acknowledged one");
        }
    }
}
