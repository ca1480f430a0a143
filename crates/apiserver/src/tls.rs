//! The TLS configuration: the server's certificates, and the authorities of client certificates. Both can be replaced
//! while connections are open; the change applies to later handshakes.

use std::{fmt, sync::Arc};

use arc_swap::ArcSwap;
use rustls::{
    RootCertStore, ServerConfig,
    client::verify_server_name,
    crypto::CryptoProvider,
    server::{ClientHello, ParsedCertificate, ResolvesServerCert, WebPkiClientVerifier, danger::ClientCertVerifier},
    sign::CertifiedKey,
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};

/// The certificates and authorities for TLS.
#[derive(Debug)]
pub struct TlsMaterial {
    /// The server's certificates. A client gets the first one that is valid for its server name, or the first of all if
    /// none is or it sends no name.
    pub certificates: Vec<ServingCertificate>,
    /// The authorities that may sign client certificates.
    pub client_authorities: Vec<CertificateDer<'static>>,
}

/// A server certificate.
#[derive(Debug)]
pub struct ServingCertificate {
    /// The certificate and its intermediates.
    pub chain: Vec<CertificateDer<'static>>,
    /// The private key.
    pub key: PrivateKeyDer<'static>,
}

/// The current TLS configuration.
pub struct Tls {
    current: ArcSwap<ServerConfig>,
}

impl Tls {
    /// Creates a configuration with TLS 1.2 and 1.3, ALPN for HTTP/2 and HTTP/1.1, and optional client certificates.
    ///
    /// # Errors
    /// The error of rustls for invalid material.
    pub fn new(material: TlsMaterial) -> Result<Self, rustls::Error> {
        Ok(Self { current: ArcSwap::new(server_config(material)?) })
    }

    /// Uses other material from the next handshake on. Sessions cannot be resumed across the change, so that client
    /// certificates are verified against the new authorities.
    ///
    /// # Errors
    /// The error of rustls for invalid material; the current material stays in use.
    pub fn replace(&self, material: TlsMaterial) -> Result<(), rustls::Error> {
        self.current.store(server_config(material)?);
        Ok(())
    }

    /// The configuration for the next handshake.
    pub fn config(&self) -> Arc<ServerConfig> {
        self.current.load_full()
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tls(..)")
    }
}

impl Clone for ServingCertificate {
    fn clone(&self) -> Self {
        Self { chain: self.chain.clone(), key: self.key.clone_key() }
    }
}

fn server_config(material: TlsMaterial) -> Result<Arc<ServerConfig>, rustls::Error> {
    let builder = ServerConfig::builder().with_client_cert_verifier(client_verifier(material.client_authorities)?);
    let resolver = ByName::new(material.certificates, builder.crypto_provider())?;
    let mut config = builder.with_cert_resolver(Arc::new(resolver));
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

fn client_verifier(authorities: Vec<CertificateDer<'static>>) -> Result<Arc<dyn ClientCertVerifier>, rustls::Error> {
    let mut roots = RootCertStore::empty();
    for authority in authorities {
        roots.add(authority)?;
    }
    WebPkiClientVerifier::builder(Arc::new(roots))
        .allow_unauthenticated()
        .build()
        .map_err(|error| rustls::Error::General(error.to_string()))
}

/// Selects a certificate by the server name that the client sends.
#[derive(Debug)]
struct ByName {
    first: Arc<CertifiedKey>,
    others: Vec<Arc<CertifiedKey>>,
}

impl ByName {
    fn new(certificates: Vec<ServingCertificate>, provider: &CryptoProvider) -> Result<Self, rustls::Error> {
        let certified = |one: ServingCertificate| CertifiedKey::from_der(one.chain, one.key, provider).map(Arc::new);
        let mut all = certificates.into_iter().map(certified);
        let first = all.next().unwrap_or(Err(rustls::Error::NoCertificatesPresented))?;
        Ok(Self { first, others: all.collect::<Result<_, _>>()? })
    }
}

impl ResolvesServerCert for ByName {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        // Most servers have one certificate, and need no search.
        let name = hello.server_name().filter(|_| !self.others.is_empty());
        let name = name.and_then(|name| ServerName::try_from(name).ok());
        let named = name.and_then(|name| {
            let mut all = std::iter::once(&self.first).chain(&self.others);
            all.find(|certified| carries(certified, &name))
        });
        Some(Arc::clone(named.unwrap_or(&self.first)))
    }
}

fn carries(certified: &CertifiedKey, name: &ServerName<'_>) -> bool {
    let leaf = certified.end_entity_cert().and_then(ParsedCertificate::try_from);
    leaf.is_ok_and(|leaf| verify_server_name(&leaf, name).is_ok())
}
