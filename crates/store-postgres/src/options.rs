//! Where the database is, and how much of it a replica takes for itself.

use std::fmt;

use crate::dsn;

/// How many connections a replica has unless it is told otherwise: one commits, the others read.
pub const CONNECTIONS_DEFAULT: usize = 16;

/// What a store is opened with.
#[derive(Clone)]
pub struct Options {
    /// The connection string: a `postgres://` URL or `key=value` pairs, as libpq's.
    pub dsn: String,
    /// Where hints of other replicas' commits are listened for: past a pooler, which passes none on. `None`: at `dsn`.
    pub listen_dsn: Option<String>,
    /// How many connections are open at most, besides the one that listens. Not below two: one commits, the others read.
    pub connections: usize,
}

impl Options {
    /// The database of a connection string, and the defaults.
    pub fn new(dsn: impl Into<String>) -> Self {
        Self { dsn: dsn.into(), listen_dsn: None, connections: CONNECTIONS_DEFAULT }
    }
}

/// Without the passwords.
impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let read = |dsn: &str| dsn::parse(dsn);
        f.debug_struct("Options")
            .field("dsn", &read(&self.dsn))
            .field("listen_dsn", &self.listen_dsn.as_deref().map(read))
            .field("connections", &self.connections)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_not_shown() {
        for dsn in ["postgres://me:secret@db/ipam", "user=me password=secret host=db", "host=db password='secret"] {
            let mut options = Options::new(dsn);
            options.listen_dsn = Some(dsn.to_owned());
            let shown = format!("{options:?}");
            assert!(!shown.contains("secret") && shown.contains("connections: 16"), "{shown}");
        }
        assert!(format!("{:?}", Options::new("postgres://me:secret@db/ipam")).contains("\"db\""));
    }
}
