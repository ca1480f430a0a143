//! The format of an export file: lines of JSON.
//!
//! The first line is a header. It is followed by all objects in the order of their keys, each with its revision; all spans in the
//! order of (space, first); and the end, with the number of objects and spans and the SHA-256 of all bytes before its line. A value
//! that is a JSON object on one line is written byte for byte; any other value is in base64.
//!
//! Reading is strict: unknown fields and unknown lines are errors. Every change of the format gets a new version, and so does every
//! change of the encoding: an import compares the digest of the filled store's export with that of the file.

use std::{borrow::Cow, fmt};

use anyhow::{Context as _, bail};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use store::{Key, Record, Revision, Span};

/// The value of `format` in the header.
const FORMAT: &str = "ipam-export";
/// The version that this program writes, and the only one that it reads.
const VERSION: u32 = 1;

/// The first line.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Header<'a> {
    #[serde(borrow)]
    format: Cow<'a, str>,
    version: u32,
    /// The revision of the snapshot: that of the last write of a commit.
    revision: u64,
}

/// The fields of the header that all versions have.
#[derive(Deserialize)]
struct Kind<'a> {
    #[serde(borrow)]
    format: Cow<'a, str>,
    version: u32,
}

/// Any line except the first.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
enum Form<'a> {
    #[serde(borrow)]
    Record(RecordForm<'a>),
    #[serde(borrow)]
    Span(SpanForm<'a>),
    End(End),
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RecordForm<'a> {
    #[serde(borrow)]
    key: Cow<'a, str>,
    revision: u64,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    object: Option<&'a RawValue>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    base64: Option<Cow<'a, str>>,
}

/// A span. The 128-bit numbers are strings, because many JSON parsers would lose precision.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SpanForm<'a> {
    #[serde(borrow)]
    space: Cow<'a, str>,
    #[serde(borrow)]
    first: Cow<'a, str>,
    #[serde(borrow)]
    last: Cow<'a, str>,
    #[serde(borrow)]
    holder: Cow<'a, str>,
}

/// The last line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct End {
    /// Objects in the file.
    pub records: u64,
    /// Spans in the file.
    pub spans: u64,
    /// The SHA-256 of all bytes before this line, in hexadecimal.
    pub sha256: String,
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} objects and {} spans with digest {}", self.records, self.spans, self.sha256)
    }
}

/// A decoded line.
#[derive(Debug, PartialEq, Eq)]
pub enum Line {
    /// An object.
    Record(Record),
    /// A span.
    Span(Span),
    /// The end of the file.
    End(End),
}

/// Returns the first line for a snapshot at `revision`.
pub fn header(revision: Revision) -> Vec<u8> {
    line(&Header { format: FORMAT.into(), version: VERSION, revision: revision.0 })
}

/// Returns the line of an object.
pub fn record(record: &Record) -> Vec<u8> {
    let object = as_one_line(&record.value);
    let base64 = object.is_none().then(|| STANDARD.encode(&record.value).into());
    let (key, revision) = (record.key.as_str().into(), record.revision.0);
    line(&Form::Record(RecordForm { key, revision, object, base64 }))
}

/// Returns the line of a span.
pub fn span(span: &Span) -> Vec<u8> {
    line(&Form::Span(SpanForm {
        space: span.space.as_str().into(),
        first: span.first.to_string().into(),
        last: span.last.to_string().into(),
        holder: span.holder.as_str().into(),
    }))
}

/// Returns the last line.
pub fn end(end: &End) -> Vec<u8> {
    line(&Form::End(end.clone()))
}

/// Decodes the first line. Returns the revision of the snapshot.
pub fn read_header(line: &[u8]) -> anyhow::Result<Revision> {
    let kind = serde_json::from_slice::<Kind<'_>>(line).ok().filter(|kind| kind.format == FORMAT);
    let Some(kind) = kind else { bail!("this is not a file that `ipam store export` made") };
    if kind.version > VERSION {
        bail!(
            "the file has version {} of the format and this program reads version {VERSION}: import it with a newer ipam",
            kind.version
        );
    }
    if kind.version < VERSION {
        bail!("the file has version {} of the format, which does not exist", kind.version);
    }
    let header: Header<'_> = serde_json::from_slice(line).context("the header is damaged")?;
    Ok(Revision(header.revision))
}

/// Decodes any other line.
pub fn read(line: &[u8]) -> anyhow::Result<Line> {
    Ok(match serde_json::from_slice(line)? {
        Form::Record(form) => Line::Record(form.read()?),
        Form::Span(form) => Line::Span(form.read()?),
        Form::End(end) => Line::End(end),
    })
}

