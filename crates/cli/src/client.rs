//! The HTTP client. Like kube's own, except for the proxy, which [`crate::proxy`] selects: kube compares the proxy
//! instead of the server with `NO_PROXY`, and fails if it cannot parse that variable.

use std::error::Error;

use http::Uri;
use hyper::rt::{Read, Write};
use hyper_timeout::TimeoutConnector;
use hyper_util::{
    client::{
        legacy::{
            Client as HyperClient,
            connect::{
                Connection, HttpConnector,
                proxy::{SocksV5, Tunnel},
            },
        },
        proxy::matcher::Intercept,
    },
    rt::TokioExecutor,
};
use kube::{
    Client, Config,
    client::{Body, ConfigExt as _, retry::RetryPolicy},
    config::{Cluster, KubeConfigOptions, Kubeconfig, KubeconfigError},
};
use tower::{BoxError, Service, ServiceBuilder, retry::RetryLayer};

use crate::proxy::{Protocol, Proxy};

/// A placeholder that prevents kube from reading the proxy from the environment.
const NO_PROXY_URL: &str = "none";

/// Loads the context of a kubeconfig; returns the `proxy-url` of its cluster separately.
pub(crate) async fn configuration(
    mut kubeconfig: Kubeconfig,
    options: &KubeConfigOptions,
) -> Result<(Config, Option<String>), KubeconfigError> {
    let proxy_url = cluster(&mut kubeconfig, options).and_then(|cluster| {
        let own = cluster.proxy_url.take().filter(|url| !url.is_empty());
        cluster.proxy_url = Some(NO_PROXY_URL.to_owned());
        own
    });
    let mut config = Config::from_custom_kubeconfig(kubeconfig, options).await?;
    config.proxy_url = None;
    // Exec credential plugins get the original value.
    if let Some(cluster) = config.auth_info.exec.as_mut().and_then(|exec| exec.cluster.as_mut()) {
        cluster.proxy_url.clone_from(&proxy_url);
    }
    Ok((config, proxy_url))
}

/// The cluster of the context. If there is none, kube reports the error.
fn cluster<'k>(kubeconfig: &'k mut Kubeconfig, options: &KubeConfigOptions) -> Option<&'k mut Cluster> {
    let name = options.context.as_ref().or(kubeconfig.current_context.as_ref())?;
    let context = kubeconfig.contexts.iter().find(|named| named.name == *name)?.context.as_ref()?;
    kubeconfig.clusters.iter_mut().find(|named| named.name == context.cluster)?.cluster.as_mut()
}

/// Creates a client that connects through the proxy, if any.
pub(crate) fn client(config: Config, proxy: Option<&Proxy>) -> Result<Client, kube::Error> {
    let mut direct = HttpConnector::new();
    direct.enforce_http(false);
    let Some(Proxy { uri, intercept, protocol }) = proxy else { return through(config, direct) };
    match protocol {
        Protocol::Http => through(config, with_credential(Tunnel::new(uri.clone(), direct), intercept)),
        Protocol::Https => {
            // As in Go, the certificate of the proxy is verified with the authorities for the server.
            let secure = config.rustls_https_connector_with_connector(direct)?;
            through(config, with_credential(Tunnel::new(uri.clone(), secure), intercept))
        }
        Protocol::Socks5 => {
            let socks = SocksV5::new(uri.clone(), direct);
            match intercept.raw_auth() {
                Some((user, password)) => through(config, socks.with_auth(user.to_owned(), password.to_owned())),
                None => through(config, socks),
            }
        }
    }
}

fn with_credential<C>(tunnel: Tunnel<C>, intercept: &Intercept) -> Tunnel<C> {
    match intercept.basic_auth() {
        Some(credential) => tunnel.with_auth(credential.clone()),
        None => tunnel,
    }
}

/// Creates a client with this connector.
fn through<C>(config: Config, connector: C) -> Result<Client, kube::Error>
where
    C: Service<Uri> + Clone + Send + Sync + 'static,
    C::Response: Connection + Read + Write + Send + Unpin + 'static,
    C::Future: Send + 'static,
    C::Error: Error + Send + Sync + 'static,
{
    let mut connector = TimeoutConnector::new(config.rustls_https_connector_with_connector(connector)?);
    connector.set_connect_timeout(config.connect_timeout);
    connector.set_read_timeout(config.read_timeout);
    connector.set_write_timeout(config.write_timeout);
    let service = ServiceBuilder::new()
        .layer(config.base_uri_layer())
        .option_layer(config.default_retry.then(|| RetryLayer::new(RetryPolicy::server_retry())))
        .option_layer(config.auth_layer()?)
        .layer(config.extra_headers_layer()?)
        .map_err(BoxError::from)
        .service(HyperClient::builder(TokioExecutor::new()).build::<_, Body>(connector));
    Ok(Client::new(service, config.default_namespace))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// A plugin may connect to the cluster to get the credential.
    #[tokio::test]
    async fn exec_plugin_gets_the_proxy_url_of_its_cluster() {
        let exec = json!({
            "apiVersion": "client.authentication.k8s.io/v1", "command": "login", "interactiveMode": "Never",
            "provideClusterInfo": true,
        });
        let plugin_proxy_url = async |proxy_url: Option<&str>| {
            let kubeconfig = json!({
                "current-context": "c", "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
                "clusters": [{"name": "c", "cluster": {"server": "https://192.0.2.1", "proxy-url": proxy_url}}],
                "users": [{"name": "u", "user": {"exec": exec}}],
            });
            let kubeconfig = Kubeconfig::from_yaml(&kubeconfig.to_string()).unwrap();
            let (config, own) = configuration(kubeconfig, &KubeConfigOptions::default()).await.unwrap();
            assert_eq!((own.as_deref(), config.proxy_url), (proxy_url, None));
            config.auth_info.exec.unwrap().cluster.unwrap().proxy_url
        };
        assert_eq!(plugin_proxy_url(None).await, None);
        assert_eq!(plugin_proxy_url(Some("http://192.0.2.9:3128")).await.as_deref(), Some("http://192.0.2.9:3128"));
    }
}
