//! The credentials that a server generates in `DIR/pki`: a certificate authority, a serving certificate, and a client
//! certificate of the administrator.
//!
//! Every file is written atomically, and each key before its certificate, so that the next start completes the files of an
//! interrupted start. An existing authority is never replaced, because clients trust it. A renewed certificate keeps its key; to
//! get a new key, delete the key file. Certificates are renewed at start and while the server runs. Certificates of other
//! authorities are not managed here.

mod key;

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    path::{Path, PathBuf},
    str::FromStr,
};

use anyhow::{Context as _, bail};
use apiserver::tls::ServingCertificate;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyUsagePurpose,
    PublicKeyData as _, SanType,
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};
use time::{Duration, OffsetDateTime};
use x509_parser::{certificate::X509Certificate, extensions::GeneralName};

use self::key::Key;
use crate::files;

/// The directory of the credentials in the data directory.
pub const DIRECTORY_NAME: &str = "pki";

const AUTHORITY_LIFETIME: Duration = Duration::days(3_652);
const CERTIFICATE_LIFETIME: Duration = Duration::days(365);
/// A certificate is renewed if it expires within this time.
const RENEWAL_BEFORE_END: Duration = Duration::days(30);
/// A certificate that expires within this time is logged, unless its lifetime is shorter than five times this.
const WARNING_BEFORE_END: Duration = Duration::days(14);
/// Certificates are valid from this long before their creation, for clients whose clock is slow.
const CLOCK_SKEW: Duration = Duration::hours(1);
const SERIAL_NUMBER_BYTES: usize = 16;

/// The credentials for TLS and for the administrator's kubeconfig.
pub struct Credentials {
    /// The authority's certificate, as PEM.
    pub ca_pem: String,
    /// The authority's certificate, as DER.
    pub ca_der: CertificateDer<'static>,
    /// The serving certificate; the chain does not contain the authority.
    pub serving: ServingCertificate,
    /// The client certificate of user `admin` in group `system:masters`.
    pub admin_cert_pem: String,
    /// The key of `admin_cert_pem`.
    pub admin_key_pem: String,
}

/// A DNS name that only the generated serving certificate contains. The administrator's kubeconfig sends it as the TLS server name
/// if the server also has a certificate from a file.
pub const OWN_NAME: &str = "self.ipam.invalid";

/// The names and addresses under which clients may reach the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServingNames {
    dns: Vec<String>,
    addresses: Vec<IpAddr>,
}

impl ServingNames {
    /// Collects the loopback names and addresses, the names of a Service `ipam` in namespace `default`, the machine's name, the
    /// address that the server binds, and `others`.
    pub fn new(bind: IpAddr, hostname: Option<&str>, others: &[SubjectName]) -> Self {
        let fixed =
            ["localhost", "ipam", "ipam.default", "ipam.default.svc", "ipam.default.svc.cluster.local", OWN_NAME];
        let loopback = [IpAddr::from(Ipv4Addr::LOCALHOST), IpAddr::from(Ipv6Addr::LOCALHOST)];
        let mut names = Self { dns: fixed.map(str::to_owned).into(), addresses: loopback.into() };
        let hostname = hostname.map(str::to_ascii_lowercase).filter(|name| is_dns_name(name));
        let bound = (!bind.is_unspecified()).then_some(SubjectName::Address(bind));
        for name in hostname.map(SubjectName::Dns).into_iter().chain(bound).chain(others.iter().cloned()) {
            names.add(name);
        }
        names
    }

    fn add(&mut self, name: SubjectName) {
        match name {
            SubjectName::Dns(name) if !self.dns.contains(&name) => self.dns.push(name),
            SubjectName::Address(address) if !self.addresses.contains(&address) => self.addresses.push(address),
            SubjectName::Dns(_) | SubjectName::Address(_) => {}
        }
    }

    fn none() -> Self {
        Self { dns: Vec::new(), addresses: Vec::new() }
    }
}

/// One name or address in a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SubjectName {
    /// A DNS name in lower case.
    Dns(String),
    /// An address.
    Address(IpAddr),
}

impl FromStr for SubjectName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Ok(address) = text.parse() {
            return Ok(Self::Address(address));
        }
        let name = text.to_ascii_lowercase();
        let is_name = is_dns_name(&name);
        is_name.then_some(Self::Dns(name)).ok_or_else(|| "this must be a DNS name or an IP address".to_owned())
    }
}

/// Returns the machine's name, or `None` if it is empty or not UTF-8.
pub fn hostname() -> Option<String> {
    let name = rustix::system::uname().nodename().to_str().ok()?.to_owned();
    Some(name).filter(|name| !name.is_empty())
}

