//! Impersonation: the `Impersonate-*` headers (`kubectl --as`). A request that may not impersonate is rejected; it
//! never falls back to the caller's own identity.

use apimachinery::{
    rbac::{AUTHENTICATED, Attributes, ResourceAttributes, UserInfo},
    status_error::{StatusError, StatusReason},
};
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::limits::IMPERSONATED_GROUPS_MAX;

const HEADERS: &str = "impersonate-";
const USER: &str = "impersonate-user";
const GROUP: &str = "impersonate-group";
const UID: &str = "impersonate-uid";
const SERVICE_ACCOUNT: &str = "system:serviceaccount:";
const ANONYMOUS: &str = "system:anonymous";
const UNAUTHENTICATED: &str = "system:unauthenticated";

/// The user that a caller impersonates.
#[derive(Debug, PartialEq, Eq)]
pub struct ImpersonatedUser {
    user: String,
    uid: String,
    groups: Vec<String>,
}

impl ImpersonatedUser {
    /// Reads the headers; `None` if the request does not impersonate.
    ///
    /// # Errors
    /// 400 for inconsistent or malformed headers, 403 for unsupported ones such as extras, which users do not have
    /// here.
    pub fn from_headers(headers: &HeaderMap) -> Result<Option<Self>, StatusError> {
        let names: Vec<_> = headers.keys().map(HeaderName::as_str).filter(|name| name.starts_with(HEADERS)).collect();
        if names.is_empty() {
            return Ok(None);
        }
        if let Some(unknown) = names.iter().find(|name| ![USER, GROUP, UID].contains(name)) {
            let message = format!("forbidden: the header {unknown} is not supported; {USER}, {GROUP} and {UID} are");
            return Err(StatusError::new(StatusReason::Forbidden, message));
        }
        let count = headers.get_all(GROUP).iter().count();
        if count > IMPERSONATED_GROUPS_MAX {
            let message = format!("{count} impersonated groups; at most {IMPERSONATED_GROUPS_MAX} are allowed");
            return Err(StatusError::bad_request(message));
        }
        let mut groups = values(headers, GROUP)?;
        let single = |name: &str| values(headers, name).map(|values| values.into_iter().next().unwrap_or_default());
        let (user, uid) = (single(USER)?, single(UID)?);
        if user.is_empty() {
            return Err(StatusError::bad_request(
                "groups or a uid can be impersonated only together with a user: Impersonate-User",
            ));
        }
        if groups.is_empty()
            && let Some((namespace, _)) = service_account(&user)
        {
            groups = vec!["system:serviceaccounts".to_owned(), format!("system:serviceaccounts:{namespace}")];
        }
        Ok(Some(Self { user, uid, groups }))
    }

    /// The permissions that the caller needs, all of them.
    pub fn required_permissions(&self) -> Vec<Attributes<'_>> {
        let attributes = |group, resource, namespace, name| {
            Attributes::Resource(ResourceAttributes {
                verb: "impersonate",
                group,
                resource,
                subresource: "",
                name,
                namespace,
            })
        };
        let mut required_permissions = vec![match service_account(&self.user) {
            Some((namespace, name)) => attributes("", "serviceaccounts", namespace, name),
            None => attributes("", "users", "", &self.user),
        }];
        required_permissions.extend(self.groups.iter().map(|group| attributes("", "groups", "", group)));
        if !self.uid.is_empty() {
            required_permissions.push(attributes("authentication.k8s.io", "uids", "", &self.uid));
        }
        required_permissions
    }

    /// The resulting identity.
    pub fn identity(self) -> UserInfo {
        let Self { user, uid, mut groups } = self;
        let has = |wanted: &str| groups.iter().any(|group| group == wanted);
        if user == ANONYMOUS {
            if !has(UNAUTHENTICATED) {
                groups.push(UNAUTHENTICATED.to_owned());
            }
        } else if !has(AUTHENTICATED) && !has(UNAUTHENTICATED) {
            groups.push(AUTHENTICATED.to_owned());
        }
        UserInfo { user, uid, groups }
    }
}

fn values(headers: &HeaderMap, name: &str) -> Result<Vec<String>, StatusError> {
    let text = |value: &HeaderValue| {
        let text = std::str::from_utf8(value.as_bytes()).map(str::to_owned);
        text.map_err(|_| StatusError::bad_request(format!("the header {name} is not UTF-8")))
    };
    headers.get_all(name).iter().map(text).collect()
}

