//! Users beside the administrator: bearer tokens, and authorities whose certificates say who asks. Both are read at start.

use std::{os::unix::fs::PermissionsExt as _, path::Path};

use anyhow::{Context as _, anyhow, ensure};
use apiserver::identity::Tokens;
use rustls_pki_types::{CertificateDer, pem::PemObject as _};

use crate::config::Users;

/// The tokens in the token file, if there is one.
pub fn tokens(users: &Users) -> anyhow::Result<Tokens> {
    let Some(path) = &users.tokens else { return Ok(Tokens::default()) };
    let text = String::from_utf8(read(path)?).with_context(|| format!("{} is not text", path.display()))?;
    warn_if_open(path)?;
    Tokens::parse(&text).map_err(|why| anyhow!("{}, {why}", path.display()))
}

/// The authorities beside the server's own.
pub fn authorities(users: &Users) -> anyhow::Result<Vec<CertificateDer<'static>>> {
    let Some(path) = &users.authorities else { return Ok(Vec::new()) };
    let not_certificates = || format!("{} is not a PEM file of certificates", path.display());
    let pem = read(path)?;
    let found: Vec<_> =
        CertificateDer::pem_slice_iter(&pem).collect::<Result<_, _>>().with_context(not_certificates)?;
    let all_are = found.iter().all(|certificate| x509_parser::parse_x509_certificate(certificate).is_ok());
    ensure!(!found.is_empty() && all_are, not_certificates());
    Ok(found)
}

fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))
}

fn warn_if_open(path: &Path) -> anyhow::Result<()> {
    let mode = std::fs::metadata(path)?.permissions().mode();
    if mode & 0o007 != 0 {
        tracing::warn!(path = %path.display(), mode = format!("{:o}", mode & 0o777), "everybody on this machine can reach the tokens");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    fn file(contents: &str) -> (tempfile::TempDir, PathBuf) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        std::fs::write(&path, contents).unwrap();
        (directory, path)
    }

    #[test]
    fn a_bad_file_is_named_with_what_is_wrong() {
        let (_directory, path) = file("token,user");
        let name = path.display().to_string();
        let users = Users { tokens: Some(path.clone()), authorities: Some(path) };
        let fault = tokens(&users).unwrap_err().to_string();
        assert!(fault.starts_with(&format!("{name}, line 1: ")), "{fault}");
        assert_eq!(authorities(&users).unwrap_err().to_string(), format!("{name} is not a PEM file of certificates"));
        let nowhere = Users { tokens: Some("/nowhere/tokens".into()), authorities: None };
        assert_eq!(tokens(&nowhere).unwrap_err().to_string(), "cannot read /nowhere/tokens");
    }

    #[test]
    fn what_is_between_the_lines_of_a_pem_file_must_be_a_certificate() {
        let (_directory, path) = file("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
        let users = Users { tokens: None, authorities: Some(path) };
        assert!(authorities(&users).is_err());
        assert_eq!(authorities(&Users { tokens: None, authorities: None }).unwrap(), Vec::new());
    }
}