/// Creates missing credentials, renews expiring certificates, and returns all credentials. The caller must hold the lock of the
/// data directory.
pub fn ensure(data_dir: &Path, names: &ServingNames, now: OffsetDateTime) -> anyhow::Result<Credentials> {
    let directory = data_dir.join(DIRECTORY_NAME);
    files::create_private_dir(&directory)?;
    files::restrict(&directory)?;
    let authority = Authority::ensure(&CertPaths::new(&directory, "ca"), now)?;
    signed_by(&authority, &directory, names, now)
}

/// Renews expiring certificates of a running server, and returns all credentials. It is an error if the authority is not the one
/// of `present`, because clients trust only that one.
pub fn renew(
    data_dir: &Path,
    names: &ServingNames,
    present: &Credentials,
    now: OffsetDateTime,
) -> anyhow::Result<Credentials> {
    let directory = data_dir.join(DIRECTORY_NAME);
    let place = CertPaths::new(&directory, "ca");
    let Some(pem) = place.read_certificate()?.filter(|pem| *pem == present.ca_pem) else {
        bail!(
            "{} is not the authority that this server started with; put that back, or restart the server to use another",
            place.certificate.display()
        );
    };
    signed_by(&Authority::existing(pem, place, now)?, &directory, names, now)
}

/// Returns the time of the next renewal: of the serving certificate or the administrator's, whichever is earlier.
pub fn due(credentials: &Credentials) -> anyhow::Result<OffsetDateTime> {
    let serving = credentials.serving.chain.first().context("the chain is empty").and_then(end)?;
    let admin = end(&read_certificate(&credentials.admin_cert_pem)?)?;
    Ok(serving.min(admin) - RENEWAL_BEFORE_END)
}

/// Returns the end of a certificate's validity.
pub fn end(der: &CertificateDer<'_>) -> anyhow::Result<OffsetDateTime> {
    not_after(&parse(der)?)
}

/// Returns the end of a certificate's validity if at most a fifth of its lifetime and at most two weeks remain. A certificate that
/// is replaced regularly has been replaced by then.
pub fn end_if_soon(der: &CertificateDer<'_>, now: OffsetDateTime) -> anyhow::Result<Option<OffsetDateTime>> {
    let parsed = parse(der)?;
    let (start, end) = (not_before(&parsed)?, not_after(&parsed)?);
    let fifth: Duration = (end - start) / 5_i32;
    let last = fifth.min(WARNING_BEFORE_END);
    Ok((end - last <= now).then_some(end))
}

/// Returns the credentials that `authority` signed; creates or renews them if necessary.
fn signed_by(
    authority: &Authority,
    directory: &Path,
    names: &ServingNames,
    now: OffsetDateTime,
) -> anyhow::Result<Credentials> {
    let serving = ensure_certificate(&CertPaths::new(directory, "serving"), &Profile::serving(names), authority, now)?;
    let admin = ensure_certificate(&CertPaths::new(directory, "admin"), &Profile::admin(), authority, now)?;
    Ok(Credentials {
        serving: ServingCertificate {
            chain: vec![read_certificate(&serving.certificate)?],
            key: PrivateKeyDer::from_pem_slice(serving.key.as_bytes())?,
        },
        admin_cert_pem: admin.certificate,
        admin_key_pem: admin.key,
        ca_pem: authority.pem.clone(),
        ca_der: authority.der.clone(),
    })
}

/// The paths of a certificate and its key.
struct CertPaths {
    certificate: PathBuf,
    key: PathBuf,
}

impl CertPaths {
    fn new(directory: &Path, name: &str) -> Self {
        Self { certificate: directory.join(format!("{name}.crt")), key: directory.join(format!("{name}.key")) }
    }

    fn read_certificate(&self) -> anyhow::Result<Option<String>> {
        let Some(contents) = files::read(&self.certificate)? else {
            return Ok(None);
        };
        Ok(Some(String::from_utf8(contents).with_context(|| not_a("certificate", &self.certificate))?))
    }

    fn read_key(&self) -> anyhow::Result<Option<Key>> {
        let Some(contents) = files::read(&self.key)? else {
            return Ok(None);
        };
        if files::restrict(&self.key)? {
            tracing::warn!(path = %self.key.display(), "a private key was accessible to other users; its mode is 0600 now");
        }
        let text = String::from_utf8(contents).with_context(|| not_a("private key", &self.key))?;
        Ok(Some(Key::from_pem(&text).with_context(|| not_a("private key", &self.key))?))
    }