/// The namespace and name of a service account, if the user is one.
fn service_account(user: &str) -> Option<(&str, &str)> {
    let parts = user.strip_prefix(SERVICE_ACCOUNT)?.split_once(':')?;
    (!parts.0.is_empty() && !parts.1.is_empty() && !parts.1.contains(':')).then_some(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn impersonated(headers: &[(&'static str, &'static str)]) -> Result<Option<ImpersonatedUser>, StatusError> {
        let headers = headers
            .iter()
            .map(|(name, value)| (HeaderName::from_bytes(name.as_bytes()).unwrap(), value.parse().unwrap()));
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(name, value);
        }
        ImpersonatedUser::from_headers(&map)
    }

    fn identity(headers: &[(&'static str, &'static str)]) -> (String, String, Vec<String>) {
        let UserInfo { user, uid, groups } = impersonated(headers).unwrap().unwrap().identity();
        (user, uid, groups)
    }

    fn required_permissions(impersonated: &ImpersonatedUser) -> Vec<String> {
        impersonated.required_permissions().iter().map(|attributes| attributes.forbidden_error("me").message).collect()
    }

    #[test]
    fn request_without_impersonate_headers_keeps_its_user() {
        assert_eq!(impersonated(&[("authorization", "x")]), Ok(None));
    }

    #[test]
    fn impersonating_user_groups_and_uid_needs_a_permission_each() {
        let headers = [
            ("Impersonate-User", "jane"),
            ("Impersonate-Group", "a"),
            ("Impersonate-Group", "b"),
            ("Impersonate-Uid", "7"),
        ];
        let impersonated = impersonated(&headers).unwrap().unwrap();
        assert_eq!(
            required_permissions(&impersonated),
            [
                r#"users "jane" is forbidden: User "me" cannot impersonate resource "users" in API group "" at the cluster scope"#,
                r#"groups "a" is forbidden: User "me" cannot impersonate resource "groups" in API group "" at the cluster scope"#,
                r#"groups "b" is forbidden: User "me" cannot impersonate resource "groups" in API group "" at the cluster scope"#,
                r#"uids.authentication.k8s.io "7" is forbidden: User "me" cannot impersonate resource "uids" in API group "authentication.k8s.io" at the cluster scope"#,
            ]
        );
        assert_eq!(
            identity(&headers),
            ("jane".into(), "7".into(), ["a", "b", AUTHENTICATED].map(str::to_owned).to_vec())
        );
    }

    #[test]
    fn impersonated_service_account_gets_its_groups_and_namespace() {
        let headers = [("impersonate-user", "system:serviceaccount:team:robot")];
        assert_eq!(
            required_permissions(&impersonated(&headers).unwrap().unwrap())[0],
            r#"serviceaccounts "robot" is forbidden: User "me" cannot impersonate resource "serviceaccounts" in API group "" in the namespace "team""#
        );
        assert_eq!(identity(&headers).2, ["system:serviceaccounts", "system:serviceaccounts:team", AUTHENTICATED]);
    }

    #[test]
    fn impersonated_anonymous_is_not_in_system_authenticated() {
        assert_eq!(identity(&[("impersonate-user", ANONYMOUS)]).2, [UNAUTHENTICATED]);
        assert_eq!(identity(&[("impersonate-user", "x"), ("impersonate-group", UNAUTHENTICATED)]).2, [UNAUTHENTICATED]);
    }

    #[test]
    fn impersonated_groups_are_limited() {
        let group = ("impersonate-group", "g");
        let with = |count: usize| impersonated(&[vec![("impersonate-user", "x")], vec![group; count]].concat());
        assert!(with(IMPERSONATED_GROUPS_MAX).is_ok());
        assert_eq!(with(IMPERSONATED_GROUPS_MAX + 1).unwrap_err().reason, StatusReason::BadRequest);
    }

    #[test]
    fn inconsistent_impersonate_headers_are_rejected() {
        assert_eq!(impersonated(&[("impersonate-group", "a")]).unwrap_err().reason, StatusReason::BadRequest);
        assert_eq!(impersonated(&[("impersonate-user", "")]).unwrap_err().reason, StatusReason::BadRequest);
        let extra = [("impersonate-user", "jane"), ("impersonate-extra-scopes", "x")];
        assert_eq!(impersonated(&extra).unwrap_err().reason, StatusReason::Forbidden);
    }
}
