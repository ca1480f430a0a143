//! The TLS side of a connection: our certificate, and the client's if it shows one.

use std::sync::Arc;

use rustls::{
    RootCertStore, ServerConfig,
    server::{WebPkiClientVerifier, danger::ClientCertVerifier},
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

/// What TLS needs.
#[derive(Debug)]
pub struct TlsMaterial {
    /// Our certificate and what leads to its CA.
    pub chain: Vec<CertificateDer<'static>>,
    /// Its key.
    pub key: PrivateKeyDer<'static>,
    /// Who signs client certificates, each of them.
    pub client_authorities: Vec<CertificateDer<'static>>,
}

/// TLS 1.2 and 1.3, HTTP/2 and HTTP/1.1, a client certificate asked for and not required.
///
/// # Errors
/// What rustls finds wrong with the material.
pub fn server_config(material: TlsMaterial) -> Result<Arc<ServerConfig>, rustls::Error> {
    let mut config = ServerConfig::builder()
        .with_client_cert_verifier(client_verifier(material.client_authorities)?)
        .with_single_cert(material.chain, material.key)?;
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
