//! Connection strings, as libpq reads them: URLs, or `key=value` pairs.
//!
//! What is said about TLS is taken out here, because tokio-postgres knows little of it, and what is said about time, because it knows
//! that by other names and units than libpq; the rest goes on to tokio-postgres.
//! Nothing is read from the environment or from files of the user's, and no error repeats a value: it may be a password.

use std::path::PathBuf;

use percent_encoding::percent_decode_str;
use tokio_postgres::{
    Config,
    config::{Host, SslMode},
};

use self::timing::Timing;
use crate::causes::causes;

mod timing;

/// How far the server is trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verify {
    /// TLS is not used, or only against those who listen in silence.
    Nothing,
    /// Somebody with a certificate of the authority.
    Authority,
    /// The one whose name this is.
    Name,
}

/// Where certificates that are trusted are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Roots {
    /// In this file.
    File(PathBuf),
    /// Where the system keeps them.
    System,
}

/// What a connection string says about TLS, beyond whether it is used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Encryption {
    /// How far the server is trusted.
    pub verify: Verify,
    /// By whose word; `None` if it is not verified.
    pub roots: Option<Roots>,
    /// The certificate that is shown to the server, and its key.
    pub identity: Option<(PathBuf, PathBuf)>,
}

/// What a connection string says.
pub fn parse(dsn: &str) -> Result<(Config, Encryption), String> {
    let mut said = Said::default();
    let rest = match ["postgres://", "postgresql://"].iter().find(|scheme| dsn.starts_with(*scheme)) {
        Some(_) => said.take_from_url(dsn)?,
        None => said.take_from_pairs(dsn)?,
    };
    let mut config: Config = rest.parse().map_err(|error| causes(&error))?;
    let is_local = |host: &Host| matches!(host, Host::Unix(_));
    // As in libpq: a socket of this machine is never encrypted.
    if !config.get_hosts().is_empty() && config.get_hosts().iter().all(is_local) {
        said.mode = Some("disable".to_owned());
    }
    said.timing.apply(&mut config)?;
    let encryption = said.encryption(&mut config)?;
    Ok((config, encryption))
}

/// The parameters that are taken out, as they were written. An empty one is one that is not there.
#[derive(Default)]
struct Said {
    mode: Option<String>,
    roots: Option<String>,
    certificate: Option<String>,
    key: Option<String>,
    timing: Timing,
}

impl Said {
    fn parameter(&mut self, key: &str) -> Option<&mut Option<String>> {
        match key {
            "sslmode" => Some(&mut self.mode),
            "sslrootcert" => Some(&mut self.roots),
            "sslcert" => Some(&mut self.certificate),
            "sslkey" => Some(&mut self.key),
            _ => self.timing.parameter(key),
        }
    }

    /// Answers with the URL without them.
    fn take_from_url(&mut self, url: &str) -> Result<String, String> {
        // What looks like a query may be within a password, which ends with an @ before the first slash.
        let (scheme, behind) = url.split_at(url.find("//").map_or(0, |place| place + 2));
        let name =
            behind.find(['@', '/']).filter(|place| behind[*place..].starts_with('@')).map_or(0, |place| place + 1);
        let Some(query) = behind[name..].find('?').map(|place| name + place) else { return Ok(url.to_owned()) };
        let mut rest = Vec::new();
        for written in behind[query + 1..].split('&').filter(|written| !written.is_empty()) {
            let (key, value) = written.split_once('=').ok_or("a parameter of the URL has no value")?;
            let key = percent_decode_str(key).decode_utf8().map_err(|_| "the name of a parameter is no text")?;
            check_name(&key)?;
            match self.parameter(&key) {
                Some(parameter) => {
                    let value = percent_decode_str(value).decode_utf8().map_err(|_| format!("{key}: it is no text"))?;
                    *parameter = Some(value.into_owned());
                }
                // tokio-postgres takes any @ for the end of a password.
                None => rest.push(format!("{key}={}", value.replace('@', "%40"))),
            }
        }
        Ok(format!("{scheme}{}?{}", &behind[..query], rest.join("&")))
    }

    /// Answers with the pairs without them.
    fn take_from_pairs(&mut self, mut text: &str) -> Result<String, String> {
        let mut rest = Vec::new();
        loop {
            text = text.trim_start();
            if text.is_empty() {
                return Ok(rest.join(" "));
            }
            let (key, value) = text.split_once('=').ok_or("it is neither a postgres:// URL nor key=value pairs")?;
            let key = key.trim_end();
            check_name(key)?;
            let (value, behind) = value_of_pair(value.trim_start()).ok_or_else(|| format!("{key}: a quote is open"))?;
            text = behind;
            match self.parameter(key) {
                Some(parameter) => *parameter = Some(value),
                None => rest.push(format!("{key}='{}'", value.replace('\\', "\\\\").replace('\'', "\\'"))),
            }
        }
    }

    fn encryption(self, config: &mut Config) -> Result<Encryption, String> {
        let some = |said: Option<String>| said.filter(|text| !text.is_empty());
        let roots = some(self.roots).map(|text| match text.as_str() {
            "system" => Roots::System,
            _ => Roots::File(text.into()),
        });
        let (mode, verify) = match some(self.mode).as_deref() {
            Some("disable") => (SslMode::Disable, Verify::Nothing),
            // As in libpq: whoever names an authority wants it to be asked.
            None | Some("prefer") if roots.is_some() => (SslMode::Prefer, Verify::Authority),
            Some("require") if roots.is_some() => (SslMode::Require, Verify::Authority),
            None | Some("prefer") => (SslMode::Prefer, Verify::Nothing),
            Some("require") => (SslMode::Require, Verify::Nothing),
            Some("verify-ca") => (SslMode::Require, Verify::Authority),
            Some("verify-full") => (SslMode::Require, Verify::Name),
            Some(_) => return Err("sslmode: it is disable, prefer, require, verify-ca or verify-full".to_owned()),
        };
        config.ssl_mode(mode);
        let roots = match (verify, roots) {
            (Verify::Nothing, _) => None,
            (Verify::Authority, None | Some(Roots::System)) => {
                let why = "name the file of the authority, or use sslmode=verify-full: the system's authorities serve anybody";
                return Err(format!("sslrootcert: {why}"));
            }
            (_, roots) => Some(roots.unwrap_or(Roots::System)),
        };
        let identity = match (some(self.certificate), some(self.key)) {
            _ if mode == SslMode::Disable => None,
            (None, None) => None,
            (Some(certificate), Some(key)) => Some((certificate.into(), key.into())),
            (Some(_), None) => return Err("sslkey: it is missing, and sslcert is there".to_owned()),
            (None, Some(_)) => return Err("sslcert: it is missing, and sslkey is there".to_owned()),
        };
        Ok(Encryption { verify, roots, identity })
    }
}

/// What is no name may be a piece of a password, and would be repeated in the error that it is not known.
fn check_name(name: &str) -> Result<(), String> {
    if !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_') {
        return Ok(());
    }
    Err("what stands before a = is not the name of a parameter".to_owned())
}

/// The value at the beginning of a text, and what is behind it; `None` if a quote is not closed.
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
