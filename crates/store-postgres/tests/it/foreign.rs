//! A transaction of somebody else that stays open, such as that of a forgotten `psql` or of a backup.

use store::{Revision, Store as _};
use store_postgres::connect;
use testkit::postgres::Cluster;

use crate::{commit, create, open_in};

/// It has a snapshot and a number of its own, and has written.
const FOREIGN: &str = "
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT count(*) FROM log;
INSERT INTO elsewhere SELECT 1";

#[tokio::test]
async fn an_open_transaction_elsewhere_hides_and_stalls_nothing() {
    let database = Cluster::shared().database();
    let (one, other) = (open_in(&database).await, open_in(&database).await);
    commit(&one, vec![create("before", "1")]).await.unwrap();
    let foreign = connect(&database.dsn).unwrap().get().await.unwrap();
    foreign.batch_execute("CREATE TABLE elsewhere (n int)").await.unwrap();
    foreign.batch_execute(FOREIGN).await.unwrap();
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
    foreign.batch_execute("COMMIT").await.unwrap();
}
