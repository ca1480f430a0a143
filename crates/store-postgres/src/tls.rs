//! TLS connections to the database: server verification and client certificates.
//!
//! Works as in libpq, except that host names are matched with the subject alternative names only, never with the common
//! name.

use std::{path::Path, sync::Arc};

use rustls::{
    ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        verify_server_cert_signed_by_trust_anchor,
    },
    crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject as _},
    server::ParsedCertificate,
};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::dsn::{Encryption, Roots, Verify};

/// Returns the TLS connector for the parameters of a connection string. The files are read once.
pub fn connector(encryption: &Encryption) -> Result<MakeRustlsConnect, String> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let verifier = verifier(encryption, &provider)?;
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    let config = match &encryption.identity {
        None => config.with_no_client_auth(),
        Some((certificate, key)) => {
            let (certificates, key) = (certificates("sslcert", certificate)?, private_key(key)?);
            config.with_client_auth_cert(certificates, key).map_err(|error| format!("sslcert: {error}"))?
        }
    };
    Ok(MakeRustlsConnect::new(config))
}

fn verifier(encryption: &Encryption, provider: &Arc<CryptoProvider>) -> Result<Arc<dyn ServerCertVerifier>, String> {
    let roots = encryption.roots.as_ref().map(roots).transpose()?;
    match (encryption.verify, roots) {
        (Verify::Full, Some(roots)) => {
            let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider)).build();
            Ok(verifier.map_err(|error| format!("sslrootcert: {error}"))?)
        }
        (_, roots) => Ok(Arc::new(NoHostnameVerifier { roots, provider: Arc::clone(provider) })),
    }
}

fn roots(place: &Roots) -> Result<RootCertStore, String> {
    let mut store = RootCertStore::empty();
    match place {
        Roots::File(path) => {
            for certificate in certificates("sslrootcert", path)? {
                store.add(certificate).map_err(|error| format!("sslrootcert: {}: {error}", path.display()))?;
            }
        }
        // A system may have certificates that cannot be parsed here.
        Roots::System => drop(store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs)),
    }
    if store.is_empty() {
        return Err("sslrootcert: the system has no certificates of authorities: name a file".to_owned());
    }
    Ok(store)
}

fn certificates(parameter: &str, path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let fault = |error: &dyn std::fmt::Display| format!("{parameter}: {}: {error}", path.display());
    let read = CertificateDer::pem_file_iter(path).map_err(|error| fault(&error))?;
    let read: Vec<_> = read.collect::<Result<_, _>>().map_err(|error| fault(&error))?;
    if read.is_empty() {
        return Err(fault(&"there is no certificate in it"));
    }
    Ok(read)
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, String> {
    PrivateKeyDer::from_pem_file(path).map_err(|error| format!("sslkey: {}: {error}", path.display()))
}

/// A verifier that accepts any host name. With roots, the certificate must be signed by one of them; without roots,
/// every certificate is accepted.
#[derive(Debug)]
struct NoHostnameVerifier {
    roots: Option<RootCertStore>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for NoHostnameVerifier {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if let Some(roots) = &self.roots {
            let certificate = ParsedCertificate::try_from(certificate)?;
            let algorithms = self.provider.signature_verification_algorithms.all;
            verify_server_cert_signed_by_trust_anchor(&certificate, roots, intermediates, now, algorithms)?;
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
