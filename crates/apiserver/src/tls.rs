//! The TLS side of connections: the server's certificates, and the authorities of its clients'. Both can be replaced while
//! connections are open; what is new holds for handshakes that begin afterwards.

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

/// What TLS needs.
#[derive(Debug)]
pub struct TlsMaterial {
    /// The server's certificates. A client gets the first one that carries the name it asks for, and the first of all if
    /// none does or it names none.
    pub certificates: Vec<ServingCertificate>,
    /// Who signs client certificates, each of them.
    pub client_authorities: Vec<CertificateDer<'static>>,
}

/// A certificate to serve with.
#[derive(Debug)]
pub struct ServingCertificate {
    /// It, and what leads to its authority.
    pub chain: Vec<CertificateDer<'static>>,
    /// Its key.
    pub key: PrivateKeyDer<'static>,
}

/// The TLS configuration of the moment.
pub struct Tls {
    current: ArcSwap<ServerConfig>,
}

impl Tls {
    /// TLS 1.2 and 1.3, HTTP/2 and HTTP/1.1, a client certificate asked for and not required.
    ///
    /// # Errors
    /// What rustls finds wrong with the material.
    pub fn new(material: TlsMaterial) -> Result<Self, rustls::Error> {
        Ok(Self { current: ArcSwap::new(server_config(material)?) })
    }

    /// Uses other material from the next handshake on. A session cannot be resumed across this: the client's certificate
    /// is verified again, by the authorities of then.
    ///
    /// # Errors
    /// What rustls finds wrong with it; the present material stays in use.
    pub fn replace(&self, material: TlsMaterial) -> Result<(), rustls::Error> {
        self.current.store(server_config(material)?);
        Ok(())
    }

    /// What the next handshake uses.
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

/// Chooses a certificate by the name that a client asks for.
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
        // Most servers have one certificate: then there is nothing to look for.
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
