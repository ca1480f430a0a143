//! The net effect of a commit, computed from its writes in order.
//!
//! Within a commit a key may be written several times, and a span be taken, released and taken again. Conflicts between
//! the writes are checked here; conflicts of the net effect with the stored data are checked by the database.

use std::collections::{BTreeMap, HashMap};

use store::{Error, Key, Revision, Span, Write};

/// Spans by space and first number.
type Spans<'a> = BTreeMap<(&'a str, u128), &'a Span>;

/// The net effect of the writes of a commit.
#[derive(Debug, Default)]
pub struct CommitPlan<'a> {
    /// The version that each write replaces.
    pub expected: Vec<Option<Revision>>,
    /// For each write, whether the database must check its `expected`. False if an earlier write of this commit wrote
    /// the key.
    pub checked: Vec<bool>,
    /// Stored spans to delete.
    pub released: Vec<&'a Span>,
    /// Spans to insert.
    pub taken: Spans<'a>,
    ended: Spans<'a>,
}

impl<'a> CommitPlan<'a> {
    /// Computes the net effect of writes that begin after `head`.
    pub fn of(head: Revision, writes: &'a [Write]) -> Result<Self, Error> {
        let mut plan = Self::default();
        let mut written: HashMap<&Key, Option<Revision>> = HashMap::with_capacity(writes.len());
        let mut revision = head;
        for write in writes {
            revision = revision.next();
            let found = written.insert(&write.key, write.value.is_some().then_some(revision));
            match found {
                Some(found) if found != write.expected => {
                    return Err(Error::Precondition { key: write.key.clone(), expected: write.expected, found });
                }
                _ => {}
            }
            plan.expected.push(write.expected);
            plan.checked.push(found.is_none());
            write.releases.iter().try_for_each(|span| plan.release(span))?;
            write.takes.iter().try_for_each(|span| plan.take(span))?;
        }
        Ok(plan)
    }

    fn release(&mut self, span: &'a Span) -> Result<(), Error> {
        let place = (span.space.as_str(), span.first);
        if self.taken.get(&place) == Some(&span) {
            self.taken.remove(&place);
            return Ok(());
        }
        // The commit takes this span before it releases the one that overlaps it, so at that point both would be held.
        if let Some(taken) = overlap(&self.taken, span) {
            return Err(Error::SpanConflict(format!("{taken} overlaps {span}")));
        }
        if self.ended.insert(place, span).is_some() {
            return Err(Error::SpanConflict(format!("{span} is not held, so it cannot be released")));
        }
        self.released.push(span);
        Ok(())
    }

    fn take(&mut self, span: &'a Span) -> Result<(), Error> {
        if span.last < span.first {
            return Err(Error::SpanConflict(format!("{span} ends before it begins")));
        }
        if let Some(taken) = overlap(&self.taken, span) {
            return Err(Error::SpanConflict(format!("{span} overlaps {taken}")));
        }
        self.taken.insert((span.space.as_str(), span.first), span);
        Ok(())
    }
}

/// Returns one of `spans` that overlaps `span`. They do not overlap each other, so the last one that begins before the
/// end of `span` also ends last.
fn overlap<'a>(spans: &Spans<'a>, span: &Span) -> Option<&'a Span> {
    let space = span.space.as_str();
    let before = spans.range((space, 0)..=(space, span.last)).next_back();
    before.map(|(_, found)| *found).filter(|found| found.last >= span.first)
}
