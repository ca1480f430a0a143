//! Parsing of connection strings, and the errors for invalid ones.
use super::*;

fn encryption(dsn: &str) -> Encryption {
    parse(dsn).unwrap().1
}

fn fault(dsn: &str) -> String {
    let fault = parse(dsn).err().unwrap_or_else(|| panic!("{dsn} was read"));
    assert!(!fault.contains("secret"), "{fault}");
    fault
}

#[test]
fn sslmode_is_interpreted_as_in_libpq() {
    let file = || Some(Roots::File("/ca".into()));
    for (said, mode, verify, roots) in [
        ("", SslMode::Prefer, Verify::None, None),
        ("sslmode=", SslMode::Prefer, Verify::None, None),
        ("sslmode=disable sslrootcert=/ca", SslMode::Disable, Verify::None, None),
        ("sslmode=prefer", SslMode::Prefer, Verify::None, None),
        ("sslmode=require", SslMode::Require, Verify::None, None),
        ("sslmode=require sslrootcert=/ca", SslMode::Require, Verify::Ca, file()),
        ("sslmode=prefer sslrootcert=/ca", SslMode::Prefer, Verify::Ca, file()),
        ("sslrootcert=/ca", SslMode::Prefer, Verify::Ca, file()),
        ("sslmode=verify-ca sslrootcert=/ca", SslMode::Require, Verify::Ca, file()),
        ("sslmode=verify-full sslrootcert=/ca", SslMode::Require, Verify::Full, file()),
        ("sslmode=verify-full", SslMode::Require, Verify::Full, Some(Roots::System)),
        ("sslmode=verify-full sslrootcert=system", SslMode::Require, Verify::Full, Some(Roots::System)),
        ("sslmode=disable sslmode=require", SslMode::Require, Verify::None, None),
    ] {
        let url = format!("postgres://u@db/x?{}", said.replace(' ', "&"));
        for dsn in [format!("host=db {said}"), url] {
            let (config, found) = parse(&dsn).unwrap();
            assert_eq!(config.get_ssl_mode(), mode, "{dsn}");
            assert_eq!(found, Encryption { verify, roots: roots.clone(), identity: None }, "{dsn}");
        }
    }
}

#[test]
fn tls_parameters_are_extracted_and_others_kept() {
    for dsn in [
        "host=db password='se\\'cr \\\\et' sslcert='/my files/c' user = me sslkey=/my\\ files/k sslmode='require' port=5",
        "postgres://me:se'cr%20%5Cet@db:5/?sslcert=/my%20files/c&ssl%6bey=%2Fmy%20files/k&sslmode=require",
        "postgresql://me@db?port=5&sslmode=require&sslkey=/my files/k&password=se'cr \\et&sslcert=/my files/c",
    ] {
        let (config, encryption) = parse(dsn).unwrap();
        assert_eq!(config.get_password(), Some(&b"se'cr \\et"[..]), "{dsn}");
        assert_eq!((config.get_user(), config.get_hosts()), (Some("me"), &[Host::Tcp("db".to_owned())][..]), "{dsn}");
        assert!(config.get_ports().ends_with(&[5]), "{dsn}");
        assert_eq!(encryption.identity, Some(("/my files/c".into(), "/my files/k".into())), "{dsn}");
    }
}

#[test]
fn question_mark_in_password_is_not_a_query() {
    let (config, _) = parse("postgres://me:a?sslmode=x@db/ipam?sslmode=disable&options=-c%20a=b@c").unwrap();
    assert_eq!(config.get_password(), Some(&b"a?sslmode=x"[..]));
    assert_eq!((config.get_ssl_mode(), config.get_options()), (SslMode::Disable, Some("-c a=b@c")));
    let (config, encryption) = parse("postgres://db/ipam?sslmode=verify-full&sslrootcert=/a@b&options=c@d").unwrap();
    assert_eq!((config.get_user(), config.get_options()), (None, Some("c@d")));
    assert_eq!(encryption.roots, Some(Roots::File("/a@b".into())));
}

#[test]
fn unix_socket_is_never_encrypted() {
    for dsn in ["host=/run sslmode=verify-full", "postgres:///x?host=/run&sslmode=require"] {
        assert_eq!(parse(dsn).unwrap().0.get_ssl_mode(), SslMode::Disable, "{dsn}");
    }
    assert_eq!(parse("host=/run,db sslmode=require").unwrap().0.get_ssl_mode(), SslMode::Require);
}

#[test]
fn errors_name_the_parameter_but_no_password() {
    for (said, named) in [
        ("sslmode=secret", "sslmode: "),
        ("sslmode=verify-ca", "sslrootcert: "),
        ("sslmode=require&sslrootcert=system", "sslrootcert: "),
        ("sslcert=/c", "sslkey: "),
        ("sslkey=/k", "sslcert: "),
        ("tcp_user_timeout=secret", "tcp_user_timeout: "),
        ("keepalives_count=-1", "keepalives_count: "),
        ("sslmod=require", "`sslmod`"),
        ("target_session_attrs=secret", "`target_session_attrs`"),
    ] {
        for dsn in [format!("postgres://me:secret@db/x?{said}"), format!("password=secret {}", said.replace('&', " "))]
        {
            let fault = fault(&dsn);
            assert!(fault.contains(named), "{fault}");
        }
    }
    for dsn in [
        "postgres//me:secret@db",
        "password='secret",
        "password='a' secret host=db",
        "password=a=1 Secret2=3 host=db host",
        "postgres://me:a/?secret@db/x?sslmode=require",
        "postgres://me:x@db/x?secret",
        "postgres://me:secret@db:port/x",
        "postgres://me:x@db/x?sslcert=%ffsecret",
    ] {
        fault(dsn);
    }
}

#[test]
fn empty_values_count_as_absent() {
    let none = Encryption { verify: Verify::None, roots: None, identity: None };
    assert_eq!(encryption("host=db sslrootcert='' sslcert=''  sslkey=''"), none);
    assert_eq!(encryption("postgres://db/?sslrootcert=&sslcert=&sslkey="), none);
}

#[test]
fn timeout_and_keepalive_defaults_can_be_overridden() {
    let of = |said: &str| {
        let (config, _) = parse(&format!("host=db user=me {said}")).unwrap();
        (
            config.get_connect_timeout().copied().map(|limit| limit.as_secs()),
            config.get_tcp_user_timeout().copied().map(|limit| limit.as_millis()),
            config.get_keepalives_idle().as_secs(),
            config.get_keepalives_interval().map(|interval| interval.as_secs()),
            config.get_keepalives_retries(),
        )
    };
    assert_eq!(of(""), (Some(5), Some(10_000), 10, Some(5), Some(3)));
    let said = "connect_timeout=7 tcp_user_timeout=8500 keepalives_idle=9 keepalives_interval=10 keepalives_count=11";
    assert_eq!(of(said), (Some(7), Some(8_500), 9, Some(10), Some(11)));
    let system = Config::new().get_keepalives_idle().as_secs();
    let said = "connect_timeout=0 tcp_user_timeout=0 keepalives_idle=0 keepalives_interval=0 keepalives_count=0";
    assert_eq!(of(said), (Some(5), None, system, None, None));
    assert_eq!(
        parse("postgres://me@db/x?tcp_user_timeout=20").unwrap().0.get_tcp_user_timeout().unwrap().as_millis(),
        20
    );
}
