//! Connections that are closed at every point of a commit: the store resolves the outcome.

use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

use store::{Error, Key, Store};
use store_postgres::{Options, PostgresStore};
use testkit::{
    postgres::{Cluster, Pooler},
    proxy::{self, Fault},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

use crate::{commit, create, open_in};

/// Forwards `left` bytes of the database's answers and then closes the connection; negative: no limit.
struct Proxy {
    port: u16,
    left: Arc<AtomicI64>,
}

impl Proxy {
    async fn to(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let this = Self { port: listener.local_addr().unwrap().port(), left: Arc::new(AtomicI64::new(-1)) };
        let left = Arc::clone(&this.left);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let server = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
                tokio::spawn(forward(client, server, Arc::clone(&left)));
            }
        });
        this
    }
}

async fn forward(client: TcpStream, server: TcpStream, left: Arc<AtomicI64>) {
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let requests = async { tokio::io::copy(&mut from_client, &mut to_server).await };
    let answers = async {
        let mut buffer = [0; 4096];
        loop {
            let read = from_server.read(&mut buffer).await.unwrap_or(0);
            let allowed = left.load(Ordering::SeqCst);
            let read_i64 = i64::try_from(read).unwrap();
            if read == 0 || (allowed >= 0 && left.fetch_sub(read_i64, Ordering::SeqCst) < read_i64) {
                // Only once, so that the look-up of the outcome succeeds.
                left.store(-1, Ordering::SeqCst);
                return;
            }
            if to_client.write_all(&buffer[..read]).await.is_err() {
                return;
            }
        }
    };
    tokio::select! { _ = requests => {}, () = answers => {} }
}

/// The answers of begin, append and commit are some hundred bytes; each cut is at another byte.
#[tokio::test(flavor = "multi_thread")]
async fn lost_answer_of_a_commit_is_resolved() {
    let database = Cluster::shared().database();
    let direct = open_in(&database).await;
    let proxy = Proxy::to(database.port).await;
    let dsn = format!("host=127.0.0.1 port={} user=ipam dbname={}", proxy.port, database.name);
    let store = PostgresStore::open(&Options::new(&dsn)).await.unwrap();
    let (mut found, mut lost) = (0, 0);
    for cut in 0..400 {
        let name = format!("k{cut}");
        let before = direct.head().await.unwrap().revision.0;
        let transaction = store.begin().await.unwrap();
        proxy.left.store(cut, Ordering::SeqCst);
        let outcome = transaction.commit(vec![create(&name, "1"), create(&format!("{name}-2"), "2")]).await;
        let there = direct.get(&Key::new(name).unwrap()).await.unwrap().is_some();
        let after = direct.head().await.unwrap().revision.0;
        match outcome {
            Ok(()) => {
                assert!(there && after == before + 2, "cut at {cut}: acknowledged");
                found += 1;
            }
            Err(Error::Unavailable(_)) => {
                assert!(!there && after == before, "cut at {cut}: said that nothing was written");
                lost += 1;
            }
            other => panic!("cut at {cut}: {other:?}"),
        }
        proxy.left.store(-1, Ordering::SeqCst);
    }
    assert!(found > 0, "{found} commits were found, {lost} were not made");
    commit(&store, vec![create("after", "")]).await.unwrap();
}

/// Through a pooler, a lost answer is not a closed connection but a protocol error.
#[tokio::test(flavor = "multi_thread")]
async fn lost_answer_through_a_pooler_is_resolved() {
    const COMMITS: u32 = 30;
    let cluster = Cluster::shared();
    let database = cluster.database();
    let direct = open_in(&database).await;
    let line = proxy::Proxy::to(cluster.port()).await.unwrap();
    let pooler = Pooler::start_through(&line).unwrap();
    let store = PostgresStore::open(&Options::new(pooler.dsn(&database))).await.unwrap();
    line.fail_commits(1, Fault::Cut);
    let (mut found, mut lost) = (0, 0);
    for number in 0..COMMITS {
        let name = format!("k{number}");
        let outcome = commit(&store, vec![create(&name, "1")]).await;
        let is_there = direct.get(&Key::new(name).unwrap()).await.unwrap().is_some();
        match outcome {
            Ok(()) if is_there => found += 1,
            Err(Error::Unavailable(_)) if !is_there => lost += 1,
            other => panic!("commit {number}, stored: {is_there}: {other:?}"),
        }
    }
    assert!(found > COMMITS / 3 && lost > COMMITS / 3, "{found} commits were found, {lost} were not made");
}

/// A connection that hangs during a commit, before the database receives it and after.
#[tokio::test(flavor = "multi_thread")]
async fn hanging_commit_is_resolved() {
    let database = Cluster::shared().database();
    let direct = open_in(&database).await;
    let line = proxy::Proxy::to(database.port).await.unwrap();
    let dsn = format!("host=127.0.0.1 port={} user=ipam dbname={}", line.port(), database.name);
    let store = PostgresStore::open(&Options::new(dsn)).await.unwrap();
    line.fail_commits(1, Fault::Hang);
    for (name, is_made) in [("before", false), ("after", true)] {
        let outcome = commit(&store, vec![create(name, "1")]).await;
        let is_there = direct.get(&Key::new(name).unwrap()).await.unwrap().is_some();
        let is_true = if is_made { outcome.is_ok() } else { matches!(outcome, Err(Error::Unavailable(_))) };
        assert!(is_true && is_there == is_made, "{name}, stored: {is_there}: {outcome:?}");
    }
    line.fail_commits(0, Fault::Hang);
    commit(&store, vec![create("at last", "")]).await.unwrap();
}

/// The database may abort a commit because of a conflict; it is then retried.
#[tokio::test]
async fn serialization_failure_is_retried_up_to_the_limit() {
    let database = Cluster::shared().database();
    let store = open_in(&database).await;
    let execute = |statement: &str| Cluster::shared().execute(&database.name, statement);
    // Sequence numbers are not rolled back.
    execute(
        "CREATE SEQUENCE tries; CREATE TABLE patience AS SELECT 2 AS most;
         CREATE FUNCTION give_way() RETURNS trigger LANGUAGE plpgsql AS $$
         BEGIN IF nextval('tries') <= (SELECT most FROM patience) THEN RAISE EXCEPTION USING ERRCODE = '40001'; END IF; RETURN NULL; END $$;
         CREATE TRIGGER give_way BEFORE INSERT ON log FOR EACH STATEMENT EXECUTE FUNCTION give_way()",
    );
    commit(&store, vec![create("a", "1")]).await.unwrap();
    assert_eq!(execute("SELECT last_value FROM tries").trim(), "3");
    execute("UPDATE patience SET most = 100");
    let refused = commit(&store, vec![create("b", "1")]).await;
    assert!(
        matches!(&refused, Err(Error::Unavailable(why)) if why.contains("aborted this commit 5 times")),
        "{refused:?}"
    );
    assert_eq!(execute("SELECT last_value FROM tries").trim(), "8");
}
