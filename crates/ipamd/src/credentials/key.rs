//! A private key, and the text in which clients get it.
//!
//! Keys on elliptic curves are written in SEC1 (RFC 5915, `BEGIN EC PRIVATE KEY`): there are client libraries that read no
//! EC key in PKCS#8, and none that read PKCS#8 alone. Every form is read.

use anyhow::Context as _;
use aws_lc_rs::{
    encoding::{AsDer as _, EcPrivateKeyRfc5915Der},
    signature::{
        ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, ECDSA_P521_SHA512_ASN1_SIGNING, EcdsaKeyPair,
    },
};
use pem::{EncodeConfig, LineEnding, Pem};
use rcgen::KeyPair;
use rustls_pki_types::{PrivateKeyDer, pem::PemObject as _};

/// A private key.
pub struct Key {
    /// The key, to sign with.
    pub pair: KeyPair,
    /// The key as PEM.
    pub pem: String,
}

impl Key {
    /// A new key on P-256.
    pub fn generate() -> anyhow::Result<Self> {
        let pair = KeyPair::generate()?;
        let pem = sec1(pair.serialized_der()).context("the new key cannot be written as SEC1")?;
        Ok(Self { pair, pem })
    }

    /// Reads a key in SEC1, PKCS#8 or PKCS#1. Other sections in front of it, such as `EC PARAMETERS`, are passed over.
    pub fn from_pem(text: &str) -> anyhow::Result<Self> {
        let der = PrivateKeyDer::from_pem_slice(text.as_bytes())?;
        let pair = KeyPair::try_from(&der)?;
        // A key of another kind stays as it is.
        let pem = sec1(der.secret_der()).unwrap_or_else(|| text.to_owned());
        Ok(Self { pair, pem })
    }
}

/// A key on an elliptic curve as SEC1; `None` for a key of another kind.
fn sec1(der: &[u8]) -> Option<String> {
    let curves = [&ECDSA_P256_SHA256_ASN1_SIGNING, &ECDSA_P384_SHA384_ASN1_SIGNING, &ECDSA_P521_SHA512_ASN1_SIGNING];
    let pair = curves.into_iter().find_map(|curve| EcdsaKeyPair::from_private_key_der(curve, der).ok())?;
    let sec1: EcPrivateKeyRfc5915Der<'_> = pair.private_key().as_der().ok()?;
    let lines = EncodeConfig::new().set_line_ending(LineEnding::LF);
    Some(pem::encode_config(&Pem::new("EC PRIVATE KEY", sec1.as_ref()), lines))
}