    fn key_or_new(&self) -> anyhow::Result<Key> {
        if let Some(key) = self.read_key()? {
            return Ok(key);
        }
        let key = Key::generate()?;
        files::write_private(&self.key, key.pem.as_bytes())?;
        Ok(key)
    }
}

/// The certificate authority. Its key may be absent as long as no certificate has to be signed.
struct Authority {
    pem: String,
    der: CertificateDer<'static>,
    key: Option<Key>,
    place: CertPaths,
}

impl Authority {
    fn ensure(place: &CertPaths, now: OffsetDateTime) -> anyhow::Result<Self> {
        let place = CertPaths { certificate: place.certificate.clone(), key: place.key.clone() };
        if let Some(pem) = place.read_certificate()? {
            return Self::existing(pem, place, now);
        }
        let key = place.key_or_new()?;
        let pem = authority_params(now)?.self_signed(&key.pair)?.pem();
        files::write_private(&place.certificate, pem.as_bytes())?;
        tracing::info!(path = %place.certificate.display(), "made a certificate authority");
        Ok(Self { der: read_certificate(&pem)?, pem, key: Some(key), place })
    }

    fn existing(pem: String, place: CertPaths, now: OffsetDateTime) -> anyhow::Result<Self> {
        let path = place.certificate.display();
        let der = read_certificate(&pem).with_context(|| not_a("certificate", &place.certificate))?;
        let parsed = parse(&der).with_context(|| not_a("certificate", &place.certificate))?;
        if not_after(&parsed)? < now {
            bail!(
                "{path} expired on {}; move {DIRECTORY_NAME} away to get another authority",
                not_after(&parsed)?.date()
            );
        }
        let key = place.read_key()?;
        if key.as_ref().is_some_and(|key| !matches_key(key, &parsed)) {
            bail!("{path} and {} do not belong together", place.key.display());
        }
        Ok(Self { pem, der, key, place })
    }

    fn sign(&self, params: &CertificateParams, key: &Key) -> anyhow::Result<String> {
        let Some(own) = &self.key else {
            bail!("{} is missing, and a certificate must be signed with it", self.place.key.display());
        };
        let issuer = Issuer::from_ca_cert_der(&self.der, &own.pair)?;
        Ok(params.signed_by(&key.pair, &issuer)?.pem())
    }
}

/// The subject, usage and names of a certificate.
struct Profile {
    subject: Vec<(DnType, &'static str)>,
    usage: ExtendedKeyUsagePurpose,
    names: ServingNames,
}

impl Profile {
    fn serving(names: &ServingNames) -> Self {
        let subject = vec![(DnType::CommonName, "ipam")];
        Self { subject, usage: ExtendedKeyUsagePurpose::ServerAuth, names: names.clone() }
    }

    fn admin() -> Self {
        let subject = vec![(DnType::OrganizationName, "system:masters"), (DnType::CommonName, "admin")];
        Self { subject, usage: ExtendedKeyUsagePurpose::ClientAuth, names: ServingNames::none() }
    }
}

/// A certificate and its key, as PEM.
struct Pair {
    certificate: String,
    key: String,
}

fn ensure_certificate(
    place: &CertPaths,
    profile: &Profile,
    authority: &Authority,
    now: OffsetDateTime,
) -> anyhow::Result<Pair> {
    let key = place.key_or_new()?;
    let path = place.certificate.display();
    if let Some(certificate) = place.read_certificate()? {
        match reason_to_renew(&certificate, &key, profile, authority, now) {
            None => return Ok(Pair { certificate, key: key.pem }),
            Some(reason) => tracing::info!(path = %path, reason, "renewing a certificate"),
        }
    }
    let certificate = authority.sign(&certificate_params(profile, now)?, &key)?;
    files::write_private(&place.certificate, certificate.as_bytes())?;
    Ok(Pair { certificate, key: key.pem })
}

fn reason_to_renew(
    certificate: &str,
    key: &Key,
    profile: &Profile,
    authority: &Authority,
    now: OffsetDateTime,
) -> Option<&'static str> {
    let Ok(der) = read_certificate(certificate) else {
        return Some("it cannot be read");
    };
    let (Ok(parsed), Ok(parent)) = (parse(&der), parse(&authority.der)) else {
        return Some("it cannot be parsed");
    };
    if !matches_key(key, &parsed) {
        return Some("it does not match its key");
    }
    if parsed.verify_signature(Some(parent.public_key())).is_err() {
        return Some("another authority signed it");
    }
    match (not_before(&parsed), not_after(&parsed)) {
        (Ok(start), Ok(end)) if start <= now && now + RENEWAL_BEFORE_END < end => {}
        _ => return Some("it expires soon, has expired or is not valid yet"),
    }
    (!has_names(&parsed, &profile.names)).then_some("it lacks a name or an address of this server")
}

