//! The kubeconfig of the administrator, for kubectl and other Kubernetes clients.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::{Path, PathBuf},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};

use crate::{credentials::Credentials, files};

/// The name of the kubeconfig in the data directory.
pub const FILE_NAME: &str = "admin.kubeconfig";

/// Writes the kubeconfig for a server that listens on `listening`, and returns its path. The server writes it at every start,
/// because the port may change.
///
/// `server_name` is the TLS server name, if it differs from the host of the URL.
pub fn write(
    data_dir: &Path,
    listening: SocketAddr,
    credentials: &Credentials,
    server_name: Option<&str>,
) -> anyhow::Result<PathBuf> {
    let path = data_dir.join(FILE_NAME);
    files::write_private(&path, text(listening, credentials, server_name).as_bytes())?;
    Ok(path)
}

/// Returns the URL for clients on this machine of a server that listens on `listening`.
pub fn server_url(listening: SocketAddr) -> String {
    let address = match listening.ip() {
        IpAddr::V4(address) if address.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(address) if address.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        address => address,
    };
    format!("https://{}", SocketAddr::new(address, listening.port()))
}

/// Returns the kubeconfig as YAML. All values are base64, URLs or fixed words, so no quoting is needed.
fn text(listening: SocketAddr, credentials: &Credentials, server_name: Option<&str>) -> String {
    let server_name = server_name.map(|name| format!("\n    tls-server-name: {name}")).unwrap_or_default();
    format!(
        "apiVersion: v1
kind: Config
clusters:
- name: ipam
  cluster:
    server: {server}
    certificate-authority-data: {authority}{server_name}
users:
- name: ipam
  user:
    client-certificate-data: {certificate}
    client-key-data: {key}
contexts:
- name: ipam
  context:
    cluster: ipam
    user: ipam
    namespace: default
current-context: ipam
preferences: {{}}
",
        server = server_url(listening),
        authority = STANDARD.encode(&credentials.ca_pem),
        certificate = STANDARD.encode(&credentials.admin_cert_pem),
        key = STANDARD.encode(&credentials.admin_key_pem),
    )
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt as _};

    use kube::config::{Config, KubeConfigOptions, Kubeconfig};

    use super::*;
    use crate::credentials::{self, ServingNames};

    #[test]
    fn server_url_replaces_unspecified_address_with_loopback() {
        for (listening, url) in [
            ("127.0.0.1:6443", "https://127.0.0.1:6443"),
            ("0.0.0.0:1", "https://127.0.0.1:1"),
            ("192.0.2.7:443", "https://192.0.2.7:443"),
            ("[::1]:6443", "https://[::1]:6443"),
            ("[::]:65535", "https://[::1]:65535"),
            ("[2001:db8::7]:6443", "https://[2001:db8::7]:6443"),
        ] {
            assert_eq!(server_url(listening.parse().unwrap()), url);
        }
    }

    #[tokio::test]
    async fn kube_client_reads_the_kubeconfig() {
        let directory = tempfile::tempdir().unwrap();
        let now = time::OffsetDateTime::now_utc();
        let names = ServingNames::new(IpAddr::from(Ipv6Addr::UNSPECIFIED), None, &[]);
        let credentials = credentials::ensure(directory.path(), &names, now).unwrap();
        let path = write(directory.path(), "[::]:4711".parse().unwrap(), &credentials, Some("self.example")).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);

        let kubeconfig = Kubeconfig::read_from(&path).unwrap();
        let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.unwrap();
        assert_eq!(config.cluster_url.to_string(), "https://[::1]:4711/");
        assert_eq!(config.tls_server_name.as_deref(), Some("self.example"));
        assert_eq!(config.default_namespace, "default");
        assert_eq!(config.root_cert.as_deref(), Some(&[credentials.ca_der.to_vec()][..]));
        let certificate = config.auth_info.client_certificate_data.unwrap();
        assert_eq!(STANDARD.decode(certificate).unwrap(), credentials.admin_cert_pem.as_bytes());
    }
}
