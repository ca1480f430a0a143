//! Prints the server's tables. The server decides on columns and cells.

use std::io::{self, Write};

use serde::{Deserialize, Deserializer};
use serde_json::Value;

use crate::report::printable;

const GAP: &str = "   ";

/// The printed parts of `meta.k8s.io/v1 Table`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Table {
    pub(crate) column_definitions: Vec<Column>,
    #[serde(deserialize_with = "null_is_empty")]
    pub(crate) rows: Vec<Row>,
    pub(crate) metadata: ListMetadata,
}

/// A column.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Column {
    name: String,
    /// Greater than 0: only in the wide table.
    priority: i32,
}

/// A row, with the metadata of its object.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Row {
    cells: Vec<Value>,
    object: Value,
}

/// Metadata of a page.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct ListMetadata {
    #[serde(rename = "continue")]
    pub(crate) next: String,
}

/// Options for printing a table.
#[derive(Clone, Debug, Default)]
pub(crate) struct Style<'a> {
    /// Also print columns with priority above 0.
    pub(crate) wide: bool,
    /// Print the namespace as first column.
    pub(crate) namespaces: bool,
    /// Omit the header line.
    pub(crate) no_headers: bool,
    /// Prefix of names, if several kinds are printed.
    pub(crate) prefix: &'a str,
}

impl Table {
    /// Appends the rows of another page or object.
    pub(crate) fn append(&mut self, mut more: Self) {
        if self.column_definitions.is_empty() {
            self.column_definitions = more.column_definitions;
        }
        self.rows.append(&mut more.rows);
        self.metadata = more.metadata;
    }

    pub(crate) fn print(&self, style: &Style<'_>, out: &mut dyn Write) -> io::Result<()> {
        let shown: Vec<usize> = (0..self.column_definitions.len())
            .filter(|idx| style.wide || self.column_definitions[*idx].priority == 0)
            .collect();
        let mut lines = Vec::with_capacity(self.rows.len() + 1);
        if !style.no_headers {
            let names = shown.iter().map(|idx| printable(&self.column_definitions[*idx].name.to_uppercase()));
            lines.push(style.namespaces.then(|| "NAMESPACE".to_owned()).into_iter().chain(names).collect());
        }
        lines.extend(self.rows.iter().map(|row| row.line(&shown, style)));
        print_columns(&lines, out)
    }
}

impl Row {
    fn line(&self, shown: &[usize], style: &Style<'_>) -> Vec<String> {
        let mut line = Vec::with_capacity(shown.len() + 1);
        if style.namespaces {
            line.push(cell(self.object.pointer("/metadata/namespace")));
        }
        for idx in shown {
            let text = cell(self.cells.get(*idx));
            line.push(if *idx == 0 { format!("{}{text}", style.prefix) } else { text });
        }
        line
    }
}

/// Servers written in Go encode an empty list as null.
fn null_is_empty<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Row>, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

fn cell(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => "<none>".to_owned(),
        Some(Value::String(text)) => printable(text),
        Some(other) => other.to_string(),
    }
}

/// Prints padded columns; the last column is not padded.
fn print_columns(lines: &[Vec<String>], out: &mut dyn Write) -> io::Result<()> {
    let columns = lines.iter().map(Vec::len).max().unwrap_or_default();
    let width = |column: usize| {
        lines.iter().filter_map(|line| line.get(column)).map(|cell| cell.chars().count()).max().unwrap_or_default()
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    for line in lines {
        let Some((last, padded)) = line.split_last() else {
            continue;
        };
        for (text, width) in padded.iter().zip(&widths) {
            write!(out, "{text:width$}{GAP}")?;
        }
        writeln!(out, "{last}")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;
    use crate::mock_server;

    fn check(style: &Style<'_>, expected: &Expect) {
        let table: Table = serde_json::from_value(mock_server::claim_table()).unwrap();
        let mut out = Vec::new();
        table.print(style, &mut out).unwrap();
        expected.assert_eq(&String::from_utf8(out).unwrap());
    }

    #[test]
    fn columns_are_aligned() {
        check(
            &Style::default(),
            &expect![[r"
                NAME       CIDR          LENGTH   AGE
                web        10.0.0.0/24   24       5m
                database   <none>        28       <none>
            "]],
        );
    }

    #[test]
    fn styles_control_columns_header_and_prefix() {
        check(
            &Style { wide: true, namespaces: true, ..Style::default() },
            &expect![[r"
                NAMESPACE   NAME       CIDR          LENGTH   AGE      ALLOCATION
                default     web        10.0.0.0/24   24       5m       alloc-1
                other       database   <none>        28       <none>   a\u{1b}[1m
            "]],
        );
        check(
            &Style { no_headers: true, prefix: "ipclaim/", ..Style::default() },
            &expect![[r"
                ipclaim/web        10.0.0.0/24   24   5m
                ipclaim/database   <none>        28   <none>
            "]],
        );
    }

    #[test]
    fn short_rows_and_empty_tables_are_printed() {
        let table: Table = serde_json::from_value(
            serde_json::json!({ "columnDefinitions": [{ "name": "A" }, { "name": "B" }], "rows": [{}] }),
        )
        .unwrap();
        let mut out = Vec::new();
        table.print(&Style::default(), &mut out).unwrap();
        Table::default().print(&Style::default(), &mut out).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), "A        B\n<none>   <none>\n");
    }
}