fn authority_params(now: OffsetDateTime) -> anyhow::Result<CertificateParams> {
    let mut params = params(vec![(DnType::CommonName, "ipam-ca")], now, AUTHORITY_LIFETIME)?;
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign, KeyUsagePurpose::DigitalSignature];
    Ok(params)
}

fn certificate_params(profile: &Profile, now: OffsetDateTime) -> anyhow::Result<CertificateParams> {
    let mut params = params(profile.subject.clone(), now, CERTIFICATE_LIFETIME)?;
    params.is_ca = IsCa::ExplicitNoCa;
    params.use_authority_key_identifier_extension = true;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![profile.usage.clone()];
    for name in &profile.names.dns {
        params.subject_alt_names.push(SanType::DnsName(name.as_str().try_into()?));
    }
    params.subject_alt_names.extend(profile.names.addresses.iter().copied().map(SanType::IpAddress));
    Ok(params)
}

fn params(
    subject: Vec<(DnType, &'static str)>,
    now: OffsetDateTime,
    lifetime: Duration,
) -> anyhow::Result<CertificateParams> {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    for (part, value) in subject {
        params.distinguished_name.push(part, value);
    }
    // Not derived from the key (rcgen's default), because a renewed certificate keeps its key.
    params.serial_number = Some(serial_number()?.to_vec().into());
    (params.not_before, params.not_after) = (now - CLOCK_SKEW, now + lifetime);
    Ok(params)
}

fn serial_number() -> anyhow::Result<[u8; SERIAL_NUMBER_BYTES]> {
    let mut bytes = [0; SERIAL_NUMBER_BYTES];
    getrandom::fill(&mut bytes).context("the system returned no random bytes")?;
    // Positive, and always of the same length.
    bytes[0] = bytes[0] & 0x7f | 0x40;
    Ok(bytes)
}

fn read_certificate(pem: &str) -> anyhow::Result<CertificateDer<'static>> {
    Ok(CertificateDer::from_pem_slice(pem.as_bytes())?)
}

fn parse<'der>(der: &'der CertificateDer<'_>) -> anyhow::Result<X509Certificate<'der>> {
    Ok(x509_parser::parse_x509_certificate(der)?.1)
}

fn not_before(certificate: &X509Certificate<'_>) -> anyhow::Result<OffsetDateTime> {
    Ok(OffsetDateTime::from_unix_timestamp(certificate.validity().not_before.timestamp())?)
}

fn not_after(certificate: &X509Certificate<'_>) -> anyhow::Result<OffsetDateTime> {
    Ok(OffsetDateTime::from_unix_timestamp(certificate.validity().not_after.timestamp())?)
}

fn matches_key(key: &Key, certificate: &X509Certificate<'_>) -> bool {
    certificate.public_key().raw == key.pair.subject_public_key_info()
}

fn has_names(certificate: &X509Certificate<'_>, names: &ServingNames) -> bool {
    let extension = certificate.subject_alternative_name().ok().flatten();
    let present = extension.map(|extension| extension.value.general_names.as_slice()).unwrap_or_default();
    let has_name =
        |wanted: &String| present.iter().any(|name| matches!(name, GeneralName::DNSName(name) if name == wanted));
    let has_address = |wanted: &IpAddr| present.iter().any(|name| address(name) == Some(*wanted));
    names.dns.iter().all(has_name) && names.addresses.iter().all(has_address)
}

fn address(name: &GeneralName<'_>) -> Option<IpAddr> {
    let GeneralName::IPAddress(bytes) = name else {
        return None;
    };
    <[u8; 4]>::try_from(*bytes).map(IpAddr::from).or_else(|_| <[u8; 16]>::try_from(*bytes).map(IpAddr::from)).ok()
}

fn is_dns_name(name: &str) -> bool {
    let is_label = |label: &str| {
        let inner = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        (1..=63).contains(&label.len()) && label.bytes().all(inner) && !label.starts_with('-') && !label.ends_with('-')
    };
    name.len() <= 253 && name.split('.').all(is_label)
}

fn not_a(what: &str, path: &Path) -> String {
    format!("{} is not a {what}", path.display())
}

#[cfg(test)]
mod tests;
