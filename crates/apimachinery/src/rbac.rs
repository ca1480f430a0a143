//! Role-based access control as in Kubernetes (`rbac.authorization.k8s.io/v1`).
//!
//! A [`Rule`] describes permissions, [`Policy`] maps users and groups to rules, and [`Permissions`] are the permissions of
//! the caller of one request. Rules only allow; everything else is denied.

mod policy;
mod rule;

use std::sync::Arc;

pub use self::{
    policy::{CLUSTER_ROLE, GROUP, Policy, ROLE, RoleRef, Subject},
    rule::Rule,
};
use crate::{
    request::{RequestInfo, Target},
    resource::group_resource,
    status_error::{StatusError, StatusReason},
};

/// Group whose members are allowed everything, independent of rules.
pub const SYSTEM_MASTERS: &str = "system:masters";
/// Group of all authenticated users.
pub const AUTHENTICATED: &str = "system:authenticated";

/// An authenticated user.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UserInfo {
    /// User name.
    pub user: String,
    /// Distinguishes users of the same name; may be empty.
    pub uid: String,
    /// Groups.
    pub groups: Vec<String>,
}

impl UserInfo {
    /// Creates an authenticated user, and adds the group [`AUTHENTICATED`].
    pub fn authenticated(user: String, uid: String, mut groups: Vec<String>) -> Self {
        if !groups.iter().any(|group| group == AUTHENTICATED) {
            groups.push(AUTHENTICATED.to_owned());
        }
        Self { user, uid, groups }
    }

    /// True if the user is in [`SYSTEM_MASTERS`].
    pub fn is_superuser(&self) -> bool {
        self.groups.iter().any(|group| group == SYSTEM_MASTERS)
    }
}

/// Authorization attributes of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attributes<'a> {
    /// Access to a resource.
    Resource(ResourceAttributes<'a>),
    /// Access to a non-resource path.
    NonResource {
        /// Method in lower case.
        verb: &'a str,
        /// Absolute path.
        path: &'a str,
    },
}

/// Authorization attributes of access to a resource. Subresource, name and namespace may be empty.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ResourceAttributes<'a> {
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

impl<'a> Attributes<'a> {
    /// Returns the authorization attributes of a request.
    pub fn from_request(info: &'a RequestInfo) -> Self {
        match &info.target {
            Target::Path(path) => Self::NonResource { verb: info.verb(), path },
            Target::Resource(target) => Self::Resource(ResourceAttributes {
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
            Self::Resource(attributes) => attributes.namespace,
            Self::NonResource { .. } => "",
        }
    }

    /// Returns a 403 worded as kube-apiserver does (`responsewriters.Forbidden`).
    pub fn forbidden_error(&self, user: &str) -> StatusError {
        match self {
            Self::NonResource { verb, path } => StatusError::new(
                StatusReason::Forbidden,
                format!("forbidden: User \"{user}\" cannot {verb} path \"{path}\""),
            ),
            Self::Resource(attributes) => attributes.forbidden_error(user),
        }
    }
}

impl ResourceAttributes<'_> {
    /// Resource and subresource, as rules spell them.
    fn combined(&self) -> String {
        match self.subresource {
            "" => self.resource.to_owned(),
            subresource => format!("{}/{subresource}", self.resource),
        }
    }

    fn forbidden_error(&self, user: &str) -> StatusError {
        let Self { verb, group, resource, name, namespace, .. } = self;
        let subject = match *name {
            "" => group_resource(resource, group),
            name => format!("{} \"{name}\"", group_resource(resource, group)),
        };
        let place = match *namespace {
            "" => "at the cluster scope".to_owned(),
            namespace => format!("in the namespace \"{namespace}\""),
        };
        let what = format!("resource \"{}\" in API group \"{group}\" {place}", self.combined());
        let message = format!("{subject} is forbidden: User \"{user}\" cannot {verb} {what}");
        StatusError::new(StatusReason::Forbidden, message).with_details(group, resource, name)
    }
}

/// Permissions of a caller in the namespace of a request.
#[derive(Clone, Debug)]
pub enum Permissions {
    /// Unrestricted.
    Unrestricted,
    /// Restricted to rules.
    Restricted(Arc<UserRules>),
}

/// A caller with its rules in one namespace.
#[derive(Debug)]
pub struct UserRules {
    identity: Arc<UserInfo>,
    namespace: String,
    rules: Vec<Arc<Rule>>,
    policy: Arc<Policy>,
}

impl Permissions {
    /// Returns the permissions of a user in a namespace; with an empty namespace, only cluster-wide bindings apply.
    pub fn resolve(identity: &Arc<UserInfo>, namespace: &str, policy: &Arc<Policy>) -> Self {
        if identity.is_superuser() {
            return Self::Unrestricted;
        }
        Self::Restricted(Arc::new(UserRules {
            rules: policy.rules_of(identity, namespace),
            identity: Arc::clone(identity),
            namespace: namespace.to_owned(),
            policy: Arc::clone(policy),
        }))
    }

    /// Returns the permissions of the same caller in another namespace (empty: cluster-wide).
    #[must_use]
    pub fn in_namespace(&self, namespace: &str) -> Self {
        match self {
            Self::Unrestricted => Self::Unrestricted,
            Self::Restricted(user_rules) => Self::resolve(&user_rules.identity, namespace, &user_rules.policy),
        }
    }

    /// True if the access is allowed. The namespace in `attributes` is ignored; the permissions are those of one namespace.
    pub fn allows(&self, attributes: &Attributes<'_>) -> bool {
        match self {
            Self::Unrestricted => true,
            Self::Restricted(user_rules) => user_rules.rules.iter().any(|rule| rule.allows(attributes)),
        }
    }

    /// Returns an error if the access is not allowed.
    ///
    /// # Errors
    /// 403 Forbidden.
    pub fn authorize(&self, attributes: &Attributes<'_>) -> Result<(), StatusError> {
        match self {
            Self::Restricted(user_rules) if !self.allows(attributes) => {
                Err(attributes.forbidden_error(&user_rules.identity.user))
            }
            _ => Ok(()),
        }
    }

    /// The rules; `None` if unrestricted.
    pub fn rules(&self) -> Option<&[Arc<Rule>]> {
        match self {
            Self::Unrestricted => None,
            Self::Restricted(user_rules) => Some(&user_rules.rules),
        }
    }

    /// Checks that the caller may grant these rules to others, that is, has all permissions in them
    /// (`ConfirmNoEscalation` in Kubernetes).
    ///
    /// # Errors
    /// The missing permissions, worded as Kubernetes does.
    pub fn confirm_no_escalation<'a>(&self, wanted: impl IntoIterator<Item = &'a Rule>) -> Result<(), String> {
        let Self::Restricted(user_rules) = self else { return Ok(()) };
        let missing = rule::missing_rules(&user_rules.rules, wanted);
        if missing.is_empty() {
            return Ok(());
        }
        let UserInfo { user, groups, .. } = &*user_rules.identity;
        let groups = groups.iter().map(|group| format!("{group:?}")).collect::<Vec<_>>().join(" ");
        let missing = missing.join("\n");
        Err(format!(
            "user {user:?} (groups=[{groups}]) is attempting to grant RBAC permissions not currently held:\n{missing}"
        ))
    }

    /// Rules of a role, looked up from the namespace of the request; `None` if there is no such role.
    pub fn rules_for_role_ref(&self, role: &RoleRef) -> Option<&[Arc<Rule>]> {
        match self {
            Self::Unrestricted => None,
            Self::Restricted(user_rules) => user_rules.policy.role(role, &user_rules.namespace),
        }
    }
}
