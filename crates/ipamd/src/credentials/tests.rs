//! The credential files after first, later and interrupted starts.

use std::{collections::BTreeMap, fs, os::unix::fs::PermissionsExt as _, sync::Arc};

use rcgen::KeyPair;
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection, server::WebPkiClientVerifier,
};
use rustls_pki_types::ServerName;
use time::macros::datetime;

use super::*;

const NOW: OffsetDateTime = datetime!(2026-12-01 12:00 UTC);

fn local() -> ServingNames {
    ServingNames::new(Ipv4Addr::LOCALHOST.into(), Some("Machine-7"), &[])
}

fn files_of(data_dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(data_dir.join(DIRECTORY_NAME)).unwrap().map(Result::unwrap);
    entries.map(|entry| (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap())).collect()
}

/// Returns the files that differ between two states of the directory.
fn changed(before: &BTreeMap<String, Vec<u8>>, after: &BTreeMap<String, Vec<u8>>) -> Vec<String> {
    let names = before.keys().chain(after.keys().filter(|name| !before.contains_key(*name)));
    names.filter(|name| before.get(*name) != after.get(*name)).cloned().collect()
}

/// Performs a TLS handshake in memory between the administrator and the server `name`.
fn handshake(credentials: &Credentials, name: &str) -> Result<(), rustls::Error> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut roots = RootCertStore::empty();
    roots.add(credentials.ca_der.clone()).unwrap();
    let roots = Arc::new(roots);
    let admin = CertificateDer::from_pem_slice(credentials.admin_cert_pem.as_bytes()).unwrap();
    let key = PrivateKeyDer::from_pem_slice(credentials.admin_key_pem.as_bytes()).unwrap();
    let verifier =
        WebPkiClientVerifier::builder_with_provider(Arc::clone(&roots), Arc::clone(&provider)).build().unwrap();
    let server = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()?
        .with_client_cert_verifier(verifier)
        .with_single_cert(credentials.serving.chain.clone(), credentials.serving.key.clone_key())?;
    let client = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_client_auth_cert(vec![admin], key)?;
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let mut client = ClientConnection::new(Arc::new(client), name)?;
    let mut server = ServerConnection::new(Arc::new(server))?;
    while client.is_handshaking() || server.is_handshaking() {
        let mut wire = Vec::new();
        client.write_tls(&mut wire).unwrap();
        server.read_tls(&mut wire.as_slice()).unwrap();
        server.process_new_packets()?;
        let mut wire = Vec::new();
        server.write_tls(&mut wire).unwrap();
        client.read_tls(&mut wire.as_slice()).unwrap();
        client.process_new_packets()?;
    }
    assert_eq!(server.peer_certificates().map(<[_]>::len), Some(1));
    Ok(())
}

#[test]
fn first_start_creates_all_files_with_private_modes() {
    let directory = tempfile::tempdir().unwrap();
    ensure(&directory.path().join("data"), &local(), NOW).unwrap();
    let pki = directory.path().join("data").join(DIRECTORY_NAME);
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&pki), 0o700);
    let names = ["admin.crt", "admin.key", "ca.crt", "ca.key", "serving.crt", "serving.key"];
    assert!(files_of(&directory.path().join("data")).keys().eq(names));
    for name in names {
        assert_eq!(mode(&pki.join(name)), 0o600, "{name}");
    }
}

#[test]
fn tls_handshake_succeeds_for_every_serving_name() {
    let directory = tempfile::tempdir().unwrap();
    // The handshake uses the system clock.
    let now = OffsetDateTime::now_utc();
    let others = ["IPAM.example.net", "2001:db8::7", "192.0.2.7"].map(|name| name.parse().unwrap());
    let names = ServingNames::new("192.0.2.7".parse().unwrap(), Some("Machine-7"), &others);
    let credentials = ensure(directory.path(), &names, now).unwrap();
    for name in [
        "127.0.0.1",
        "::1",
        "192.0.2.7",
        "localhost",
        "machine-7",
        "ipam",
        "ipam.default.svc",
        "ipam.example.net",
        "2001:db8::7",
        OWN_NAME,
    ] {
        handshake(&credentials, name).unwrap_or_else(|error| panic!("{name}: {error}"));
    }
    for name in ["192.0.2.8", "example.org"] {
        assert!(handshake(&credentials, name).is_err(), "{name}");
    }
}

