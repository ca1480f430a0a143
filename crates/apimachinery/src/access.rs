//! Role-based access control as in Kubernetes (`rbac.authorization.k8s.io/v1`).
//!
//! A [`Rule`] describes permissions, [`Policy`] maps users and groups to rules, and [`Rights`] are the permissions of
//! the caller of one request. Rules only allow; everything else is denied.

mod policy;
mod rule;

use std::sync::Arc;

pub use self::{
    policy::{CLUSTER_ROLE, GROUP, Policy, ROLE, RoleRef, Subject},
    rule::Rule,
};
use crate::{
    kind::qualified,
    refusal::{Reason, Refusal},
    request::{RequestInfo, Target},
};

/// Group whose members are allowed everything, independent of rules.
pub const SUPERUSERS: &str = "system:masters";
/// Group of all authenticated users.
pub const AUTHENTICATED: &str = "system:authenticated";

/// An authenticated user.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// User name.
    pub user: String,
    /// Distinguishes users of the same name; may be empty.
    pub uid: String,
    /// Groups.
    pub groups: Vec<String>,
}

impl Identity {
    /// Creates an authenticated user, and adds the group [`AUTHENTICATED`].
    pub fn known(user: String, uid: String, mut groups: Vec<String>) -> Self {
        if !groups.iter().any(|group| group == AUTHENTICATED) {
            groups.push(AUTHENTICATED.to_owned());
        }
        Self { user, uid, groups }
    }

    /// True if the user is in [`SUPERUSERS`].
    pub fn is_superuser(&self) -> bool {
        self.groups.iter().any(|group| group == SUPERUSERS)
    }
}

/// Authorization attributes of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ask<'a> {
    /// Access to a resource.
    Resource(ResourceAsk<'a>),
    /// Access to a non-resource path.
    Path {
        /// Method in lower case.
        verb: &'a str,
        /// Absolute path.
        path: &'a str,
    },
}

/// Authorization attributes of access to a resource. Subresource, name and namespace may be empty.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ResourceAsk<'a> {
    /// The verb.
    pub verb: &'a str,
    /// API group; empty for the core group.
    pub group: &'a str,
    /// Plural resource.
    pub resource: &'a str,
    /// The subresource.
    pub subresource: &'a str,
    /// The name.
    pub name: &'a str,
    /// The namespace.
    pub namespace: &'a str,
}

impl<'a> Ask<'a> {
    /// Returns the authorization attributes of a request.
    pub fn of(info: &'a RequestInfo) -> Self {
        match &info.target {
            Target::Path(path) => Self::Path { verb: info.verb(), path },
            Target::Resource(target) => Self::Resource(ResourceAsk {
                verb: target.verb.as_str(),
                group: &target.group,
                resource: &target.resource,
                subresource: target.subresource.as_deref().unwrap_or_default(),
                name: target.name.as_deref().unwrap_or_default(),
                namespace: target.namespace.as_deref().unwrap_or_default(),
            }),
        }
    }

    /// Namespace of the request; empty if only cluster-wide bindings apply.
    pub fn namespace(&self) -> &'a str {
        match self {
            Self::Resource(ask) => ask.namespace,
            Self::Path { .. } => "",
        }
    }

    /// Returns a 403 worded as kube-apiserver does (`responsewriters.Forbidden`).
    pub fn refusal(&self, user: &str) -> Refusal {
        match self {
            Self::Path { verb, path } => {
                Refusal::new(Reason::Forbidden, format!("forbidden: User \"{user}\" cannot {verb} path \"{path}\""))
            }
            Self::Resource(ask) => ask.refusal(user),
        }
    }
}