impl RecordForm<'_> {
    fn read(self) -> anyhow::Result<Record> {
        let value = match (self.object, self.base64) {
            (Some(object), None) => Bytes::copy_from_slice(object.get().as_bytes()),
            (None, Some(text)) => STANDARD.decode(text.as_bytes())?.into(),
            _ => bail!("an object needs exactly one of `object` and `base64`"),
        };
        Ok(Record { key: key(self.key)?, revision: Revision(self.revision), value })
    }
}

impl SpanForm<'_> {
    fn read(self) -> anyhow::Result<Span> {
        let (first, last) = (self.first.parse()?, self.last.parse()?);
        if last < first {
            bail!("a span ends before it begins");
        }
        Ok(Span { space: self.space.into_owned(), first, last, holder: key(self.holder)? })
    }
}

fn key(text: Cow<'_, str>) -> anyhow::Result<Key> {
    Key::new(text).map_err(|text| anyhow::anyhow!("{text:?} is not a valid key"))
}

/// Returns the value as JSON if it is a JSON object on one line without surrounding whitespace.
fn as_one_line(value: &[u8]) -> Option<&RawValue> {
    if !value.starts_with(b"{") || value.contains(&b'\n') {
        return None;
    }
    let raw: &RawValue = serde_json::from_slice(value).ok()?;
    (raw.get().len() == value.len()).then_some(raw)
}

fn line(form: &impl Serialize) -> Vec<u8> {
    let mut line = serde_json::to_vec(form).expect("texts and numbers are JSON");
    line.push(b'\n');
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example(value: &[u8]) -> Record {
        let key = Key::new("ipclaims/p/\"quoted\"/ä").unwrap();
        Record { key, revision: Revision(7), value: Bytes::copy_from_slice(value) }
    }

    #[test]
    fn record_lines_round_trip_byte_for_byte() {
        for (value, stands_in_line) in [
            (&br#"{"a":1.10,"b":"\u00e4 \"x\"","c":[1e5,-0]}"#[..], true),
            (b"{ \"spaces\" :\t1 }", true),
            (b"{}", true),
            (b"{} ", false),
            (b" {}", false),
            (b"{\n}", false),
            (b"{\"a\":1", false),
            (b"{}{}", false),
            (b"null", false),
            (b"", false),
            (b"\xff\x00{", false),
            (b"{\"a\":\"\xff\"}", false),
        ] {
            let line = record(&example(value));
            let text = String::from_utf8(line.clone()).unwrap();
            assert_eq!(text.lines().count(), 1, "{text}");
            assert_eq!(text.contains("\"object\":"), stands_in_line, "{text}");
            assert_eq!(read(&line).unwrap(), Line::Record(example(value)), "{text}");
        }
    }

    #[test]
    fn span_end_and_header_lines_round_trip() {
        let span_of = |first, last| Span { space: "s".to_owned(), first, last, holder: Key::new("h").unwrap() };
        for example in [span_of(0, 0), span_of(1, u128::MAX)] {
            assert_eq!(read(&span(&example)).unwrap(), Line::Span(example));
        }
        let last = End { records: 1, spans: 2, sha256: "00".to_owned() };
        assert_eq!(read(&end(&last)).unwrap(), Line::End(last));
        assert_eq!(read_header(&header(Revision(9))).unwrap(), Revision(9));
    }

    #[test]
    fn malformed_and_unknown_lines_are_rejected() {
        for line in [
            "",
            "{}",
            "[]",
            r#"{"object":{}}"#,
            r#"{"record":{"key":"a","revision":1}}"#,
            r#"{"record":{"key":"a","revision":1,"object":{},"base64":""}}"#,
            r#"{"record":{"key":"a","revision":1,"object":{},"more":1}}"#,
            r#"{"record":{"key":"a","revision":-1,"object":{}}}"#,
            r#"{"record":{"key":"","revision":1,"object":{}}}"#,
            r#"{"record":{"key":"a","revision":1,"base64":"?"}}"#,
            r#"{"span":{"space":"s","first":"2","last":"1","holder":"h"}}"#,
            r#"{"span":{"space":"s","first":"-2","last":"1","holder":"h"}}"#,
            r#"{"end":{"records":1,"spans":0}}"#,
            r#"{"end":{"records":1,"spans":0,"sha256":""}} {}"#,
        ] {
            read(line.as_bytes()).expect_err(line);
        }
        for (line, words) in [
            ("", "not a file that `ipam store export` made"),
            ("SQLite format 3", "not a file that `ipam store export` made"),
            (r#"{"format":"other","version":1,"revision":1}"#, "not a file that `ipam store export` made"),
            (r#"{"format":"ipam-export","version":2,"whatever":[]}"#, "newer ipam"),
            (r#"{"format":"ipam-export","version":0,"revision":1}"#, "does not exist"),
            (r#"{"format":"ipam-export","version":1}"#, "header is damaged"),
        ] {
            let error = read_header(line.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(words), "{line}: {error}");
        }
    }
}
