//! A summary of the contents of a store: the number of objects, the number of spans, and a digest of all of them in order. It is
//! computed from the decoded values, so it does not depend on the file format.

use std::fmt;

use sha2::{Digest as _, Sha256};
use store::{Record, Revision, Span};

/// A summary that is being computed.
#[derive(Default)]
pub struct Tally {
    records: u64,
    spans: u64,
    digest: Sha256,
}

/// A complete summary.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sum {
    /// The number of objects.
    pub records: u64,
    /// The number of spans.
    pub spans: u64,
    digest: String,
}

impl Tally {
    /// Adds an object.
    pub fn record(&mut self, record: &Record) {
        self.records += 1;
        self.number(record.revision);
        self.text(record.key.as_str().as_bytes());
        self.text(&record.value);
    }

    /// Adds a span.
    pub fn span(&mut self, span: &Span) {
        self.spans += 1;
        self.text(span.space.as_bytes());
        self.digest.update(span.first.to_be_bytes());
        self.digest.update(span.last.to_be_bytes());
        self.text(span.holder.as_str().as_bytes());
    }

    /// Returns the number of objects so far.
    pub fn records(&self) -> u64 {
        self.records
    }

    /// Returns the number of spans so far.
    pub fn spans(&self) -> u64 {
        self.spans
    }

    /// Returns the summary.
    pub fn sum(self) -> Sum {
        Sum { records: self.records, spans: self.spans, digest: hexadecimal(self.digest) }
    }

    fn number(&mut self, revision: Revision) {
        self.digest.update(revision.0.to_be_bytes());
    }

    /// Adds the length and the text, so that different sequences of texts have different digests.
    fn text(&mut self, text: &[u8]) {
        self.digest.update((text.len() as u64).to_be_bytes());
        self.digest.update(text);
    }
}

impl fmt::Display for Sum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} objects and {} spans with digest {}", self.records, self.spans, self.digest)
    }
}

/// Returns a digest in lower-case hexadecimal.
pub fn hexadecimal(digest: Sha256) -> String {
    format!("{:x}", digest.finalize())
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use store::Key;

    use super::*;

    fn record(key: &str, revision: u64, value: &'static str) -> Record {
        Record {
            key: Key::new(key).unwrap(),
            revision: Revision(revision),
            value: Bytes::from_static(value.as_bytes()),
        }
    }

    fn span(space: &str, first: u128, last: u128, holder: &str) -> Span {
        Span { space: space.to_owned(), first, last, holder: Key::new(holder).unwrap() }
    }

    #[test]
    fn digest_depends_on_every_field_and_the_order() {
        let sum = |records: &[Record], spans: &[Span]| {
            let mut tally = Tally::default();
            for record in records {
                tally.record(record);
            }
            for span in spans {
                tally.span(span);
            }
            tally.sum()
        };
        let base = sum(&[record("a", 1, "bc"), record("b", 2, "d")], &[span("s", 1, 2, "a")]);
        assert_eq!(base, sum(&[record("a", 1, "bc"), record("b", 2, "d")], &[span("s", 1, 2, "a")]));
        for (records, spans) in [
            (vec![record("a", 1, "bc")], vec![span("s", 1, 2, "a")]),
            (vec![record("a", 1, "bc"), record("b", 2, "d")], vec![]),
            (vec![record("b", 2, "d"), record("a", 1, "bc")], vec![span("s", 1, 2, "a")]),
            (vec![record("a", 1, "bd"), record("b", 2, "d")], vec![span("s", 1, 2, "a")]),
            (vec![record("a", 3, "bc"), record("b", 2, "d")], vec![span("s", 1, 2, "a")]),
            (vec![record("ab", 1, "c"), record("b", 2, "d")], vec![span("s", 1, 2, "a")]),
            (vec![record("a", 1, "bc"), record("b", 2, "d")], vec![span("s", 1, 3, "a")]),
            (vec![record("a", 1, "bc"), record("b", 2, "d")], vec![span("s", 0, 2, "a")]),
            (vec![record("a", 1, "bc"), record("b", 2, "d")], vec![span("t", 1, 2, "a")]),
            (vec![record("a", 1, "bc"), record("b", 2, "d")], vec![span("s", 1, 2, "b")]),
        ] {
            assert_ne!(base, sum(&records, &spans), "{records:?} {spans:?}");
        }
    }
}
