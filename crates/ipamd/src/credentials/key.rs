//! A private key and its PEM text.
//!
//! EC keys are written in SEC1 (RFC 5915, `BEGIN EC PRIVATE KEY`): some client libraries cannot read EC keys in PKCS#8, and none
//! reads PKCS#8 only. Keys are read in SEC1, PKCS#8 and PKCS#1.

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
    /// The key pair.
    pub pair: KeyPair,
    /// The key as PEM.
    pub pem: String,
}

impl Key {
    /// Generates a P-256 key.
    pub fn generate() -> anyhow::Result<Self> {
        let pair = KeyPair::generate()?;
        let pem = sec1(pair.serialized_der()).context("the new key cannot be written as SEC1")?;
        Ok(Self { pair, pem })
    }

    /// Reads a key in SEC1, PKCS#8 or PKCS#1. PEM sections before it, such as `EC PARAMETERS`, are skipped.
    pub fn from_pem(text: &str) -> anyhow::Result<Self> {
        let der = PrivateKeyDer::from_pem_slice(text.as_bytes())?;
        let pair = KeyPair::try_from(&der)?;
        // The text of a key that is not an EC key is kept.
        let pem = sec1(der.secret_der()).unwrap_or_else(|| text.to_owned());
        Ok(Self { pair, pem })
    }
}

/// Returns an EC key as SEC1; `None` for other keys.
fn sec1(der: &[u8]) -> Option<String> {
    let curves = [&ECDSA_P256_SHA256_ASN1_SIGNING, &ECDSA_P384_SHA384_ASN1_SIGNING, &ECDSA_P521_SHA512_ASN1_SIGNING];
    let pair = curves.into_iter().find_map(|curve| EcdsaKeyPair::from_private_key_der(curve, der).ok())?;
    let sec1: EcPrivateKeyRfc5915Der<'_> = pair.private_key().as_der().ok()?;
    let lines = EncodeConfig::new().set_line_ending(LineEnding::LF);
    Some(pem::encode_config(&Pem::new("EC PRIVATE KEY", sec1.as_ref()), lines))
}
