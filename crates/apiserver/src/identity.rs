//! Who is asking, and what they may do.
//!
//! So far one credential exists: a client certificate of the server's own CA, user = CN and groups = O, as in
//! kube-apiserver. Members of `system:masters` may do everything; others may read what describes the API.

use apimachinery::{
    kind::{Verb, qualified},
    refusal::{Reason, Refusal},
    request::{RequestInfo, Target},
};
use rustls_pki_types::CertificateDer;

/// The group whose members may do everything.
const SUPERUSERS: &str = "system:masters";
/// What everybody who is known may ask about themselves: resources that are created and not stored.
pub const SELF_QUESTIONS: [&str; 3] = ["selfsubjectaccessreviews", "selfsubjectreviews", "selfsubjectrulesreviews"];

/// An authenticated user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The name.
    pub user: String,
    /// The groups.
    pub groups: Vec<String>,
}

impl Identity {
    /// The identity in a client certificate whose chain the TLS handshake has verified.
    pub fn from_certificate(der: &CertificateDer<'_>) -> Option<Self> {
        let (_, certificate) = x509_parser::parse_x509_certificate(der).ok()?;
        let subject = certificate.subject();
        let user = subject.iter_common_name().next()?.as_str().ok()?.to_owned();
        let organizations = subject.iter_organization().filter_map(|o| o.as_str().ok());
        let mut groups: Vec<String> = organizations.map(str::to_owned).collect();
        groups.push("system:authenticated".to_owned());
        Some(Self { user, groups })
    }

    /// Whether this user may do everything.
    pub fn is_superuser(&self) -> bool {
        self.groups.iter().any(|group| group == SUPERUSERS)
    }

    /// Whether this user may read what is at a path that is no object's.
    pub fn may_read(&self, path: &str) -> bool {
        self.is_superuser() || describes_the_api(path)
    }

    /// The paths that everybody who is known may read; `*` is all below.
    pub fn public_paths() -> impl Iterator<Item = String> {
        let below = DESCRIPTIONS.into_iter().flat_map(|path| [path.to_owned(), format!("{path}/*")]);
        below.chain(PROBES.into_iter().map(str::to_owned))
    }

    /// Whether this user may make this request.
    pub fn authorize(&self, info: &RequestInfo) -> Result<(), Refusal> {
        if self.is_superuser() {
            return Ok(());
        }
        match &info.target {
            Target::Path(path) if describes_the_api(path) => Ok(()),
            Target::Resource(target)
                if target.verb == Verb::Create && SELF_QUESTIONS.contains(&target.resource.as_str()) =>
            {
                Ok(())
            }
            Target::Path(path) => Err(Refusal::new(
                Reason::Forbidden,
                format!("forbidden: User \"{}\" cannot {} path \"{path}\"", self.user, info.verb()),
            )),
            Target::Resource(target) => {
                let resource = match &target.subresource {
                    Some(subresource) => format!("{}/{subresource}", target.resource),
                    None => target.resource.clone(),
                };
                let place = match &target.namespace {
                    Some(namespace) => format!("in the namespace \"{namespace}\""),
                    None => "at the cluster scope".to_owned(),
                };
                let (group, name) = (&target.group, target.name.as_deref().unwrap_or_default());
                let message = format!(
                    "{} {}is forbidden: User \"{}\" cannot {} resource \"{resource}\" in API group \"{group}\" {place}",
                    qualified(&target.resource, group),
                    if name.is_empty() { String::new() } else { format!("\"{name}\" ") },
                    self.user,
                    target.verb.as_str(),
                );
                Err(Refusal::new(Reason::Forbidden, message).about(group, &target.resource, name))
            }
        }
    }
}

/// Where the API is described, with all below it.
const DESCRIPTIONS: [&str; 4] = ["/api", "/apis", "/openapi", "/version"];
/// What else may be read by everybody, and nothing below it: the single checks of a probe say what is wrong.
const PROBES: [&str; 4] = ["/livez", "/readyz", "/healthz", "/swagger-2.0.0.pb-v1"];

/// What `system:discovery` grants to every authenticated user.
fn describes_the_api(path: &str) -> bool {
    PROBES.contains(&path)
        || DESCRIPTIONS
            .iter()
            .any(|prefix| path == *prefix || path.strip_prefix(prefix).is_some_and(|rest| rest.starts_with('/')))
}
