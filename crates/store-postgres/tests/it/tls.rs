//! TLS with a real server: verification in each libpq mode, and client certificates.

use std::sync::OnceLock;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use store::Store;
use store_postgres::{OpenError, Options, PostgresStore, connect, migrate};
use testkit::postgres::{Cluster, Database, Setup};

/// Connections without TLS are rejected; each user has another authentication method.
const ACCESS: &str = "
hostssl all certified 127.0.0.1/32 cert
hostssl all bound 127.0.0.1/32 scram-sha-256
hostssl all all 127.0.0.1/32 trust";

type Issuer = CertifiedIssuer<'static, KeyPair>;

fn issuer(common_name: &str) -> Issuer {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name.push(DnType::CommonName, common_name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// Returns a certificate and its key, as PEM.
fn certificate(issuer: &Issuer, names: &[&str], common_name: &str) -> (String, String) {
    let mut params = CertificateParams::new(names.iter().map(ToString::to_string).collect::<Vec<_>>()).unwrap();
    params.distinguished_name.push(DnType::CommonName, common_name);
    let key = KeyPair::generate().unwrap();
    (params.signed_by(&key, issuer).unwrap().pem(), key.serialize_pem())
}

/// A server whose certificate is for `localhost`, not for 127.0.0.1.
fn cluster() -> &'static Cluster {
    static CLUSTER: OnceLock<Cluster> = OnceLock::new();
    CLUSTER.get_or_init(|| {
        let (ours, other) = (issuer("ours"), issuer("other"));
        let (server, server_key) = certificate(&ours, &["localhost"], "127.0.0.1");
        let (client, client_key) = certificate(&ours, &[], "certified");
        let (stranger, stranger_key) = certificate(&other, &[], "certified");
        let setup = Setup {
            settings: "ssl = on\nssl_cert_file = 'server'\nssl_key_file = 'server.key'\nssl_ca_file = 'ours'\n",
            access: ACCESS,
            files: &[
                ("ours", &ours.pem()),
                ("other", &other.pem()),
                ("server", &server),
                ("server.key", &server_key),
                ("client", &client),
                ("client.key", &client_key),
                ("stranger", &stranger),
                ("stranger.key", &stranger_key),
            ],
            ..Setup::default()
        };
        Cluster::start_with(&setup).unwrap()
    })
}

/// Creates a database with the current schema.
async fn database() -> Database {
    let database = cluster().database();
    migrate(&connect(&database.dsn).unwrap()).await.unwrap();
    database
}

/// Opens the store over TCP, with the parameters `said`, where `@name` is a file of the cluster.
async fn open_by(database: &Database, host: &str, said: &str) -> Result<PostgresStore, OpenError> {
    let said = said.replace('@', &format!("{}/", cluster().file("").display()));
    let (port, name) = (database.port, &database.name);
    let user = if said.contains("user=") { "" } else { "user=ipam" };
    PostgresStore::open(&Options::new(format!("host={host} port={port} dbname={name} {user} {said}"))).await
}

async fn is_accepted(database: &Database, host: &str, said: &str) {
    let store = open_by(database, host, said).await.unwrap_or_else(|error| panic!("{host} {said}: {error}"));
    store.head().await.unwrap();
}

async fn is_refused(database: &Database, host: &str, said: &str, why: &str) {
    let error = open_by(database, host, said).await.err().unwrap_or_else(|| panic!("{host} {said} was accepted"));
    assert!(error.to_string().contains(why), "{host} {said}: {error}");
}

#[tokio::test]
async fn verify_full_checks_authority_and_host_name() {
    let database = database().await;
    is_accepted(&database, "localhost", "sslmode=verify-full sslrootcert=@ours").await;
    is_refused(&database, "localhost", "sslmode=verify-full sslrootcert=@other", "UnknownIssuer").await;
    is_refused(&database, "127.0.0.1", "sslmode=verify-full sslrootcert=@ours", "not valid for name").await;
    is_refused(&database, "localhost", "sslmode=verify-full", "UnknownIssuer").await;
}

#[tokio::test]
async fn verify_ca_checks_authority_but_not_host_name() {
    let database = database().await;
    for mode in ["verify-ca", "require", "prefer"] {
        is_accepted(&database, "127.0.0.1", &format!("sslmode={mode} sslrootcert=@ours")).await;
        is_refused(&database, "localhost", &format!("sslmode={mode} sslrootcert=@other"), "UnknownIssuer").await;
    }
}

#[tokio::test]
async fn require_without_root_cert_verifies_nothing() {
    let database = database().await;
    is_accepted(&database, "127.0.0.1", "sslmode=require").await;
    is_accepted(&database, "127.0.0.1", "").await;
    is_refused(&database, "127.0.0.1", "sslmode=disable", "no encryption").await;
    let plain = Cluster::shared().database();
    is_refused(&plain, "127.0.0.1", "sslmode=require", "does not support TLS").await;
}

#[tokio::test]
async fn client_certificate_is_sent_and_checked() {
    let database = database().await;
    let admin = connect(&database.dsn).unwrap().get().await.unwrap();
    admin.batch_execute("CREATE ROLE certified LOGIN SUPERUSER").await.unwrap();
    let mode = "user=certified sslmode=verify-full sslrootcert=@ours";
    is_accepted(&database, "localhost", &format!("{mode} sslcert=@client sslkey=@client.key")).await;
    is_refused(&database, "localhost", mode, "client certificate").await;
    let stranger = format!("{mode} sslcert=@stranger sslkey=@stranger.key");
    is_refused(&database, "localhost", &stranger, "UnknownCA").await;
    let mixed = format!("{mode} sslcert=@client sslkey=@stranger.key");
    is_refused(&database, "localhost", &mixed, "sslcert: ").await;
}

/// With channel binding the password proof is valid for this connection only, so an attacker in between cannot use it.
#[tokio::test]
async fn channel_binding_works_with_scram() {
    let database = database().await;
    let admin = connect(&database.dsn).unwrap().get().await.unwrap();
    admin.batch_execute("CREATE ROLE bound LOGIN SUPERUSER PASSWORD 'it''s \\'").await.unwrap();
    let password = r"user=bound password='it\'s \\' channel_binding=require";
    is_accepted(&database, "localhost", &format!("{password} sslmode=verify-full sslrootcert=@ours")).await;
    let (port, name) = (database.port, &database.name);
    let url = format!("postgres://bound:it's%20%5C@localhost:{port}/{name}?sslmode=require&channel_binding=require");
    PostgresStore::open(&Options::new(url)).await.unwrap();
}

#[tokio::test]
async fn errors_of_certificate_files_name_the_parameter() {
    let database = database().await;
    for (said, why) in [
        ("sslmode=verify-full sslrootcert=@nothing", "sslrootcert: "),
        ("sslmode=verify-full sslrootcert=@client.key", "there is no certificate in it"),
        ("sslcert=@client sslkey=@client", "sslkey: "),
        ("sslcert=@client.key sslkey=@client.key", "sslcert: "),
    ] {
        is_refused(&database, "localhost", said, why).await;
    }
}
