//! What a commit comes to: its writes go one after the other, and the database is told the sum of them.
//!
//! Within a commit a key may be written again, and a span be taken, given back and taken once more. Whether each step is right
//! by those before it is seen here; whether the sum is right by what is stored, the database sees.

use std::collections::{BTreeMap, HashMap};

use store::{Error, Key, Revision, Span, Write};

/// Spans by space and first number.
type Spans<'a> = BTreeMap<(&'a str, u128), &'a Span>;

/// The sum of the writes of a commit.
#[derive(Debug, Default)]
pub struct Ledger<'a> {
    /// For each write, the version that it replaces.
    pub expected: Vec<Option<Revision>>,
    /// For each write, whether that is for the database to see: it is not about an earlier write of this commit.
    pub checked: Vec<bool>,
    /// Spans that are held and end.
    pub released: Vec<&'a Span>,
    /// Spans that begin.
    pub taken: Spans<'a>,
    ended: Spans<'a>,
}

impl<'a> Ledger<'a> {
    /// Adds the writes up, the first of which gets the revision behind `head`.
    pub fn of(head: Revision, writes: &'a [Write]) -> Result<Self, Error> {
        let mut ledger = Self::default();
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
            ledger.expected.push(write.expected);
            ledger.checked.push(found.is_none());
            write.releases.iter().try_for_each(|span| ledger.release(span))?;
            write.takes.iter().try_for_each(|span| ledger.take(span))?;
        }
        Ok(ledger)
    }

    fn release(&mut self, span: &'a Span) -> Result<(), Error> {
        let place = (span.space.as_str(), span.first);
        if self.taken.get(&place) == Some(&span) {
            self.taken.remove(&place);
            return Ok(());
        }
        // Taken while it was held: at that point of the commit the numbers were somebody's.
        if let Some(taken) = overlap(&self.taken, span) {
            return Err(Error::Guard(format!("{taken} overlaps {span}")));
        }
        if self.ended.insert(place, span).is_some() {
            return Err(Error::Guard(format!("{span} is not held, so it cannot be released")));
        }
        self.released.push(span);
        Ok(())
    }

    fn take(&mut self, span: &'a Span) -> Result<(), Error> {
        if span.last < span.first {
            return Err(Error::Guard(format!("{span} ends before it begins")));
        }
        if let Some(taken) = overlap(&self.taken, span) {
            return Err(Error::Guard(format!("{span} overlaps {taken}")));
        }
        self.taken.insert((span.space.as_str(), span.first), span);
        Ok(())
    }
}

/// One of these that overlaps a span. They do not overlap each other, so the last that begins before its end ends last.
fn overlap<'a>(spans: &Spans<'a>, span: &Span) -> Option<&'a Span> {
    let space = span.space.as_str();
    let before = spans.range((space, 0)..=(space, span.last)).next_back();
    before.map(|(_, found)| *found).filter(|found| found.last >= span.first)
}
