//! Connection strings in the formats of libpq: URLs, or `key=value` pairs.
//!
//! TLS parameters are extracted here, because tokio-postgres supports few of them, and time parameters, because
//! tokio-postgres uses other names and units than libpq; the remaining ones are passed to tokio-postgres. Neither the
//! environment nor files such as `.pgpass` are read. Errors never contain a value, because it may be a password.

use std::path::PathBuf;

use percent_encoding::percent_decode_str;
use tokio_postgres::{
    Config,
    config::{Host, SslMode},
};

use self::timing::Timing;
use crate::error_chain::format_chain;

mod timing;

/// How the server certificate is verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verify {
    /// No verification: TLS is off, or only protects against passive eavesdropping.
    None,
    /// The certificate must be signed by a trusted authority.
    Ca,
    /// The certificate must also match the host name.
    Full,
}

/// The trusted root certificates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Roots {
    /// A PEM file.
    File(PathBuf),
    /// The certificates of the system.
    System,
}

/// The TLS parameters of a connection string, except `sslmode`'s choice of encryption.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Encryption {
    /// How the server certificate is verified.
    pub verify: Verify,
    /// The trusted roots; `None` if the server is not verified.
    pub roots: Option<Roots>,
    /// The client certificate and its key.
    pub identity: Option<(PathBuf, PathBuf)>,
}

/// Parses a connection string.
pub fn parse(dsn: &str) -> Result<(Config, Encryption), String> {
    let mut params = DsnParams::default();
    let rest = match ["postgres://", "postgresql://"].iter().find(|scheme| dsn.starts_with(*scheme)) {
        Some(_) => params.extract_from_url(dsn)?,
        None => params.extract_from_pairs(dsn)?,
    };
    let mut config: Config = rest.parse().map_err(|error| format_chain(&error))?;
    let is_local = |host: &Host| matches!(host, Host::Unix(_));
    // As in libpq, a Unix socket is never encrypted.
    if !config.get_hosts().is_empty() && config.get_hosts().iter().all(is_local) {
        params.mode = Some("disable".to_owned());
    }
    params.timing.apply(&mut config)?;
    let encryption = params.encryption(&mut config)?;
    Ok((config, encryption))
}

/// The extracted parameters as written. An empty value counts as absent.
#[derive(Default)]
struct DsnParams {
    mode: Option<String>,
    roots: Option<String>,
    certificate: Option<String>,
    key: Option<String>,
    timing: Timing,
}

impl DsnParams {
    fn parameter(&mut self, key: &str) -> Option<&mut Option<String>> {
        match key {
            "sslmode" => Some(&mut self.mode),
            "sslrootcert" => Some(&mut self.roots),
            "sslcert" => Some(&mut self.certificate),
            "sslkey" => Some(&mut self.key),
            _ => self.timing.parameter(key),
        }
    }

    /// Moves the TLS and time parameters from the URL to `self`. Returns the URL without them.
    fn extract_from_url(&mut self, url: &str) -> Result<String, String> {
        // A `?` may be part of a password, which ends with an @ before the first slash.
        let (scheme, after) = url.split_at(url.find("//").map_or(0, |place| place + 2));
        let name = after.find(['@', '/']).filter(|place| after[*place..].starts_with('@')).map_or(0, |place| place + 1);
        let Some(query) = after[name..].find('?').map(|place| name + place) else { return Ok(url.to_owned()) };
        let mut rest = Vec::new();
        for written in after[query + 1..].split('&').filter(|written| !written.is_empty()) {
            let (key, value) = written.split_once('=').ok_or("a parameter of the URL has no value")?;
            let key =
                percent_decode_str(key).decode_utf8().map_err(|_| "the name of a parameter is not valid UTF-8")?;
            check_name(&key)?;
            match self.parameter(&key) {
                Some(parameter) => {
                    let value =
                        percent_decode_str(value).decode_utf8().map_err(|_| format!("{key}: it is not valid UTF-8"))?;
                    *parameter = Some(value.into_owned());
                }
                // tokio-postgres would take any @ as the end of the password.
                None => rest.push(format!("{key}={}", value.replace('@', "%40"))),
            }
        }
        Ok(format!("{scheme}{}?{}", &after[..query], rest.join("&")))
    }

