//! Selection of the proxy, as in kubectl: the rules of Go's `net/http`, and `proxy-url` of the kubeconfig.
//!
//! `proxy-url` applies to every server. `HTTPS_PROXY` does not apply to servers on the local host or in `NO_PROXY`.

use std::net::IpAddr;

use http::Uri;
use hyper_util::client::proxy::matcher::{Intercept, Matcher};
use ipnet::IpNet;

/// Default port of a SOCKS proxy.
const SOCKS_PORT: u16 = 1080;
/// Default port of a server.
const HTTPS_PORT: u16 = 443;

/// A proxy server.
#[derive(Debug)]
pub(crate) struct Proxy {
    /// URL without credentials.
    pub(crate) uri: Uri,
    /// Credentials from the URL.
    pub(crate) intercept: Intercept,
    /// Protocol of the connection to the proxy.
    pub(crate) protocol: Protocol,
}

/// Protocol of the connection to a proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    Http,
    Https,
    Socks5,
}

impl Proxy {
    /// Returns the proxy for `server`, from the kubeconfig or otherwise from the environment.
    ///
    /// # Errors
    /// The `proxy-url` is invalid. Invalid variables of the environment are ignored.
    pub(crate) fn for_server(
        server: &Uri,
        proxy_url: Option<&str>,
        environment: impl Fn(&str) -> Option<String>,
    ) -> Result<Option<Self>, String> {
        if let Some(address) = proxy_url {
            let proxy = address.contains("://").then(|| Self::read(address)).flatten();
            let shown = address.rsplit_once('@').map_or(address, |(_, host)| host);
            let why =
                format!("the proxy-url {shown:?} cannot be used: it must be an http://, https:// or socks5:// URL");
            return proxy.ok_or(why).map(Some);
        }
        let variable = |name: &str| {
            let set = |name: &str| environment(name).filter(|value| !value.is_empty());
            set(name).or_else(|| set(&name.to_lowercase()))
        };
        if server.scheme_str() != Some("https") || is_direct(server, &variable("NO_PROXY").unwrap_or_default()) {
            return Ok(None);
        }
        Ok(variable("HTTPS_PROXY").and_then(|address| Self::read(&address)))
    }

    /// Parses a proxy URL; without a scheme it is an HTTP proxy.
    fn read(address: &str) -> Option<Self> {
        let any = Uri::from_static("https://any");
        let intercept = Matcher::builder().https(address).build().intercept(&any)?;
        let protocol = match intercept.uri().scheme_str()? {
            "http" => Protocol::Http,
            "https" => Protocol::Https,
            "socks5" | "socks5h" => Protocol::Socks5,
            _ => return None,
        };
        let uri = match (protocol, intercept.uri().port_u16(), intercept.uri().host()) {
            (Protocol::Socks5, None, Some(host)) => format!("socks5://{host}:{SOCKS_PORT}").parse().ok()?,
            _ => intercept.uri().clone(),
        };
        Some(Self { uri, intercept, protocol })
    }
}

/// True if the server is reached without the proxy of the environment. Names are compared as written, without punycode.
fn is_direct(server: &Uri, no_proxy: &str) -> bool {
    let Some(host) = server.host() else { return true };
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host).to_lowercase();
    let port = server.port_u16().unwrap_or(HTTPS_PORT).to_string();
    let address = host.parse::<IpAddr>().ok().map(|address| address.to_canonical());
    if host == "localhost" || address.is_some_and(|address| address.is_loopback()) {
        return true;
    }
    let no_proxy = no_proxy.to_lowercase();
    let mut entries = no_proxy.split(',').map(str::trim).filter(|entry| !entry.is_empty());
    entries.any(|entry| {
        entry == "*"
            || address.map_or_else(|| matches_host(entry, &host, &port), |it| matches_address(entry, it, &port))
    })
}

/// True if an entry is a network, or an address with optional port, that matches `address`.
fn matches_address(entry: &str, address: IpAddr, port: &str) -> bool {
    if let Ok(network) = entry.parse::<IpNet>() {
        return network.contains(&address);
    }
    let (host, its_port) = split(entry);
    let is_same = host.parse::<IpAddr>().is_ok_and(|host| host.to_canonical() == address);
    is_same && (its_port.is_empty() || its_port == port)
}

/// True if an entry is a domain with optional port that matches `host`. A leading dot matches subdomains only.
fn matches_host(entry: &str, host: &str, port: &str) -> bool {
    let (domain, its_port) = split(entry);
    let (domain, itself) = match domain.strip_prefix("*.").or_else(|| domain.strip_prefix('.')) {
        Some(below) => (below, false),
        None => (domain, true),
    };
    let is_below = || host.strip_suffix(domain).is_some_and(|rest| rest.ends_with('.'));
    let has = !domain.is_empty() && ((itself && host == domain) || is_below());
    has && (its_port.is_empty() || its_port == port)
}

