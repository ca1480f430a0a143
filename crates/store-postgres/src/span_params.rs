//! Spans as query parameters.

use tokio_postgres::types::{ToSql, Type};

/// Spans as arrays, one per column.
pub struct SpanParams<'a> {
    spaces: Vec<&'a str>,
    firsts: Vec<Vec<u8>>,
    lasts: Vec<Vec<u8>>,
    holders: Vec<&'a str>,
}

impl<'a> SpanParams<'a> {
    /// Converts spans to arrays.
    pub fn of(spans: impl Iterator<Item = &'a store::Span>) -> Self {
        let mut columns = Self { spaces: Vec::new(), firsts: Vec::new(), lasts: Vec::new(), holders: Vec::new() };
        for span in spans {
            columns.spaces.push(&span.space);
            columns.firsts.push(span.first.to_be_bytes().to_vec());
            columns.lasts.push(span.last.to_be_bytes().to_vec());
            columns.holders.push(span.holder.as_str());
        }
        columns
    }

    /// Returns the parameters: spaces, firsts, lasts, holders.
    pub fn parameters(&self) -> [(&(dyn ToSql + Sync), Type); 4] {
        [
            (&self.spaces, Type::TEXT_ARRAY),
            (&self.firsts, Type::BYTEA_ARRAY),
            (&self.lasts, Type::BYTEA_ARRAY),
            (&self.holders, Type::TEXT_ARRAY),
        ]
    }
}
