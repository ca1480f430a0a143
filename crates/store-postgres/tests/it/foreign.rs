//! An open transaction of another program, such as a forgotten `psql` session or a backup: vacuum keeps all rows that
//! were deleted since it began.

use store::{Revision, Store as _};
use store_postgres::connect;
use testkit::postgres::{Cluster, Database};

use crate::{commit, create, open_in};

/// The transaction has a snapshot and a transaction id, and has written.
const FOREIGN: &str = "
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT count(*) FROM log;
INSERT INTO elsewhere SELECT 1";

/// Returns the number of pages that a commit reads to get the head. A line of the plan is `Buffers: shared hit=12
/// read=3`.
fn pages_read_for_the_head(database: &Database) -> u64 {
    let ask = "EXPLAIN (ANALYZE, BUFFERS, TIMING OFF, SUMMARY OFF) SELECT * FROM log_state(1)";
    // The first execution in a session also reads the catalog.
    let plans = Cluster::shared().execute(&database.name, &format!("SELECT * FROM log_state(1); {ask}"));
    let buffers = plans.lines().find(|line| line.contains("Buffers: shared")).unwrap_or_else(|| panic!("{plans}"));
    let numbers = buffers.split_whitespace().filter_map(|word| word.split_once('='));
    numbers.map(|(_, number)| number.parse::<u64>().unwrap()).sum()
}

#[tokio::test]
async fn commits_beside_an_open_transaction_leave_no_dead_head_rows() {
    let database = Cluster::shared().database();
    let (one, other) = (open_in(&database).await, open_in(&database).await);
    commit(&one, vec![create("before", "1")]).await.unwrap();
    let foreign = connect(&database.dsn).unwrap().get().await.unwrap();
    foreign.batch_execute("CREATE TABLE elsewhere (n int)").await.unwrap();
    foreign.batch_execute(FOREIGN).await.unwrap();
    let before = pages_read_for_the_head(&database);
    for turn in 0..20 {
        let (writer, reader) = if turn % 2 == 0 { (&one, &other) } else { (&other, &one) };
        commit(writer, vec![create(&format!("key-{turn:02}"), "1")]).await.unwrap();
        let known = Revision(turn + 1);
        let news = reader.tail(known, 10).await.unwrap();
        assert_eq!(news.iter().map(|entry| entry.revision).collect::<Vec<_>>(), [known.next()]);
        assert_eq!(reader.list("key-", None, None, 100).await.unwrap().revision, known.next());
    }
    one.compact(Revision(10)).await.unwrap();
    assert_eq!(other.head().await.unwrap().compacted, Revision(10));
    assert!(pages_read_for_the_head(&database) <= before + 4);
    let updated =
        "SELECT count(*) FROM commit_lock WHERE xmin::text::bigint > (SELECT min(xmin::text::bigint) FROM log)";
    assert_eq!(Cluster::shared().execute(&database.name, updated).trim(), "0", "the head is never updated");
    foreign.batch_execute("COMMIT").await.unwrap();
}

/// Each of the many transactions of a compaction stores its progress. A commit must not read all of those rows.
#[tokio::test]
async fn compaction_does_not_increase_pages_read_per_commit() {
    // The number of chunks. Their rows in `horizon` would fill more pages than a commit may read to get the head.
    const CHUNKS: u64 = 1_500;
    let database = Cluster::shared().database();
    let store = open_in(&database).await;
    commit(&store, vec![create("a", "1")]).await.unwrap();
    // A log with a few remaining rows; the others have been compacted.
    let sparse = format!(
        "INSERT INTO log (revision, key, commit_end, live, value)
         SELECT 1024 * n, 'key-' || n, 1024 * n, true, '' FROM generate_series(1, {CHUNKS}) AS n"
    );
    Cluster::shared().execute(&database.name, &sparse);
    let foreign = connect(&database.dsn).unwrap().get().await.unwrap();
    foreign.batch_execute("CREATE TABLE elsewhere (n int)").await.unwrap();
    foreign.batch_execute(FOREIGN).await.unwrap();
    let before = pages_read_for_the_head(&database);
    store.compact(Revision(u64::MAX)).await.unwrap();
    assert_eq!(store.head().await.unwrap().compacted, Revision(1024 * CHUNKS));
    let after = pages_read_for_the_head(&database);
    println!("the head costs {before} pages before {CHUNKS} chunks of compaction, {after} after");
    assert!(after <= before + 8, "{before} pages before, {after} after");
    let horizons = Cluster::shared().execute(&database.name, "SELECT count(*) FROM horizon");
    assert_eq!(horizons.trim(), "1", "only the row of the last chunk remains");
    foreign.batch_execute("COMMIT").await.unwrap();
}
