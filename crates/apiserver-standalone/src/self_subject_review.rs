//! Self-subject reviews: the identity and the permissions of the caller. They are created like objects, but not stored
//! (`authentication.k8s.io/v1`, `authorization.k8s.io/v1`).

use std::sync::Arc;

use apimachinery::{
    body,
    field::{FieldError, Path},
    rbac::{Attributes, Permissions, Policy, ResourceAttributes, Rule, UserInfo},
    request::ResourceTarget,
    resource::{Resource, Verb},
    status_error::{StatusError, StatusReason},
};
use apiserver::{body::Body, deployment_mode::VirtualResource, respond, stages::Decoded};
use http::Response;
use serde_json::{Value, json};

use super::resources::namespaced;

const AUTHENTICATION: &str = "authentication.k8s.io";
const AUTHORIZATION: &str = "authorization.k8s.io";
const VERSION: &str = "v1";

/// The kind of review.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ReviewKind {
    /// SelfSubjectReview: the caller's identity.
    Subject,
    /// SelfSubjectAccessReview: whether the caller may do something.
    Access,
    /// SelfSubjectRulesReview: all permissions of the caller in a namespace.
    Rules,
}

impl ReviewKind {
    const ALL: [Self; 3] = [Self::Subject, Self::Access, Self::Rules];

    /// The review at this path.
    fn at(target: &ResourceTarget) -> Option<Self> {
        let here = |review_kind: &Self| {
            target.group == review_kind.group() && target.version == VERSION && target.resource == review_kind.plural()
        };
        Self::ALL.into_iter().find(here)
    }

    fn group(self) -> &'static str {
        if self == Self::Subject { AUTHENTICATION } else { AUTHORIZATION }
    }

    fn kind(self) -> &'static str {
        match self {
            Self::Subject => "SelfSubjectReview",
            Self::Access => "SelfSubjectAccessReview",
            Self::Rules => "SelfSubjectRulesReview",
        }
    }

    fn plural(self) -> &'static str {
        match self {
            Self::Subject => "selfsubjectreviews",
            Self::Access => "selfsubjectaccessreviews",
            Self::Rules => "selfsubjectrulesreviews",
        }
    }

    fn singular(self) -> &'static str {
        match self {
            Self::Subject => "selfsubjectreview",
            Self::Access => "selfsubjectaccessreview",
            Self::Rules => "selfsubjectrulesreview",
        }
    }

    fn resource(self) -> Resource {
        Resource {
            group: self.group(),
            namespaced: false,
            verbs: &[Verb::Create],
            ..namespaced(self.kind(), self.plural(), self.singular(), &[], self.schema())
        }
    }

    fn schema(self) -> Value {
        let anything = |description: &str| json!({"type": "object", "description": description, "x-kubernetes-preserve-unknown-fields": true});
        let description = match self {
            Self::Subject => "SelfSubjectReview returns the identity of the caller.",
            Self::Access => "SelfSubjectAccessReview returns whether the caller may perform an action.",
            Self::Rules => "SelfSubjectRulesReview returns all permissions of the caller in a namespace.",
        };
        let mut properties = json!({"status": anything("The result of the review. Set by the server.")});
        if self != Self::Subject {
            properties["spec"] = anything("The action or namespace to review.");
        }
        json!({"type": "object", "description": description, "properties": properties})
    }
}

/// The descriptions of the reviews, for discovery and OpenAPI.
pub fn resources() -> Vec<Resource> {
    ReviewKind::ALL.into_iter().map(ReviewKind::resource).collect()
}

/// The handler of the review at this path, if there is one.
pub fn handler(target: &ResourceTarget) -> Option<VirtualResource> {
    ReviewKind::at(target).map(|_| answer as VirtualResource)
}

/// Answers a review.
fn answer(request: &Decoded, policy: &Arc<Policy>) -> Result<Response<Body>, StatusError> {
    let target = request.info.target.resource().filter(|target| {
        target.verb == Verb::Create
            && target.name.is_none()
            && target.subresource.is_none()
            && target.namespace.is_none()
    });
    let Some(review_kind) = target.and_then(ReviewKind::at) else {
        let message = "the server does not allow this method on the requested resource";
        return Err(StatusError::new(StatusReason::MethodNotAllowed, message));
    };
    let body = body::decode(request.content_type(), &request.body)?.value;
    let spec = body.get("spec").cloned().unwrap_or_default();
    let identity = &request.identity;
    let status = match review_kind {
        ReviewKind::Subject => json!({"userInfo": user_info(identity)}),
        ReviewKind::Access => access(&spec, |namespace| Permissions::resolve(identity, namespace, policy))?,
        ReviewKind::Rules => rules(&spec, |namespace| Permissions::resolve(identity, namespace, policy))?,
    };
    let mut review = json!({
        "kind": review_kind.kind(),
        "apiVersion": format!("{}/{VERSION}", review_kind.group()),
        "metadata": {},
        "status": status,
    });
    if !spec.is_null() {
        review["spec"] = spec;
    }
    Ok(respond::json(201, &review))
}

fn user_info(identity: &UserInfo) -> Value {
    let mut info = json!({"username": identity.user, "groups": identity.groups});
    if !identity.uid.is_empty() {
        info["uid"] = identity.uid.as_str().into();
    }
    info
}

fn access(spec: &Value, permissions: impl FnOnce(&str) -> Permissions) -> Result<Value, StatusError> {
    let part = |name: &str| spec.get(name).filter(|value| value.is_object());
    let attributes = match (part("resourceAttributes"), part("nonResourceAttributes")) {
        (Some(what), None) => Attributes::Resource(ResourceAttributes {
            verb: text(what, "verb"),
            group: text(what, "group"),
            resource: text(what, "resource"),
            subresource: text(what, "subresource"),
            name: text(what, "name"),
            namespace: text(what, "namespace"),
        }),
        (None, Some(what)) => Attributes::NonResource { verb: text(what, "verb"), path: text(what, "path") },
        (both, _) => {
            let path = Path::new("spec").child("resourceAttributes");
            let what = if both.is_some() { "cannot be specified in combination with" } else { "exactly one of it and" };
            let detail = format!("{what} nonResourceAttributes");
            let error = FieldError::invalid(path, Value::Null, &detail);
            return Err(StatusError::invalid(AUTHORIZATION, ReviewKind::Access.kind(), "", &[error]));
        }
    };
    let permissions = permissions(attributes.namespace());
    let mut status = json!({"allowed": permissions.allows(&attributes)});
    if permissions.rules().is_none() {
        status["reason"] = "the group system:masters may do everything".into();
    }
    Ok(status)
}

fn rules(spec: &Value, permissions: impl FnOnce(&str) -> Permissions) -> Result<Value, StatusError> {
    let namespace = text(spec, "namespace");
    if namespace.is_empty() {
        return Err(StatusError::bad_request("no namespace on request"));
    }
    let permissions = permissions(namespace);
    let everything = || [Rule::on_resources(&["*"], &["*"], &["*"]), Rule::on_paths(&["*"], &["*"])].map(Arc::new);
    let rules = permissions.rules().map_or_else(|| everything().to_vec(), <[_]>::to_vec);
    let (on_resources, on_paths): (Vec<_>, Vec<_>) = rules.iter().partition(|rule| rule.non_resource_urls.is_empty());
    Ok(json!({"resourceRules": on_resources, "nonResourceRules": on_paths, "incomplete": false}))
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value.get(name).and_then(Value::as_str).unwrap_or_default()
}
