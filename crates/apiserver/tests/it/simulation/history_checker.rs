//! Checks the responses to clients against the log.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::AddAssign,
};

use apimachinery::{
    command::Action,
    kind::Kind,
    status_error::{StatusError, StatusReason},
};
use apiserver::committer::Committed;
use store::{Entry, Revision, Store as _, contract, memory::MemoryStore};

use super::{Domain, Request};

/// The message for a client whose request has timed out.
pub const TIMED_OUT: &str = "the time of the request is over";

/// A request with its result.
#[derive(Clone, Debug)]
pub struct OpResult {
    pub request: Request,
    /// The head of the log before the request was submitted, and after it was answered.
    pub begun: u64,
    pub ended: u64,
    /// True if the server was not ready while the request waited.
    pub was_noticed: bool,
    pub outcome: Result<Committed, StatusError>,
}

/// The number of checked requests, by result.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    pub made: usize,
    pub tried: usize,
    pub refused: usize,
    /// Rejected because nothing could be written.
    pub unavailable: usize,
    pub unknown: usize,
    pub timed_out: usize,
    /// Requests that waited until their server was not ready.
    pub noticed: usize,
    pub hangs: usize,
    pub revisions: u64,
}

impl AddAssign for Summary {
    fn add_assign(&mut self, other: Self) {
        self.made += other.made;
        self.tried += other.tried;
        self.refused += other.refused;
        self.unavailable += other.unavailable;
        self.unknown += other.unknown;
        self.timed_out += other.timed_out;
        self.noticed += other.noticed;
        self.hangs += other.hangs;
        self.revisions += other.revisions;
    }
}

/// The log, indexed for checks.
struct History<'a, D: Domain> {
    /// The objects at each revision, from 0 on.
    states: Vec<D::ModelState>,
    by_key: BTreeMap<&'a str, Vec<&'a Entry>>,
}

/// Checks all requests, and returns their numbers.
pub async fn check_history<D: Domain>(log: &MemoryStore, done: &[OpResult]) -> Result<Summary, String> {
    let entries = contract::entries(log, Revision(0)).await;
    let history = History::<D>::read(log, &entries).await?;
    let mut summary = Summary { revisions: entries.len() as u64, ..Summary::default() };
    for one in done {
        summary.noticed += usize::from(one.was_noticed);
        match &one.outcome {
            Ok(_) if one.request.command.dry_run => {
                summary.tried += 1;
                history.absent(one)?;
            }
            Ok(committed) => {
                summary.made += 1;
                history.acknowledged(one, committed)?;
            }
            Err(refusal) if is_unknown(refusal) => {
                summary.unknown += 1;
                summary.timed_out += usize::from(refusal.message == TIMED_OUT);
            }
            Err(refusal) => {
                summary.refused += 1;
                summary.unavailable += usize::from(refusal.reason == StatusReason::ServiceUnavailable);
                history.refused(one, refusal)?;
            }
        }
    }
    history.deletions(done)?;
    Ok(summary)
}

impl<'a, D: Domain> History<'a, D> {
    async fn read(log: &MemoryStore, entries: &'a [Entry]) -> Result<Self, String> {
        let (mut states, mut by_key) = (vec![D::ModelState::default()], BTreeMap::<_, Vec<_>>::new());
        let ends = ends(log, entries.len() as u64).await;
        for entry in entries {
            let mut next = states[states.len() - 1].clone();
            let at = |found| format!("revision {}: {found}", entry.revision);
            D::advance(&mut next, entry).map_err(at)?;
            if ends.contains(&entry.revision.0) {
                D::settled(&next).map_err(at)?;
            }
            states.push(next);
            by_key.entry(entry.key.as_str()).or_default().push(entry);
        }
        Ok(Self { states, by_key })
    }

    /// The writes of the object of a request.
    fn writes(&self, done: &OpResult) -> &[&'a Entry] {
        self.by_key.get(done.request.command.key.storage_key().as_str()).map_or(&[], Vec::as_slice)
    }

