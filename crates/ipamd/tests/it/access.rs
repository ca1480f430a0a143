//! Users other than the administrator, from the command-line options that add them to their permissions.

use std::{fmt::Debug, fs, path::Path};

use kube::{
    Client,
    api::{ListParams, PostParams},
    config::{AuthInfo, Config, KubeConfigOptions, Kubeconfig},
};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls_pki_types::{CertificateDer, pem::PemObject as _};
use serde_json::{Value, json};
use tempfile::TempDir;
use testkit::{Server, allocated_cidr, claim, claims, pool, pools, refusal};

use crate::support::{BINARY, assert_refused};

const RBAC: &str = "/apis/rbac.authorization.k8s.io/v1";

/// A client certificate with this user and group, signed by `issuer`, and its private key, as PEM.
fn certified(issuer: &Issuer<'_, KeyPair>, user: &str, group: &str) -> (String, String) {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, user);
    params.distinguished_name.push(DnType::OrganizationName, group);
    let key = KeyPair::generate().unwrap();
    (params.signed_by(&key, issuer).unwrap().pem(), key.serialize_pem())
}

/// A new certificate authority and its certificate as PEM.
fn authority() -> (Issuer<'static, KeyPair>, String) {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, "another authority");
    let key = KeyPair::generate().unwrap();
    let pem = params.self_signed(&key).unwrap().pem();
    (Issuer::new(params, key), pem)
}

/// The certificate authority that a server created for itself.
fn own_authority(data_dir: &Path) -> Issuer<'static, KeyPair> {
    let read = |name: &str| fs::read_to_string(data_dir.join("pki").join(name)).unwrap();
    let certificate = CertificateDer::from_pem_slice(read("ca.crt").as_bytes()).unwrap();
    Issuer::from_ca_cert_der(&certificate, KeyPair::from_pem(&read("ca.key")).unwrap()).unwrap()
}

/// A client with other credentials in the administrator's kubeconfig.
async fn client(server: &Server, credentials: AuthInfo) -> Client {
    let mut kubeconfig = Kubeconfig::read_from(server.kubeconfig_path()).unwrap();
    kubeconfig.auth_infos[0].auth_info = Some(credentials);
    let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.unwrap();
    Client::try_from(config).unwrap()
}

fn with_certificate(directory: &TempDir, (certificate, key): &(String, String)) -> AuthInfo {
    let file = |name: &str, contents: &str| {
        let path = directory.path().join(name);
        fs::write(&path, contents).unwrap();
        Some(path.to_str().unwrap().to_owned())
    };
    AuthInfo { client_certificate: file("crt", certificate), client_key: file("key", key), ..AuthInfo::default() }
}

fn forbidden<T: Debug>(result: kube::Result<T>, words: &str) {
    assert_refused(&refusal(result), 403, "Forbidden", &[words]);
}

async fn bind(server: &Server, role: &str, subject: Value) {
    let body = json!({
        "metadata": { "name": role }, "roleRef": { "kind": "ClusterRole", "name": role }, "subjects": [subject],
    });
    let path = format!("{RBAC}/namespaces/default/rolebindings");
    let answer = server.http().send_json(http::Method::POST, &path, &body).await.unwrap();
    assert_eq!(answer.status, 201, "{}", answer.text());
}

#[tokio::test]
async fn token_and_client_ca_file_users_are_authenticated_and_authorized() {
    let directory = TempDir::new().unwrap();
    let (tokens, authorities) = (directory.path().join("tokens.csv"), directory.path().join("ca.pem"));
    fs::write(&tokens, "s3cret,jane,1\n").unwrap();
    let (issuer, pem) = authority();
    fs::write(&authorities, pem).unwrap();
    let server = Server::builder(Path::new(BINARY)).argument("--token-auth-file").argument(tokens);
    let server = server.environment("IPAM_CLIENT_CA_FILE", authorities).start().await;
    pools(&server.client()).create(&PostParams::default(), &pool("root").cidr("10.0.0.0/16").into()).await.unwrap();
    bind(&server, "edit", json!({ "kind": "User", "name": "jane" })).await;
    bind(&server, "view", json!({ "kind": "Group", "name": "team" })).await;

    let jane = client(&server, AuthInfo { token: Some("s3cret".to_owned().into()), ..AuthInfo::default() }).await;
    let created =
        claims(&jane, "default").create(&PostParams::default(), &claim("a").pool("root").length(24).into()).await;
    assert_eq!(allocated_cidr(&created.unwrap()), "10.0.0.0/24");
    forbidden(pools(&jane).list(&ListParams::default()).await, "User \"jane\" cannot list resource \"ippools\"");

    let joe = client(&server, with_certificate(&directory, &certified(&issuer, "joe", "team"))).await;
    assert_eq!(claims(&joe, "default").list(&ListParams::default()).await.unwrap().items.len(), 1);
    let refused =
        claims(&joe, "default").create(&PostParams::default(), &claim("b").pool("root").length(24).into()).await;
    forbidden(refused, "User \"joe\" cannot create resource \"ipclaims\"");

    let own = own_authority(server.data_dir());
    let anna = client(&server, with_certificate(&directory, &certified(&own, "anna", "others"))).await;
    let refused = claims(&anna, "default").list(&ListParams::default()).await;
    forbidden(refused, "User \"anna\" cannot list resource \"ipclaims\"");
}

#[tokio::test]
async fn server_start_fails_on_malformed_token_or_client_ca_file() {
    let directory = TempDir::new().unwrap();
    let file = directory.path().join("file");
    fs::write(&file, "s3cret,jane\n").unwrap();
    for (flag, words) in [
        ("--token-auth-file", "file, line 1: it does not have three or four columns"),
        ("--client-ca-file", "file is not a PEM file of certificates"),
    ] {
        let server = Server::builder(Path::new(BINARY)).argument(flag).argument(&file);
        let error = format!("{:#}", server.try_start().await.err().unwrap());
        assert!(error.contains(words) && !error.contains("s3cret"), "{error}");
    }
}