#[test]
fn admin_certificate_is_client_certificate_in_system_masters() {
    let directory = tempfile::tempdir().unwrap();
    let credentials = ensure(directory.path(), &local(), NOW).unwrap();
    let der = read_certificate(&credentials.admin_cert_pem).unwrap();
    let parsed = parse(&der).unwrap();
    let text = |mut values: Box<dyn Iterator<Item = &str>>| values.next().map(str::to_owned);
    let subject = parsed.subject();
    let common = text(Box::new(subject.iter_common_name().filter_map(|value| value.as_str().ok())));
    let group = text(Box::new(subject.iter_organization().filter_map(|value| value.as_str().ok())));
    assert_eq!((common.as_deref(), group.as_deref()), (Some("admin"), Some("system:masters")));
    let usage = parsed.extended_key_usage().unwrap().unwrap().value;
    assert!(usage.client_auth && !usage.server_auth);
    assert_eq!(not_after(&parsed).unwrap(), NOW + CERTIFICATE_LIFETIME);
}

#[test]
fn later_start_changes_no_files() {
    let directory = tempfile::tempdir().unwrap();
    ensure(directory.path(), &local(), NOW).unwrap();
    let before = files_of(directory.path());
    ensure(directory.path(), &local(), NOW + Duration::days(334)).unwrap();
    assert_eq!(changed(&before, &files_of(directory.path())), Vec::<String>::new());
}

#[test]
fn start_renews_expiring_certificates_with_new_serials() {
    let directory = tempfile::tempdir().unwrap();
    ensure(directory.path(), &local(), NOW).unwrap();
    let before = files_of(directory.path());
    for (later, expected) in
        [(Duration::days(336), &["admin.crt", "serving.crt"]), (-Duration::days(2), &["admin.crt", "serving.crt"])]
    {
        ensure(directory.path(), &local(), NOW + later).unwrap();
        assert_eq!(changed(&before, &files_of(directory.path())), expected, "{later}");
    }
    let serials = |files: &BTreeMap<String, Vec<u8>>| {
        let der = CertificateDer::from_pem_slice(&files["serving.crt"]).unwrap();
        parse(&der).unwrap().serial.clone()
    };
    assert_ne!(serials(&before), serials(&files_of(directory.path())), "no serial number is used twice");
}

#[test]
fn missing_serving_name_renews_serving_certificate() {
    let directory = tempfile::tempdir().unwrap();
    ensure(directory.path(), &local(), NOW).unwrap();
    for (bind, hostname, expected) in [
        ("192.0.2.7", Some("machine-7"), &["serving.crt"][..]),
        ("127.0.0.1", Some("machine-7"), &[]),
        ("0.0.0.0", Some("machine-7"), &[]),
        ("::", None, &[]),
        ("2001:db8::1", None, &["serving.crt"]),
        ("127.0.0.1", Some("machine-8"), &["serving.crt"]),
        ("127.0.0.1", Some("not_a_dns_name"), &[]),
    ] {
        let before = files_of(directory.path());
        ensure(directory.path(), &ServingNames::new(bind.parse().unwrap(), hostname, &[]), NOW).unwrap();
        assert_eq!(changed(&before, &files_of(directory.path())), expected, "{bind} {hostname:?}");
    }
}

#[test]
fn renew_changes_only_due_certificates() {
    let directory = tempfile::tempdir().unwrap();
    let present = ensure(directory.path(), &local(), NOW).unwrap();
    let due = due(&present).unwrap();
    assert_eq!(due, NOW + CERTIFICATE_LIFETIME - RENEWAL_BEFORE_END);
    let before = files_of(directory.path());
    renew(directory.path(), &local(), &present, due - Duration::SECOND).unwrap();
    assert_eq!(changed(&before, &files_of(directory.path())), Vec::<String>::new());
    let next = renew(directory.path(), &local(), &present, due).unwrap();
    assert_eq!(changed(&before, &files_of(directory.path())), ["admin.crt", "serving.crt"]);
    assert_eq!(end(&next.serving.chain[0]).unwrap(), due + CERTIFICATE_LIFETIME);
    assert_eq!(next.ca_pem, present.ca_pem);
}