    /// An acknowledged write is in the log, once, within the duration of the request.
    fn acknowledged(&self, done: &OpResult, committed: &Committed) -> Result<(), String> {
        let Request { command, token } = &done.request;
        let within = |entry: &&&Entry| (done.begun + 1..=done.ended).contains(&entry.revision.0);
        let mut writes = self.writes(done).iter().filter(within);
        let is_there = match &command.action {
            Action::Delete(_) => writes.any(|entry| entry.value.is_none()),
            action => {
                let creates = matches!(action, Action::Create(_));
                let creations = self.writes(done).iter().filter(|entry| entry.previous.is_none());
                let once = !creates || creations.filter(|entry| has(entry, token)).count() == 1;
                let bytes = committed.object.as_ref().map(|(_, bytes)| bytes);
                once && writes.any(|entry| has(entry, token) && entry.value.as_ref() == bytes)
            }
        };
        if is_there { Ok(()) } else { Err(format!("it is not in the log: {done:?}")) }
    }

    /// A rejected request wrote nothing, and at some moment of its duration there was a reason for it.
    fn refused(&self, done: &OpResult, refusal: &StatusError) -> Result<(), String> {
        self.absent(done)?;
        let [begun, ended] = [done.begun, done.ended].map(|revision| usize::try_from(revision).unwrap());
        let mut seen = self.states[begun..=ended].iter();
        let command = &done.request.command;
        let is_explained = refusal.reason == StatusReason::ServiceUnavailable
            || seen.any(|state| D::explains(state, command, refusal));
        if is_explained { Ok(()) } else { Err(format!("there was no reason for it: {done:?}")) }
    }

    fn absent(&self, done: &OpResult) -> Result<(), String> {
        let token = &done.request.token;
        if !token.is_empty() && self.writes(done).iter().any(|entry| has(entry, token)) {
            return Err(format!("nothing was to be written, and it is in the log: {done:?}"));
        }
        Ok(())
    }

    /// Deletions leave no token, so they are counted: there are as many as were acknowledged, plus at most those with
    /// an unknown outcome.
    fn deletions(&self, done: &[OpResult]) -> Result<(), String> {
        let registry = D::registry();
        let is_deletion = |done: &&OpResult| matches!(done.request.command.action, Action::Delete(_));
        let keys: BTreeSet<_> = done.iter().filter(is_deletion).map(|done| &done.request.command.key).collect();
        for key in keys {
            if registry.get(key.resource).is_some_and(Kind::is_managed_by_owner) {
                // Its objects are deleted with their owners.
                continue;
            }
            let of_key = || done.iter().filter(is_deletion).filter(|done| done.request.command.key == *key);
            let real = || of_key().filter(|done| !done.request.command.dry_run);
            let acknowledged = real().filter(|done| done.outcome.is_ok()).count();
            let unknown = real().filter(|done| done.outcome.as_ref().is_err_and(is_unknown)).count();
            let text = key.storage_key();
            let writes = self.by_key.get(text.as_str()).map_or(&[][..], Vec::as_slice);
            let gone = writes.iter().filter(|entry| entry.value.is_none()).count();
            if !(acknowledged..=acknowledged + unknown).contains(&gone) {
                return Err(format!(
                    "{text} was deleted {gone} times; {acknowledged} deletions were acknowledged, {unknown} unknown"
                ));
            }
        }
        Ok(())
    }
}

/// The revisions at which commits end.
async fn ends(log: &MemoryStore, head: u64) -> BTreeSet<u64> {
    let mut ends = BTreeSet::new();
    let mut revision = 1;
    while revision <= head {
        // No key begins like this; the page still reports its snapshot.
        let page = log.list("\u{1}", None, Some(Revision(revision)), 1).await.unwrap();
        ends.insert(page.revision.0);
        revision = page.revision.0 + 1;
    }
    ends
}

/// True if the response says that the outcome is unknown.
fn is_unknown(refusal: &StatusError) -> bool {
    refusal.reason == StatusReason::Timeout
        || refusal.message.contains("outcome is unknown")
        || refusal.message.contains("outcome of the write is unknown")
}

fn has(entry: &Entry, token: &str) -> bool {
    let text = entry.value.as_deref().and_then(|bytes| std::str::from_utf8(bytes).ok());
    text.is_some_and(|text| text.contains(token))
}