    /// Moves the TLS and time parameters from `key=value` pairs to `self`. Returns the other pairs.
    fn extract_from_pairs(&mut self, mut text: &str) -> Result<String, String> {
        let mut rest = Vec::new();
        loop {
            text = text.trim_start();
            if text.is_empty() {
                return Ok(rest.join(" "));
            }
            let (key, value) = text.split_once('=').ok_or("it is neither a postgres:// URL nor key=value pairs")?;
            let key = key.trim_end();
            check_name(key)?;
            let (value, after) =
                value_of_pair(value.trim_start()).ok_or_else(|| format!("{key}: a quote is not closed"))?;
            text = after;
            match self.parameter(key) {
                Some(parameter) => *parameter = Some(value),
                None => rest.push(format!("{key}='{}'", value.replace('\\', "\\\\").replace('\'', "\\'"))),
            }
        }
    }

    fn encryption(self, config: &mut Config) -> Result<Encryption, String> {
        let some = |params: Option<String>| params.filter(|text| !text.is_empty());
        let roots = some(self.roots).map(|text| match text.as_str() {
            "system" => Roots::System,
            _ => Roots::File(text.into()),
        });
        let (mode, verify) = match some(self.mode).as_deref() {
            Some("disable") => (SslMode::Disable, Verify::None),
            // As in libpq, `sslrootcert` implies verification of the authority.
            None | Some("prefer") if roots.is_some() => (SslMode::Prefer, Verify::Ca),
            Some("require") if roots.is_some() => (SslMode::Require, Verify::Ca),
            None | Some("prefer") => (SslMode::Prefer, Verify::None),
            Some("require") => (SslMode::Require, Verify::None),
            Some("verify-ca") => (SslMode::Require, Verify::Ca),
            Some("verify-full") => (SslMode::Require, Verify::Full),
            Some(_) => return Err("sslmode: it is disable, prefer, require, verify-ca or verify-full".to_owned()),
        };
        config.ssl_mode(mode);
        let roots = match (verify, roots) {
            (Verify::None, _) => None,
            (Verify::Ca, None | Some(Roots::System)) => {
                let why = "name the file of the authority, or use sslmode=verify-full: the system's authorities issue certificates to anyone";
                return Err(format!("sslrootcert: {why}"));
            }
            (_, roots) => Some(roots.unwrap_or(Roots::System)),
        };
        let identity = match (some(self.certificate), some(self.key)) {
            _ if mode == SslMode::Disable => None,
            (None, None) => None,
            (Some(certificate), Some(key)) => Some((certificate.into(), key.into())),
            (Some(_), None) => return Err("sslkey: it is missing, but sslcert is set".to_owned()),
            (None, Some(_)) => return Err("sslcert: it is missing, but sslkey is set".to_owned()),
        };
        Ok(Encryption { verify, roots, identity })
    }
}

/// Rejects text that is not a parameter name. It may be a part of a password, which the error about an unknown
/// parameter would repeat.
fn check_name(name: &str) -> Result<(), String> {
    if !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_') {
        return Ok(());
    }
    Err("the text before a = is not the name of a parameter".to_owned())
}

/// Splits a text into the value at its start and the rest; `None` if a quote is not closed.
fn value_of_pair(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let is_quoted = text.starts_with('\'');
    let mut rest = text.char_indices().skip(usize::from(is_quoted));
    while let Some((place, letter)) = rest.next() {
        match letter {
            '\\' => value.extend(rest.next().map(|(_, letter)| letter)),
            '\'' if is_quoted => return Some((value, &text[place + 1..])),
            _ if !is_quoted && letter.is_whitespace() => return Some((value, &text[place..])),
            _ => value.push(letter),
        }
    }
    (!is_quoted).then_some((value, ""))
}

#[cfg(test)]
mod tests;