/// Splits `host`, `host:port`, `[address]:port` or an IPv6 address into host and port; the port may be empty.
fn split(entry: &str) -> (&str, &str) {
    let bracketed = entry.strip_prefix('[').and_then(|rest| rest.split_once("]:"));
    let plain = || entry.split_once(':').filter(|(_, port)| !port.contains(':'));
    bracketed.or_else(plain).unwrap_or((entry, ""))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SERVER: &str = "https://ipam.example.org:6443";

    fn of(server: &str, proxy_url: Option<&str>, environment: &[(&str, &str)]) -> Result<Option<String>, String> {
        let value = |name: &str| {
            let found = environment.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        let proxy = Proxy::for_server(&server.parse().unwrap(), proxy_url, value)?;
        Ok(proxy.map(|proxy| proxy.uri.to_string().trim_end_matches('/').to_owned()))
    }

    /// Expected results were produced by Go's `httpproxy` (golang.org/x/net).
    #[test]
    fn no_proxy_is_evaluated_as_in_go() {
        for (no_proxy, server, direct) in [
            ("", "https://localhost:6443", true),
            ("", "https://127.0.0.1:6443", true),
            ("", "https://127.8.9.1", true),
            ("", "https://[::1]:6443", true),
            ("", "https://[::ffff:127.0.0.1]", true),
            ("", "https://localhost.example.org", false),
            ("*", "https://192.0.2.1", true),
            (" * ", SERVER, true),
            ("*x", SERVER, false),
            ("192.0.2.1", "https://192.0.2.1:6443", true),
            ("192.0.2.1", "https://192.0.2.10", false),
            ("192.0.2.1:6443", "https://192.0.2.1:6443", true),
            ("192.0.2.1:6443", "https://192.0.2.1", false),
            ("192.0.2.1:443", "https://192.0.2.1", true),
            ("192.0.2.9/24", "https://192.0.2.1:6443", true),
            ("192.0.2.0/24:6443", "https://192.0.2.1:6443", false),
            ("192.0.2.0/25", "https://192.0.2.128", false),
            ("2001:db8::1", "https://[2001:db8::1]:6443", true),
            ("[2001:db8::1]:6443", "https://[2001:db8::1]:6443", true),
            ("[2001:db8::1]:6443", "https://[2001:db8::1]", false),
            ("[2001:db8::1]", "https://[2001:db8::1]", false),
            ("2001:db8::/32", "https://[2001:db8::1]", true),
            ("example.org", SERVER, true),
            ("example.org", "https://example.org", true),
            ("EXAMPLE.org", "https://Example.ORG", true),
            (".example.org", SERVER, true),
            (".example.org", "https://example.org", false),
            ("*.example.org", SERVER, true),
            ("*.example.org", "https://example.org", false),
            ("ample.org", "https://example.org", false),
            ("example.org:6443", SERVER, true),
            ("example.org:443", SERVER, false),
            ("a, ,,b,example.org", SERVER, true),
            (":6443", SERVER, false),
            ("https://example.org", SERVER, false),
            ("org", "https://192.0.2.1", false),
        ] {
            assert_eq!(is_direct(&server.parse().unwrap(), no_proxy), direct, "NO_PROXY={no_proxy:?} {server}");
        }
    }

    #[test]
    fn only_https_proxy_of_the_environment_is_used() {
        let proxy = "http://proxy.example.net:3128";
        for (environment, expected) in [
            (&[][..], None),
            (&[("HTTPS_PROXY", proxy)][..], Some(proxy)),
            (&[("https_proxy", proxy)], Some(proxy)),
            (&[("HTTPS_PROXY", ""), ("https_proxy", proxy)], Some(proxy)),
            (&[("HTTPS_PROXY", proxy), ("https_proxy", "http://other")], Some(proxy)),
            (&[("HTTPS_PROXY", "proxy.example.net:3128")], Some(proxy)),
            (&[("HTTPS_PROXY", "socks5://proxy.example.net")], Some("socks5://proxy.example.net:1080")),
            (&[("HTTP_PROXY", proxy), ("ALL_PROXY", proxy)], None),
            (&[("HTTPS_PROXY", proxy), ("no_proxy", "example.org")], None),
            (&[("HTTPS_PROXY", "ftp://proxy"), ("NO_PROXY", "a,")], None),
            (&[("HTTPS_PROXY", "://")], None),
        ] {
            assert_eq!(of(SERVER, None, environment).unwrap().as_deref(), expected, "{environment:?}");
        }
        assert_eq!(of("http://192.0.2.1:8001", None, &[("HTTPS_PROXY", proxy)]), Ok(None));
    }

    #[test]
    fn proxy_url_applies_to_every_server() {
        let environment = [("HTTPS_PROXY", "http://other"), ("NO_PROXY", "*")];
        for server in [SERVER, "https://127.0.0.1:6443", "http://localhost:8001"] {
            let proxy = of(server, Some("https://user:secret@proxy.example.net:3128"), &environment);
            assert_eq!(proxy.unwrap().as_deref(), Some("https://proxy.example.net:3128"), "{server}");
        }
        for address in ["ftp://proxy", "proxy.example.net:3128", "socks4://proxy", "http://", "http://a b"] {
            assert!(
                of(SERVER, Some(address), &[]).unwrap_err().contains("http://, https:// or socks5://"),
                "{address}"
            );
        }
        let with_credential = of(SERVER, Some("ftp://user:secret@proxy.example.net"), &[]).unwrap_err();
        assert!(with_credential.contains("\"proxy.example.net\"") && !with_credential.contains("secret"));
    }
}
