//! A certificate authority for one run. It signs the serving certificates of both servers and the certificate of the client.

use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

/// The name in the serving certificates.
pub const HOST: &str = "localhost";

/// The certificates of one run.
pub struct Pki {
    /// The certificate of the authority.
    pub authority: Certified,
    /// The certificate of both servers.
    pub server: Certified,
    /// The certificate of the administrator.
    pub client: Certified,
}

/// A certificate and its key.
pub struct Certified {
    /// The certificate.
    pub certificate: CertificateDer<'static>,
    /// The certificate as PEM.
    pub certificate_pem: String,
    /// The key as PEM.
    pub key_pem: String,
    key: Vec<u8>,
}

impl Certified {
    /// Returns the key.
    pub fn key(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::try_from(self.key.clone()).expect("rcgen writes PKCS #8")
    }

    fn new(certificate: &rcgen::Certificate, key: &KeyPair) -> Self {
        Self {
            certificate: certificate.der().clone(),
            certificate_pem: certificate.pem(),
            key_pem: key.serialize_pem(),
            key: key.serialize_der(),
        }
    }
}

impl Pki {
    /// Generates an authority and the certificates.
    pub fn new() -> anyhow::Result<Self> {
        let mut params = CertificateParams::new(Vec::new())?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "oracle");
        let key = KeyPair::generate()?;
        let authority = Certified::new(&params.self_signed(&key)?, &key);
        let issuer = Issuer::new(params, key);
        let certified = |mut params: CertificateParams, usage| {
            params.extended_key_usages.push(usage);
            let key = KeyPair::generate()?;
            anyhow::Ok(Certified::new(&params.signed_by(&key, &issuer)?, &key))
        };
        let server = CertificateParams::new(vec![HOST.to_owned(), "127.0.0.1".to_owned()])?;
        let mut client = CertificateParams::new(Vec::new())?;
        client.distinguished_name.push(DnType::CommonName, "admin");
        client.distinguished_name.push(DnType::OrganizationName, "system:masters");
        Ok(Self {
            server: certified(server, ExtendedKeyUsagePurpose::ServerAuth)?,
            client: certified(client, ExtendedKeyUsagePurpose::ClientAuth)?,
            authority,
        })
    }
}
