//! The file itself rejects overlapping spans, also when it is written by other programs.

use rusqlite::Connection;

use crate::open;

/// Creates a file with one span, 16..=31 in space "s".
fn with_span(test: impl FnOnce(&Connection)) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("data.db");
    let _store = open(&path);
    let connection = Connection::open(&path).unwrap();
    insert(&connection, "INSERT", 16, 31).unwrap();
    test(&connection);
    let held: Vec<(u128, u128)> = spans(&connection);
    assert_eq!(held, [(16, 31)]);
}

fn insert(connection: &Connection, verb: &str, first: u128, last: u128) -> rusqlite::Result<usize> {
    let sql = format!("{verb} INTO span (space, first, last, holder) VALUES ('s', ?1, ?2, 'raw')");
    connection.execute(&sql, (first.to_be_bytes(), last.to_be_bytes()))
}

fn spans(connection: &Connection) -> Vec<(u128, u128)> {
    let mut statement = connection.prepare("SELECT first, last FROM span ORDER BY first").unwrap();
    let rows = statement.query_map([], |row| Ok((u128::from_be_bytes(row.get(0)?), u128::from_be_bytes(row.get(1)?))));
    rows.unwrap().collect::<Result<_, _>>().unwrap()
}

#[test]
fn every_insert_verb_rejects_overlaps() {
    with_span(|connection| {
        for verb in
            ["INSERT", "INSERT OR REPLACE", "INSERT OR IGNORE", "INSERT OR FAIL", "INSERT OR ROLLBACK", "REPLACE"]
        {
            for (first, last) in [(16, 31), (16, 16), (31, 31), (20, 21), (0, 16), (31, 40), (0, 99), (0, u128::MAX)] {
                insert(connection, verb, first, last).expect_err(&format!("{verb} {first}..={last}"));
            }
        }
    });
}

#[test]
fn overlapping_rows_of_one_statement_are_rejected() {
    with_span(|connection| {
        let sql = "INSERT INTO span SELECT 's', first, last, 'raw' FROM (SELECT ?1 AS first, ?2 AS last UNION ALL SELECT ?2, ?3)";
        let numbers = [50_u128, 60, 70].map(u128::to_be_bytes);
        connection.execute(sql, numbers).unwrap_err();
    });
}

#[test]
fn updates_of_spans_are_rejected() {
    with_span(|connection| {
        insert(connection, "INSERT", 40, 50).unwrap();
        for set in ["first = ?1", "last = ?1", "first = ?1, last = ?1", "space = 't' || hex(?1)", "holder = hex(?1)"] {
            connection.execute(&format!("UPDATE span SET {set}"), [20_u128.to_be_bytes()]).expect_err(set);
        }
        connection.execute("DELETE FROM span WHERE first = ?1", [40_u128.to_be_bytes()]).unwrap();
    });
}

#[test]
fn malformed_or_reversed_numbers_are_rejected() {
    with_span(|connection| {
        insert(connection, "INSERT", 99, 98).unwrap_err();
        for (first, last) in [("x'00'", "x'01'"), ("'text'", "'text'"), ("1", "2"), ("NULL", "NULL")] {
            let sql = format!("INSERT INTO span VALUES ('s', {first}, {last}, 'raw')");
            connection.execute(&sql, []).expect_err(&sql);
        }
    });
}
