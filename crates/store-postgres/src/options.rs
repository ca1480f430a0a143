//! Options of a store.

use std::fmt;

use crate::dsn;

/// The default number of connections of a replica: one commits, the others read.
pub const CONNECTIONS_DEFAULT: usize = 16;

/// The options of a store.
#[derive(Clone)]
pub struct Options {
    /// The connection string: a `postgres://` URL or `key=value` pairs, as in libpq.
    pub dsn: String,
    /// The connection string for receiving notifications of other replicas' commits, for instance to bypass a pooler,
    /// which does not forward them. `None`: the same as `dsn`.
    pub listen_dsn: Option<String>,
    /// The maximum number of connections, in addition to the listener's. At least two: one commits, the others read.
    pub connections: usize,
}

impl Options {
    /// Creates options with a connection string and the defaults.
    pub fn new(dsn: impl Into<String>) -> Self {
        Self { dsn: dsn.into(), listen_dsn: None, connections: CONNECTIONS_DEFAULT }
    }
}

/// Omits passwords.
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
    fn debug_output_omits_passwords() {
        for dsn in ["postgres://me:secret@db/ipam", "user=me password=secret host=db", "host=db password='secret"] {
            let mut options = Options::new(dsn);
            options.listen_dsn = Some(dsn.to_owned());
            let shown = format!("{options:?}");
            assert!(!shown.contains("secret") && shown.contains("connections: 16"), "{shown}");
        }
        assert!(format!("{:?}", Options::new("postgres://me:secret@db/ipam")).contains("\"db\""));
    }
}
