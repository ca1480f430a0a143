//! Authentication by client certificate or bearer token, and the default rules for authenticated users.

use std::{collections::HashMap, fmt, sync::Arc};

use apimachinery::rbac::{Rule, UserInfo};
use arc_swap::ArcSwap;
use http::{HeaderMap, header};
use rustls_pki_types::CertificateDer;
use sha2::{Digest, Sha256};

/// The identity in a client certificate whose chain the TLS handshake has verified: user = CN and groups = O, as in
/// kube-apiserver.
pub fn user_from_certificate(der: &CertificateDer<'_>) -> Option<UserInfo> {
    let (_, certificate) = x509_parser::parse_x509_certificate(der).ok()?;
    let subject = certificate.subject();
    let user = subject.iter_common_name().next()?.as_str().ok()?.to_owned();
    let organizations = subject.iter_organization().filter_map(|o| o.as_str().ok());
    Some(UserInfo::authenticated(user, String::new(), organizations.map(str::to_owned).collect()))
}

/// Bearer tokens and their users. Only digests are kept in memory, and tokens are looked up by digest, so the time of a
/// lookup reveals nothing about a token.
#[derive(Default)]
pub struct TokenFile {
    users: HashMap<[u8; 32], Arc<UserInfo>>,
}

/// The current tokens, which can be replaced while the server runs.
#[derive(Debug, Default)]
pub struct TokenAuthenticator {
    current: ArcSwap<TokenFile>,
}

impl TokenAuthenticator {
    /// Replaces all tokens, from the next request on.
    pub fn replace(&self, tokens: TokenFile) {
        self.current.store(Arc::new(tokens));
    }

    /// The user of the token in a request's headers.
    pub fn user(&self, headers: &HeaderMap) -> Option<Arc<UserInfo>> {
        self.current.load().user(headers)
    }

    /// The user of a token.
    pub fn user_of_token(&self, token: &str) -> Option<Arc<UserInfo>> {
        self.current.load().user_of_token(token)
    }
}

/// The columns of a token file.
const COLUMNS: &str = "token,user,uid[,\"group1,group2\"]";

impl TokenFile {
    /// Parses a token file like that of kube-apiserver's `--token-auth-file`: a CSV of token, user, uid and,
    /// optionally, groups.
    ///
    /// # Errors
    /// The number of the invalid line and the reason, never the token.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut reader = csv::ReaderBuilder::new();
        let reader = reader.has_headers(false).flexible(true).trim(csv::Trim::All).comment(Some(b'#'));
        let mut users = HashMap::new();
        for record in reader.from_reader(text.as_bytes()).records() {
            let record = record.map_err(|error| format!("it is not valid CSV: {error}"))?;
            let line = record.position().map_or(0, csv::Position::line);
            let fault = |why: &str| format!("line {line}: {why}; a line is {COLUMNS}");
            let column = |index: usize| record.get(index).unwrap_or_default().to_owned();
            if !(3..=4).contains(&record.len()) {
                return Err(fault("it does not have three or four columns"));
            }
            if column(0).is_empty() || column(1).is_empty() {
                return Err(fault("it lacks a token or a user"));
            }
            let groups =
                column(3).split(',').map(|group| group.trim().to_owned()).filter(|group| !group.is_empty()).collect();
            let identity = Arc::new(UserInfo::authenticated(column(1), column(2), groups));
            if users.insert(digest(&column(0)), identity).is_some() {
                return Err(fault("its token is already in an earlier line"));
            }
        }
        Ok(Self { users })
    }

    /// The user of the token in a request's headers.
    pub fn user(&self, headers: &HeaderMap) -> Option<Arc<UserInfo>> {
        let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
        let (scheme, token) = value.trim().split_once(' ')?;
        if !scheme.eq_ignore_ascii_case("bearer") {
            return None;
        }
        self.user_of_token(token.trim())
    }

    /// The user of a token.
    pub fn user_of_token(&self, token: &str) -> Option<Arc<UserInfo>> {
        self.users.get(&digest(token)).cloned()
    }
}

impl fmt::Debug for TokenFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} tokens", self.users.len())
    }
}

fn digest(token: &str) -> [u8; 32] {
    Sha256::digest(token).into()
}

const AUTHENTICATION: &str = "authentication.k8s.io";
const AUTHORIZATION: &str = "authorization.k8s.io";

/// The default rules of every authenticated user: read the documents that describe the API, and create self-subject
/// reviews. In Kubernetes these are in the roles `system:discovery`, `system:public-info-viewer` and
/// `system:basic-user`; here they apply even before the stored rules have been read.
pub fn default_rules() -> [Rule; 3] {
    [
        Rule::on_resources(&["create"], &[AUTHENTICATION], &["selfsubjectreviews"]),
        Rule::on_resources(&["create"], &[AUTHORIZATION], &["selfsubjectaccessreviews", "selfsubjectrulesreviews"]),
        Rule::on_paths(&["get"], &PUBLIC_PATHS),
    ]
}

/// Subpaths of the probes are not included, because single checks show the reason of a failure.
const PUBLIC_PATHS: [&str; 12] = [
    "/api",
    "/api/*",
    "/apis",
    "/apis/*",
    "/openapi",
    "/openapi/*",
    "/version",
    "/version/*",
    "/livez",
    "/readyz",
    "/healthz",
    "/swagger-2.0.0.pb-v1",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn user(tokens: &TokenFile, header: &str) -> Option<UserInfo> {
        let headers = HeaderMap::from_iter([(header::AUTHORIZATION, header.parse().unwrap())]);
        tokens.user(&headers).map(|identity| (*identity).clone())
    }

    #[test]
    fn bearer_token_identifies_the_user() {
        let text =
            "# who has which\n s3cret , jane,7,\"team-a, team-b\"\nother,joe,\nthird,jim,,system:authenticated\n";
        let tokens = TokenFile::parse(text).unwrap();
        let known = |user: &str, uid: &str, groups: &[&str]| {
            let groups = groups.iter().map(|group| (*group).to_owned()).collect();
            Some(UserInfo { user: user.to_owned(), uid: uid.to_owned(), groups })
        };
        let jane = known("jane", "7", &["team-a", "team-b", "system:authenticated"]);
        assert_eq!(user(&tokens, "Bearer s3cret"), jane);
        assert_eq!(user(&tokens, "bearer  s3cret "), jane);
        assert_eq!(user(&tokens, "Bearer other"), known("joe", "", &["system:authenticated"]));
        assert_eq!(user(&tokens, "Bearer third"), known("jim", "", &["system:authenticated"]));
        for wrong in ["Bearer", "Bearer ", "Bearer s3cre", "Bearer s3crets", "Basic s3cret", "s3cret"] {
            assert_eq!(user(&tokens, wrong), None, "{wrong}");
        }
        assert_eq!(tokens.user(&HeaderMap::new()), None);
        assert!(!format!("{tokens:?}").contains("s3cret"));
    }

    #[test]
    fn token_file_error_names_the_line_and_no_token() {
        for (text, line) in [
            ("good,jane,1\ns3cret,joe", "line 2"),
            ("s3cret,a,b,c,d", "line 1"),
            (",joe,1", "line 1"),
            ("s3cret,,1", "line 1"),
            ("good,jane,1\n\ns3cret,joe,2\ns3cret,jim,3", "line 4"),
        ] {
            let fault = TokenFile::parse(text).unwrap_err();
            assert!(
                fault.starts_with(line) && fault.contains("token,user,uid") && !fault.contains("s3cret"),
                "{fault}"
            );
        }
    }
}
