//! Who may do what: role-based access control as Kubernetes has it (`rbac.authorization.k8s.io/v1`).
//!
//! [`Rule`] says what is allowed, [`Policy`] who has which rules, and [`Rights`] what the caller of one request may do. It
//! only ever allows: what no rule allows is refused.

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

/// The group whose members may do everything, whatever any rule says.
pub const SUPERUSERS: &str = "system:masters";
/// The group of everybody who is known.
pub const AUTHENTICATED: &str = "system:authenticated";

/// An authenticated user.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// The name.
    pub user: String,
    /// What tells users of the same name apart; empty if nothing does.
    pub uid: String,
    /// The groups.
    pub groups: Vec<String>,
}

impl Identity {
    /// A user who is known, and therefore in the group of those.
    pub fn known(user: String, uid: String, mut groups: Vec<String>) -> Self {
        if !groups.iter().any(|group| group == AUTHENTICATED) {
            groups.push(AUTHENTICATED.to_owned());
        }
        Self { user, uid, groups }
    }

    /// Whether this user may do everything.
    pub fn is_superuser(&self) -> bool {
        self.groups.iter().any(|group| group == SUPERUSERS)
    }
}

/// What somebody wants to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ask<'a> {
    /// Something with objects.
    Resource(ResourceAsk<'a>),
    /// Something with a path that is no object's.
    Path {
        /// The method, in lower case.
        verb: &'a str,
        /// The path, from the root on.
        path: &'a str,
    },
}

/// What somebody wants to do with objects. A part that is empty is not said: no subresource, no single name, no namespace.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ResourceAsk<'a> {
    /// The verb.
    pub verb: &'a str,
    /// The API group; empty is the core group.
    pub group: &'a str,
    /// The plural resource.
    pub resource: &'a str,
    /// The subresource.
    pub subresource: &'a str,
    /// The name.
    pub name: &'a str,
    /// The namespace.
    pub namespace: &'a str,
}

impl<'a> Ask<'a> {
    /// What a request wants to do.
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

    /// The namespace in which rules are looked for; empty: only those that hold everywhere count.
    pub fn namespace(&self) -> &'a str {
        match self {
            Self::Resource(ask) => ask.namespace,
            Self::Path { .. } => "",
        }
    }

    /// 403, in the words of kube-apiserver (`responsewriters.Forbidden`).
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
    /// Resource and subresource, as they stand in rules.
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

/// What a caller may do in the namespace of a request.
#[derive(Clone, Debug)]
pub enum Rights {
    /// Everything.
    Everything,
    /// What rules allow.
    Ruled(Arc<Holder>),
}

/// Who has the rights of a request, and from what.
#[derive(Debug)]
pub struct Holder {
    identity: Arc<Identity>,
    namespace: String,
    rules: Vec<Arc<Rule>>,
    policy: Arc<Policy>,
}

impl Rights {
    /// What this user may do in this namespace; empty is across all.
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

    /// What the same caller may do in another namespace; empty is across all.
    #[must_use]
    pub fn elsewhere(&self, namespace: &str) -> Self {
        match self {
            Self::Everything => Self::Everything,
            Self::Ruled(holder) => Self::of(&holder.identity, namespace, &holder.policy),
        }
    }

    /// Whether they include this. The namespace of the question is not looked at: it is that of the rights.
    pub fn include(&self, ask: &Ask<'_>) -> bool {
        match self {
            Self::Everything => true,
            Self::Ruled(holder) => holder.rules.iter().any(|rule| rule.allows(ask)),
        }
    }

    /// Refuses what they do not include.
    ///
    /// # Errors
    /// 403 Forbidden.
    pub fn require(&self, ask: &Ask<'_>) -> Result<(), Refusal> {
        match self {
            Self::Ruled(holder) if !self.include(ask) => Err(ask.refusal(&holder.identity.user)),
            _ => Ok(()),
        }
    }

    /// The rules; `None` is everything.
    pub fn rules(&self) -> Option<&[Arc<Rule>]> {
        match self {
            Self::Everything => None,
            Self::Ruled(holder) => Some(&holder.rules),
        }
    }

    /// Whether rules may be given to others by somebody with these rights: only who has them (Kubernetes'
    /// `ConfirmNoEscalation`).
    ///
    /// # Errors
    /// What is missing, in the words of Kubernetes.
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

    /// The rules of a role, seen from the namespace of the request; `None`: there is no such role.
    pub fn rules_of_role(&self, role: &RoleRef) -> Option<&[Arc<Rule>]> {
        match self {
            Self::Everything => None,
            Self::Ruled(holder) => holder.policy.role(role, &holder.namespace),
        }
    }
}