#[test]
fn certificate_expires_soon_in_last_fifth_and_last_two_weeks() {
    let key = KeyPair::generate().unwrap();
    for (life, soon) in [(Duration::days(365), Duration::days(14)), (Duration::days(10), Duration::days(2))] {
        let mut params = CertificateParams::default();
        (params.not_before, params.not_after) = (NOW, NOW + life);
        let certificate = params.self_signed(&key).unwrap();
        let end = NOW + life;
        for (at, expected) in
            [(end - soon - Duration::SECOND, None), (end - soon, Some(end)), (end + Duration::DAY, Some(end))]
        {
            assert_eq!(end_if_soon(certificate.der(), at).unwrap(), expected, "{life} at {at}");
        }
    }
}

#[test]
fn renew_fails_if_authority_is_missing_or_replaced() {
    let (ours, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let present = ensure(ours.path(), &local(), NOW).unwrap();
    ensure(other.path(), &local(), NOW).unwrap();
    let authority = |directory: &tempfile::TempDir| directory.path().join(DIRECTORY_NAME).join("ca.crt");
    let later = NOW + Duration::days(340);
    for replaced in [false, true] {
        fs::remove_file(authority(&ours)).unwrap();
        if replaced {
            fs::copy(authority(&other), authority(&ours)).unwrap();
        }
        let before = files_of(ours.path());
        let error = format!("{:#}", renew(ours.path(), &local(), &present, later).err().unwrap());
        assert!(error.contains("ca.crt is not the authority that this server started with"), "{error}");
        assert_eq!(changed(&before, &files_of(ours.path())), Vec::<String>::new());
        fs::write(authority(&ours), &present.ca_pem).unwrap();
    }
}

/// Files are written atomically in a fixed order, so these are all states that an interrupted start can leave.
#[test]
fn next_start_completes_interrupted_first_start() {
    let order = ["ca.key", "ca.crt", "serving.key", "serving.crt", "admin.key", "admin.crt"];
    for written in 0..=order.len() {
        let directory = tempfile::tempdir().unwrap();
        ensure(directory.path(), &local(), OffsetDateTime::now_utc()).unwrap();
        let complete = files_of(directory.path());
        let pki = directory.path().join(DIRECTORY_NAME);
        order[written..].iter().for_each(|name| fs::remove_file(pki.join(name)).unwrap());
        if let Some(name) = order.get(written) {
            fs::write(pki.join(format!(".{name}.new")), "-----BEGIN").unwrap();
        }
        let credentials = ensure(directory.path(), &local(), OffsetDateTime::now_utc()).unwrap();
        let after = files_of(directory.path());
        let mut made: Vec<&str> = order[written..].to_vec();
        made.sort_unstable();
        assert_eq!(changed(&complete, &after), made, "after {written} files; nothing else may be touched");
        handshake(&credentials, "localhost").unwrap();
    }
}

#[test]
fn corrupt_credential_file_is_an_error_and_not_replaced() {
    for (name, contents, expected) in [
        ("ca.crt", "junk", "ca.crt is not a certificate"),
        ("ca.key", "junk", "ca.key is not a private key"),
        ("serving.key", "junk", "serving.key is not a private key"),
    ] {
        let directory = tempfile::tempdir().unwrap();
        ensure(directory.path(), &local(), NOW).unwrap();
        fs::write(directory.path().join(DIRECTORY_NAME).join(name), contents).unwrap();
        let before = files_of(directory.path());
        let error = format!("{:#}", ensure(directory.path(), &local(), NOW).err().unwrap());
        assert!(error.contains(expected), "{error}");
        assert_eq!(changed(&before, &files_of(directory.path())), Vec::<String>::new());
    }
}

#[test]
fn imported_key_keeps_its_file_and_is_served_with_correct_label() {
    let directory = tempfile::tempdir().unwrap();
    ensure(directory.path(), &local(), NOW).unwrap();
    let path = directory.path().join(DIRECTORY_NAME).join("admin.key");
    let (ec, rsa) = (KeyPair::generate().unwrap(), KeyPair::generate_for(&rcgen::PKCS_RSA_SHA256).unwrap());
    // A 2048-bit RSA key in PKCS #8 is a header of 26 bytes and the key in PKCS #1.
    let pkcs1 = pem::encode(&pem::Pem::new("RSA PRIVATE KEY", &rsa.serialized_der()[26..]));
    for (text, label) in
        [(ec.serialize_pem(), "EC PRIVATE KEY"), (rsa.serialize_pem(), "PRIVATE KEY"), (pkcs1, "RSA PRIVATE KEY")]
    {
        fs::write(&path, &text).unwrap();
        let credentials = ensure(directory.path(), &local(), NOW).unwrap();
        assert_eq!(pem::parse(&credentials.admin_key_pem).unwrap().tag(), label);
        assert_eq!(fs::read_to_string(&path).unwrap(), text, "the file stays as it is");
        let renewed = Key::from_pem(&credentials.admin_key_pem).unwrap();
        assert!(
            matches_key(&renewed, &parse(&read_certificate(&credentials.admin_cert_pem).unwrap()).unwrap()),
            "{label}"
        );
    }
}

#[test]
fn mismatched_authority_key_is_rejected() {
    let (ours, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    ensure(ours.path(), &local(), NOW).unwrap();
    ensure(other.path(), &local(), NOW).unwrap();
    let key = Path::new(DIRECTORY_NAME).join("ca.key");
    fs::copy(other.path().join(&key), ours.path().join(&key)).unwrap();
    let error = format!("{:#}", ensure(ours.path(), &local(), NOW).err().unwrap());
    assert!(error.contains("do not belong together"), "{error}");
}

#[test]
fn certificate_of_other_authority_or_key_is_renewed() {
    let (ours, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    ensure(ours.path(), &local(), NOW).unwrap();
    ensure(other.path(), &local(), NOW).unwrap();
    let pki = |directory: &tempfile::TempDir| directory.path().join(DIRECTORY_NAME);
    // Same key, other authority.
    fs::remove_file(pki(&ours).join("ca.crt")).unwrap();
    fs::remove_file(pki(&ours).join("ca.key")).unwrap();
    let before = files_of(ours.path());
    ensure(ours.path(), &local(), NOW).unwrap();
    assert_eq!(changed(&before, &files_of(ours.path())), ["admin.crt", "serving.crt", "ca.crt", "ca.key"]);
    // Same authority, other key.
    fs::copy(pki(&other).join("admin.key"), pki(&ours).join("admin.key")).unwrap();
    let before = files_of(ours.path());
    ensure(ours.path(), &local(), NOW).unwrap();
    assert_eq!(changed(&before, &files_of(ours.path())), ["admin.crt"]);
}

#[test]
fn missing_authority_key_fails_only_when_signing() {
    let directory = tempfile::tempdir().unwrap();
    ensure(directory.path(), &local(), NOW).unwrap();
    fs::remove_file(directory.path().join(DIRECTORY_NAME).join("ca.key")).unwrap();
    ensure(directory.path(), &local(), NOW).unwrap();
    let error = format!("{:#}", ensure(directory.path(), &local(), NOW + Duration::days(340)).err().unwrap());
    assert!(error.contains("ca.key is missing"), "{error}");
}

#[test]
fn expired_authority_error_names_the_date() {
    let directory = tempfile::tempdir().unwrap();
    ensure(directory.path(), &local(), NOW).unwrap();
    let error = format!("{:#}", ensure(directory.path(), &local(), NOW + Duration::days(3_653)).err().unwrap());
    assert!(error.contains("expired on 2036-11-30"), "{error}");
}

#[test]
fn start_restricts_modes_of_keys_and_directory() {
    let directory = tempfile::tempdir().unwrap();
    ensure(directory.path(), &local(), NOW).unwrap();
    let pki = directory.path().join(DIRECTORY_NAME);
    fs::set_permissions(&pki, fs::Permissions::from_mode(0o755)).unwrap();
    fs::set_permissions(pki.join("ca.key"), fs::Permissions::from_mode(0o644)).unwrap();
    ensure(directory.path(), &local(), NOW).unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&pki), mode(&pki.join("ca.key"))), (0o700, 0o600));
}

#[test]
fn dns_name_check_accepts_only_valid_names() {
    for (name, expected) in [
        ("node-1.example.org", true),
        ("7", true),
        ("", false),
        ("a..b", false),
        ("-a", false),
        ("a-", false),
        ("a_b", false),
        ("(none)", false),
    ] {
        assert_eq!(is_dns_name(name), expected, "{name:?}");
    }
}
