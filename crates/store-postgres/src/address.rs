//! Database addresses and connecting.
//!
//! A connection string may name several hosts, one of which is the primary. tokio-postgres tries them in order, but
//! `connect_timeout` only limits establishing the TCP connection: a host that accepts and never answers would block the
//! others. Each host is therefore tried separately, with a timeout for the whole handshake.

use std::{future::Future, pin::Pin, time::Duration};

use deadpool_postgres::Connect;
use rand::seq::SliceRandom as _;
use tokio::{task::JoinHandle, time::timeout};
use tokio_postgres::{
    Client, Config, Connection, Error, Socket,
    config::{Host, LoadBalanceHosts},
    tls::MakeTlsConnect,
};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::{OpenError, dsn, error_chain::format_chain, limits, tls};

type Stream = <MakeRustlsConnect as MakeTlsConnect<Socket>>::Stream;

/// The hosts of a database, and how to connect to them.
#[derive(Clone)]
pub struct Address {
    /// One configuration per host, in the order of the connection string.
    hosts: Vec<Config>,
    in_any_order: bool,
    tls: MakeRustlsConnect,
}

impl Address {
    /// Parses a connection string.
    pub fn of(dsn: &str) -> Result<Self, OpenError> {
        let (mut config, encryption) = dsn::parse(dsn).map_err(OpenError::Dsn)?;
        config.application_name("ipam");
        let in_any_order = config.get_load_balance_hosts() == LoadBalanceHosts::Random;
        let tls = tls::connector(&encryption).map_err(OpenError::Dsn)?;
        Ok(Self { hosts: by_host(config), in_any_order, tls })
    }

    /// Returns the maximum time for connecting, with all hosts tried.
    pub fn connect_max(&self) -> Duration {
        self.hosts.iter().map(connect_max).sum()
    }

    /// Connects, within [`Address::connect_max`].
    pub async fn connect(&self) -> Result<(Client, Connection<Socket, Stream>), String> {
        match timeout(self.connect_max(), self.connect_any_host()).await {
            Ok(connected) => connected.map_err(|error| format_chain(&error)),
            Err(_) => Err(format!("no connection could be made in {} s", self.connect_max().as_secs())),
        }
    }

    /// Tries each host with its timeout, except the last: the caller limits the total time.
    async fn connect_any_host(&self) -> Result<(Client, Connection<Socket, Stream>), Error> {
        let mut hosts: Vec<&Config> = self.hosts.iter().collect();
        if self.in_any_order {
            hosts.shuffle(&mut rand::rng());
        }
        let last = hosts.pop();
        for host in hosts {
            match timeout(connect_max(host), host.connect(self.tls.clone())).await {
                Ok(Ok(connected)) => return Ok(connected),
                Ok(Err(error)) => {
                    tracing::debug!(error = format_chain(&error), "the next host of the database is tried");
                }
                Err(_) => tracing::debug!("a host of the database does not answer; the next is tried"),
            }
        }
        // Without a host, tokio-postgres reports that error.
        last.unwrap_or(&Config::new()).connect(self.tls.clone()).await
    }
}

type Connecting<'a> = Pin<Box<dyn Future<Output = Result<(Client, JoinHandle<()>), Error>> + Send + 'a>>;

impl Connect for Address {
    /// The pool limits the time. Its own configuration names no host and is ignored.
    fn connect(&self, _: &Config) -> Connecting<'_> {
        Box::pin(async move {
            let (client, connection) = self.connect_any_host().await?;
            let serving = tokio::spawn(async move {
                if let Err(error) = connection.await {
                    tracing::warn!(error = format_chain(&error), "a connection to PostgreSQL was lost");
                }
            });
            Ok((client, serving))
        })
    }
}

/// Returns the connect timeout of a host.
fn connect_max(config: &Config) -> Duration {
    config.get_connect_timeout().copied().unwrap_or(limits::CONNECT_MAX)
}

/// Splits the configuration into one per host. If the numbers of hosts, addresses and ports do not match, the
/// configuration is returned unchanged; connecting then fails with an error.
fn by_host(config: Config) -> Vec<Config> {
    let (hosts, addresses, ports) = (config.get_hosts(), config.get_hostaddrs(), config.get_ports());
    let count = hosts.len().max(addresses.len());
    let fits = |length: usize| length == count || length == 0;
    if count < 2 || !fits(hosts.len()) || !fits(addresses.len()) || !(fits(ports.len()) || ports.len() == 1) {
        return vec![config];
    }
    let alone = |place: usize| {
        let mut one = without_hosts(&config);
        match hosts.get(place) {
            Some(Host::Tcp(name)) => drop(one.host(name)),
            Some(Host::Unix(path)) => drop(one.host_path(path)),
            None => {}
        }
        addresses.get(place).map(|address| one.hostaddr(*address));
        ports.get(place).or(ports.first()).map(|port| one.port(*port));
        one
    };
    (0..count).map(alone).collect()
}

/// Copies the configuration without hosts, addresses and ports.
fn without_hosts(config: &Config) -> Config {
    let mut one = Config::new();
    config.get_user().map(|user| one.user(user));
    config.get_password().map(|password| one.password(password));
    config.get_dbname().map(|name| one.dbname(name));
    config.get_options().map(|options| one.options(options));
    config.get_application_name().map(|name| one.application_name(name));
    config.get_connect_timeout().map(|limit| one.connect_timeout(*limit));
    config.get_tcp_user_timeout().map(|limit| one.tcp_user_timeout(*limit));
    config.get_keepalives_interval().map(|interval| one.keepalives_interval(interval));
    config.get_keepalives_retries().map(|retries| one.keepalives_retries(retries));
    one.keepalives(config.get_keepalives())
        .keepalives_idle(config.get_keepalives_idle())
        .ssl_mode(config.get_ssl_mode())
        .ssl_negotiation(config.get_ssl_negotiation())
        .target_session_attrs(config.get_target_session_attrs())
        .channel_binding(config.get_channel_binding());
    one
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_split_with_all_other_parameters() {
        let said = "user=me password=secret dbname=x options='-c a=b' sslmode=require channel_binding=require \
                    target_session_attrs=read-write connect_timeout=7 tcp_user_timeout=8000 keepalives_idle=9 \
                    keepalives_interval=10 keepalives_count=11 sslnegotiation=postgres";
        let (together, _) = dsn::parse(&format!("host=a,b port=1,2 {said}")).unwrap();
        let alone = by_host(together);
        let expected = ["host=a port=1", "host=b port=2"].map(|host| dsn::parse(&format!("{host} {said}")).unwrap().0);
        assert_eq!(alone, expected);
        let (together, _) = dsn::parse("host=a,/run port=5 user=me").unwrap();
        let expected = ["host=a port=5 user=me", "host=/run port=5 user=me sslmode=prefer"];
        assert_eq!(by_host(together).len(), expected.len());
    }

    #[test]
    fn mismatched_host_lists_are_not_split() {
        for said in ["host=a user=me", "host=a,b hostaddr=127.0.0.1 user=me", "host=a,b port=1,2,3 user=me"] {
            let (config, _) = dsn::parse(said).unwrap();
            assert_eq!(by_host(config.clone()), [config]);
        }
    }
}
