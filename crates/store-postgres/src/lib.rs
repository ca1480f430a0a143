//! The ordered log for many replicas, in one PostgreSQL database.
//!
//! Every replica has a store of its own on the same database, and all of them write. Who commits holds the lock on one row,
//! the head; the next sees everything that was committed before. What a transaction needs is in its own statements: there is
//! no session state, so that a pooler in transaction mode may sit in between.
//!
//! A commit whose answer is lost is looked up: each commit leaves a token behind on its last row, and whether that is there is
//! asked under the head's lock, when the commit is over either way.

mod address;
mod causes;
mod columns;
mod commit;
mod compaction;
mod dsn;
mod ears;
mod failure;
mod head;
mod known;
mod ledger;
mod limits;
mod load;
mod migrate;
mod options;
mod read;
mod reading;
mod rows;
mod search;
mod session;
mod snapshot;
mod store;
mod tls;
mod transaction;

use std::sync::Arc;

use deadpool_postgres::{Manager, ManagerConfig, Pool, RecyclingMethod, Runtime};
use tokio::{runtime::Id, sync::Mutex};
use tokio_postgres::Config;

use self::{address::Address, ears::Ears, known::Known, session::Session};

pub use self::{
    migrate::{Status, migrate, status},
    options::{CONNECTIONS_DEFAULT, Options},
};

/// How many connections somebody has who only looks at the schema, or changes it: who changes it also looks.
const CONNECTIONS_OF_A_VISITOR: usize = 2;

/// The log in a database.
pub struct PostgresStore {
    /// Connections that read.
    pool: Pool,
    /// The one that commits: it need not wait for those who read.
    committing: Pool,
    /// Commits of this process queue here; and which runtime serves the connection that commits.
    turn: Arc<Mutex<Option<Id>>>,
    known: Known,
    ears: Ears,
}

/// Why the store could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The connection string is not one, or a file that it names is not what it should be.
    #[error("the PostgreSQL connection string cannot be used: {0}")]
    Dsn(String),
    /// No connection could be had.
    #[error("PostgreSQL does not answer: {0}")]
    Connect(String),
    /// The database refused something.
    #[error("PostgreSQL refused: {0}")]
    Database(#[from] tokio_postgres::Error),
    /// The database was made by a newer program.
    #[error("the database has schema version {found}, and this program knows {known}: start the newer program")]
    Newer {
        /// The version that is there.
        found: i32,
        /// The version that this program knows.
        known: i32,
    },
    /// The database was made by an older program, or by none.
    #[error("the database has schema version {found}, and this program needs {known}: run `ipam store migrate up`")]
    Older {
        /// The version that is there; 0: nothing is.
        found: i32,
        /// The version that this program needs.
        known: i32,
    },
}

impl PostgresStore {
    /// Opens the log in a database that [`migrate`] brought up to date.
    pub async fn open(options: &Options) -> Result<Self, OpenError> {
        let committing = pool(&options.dsn, 1)?;
        let pool = pool(&options.dsn, options.connections - 1)?;
        let listener = Address::of(options.listen_dsn.as_ref().unwrap_or(&options.dsn))?;
        let found = status(&pool).await?;
        match found.version.cmp(&found.known) {
            std::cmp::Ordering::Less => return Err(OpenError::Older { found: found.version, known: found.known }),
            std::cmp::Ordering::Greater => return Err(OpenError::Newer { found: found.version, known: found.known }),
            std::cmp::Ordering::Equal => {}
        }
        let known = first_sight(&pool).await.map_err(|error| OpenError::Connect(error.to_string()))?;
        Ok(Self { pool, committing, turn: Arc::default(), known, ears: Ears::open(listener) })
    }
}

/// The epoch of the log, and where it ends.
async fn first_sight(pool: &Pool) -> Result<Known, ::store::Error> {
    let session = Session::open(pool).await?;
    let found = session.step("a read", limits::STATEMENT_MAX, read::standing(&session, None)).await?;
    let known = Known::new(found.epoch);
    known.check(&found, None)?;
    Ok(known)
}

/// Connections to the database of a connection string, for [`migrate`] and [`status`]. None is made yet.
pub fn connect(dsn: &str) -> Result<Pool, OpenError> {
    pool(dsn, CONNECTIONS_OF_A_VISITOR)
}

fn pool(dsn: &str, connections: usize) -> Result<Pool, OpenError> {
    let address = Address::of(dsn)?;
    let create_max = address.connect_max();
    let recycling = ManagerConfig { recycling_method: RecyclingMethod::Fast };
    let manager = Manager::from_connect(Config::new(), address, recycling);
    let pool = Pool::builder(manager)
        .max_size(connections)
        .runtime(Runtime::Tokio1)
        .wait_timeout(Some(limits::CONNECT_MAX))
        .create_timeout(Some(create_max))
        .build();
    pool.map_err(|error| OpenError::Connect(error.to_string()))
}
