//! The ordered log in a PostgreSQL database, shared by several replicas.
//!
//! Every replica has a store on the same database and may write. A transaction that commits holds a lock on one row,
//! the head; the next one sees everything that was committed before. No session state is used, so that a pooler in
//! transaction mode may be in between.
//!
//! If the answer of a commit is lost, its outcome is looked up: each commit stores a random token on its last row. The
//! look-up takes the head lock, so the commit has ended by then.

mod address;
mod bulk_load;
mod commit;
mod commit_plan;
mod compaction;
mod dsn;
mod error;
mod error_chain;
mod head;
mod limits;
mod listener;
mod log_identity;
mod lost_commit;
mod migrate;
mod options;
mod read;
mod read_timeout;
mod row_codec;
mod session;
mod snapshot;
mod span_params;
mod store;
mod tls;
mod transaction;

use std::sync::Arc;

use deadpool_postgres::{Manager, ManagerConfig, Pool, RecyclingMethod, Runtime};
use tokio::{runtime::Id, sync::Mutex};
use tokio_postgres::Config;

use self::{address::Address, listener::Listener, log_identity::LogIdentity, session::Session};

pub use self::{
    migrate::{Status, migrate, status},
    options::{CONNECTIONS_DEFAULT, Options},
};

/// The number of connections for schema status and migrations. A migration also reads the status.
const ADMIN_POOL_SIZE: usize = 2;

/// The log in a database.
pub struct PostgresStore {
    /// The connections for reads.
    pool: Pool,
    /// The connection for commits, which therefore does not wait for reads.
    commit_pool: Pool,
    /// Serializes the commits of this process, and stores which runtime drives the commit connection.
    commit_lock: Arc<Mutex<Option<Id>>>,
    identity: LogIdentity,
    listener: Listener,
}

/// The reason why the store could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The connection string is invalid, or a file that it names is.
    #[error("the PostgreSQL connection string cannot be used: {0}")]
    Dsn(String),
    /// No connection could be established.
    #[error("PostgreSQL does not answer: {0}")]
    Connect(String),
    /// The database rejected a statement.
    #[error("PostgreSQL refused: {0}")]
    Database(#[from] tokio_postgres::Error),
    /// The database has the schema of an earlier program.
    #[error(
        "the database has the schema of an earlier ipam, which this program does not read: export it with the ipam that wrote it \
         (`ipam store export`), then import that file into an empty database (`ipam store import`)"
    )]
    Earlier,
    /// The database has the schema of a newer program.
    #[error("the database has schema version {found}, and this program knows {known}: start the newer program")]
    Newer {
        /// The schema version of the database.
        found: i32,
        /// The schema version that this program knows.
        known: i32,
    },
    /// The database has no schema, or that of an older program.
    #[error("the database has schema version {found}, and this program needs {known}: run `ipam store migrate up`")]
    Older {
        /// The schema version of the database; 0: no schema.
        found: i32,
        /// The schema version that this program needs.
        known: i32,
    },
}

impl PostgresStore {
    /// Opens the log in a database that [`migrate`] has brought up to date.
    pub async fn open(options: &Options) -> Result<Self, OpenError> {
        let commit_pool = pool(&options.dsn, 1)?;
        let pool = pool(&options.dsn, options.connections - 1)?;
        let listen_address = Address::of(options.listen_dsn.as_ref().unwrap_or(&options.dsn))?;
        let found = status(&pool).await?;
        match found.version.cmp(&found.known) {
            std::cmp::Ordering::Less => return Err(OpenError::Older { found: found.version, known: found.known }),
            std::cmp::Ordering::Greater => return Err(OpenError::Newer { found: found.version, known: found.known }),
            std::cmp::Ordering::Equal => {}
        }
        let identity = read_log_identity(&pool).await.map_err(|error| OpenError::Connect(error.to_string()))?;
        Ok(Self { pool, commit_pool, commit_lock: Arc::default(), identity, listener: Listener::open(listen_address) })
    }
}

/// Reads the log ID and the head of the log.
async fn read_log_identity(pool: &Pool) -> Result<LogIdentity, ::store::Error> {
    let session = Session::open(pool).await?;
    let found = session.step("a read", limits::STATEMENT_MAX, read::log_state(&session, None)).await?;
    let identity = LogIdentity::new(found.log_id);
    identity.check(&found, None)?;
    Ok(identity)
}

/// Creates a connection pool for [`migrate`] and [`status`]. Connections are opened on first use.
pub fn connect(dsn: &str) -> Result<Pool, OpenError> {
    pool(dsn, ADMIN_POOL_SIZE)
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
