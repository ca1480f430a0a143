//! What clients heard, held against the log.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::AddAssign,
};

use apimachinery::refusal::{Reason, Refusal};
use apiserver::committer::Committed;
use serde_json::Value;
use store::{Entry, Revision, contract, memory::MemoryStore};

use super::PLACES;

/// What a client wanted of a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deed {
    Create,
    Delete,
    Change,
}

/// A command that was answered.
#[derive(Clone, Debug)]
pub struct Done {
    pub deed: Deed,
    pub name: &'static str,
    /// The uid that a creation gives.
    pub uid: String,
    /// Where the log ended before it was submitted, and when it had been answered.
    pub begun: u64,
    pub ended: u64,
    pub outcome: Result<Committed, Refusal>,
}

/// How much was checked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    pub made: usize,
    pub refused: usize,
    pub unknown: usize,
    pub revisions: u64,
}

impl AddAssign for Summary {
    fn add_assign(&mut self, other: Self) {
        self.made += other.made;
        self.refused += other.refused;
        self.unknown += other.unknown;
        self.revisions += other.revisions;
    }
}

/// The library after a write.
#[derive(Clone, Debug, Default)]
struct Moment {
    /// The uid of each book, by name.
    books: BTreeMap<String, String>,
    /// Places by card.
    cards: BTreeMap<String, u64>,
}

/// Checks everything, and says how much that was.
pub async fn audit(log: &MemoryStore, deeds: &[Done]) -> Result<Summary, String> {
    let entries = contract::entries(log, Revision(0)).await;
    let moments = moments(&entries)?;
    let mut summary = Summary { revisions: entries.len() as u64, ..Summary::default() };
    for done in deeds {
        let seen = &moments[usize::try_from(done.begun).unwrap()..=usize::try_from(done.ended).unwrap()];
        match &done.outcome {
            Ok(committed) => {
                summary.made += 1;
                acknowledged(done, committed, &entries)?;
            }
            Err(refusal) if is_unknown(refusal) => summary.unknown += 1,
            Err(refusal) => {
                summary.refused += 1;
                refused(done, refusal, seen, &entries)?;
            }
        }
    }
    Ok(summary)
}

/// The library behind each revision, from 0 on. No place is ever taken twice, and the sum is right wherever it is written.
fn moments(entries: &[Entry]) -> Result<Vec<Moment>, String> {
    let mut moments = vec![Moment::default()];
    for entry in entries {
        let mut next = moments[moments.len() - 1].clone();
        let object: Option<Value> = entry.value.as_deref().map(|bytes| serde_json::from_slice(bytes).unwrap());
        let key = entry.key.as_str();
        let name = key.rsplit('/').next().unwrap_or_default().to_owned();
        if key.starts_with("books/") {
            match object {
                Some(object) => next.books.insert(name, object["metadata"]["uid"].as_str().unwrap().to_owned()),
                None => next.books.remove(&name),
            };
        } else if key.starts_with("cards/") {
            match object {
                Some(object) => next.cards.insert(name, object["spec"]["place"].as_u64().unwrap()),
                None => next.cards.remove(&name),
            };
            let places: BTreeSet<_> = next.cards.values().collect();
            if places.len() < next.cards.len() {
                return Err(format!("revision {}: a place was given out twice: {:?}", entry.revision, next.cards));
            }
        } else if let Some(sum) = object.and_then(|object| object["status"]["books"].as_u64())
            && sum != next.cards.len() as u64
        {
            return Err(format!("revision {}: the sum is {sum}, the cards are {:?}", entry.revision, next.cards));
        }
        moments.push(next);
    }
    Ok(moments)
}

/// What was acknowledged is in the log, once, within the time of the command.
fn acknowledged(done: &Done, committed: &Committed, entries: &[Entry]) -> Result<(), String> {
    let within = |entry: &&Entry| (done.begun + 1..=done.ended).contains(&entry.revision.0);
    let found = match (done.deed, &committed.object) {
        (Deed::Delete, _) => {
            let gone = |entry: &&Entry| is_book(entry, done.name) && entry.value.is_none();
            entries.iter().filter(within).any(|entry| gone(&entry))
        }
        // A change that changes nothing is not written.
        (Deed::Change, _) => true,
        (Deed::Create, Some((_, bytes))) => {
            let written: Vec<_> = entries.iter().filter(|entry| has_uid(entry, &done.uid)).collect();
            let creations = written.iter().filter(|entry| entry.previous.is_none()).count();
            creations == 1 && written.iter().any(|entry| within(entry) && entry.value.as_ref() == Some(bytes))
        }
        (Deed::Create, None) => false,
    };
    if found { Ok(()) } else { Err(format!("it is not in the log: {done:?}")) }
}

/// What was refused left nothing behind, and at some moment of its time there was a reason.
fn refused(done: &Done, refusal: &Refusal, seen: &[Moment], entries: &[Entry]) -> Result<(), String> {
    if done.deed == Deed::Create && entries.iter().any(|entry| has_uid(entry, &done.uid)) {
        return Err(format!("it was refused, and is in the log: {done:?}"));
    }
    let reason = match refusal.reason {
        Reason::AlreadyExists => seen.iter().any(|moment| moment.books.contains_key(done.name)),
        Reason::NotFound => seen.iter().any(|moment| !moment.books.contains_key(done.name)),
        Reason::InsufficientStorage => seen.iter().any(|moment| moment.cards.len() == PLACES as usize),
        // Until the shelf is there.
        Reason::BadRequest => false,
        Reason::ServiceUnavailable => true,
        _ => false,
    };
    if reason { Ok(()) } else { Err(format!("there was no reason for it: {done:?}")) }
}

/// Whether the client was told that it must look for itself.
fn is_unknown(refusal: &Refusal) -> bool {
    refusal.reason == Reason::Timeout || refusal.message.contains("not known")
}

fn is_book(entry: &Entry, name: &str) -> bool {
    entry.key.as_str() == format!("books/platform/attic/{name}")
}

fn has_uid(entry: &Entry, uid: &str) -> bool {
    let text = entry.value.as_deref().and_then(|bytes| std::str::from_utf8(bytes).ok());
    entry.key.as_str().starts_with("books/") && text.is_some_and(|text| text.contains(uid))
}
