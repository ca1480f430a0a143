//! Renewal of the server's own certificates, and reloading of certificate, authority and token files that an operator replaces.
//!
//! Invalid files change nothing: the earlier contents stay in use. Each change to invalid contents is logged, and every check
//! counts as a failure in `ipam_file_reloads_total` until the files are valid again.

use std::{convert::Infallible, net::SocketAddr, sync::Arc, time::SystemTime};

use anyhow::Context as _;
use apiserver::{
    authentication::{TokenAuthenticator, TokenFile},
    metrics::Metrics,
    tls::{ServingCertificate, Tls, TlsMaterial},
};
use rustls::{crypto::CryptoProvider, sign::CertifiedKey};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};
use time::OffsetDateTime;

use crate::{
    config::Serve,
    credentials::{self, Credentials, OWN_NAME, ServingNames},
    kubeconfig, limits, users,
    watched::{Contents, Watched},
};

/// The certificates, authorities and tokens of a server, and their files.
pub struct Material {
    options: Serve,
    names: ServingNames,
    own: Credentials,
    certificate: Source<Option<ServingCertificate>>,
    authorities: Source<Vec<CertificateDer<'static>>>,
    tokens: Watched<TokenFile>,
}

/// Watched files and their parsed contents.
struct Source<T> {
    current: T,
    files: Watched<T>,
}

impl<T> Source<T> {
    async fn read(mut files: Watched<T>) -> anyhow::Result<Self> {
        let current = first(&mut files).await?;
        Ok(Self { current, files })
    }
}

async fn first<T>(files: &mut Watched<T>) -> anyhow::Result<T> {
    files.changed().await.context("files are read for the first time only once")?
}

impl Material {
    /// Reads all files, and creates the server's own certificates if they do not exist.
    ///
    /// # Errors
    /// If a file cannot be read or is invalid; the error names the file.
    pub async fn read(
        options: &Serve,
        hostname: Option<&str>,
        now: OffsetDateTime,
    ) -> anyhow::Result<(Self, TokenFile)> {
        let names = ServingNames::new(options.bind_address, hostname, &options.certificates.names);
        let own = credentials::ensure(&options.data_dir, &names, now)?;
        let given = options.certificates.certificate.iter().chain(&options.certificates.key).cloned().collect();
        let authorities = options.users.authorities.iter().cloned().collect();
        let mut token_file = Watched::new(options.users.tokens.iter().cloned().collect(), users::tokens);
        let tokens = first(&mut token_file).await?;
        let material = Self {
            options: options.clone(),
            names,
            own,
            certificate: Source::read(Watched::new(given, serving_certificate)).await?,
            authorities: Source::read(Watched::new(authorities, users::authorities)).await?,
            tokens: token_file,
        };
        Ok((material, tokens))
    }

    /// Returns the certificates and authorities for TLS. The certificate from a file is the first, which is the default for
    /// clients whose server name matches no certificate.
    pub fn tls(&self) -> TlsMaterial {
        let certificates = self.certificate.current.iter().chain([&self.own.serving]).cloned().collect();
        let authorities = [vec![self.own.ca_der.clone()], self.authorities.current.clone()].concat();
        TlsMaterial { certificates, client_authorities: authorities }
    }

    /// Writes the administrator's kubeconfig.
    pub fn write_kubeconfig(&self, address: SocketAddr) -> anyhow::Result<()> {
        // The kubeconfig contains only the server's own authority, which did not sign the certificate from a file.
        let server_name = self.certificate.current.is_some().then_some(OWN_NAME);
        kubeconfig::write(&self.options.data_dir, address, &self.own, server_name).map(drop)
    }

    fn measure(&self, metrics: &Metrics) -> anyhow::Result<()> {
        for (name, certificate) in self.certificates()? {
            metrics.certificate_ends(name, credentials::end(&certificate)?.unix_timestamp());
        }
        Ok(())
    }

    /// Logs the certificates that expire soon or have expired.
    fn warn_of_ends(&self, now: OffsetDateTime) -> anyhow::Result<()> {
        for (certificate, der) in self.certificates()? {
            let Some(end) = credentials::end_if_soon(&der, now)? else { continue };
            if end <= now {
                tracing::error!(certificate, %end, "a certificate has expired; clients reject it");
            } else {
                tracing::warn!(certificate, %end, "a certificate expires soon and has not been replaced");
            }
        }
        Ok(())
    }

    /// Returns the server's certificates and their names in the metrics.
    fn certificates(&self) -> anyhow::Result<Vec<(&'static str, CertificateDer<'static>)>> {
        let given = self.certificate.current.as_ref().and_then(|given| given.chain.first());
        let own = self.own.serving.chain.first();
        let admin = CertificateDer::from_pem_slice(self.own.admin_cert_pem.as_bytes())?;
        let all = [("file", given), ("own", own), ("admin", Some(&admin)), ("authority", Some(&self.own.ca_der))];
        Ok(all.into_iter().filter_map(|(name, certificate)| Some((name, certificate?.clone()))).collect())
    }
}

/// Parses a certificate file and its key file, in this order. Returns `None` if `files` is empty.
fn serving_certificate(files: &[Contents]) -> anyhow::Result<Option<ServingCertificate>> {
    let [certificate, key] = files else { return Ok(None) };
    let chain = users::certificates(certificate)?;
    let not_a_key = || format!("{} is not a PEM file of a private key", key.path.display());
    let private = PrivateKeyDer::from_pem_slice(&key.bytes).with_context(not_a_key)?;
    let provider = CryptoProvider::get_default().context("no TLS provider is installed")?;
    CertifiedKey::from_der(chain.clone(), private.clone_key(), provider).with_context(|| {
        format!(
            "the certificate in {} and the key in {} cannot be used together",
            certificate.path.display(),
            key.path.display()
        )
    })?;
    Ok(Some(ServingCertificate { chain, key: private }))
}