impl ResourceAsk<'_> {
    /// Resource and subresource, as rules spell them.
    fn combined(&self) -> String {
        match self.subresource {
            "" => self.resource.to_owned(),
            subresource => format!("{}/{subresource}", self.resource),
        }
    }

    fn refusal(&self, user: &str) -> Refusal {
        let Self { verb, group, resource, name, namespace, .. } = self;
        let subject = match *name {
            "" => qualified(resource, group),
            name => format!("{} \"{name}\"", qualified(resource, group)),
        };
        let place = match *namespace {
            "" => "at the cluster scope".to_owned(),
            namespace => format!("in the namespace \"{namespace}\""),
        };
        let what = format!("resource \"{}\" in API group \"{group}\" {place}", self.combined());
        let message = format!("{subject} is forbidden: User \"{user}\" cannot {verb} {what}");
        Refusal::new(Reason::Forbidden, message).about(group, resource, name)
    }
}

/// Permissions of a caller in the namespace of a request.
#[derive(Clone, Debug)]
pub enum Rights {
    /// Unrestricted.
    Everything,
    /// Restricted to rules.
    Ruled(Arc<Holder>),
}

/// A caller with its rules in one namespace.
#[derive(Debug)]
pub struct Holder {
    identity: Arc<Identity>,
    namespace: String,
    rules: Vec<Arc<Rule>>,
    policy: Arc<Policy>,
}

impl Rights {
    /// Returns the permissions of a user in a namespace; with an empty namespace, only cluster-wide bindings apply.
    pub fn of(identity: &Arc<Identity>, namespace: &str, policy: &Arc<Policy>) -> Self {
        if identity.is_superuser() {
            return Self::Everything;
        }
        Self::Ruled(Arc::new(Holder {
            rules: policy.rules_of(identity, namespace),
            identity: Arc::clone(identity),
            namespace: namespace.to_owned(),
            policy: Arc::clone(policy),
        }))
    }

    /// Returns the permissions of the same caller in another namespace (empty: cluster-wide).
    #[must_use]
    pub fn elsewhere(&self, namespace: &str) -> Self {
        match self {
            Self::Everything => Self::Everything,
            Self::Ruled(holder) => Self::of(&holder.identity, namespace, &holder.policy),
        }
    }

    /// True if the access is allowed. The namespace in `ask` is ignored; the permissions are those of one namespace.
    pub fn include(&self, ask: &Ask<'_>) -> bool {
        match self {
            Self::Everything => true,
            Self::Ruled(holder) => holder.rules.iter().any(|rule| rule.allows(ask)),
        }
    }

    /// Returns an error if the access is not allowed.
    ///
    /// # Errors
    /// 403 Forbidden.
    pub fn require(&self, ask: &Ask<'_>) -> Result<(), Refusal> {
        match self {
            Self::Ruled(holder) if !self.include(ask) => Err(ask.refusal(&holder.identity.user)),
            _ => Ok(()),
        }
    }

    /// The rules; `None` if unrestricted.
    pub fn rules(&self) -> Option<&[Arc<Rule>]> {
        match self {
            Self::Everything => None,
            Self::Ruled(holder) => Some(&holder.rules),
        }
    }

    /// Checks that the caller may grant these rules to others, that is, has all permissions in them
    /// (`ConfirmNoEscalation` in Kubernetes).
    ///
    /// # Errors
    /// The missing permissions, worded as Kubernetes does.
    pub fn cover<'a>(&self, wanted: impl IntoIterator<Item = &'a Rule>) -> Result<(), String> {
        let Self::Ruled(holder) = self else { return Ok(()) };
        let missing = rule::uncovered(&holder.rules, wanted);
        if missing.is_empty() {
            return Ok(());
        }
        let Identity { user, groups, .. } = &*holder.identity;
        let groups = groups.iter().map(|group| format!("{group:?}")).collect::<Vec<_>>().join(" ");
        let missing = missing.join("\n");
        Err(format!(
            "user {user:?} (groups=[{groups}]) is attempting to grant RBAC permissions not currently held:\n{missing}"
        ))
    }

    /// Rules of a role, looked up from the namespace of the request; `None` if there is no such role.
    pub fn rules_of_role(&self, role: &RoleRef) -> Option<&[Arc<Rule>]> {
        match self {
            Self::Everything => None,
            Self::Ruled(holder) => holder.policy.role(role, &holder.namespace),
        }
    }
}
