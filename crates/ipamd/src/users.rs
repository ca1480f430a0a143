//! Authentication of users other than the administrator: bearer tokens, and authorities of client certificates.

use std::{os::unix::fs::PermissionsExt as _, path::Path};

use anyhow::{Context as _, anyhow, ensure};
use apiserver::authentication::TokenFile;
use rustls_pki_types::{CertificateDer, pem::PemObject as _};

use crate::watched::Contents;

/// Parses a token file. Returns no tokens if `files` is empty.
pub fn tokens(files: &[Contents]) -> anyhow::Result<TokenFile> {
    let Some(file) = files.first() else { return Ok(TokenFile::default()) };
    let path = file.path.display();
    let text = std::str::from_utf8(&file.bytes).with_context(|| format!("{path} is not text"))?;
    warn_if_open(&file.path);
    TokenFile::parse(text).map_err(|why| anyhow!("{path}, {why}"))
}

/// Parses files of certificate authorities.
pub fn authorities(files: &[Contents]) -> anyhow::Result<Vec<CertificateDer<'static>>> {
    let mut all = Vec::new();
    for file in files {
        all.extend(certificates(file)?);
    }
    Ok(all)
}

/// Parses a PEM file of one or more certificates.
pub fn certificates(file: &Contents) -> anyhow::Result<Vec<CertificateDer<'static>>> {
    let not_certificates = || format!("{} is not a PEM file of certificates", file.path.display());
    let found: Vec<_> =
        CertificateDer::pem_slice_iter(&file.bytes).collect::<Result<_, _>>().with_context(not_certificates)?;
    let all_are = found.iter().all(|certificate| x509_parser::parse_x509_certificate(certificate).is_ok());
    ensure!(!found.is_empty() && all_are, not_certificates());
    Ok(found)
}

fn warn_if_open(path: &Path) {
    let Ok(metadata) = std::fs::metadata(path) else { return };
    let mode = metadata.permissions().mode();
    if mode & 0o007 != 0 {
        tracing::warn!(path = %path.display(), mode = format!("{:o}", mode & 0o777), "the token file is accessible to all users of this machine");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(contents: &str) -> [Contents; 1] {
        [Contents { path: "dir/file".into(), bytes: contents.into() }]
    }

    #[test]
    fn parse_error_names_file_and_reason() {
        let fault = tokens(&file("token,user")).unwrap_err().to_string();
        assert!(fault.starts_with("dir/file, line 1: "), "{fault}");
        for text in ["token,user", "", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
            let fault = authorities(&file(text)).unwrap_err().to_string();
            assert_eq!(fault, "dir/file is not a PEM file of certificates");
        }
    }

    #[test]
    fn no_files_give_no_authorities_and_no_tokens() {
        assert_eq!(authorities(&[]).unwrap(), Vec::new());
        assert_eq!(format!("{:?}", tokens(&[]).unwrap()), "0 tokens");
    }
}