/// The task that renews certificates and reloads files.
pub struct Reload {
    material: Material,
    address: SocketAddr,
    tls: Arc<Tls>,
    tokens: Arc<TokenAuthenticator>,
    metrics: Arc<Metrics>,
    clock: fn() -> SystemTime,
    /// The time of the next renewal of the server's own certificates.
    due: OffsetDateTime,
    /// The time of the next check for certificates that expire soon.
    warns: OffsetDateTime,
    faulty: Faulty,
}

/// The files whose current contents are invalid.
#[derive(Default)]
struct Faulty {
    certificate: bool,
    authorities: bool,
    tokens: bool,
}

impl Reload {
    /// Creates the task for a server that listens on `address` and takes its certificates from `tls` and its tokens from `tokens`.
    ///
    /// # Errors
    /// If the server's own certificates cannot be parsed.
    pub fn new(
        material: Material,
        address: SocketAddr,
        tls: Arc<Tls>,
        tokens: Arc<TokenAuthenticator>,
        metrics: Arc<Metrics>,
        clock: fn() -> SystemTime,
    ) -> anyhow::Result<Self> {
        let due = credentials::due(&material.own)?;
        material.measure(&metrics)?;
        let warns = OffsetDateTime::from(clock());
        Ok(Self { material, address, tls, tokens, metrics, clock, due, warns, faulty: Faulty::default() })
    }

    /// Checks the files every `RELOAD_INTERVAL`. Never returns.
    ///
    /// # Errors
    /// Never.
    pub async fn run(mut self) -> Result<(), Infallible> {
        loop {
            tokio::time::sleep(limits::RELOAD_INTERVAL).await;
            self.look().await;
        }
    }

    async fn look(&mut self) {
        let now = OffsetDateTime::from((self.clock)());
        let certificate = self.material.certificate.files.changed().await;
        let certificate = settle(certificate, &mut self.faulty.certificate, "certificate", &self.metrics);
        let authorities = self.material.authorities.files.changed().await;
        let authorities = settle(authorities, &mut self.faulty.authorities, "client-ca", &self.metrics);
        let tokens = settle(self.material.tokens.changed().await, &mut self.faulty.tokens, "tokens", &self.metrics);
        if let Some(tokens) = tokens {
            self.tokens.replace(tokens);
        }
        let own = (self.due <= now).then(|| self.renew(now)).flatten();
        let is_changed = certificate.is_some() || authorities.is_some() || own.is_some();
        if let Some(certificate) = certificate {
            self.material.certificate.current = certificate;
        }
        if let Some(authorities) = authorities {
            self.material.authorities.current = authorities;
        }
        if let Some(own) = own {
            self.material.own = own;
        }
        if is_changed && let Err(error) = self.use_it() {
            tracing::error!(error = format!("{error:#}"), "changed certificates cannot be used");
        }
        self.warn_of_ends(now);
    }

    /// Logs expiring certificates once a day. Called after due renewals, so that only failed renewals are logged.
    fn warn_of_ends(&mut self, now: OffsetDateTime) {
        if now < self.warns {
            return;
        }
        self.warns = now + limits::END_WARNING_INTERVAL;
        if let Err(error) = self.material.warn_of_ends(now) {
            tracing::error!(error = format!("{error:#}"), "the expiry of certificates cannot be read");
        }
    }

    /// Renews the server's own certificates. On failure returns `None` and schedules the next attempt.
    fn renew(&mut self, now: OffsetDateTime) -> Option<Credentials> {
        let Material { options, names, own, .. } = &self.material;
        let renewed = credentials::renew(&options.data_dir, names, own, now);
        match renewed.and_then(|own| Ok((credentials::due(&own)?, own))) {
            Ok((due, own)) => {
                self.metrics.reloaded("own", true);
                self.due = due;
                Some(own)
            }
            Err(error) => {
                self.metrics.reloaded("own", false);
                self.due = now + limits::RENEWAL_RETRY_INTERVAL;
                let error = format!("{error:#}");
                tracing::error!(error, retry = %self.due, "the server's own certificates cannot be renewed");
                None
            }
        }
    }

    fn use_it(&self) -> anyhow::Result<()> {
        self.tls.replace(self.material.tls()).context("TLS")?;
        self.material.measure(&self.metrics)?;
        self.material.write_kubeconfig(self.address)
    }
}

/// Returns the parsed contents of changed files if they are valid. Logs the change, and counts failures while the files are
/// invalid.
fn settle<T>(
    changed: Option<anyhow::Result<T>>,
    faulty: &mut bool,
    files: &'static str,
    metrics: &Metrics,
) -> Option<T> {
    let read = match changed {
        Some(Ok(read)) => {
            tracing::info!(files, "reloaded changed files");
            metrics.reloaded(files, true);
            *faulty = false;
            return Some(read);
        }
        Some(Err(error)) => Some(error),
        None => None,
    };
    if let Some(error) = read {
        tracing::warn!(
            files,
            error = format!("{error:#}"),
            "changed files cannot be used; the earlier contents stay in use"
        );
        *faulty = true;
    }
    if *faulty {
        metrics.reloaded(files, false);
    }
    None
}

#[cfg(test)]
mod tests;
