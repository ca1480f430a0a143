//! RoleBinding and ClusterRoleBinding: they grant the rules of a role to subjects.

use apimachinery::{
    command::ObjectKey,
    field::{FieldError, Path},
    kind::{Kind, PreparedObject, RequestContext},
    metadata::check_name,
    object::Object,
    rbac::{Attributes, CLUSTER_ROLE, GROUP, ROLE, ResourceAttributes, RoleRef, Subject},
    resource::{Cell, Column, NamePolicy, Resource, Subresource},
    status_error::StatusError,
};
use serde_json::{Map, Value};

use super::{
    super::resources::{NAME, check, text},
    CLUSTER_ROLES, ROLES, escalation_error, only_gc_fields_changed,
};

const ROLE_REF: &str = "roleRef";
const SUBJECTS: &str = "subjects";
const API_GROUP: &str = "apiGroup";
const USER: &str = "User";
const GROUP_KIND: &str = "Group";
const SERVICE_ACCOUNT: &str = "ServiceAccount";

/// The columns; the last three are only in the wide table.
pub(super) const COLUMNS: &[Column] = &[
    NAME,
    text("Role", Cell::Computed(role)),
    Column::AGE,
    wide("Users", Cell::Computed(|binding| named(binding, USER))),
    wide("Groups", Cell::Computed(|binding| named(binding, GROUP_KIND))),
    wide("ServiceAccounts", Cell::Computed(|binding| named(binding, SERVICE_ACCOUNT))),
];

const fn wide(name: &'static str, cell: Cell) -> Column {
    Column { priority: 1, ..text(name, cell) }
}

fn role(binding: &Object) -> Value {
    format!("{}/{}", binding.text("/roleRef/kind"), binding.text("/roleRef/name")).into()
}

/// The names of the subjects of a kind.
fn named(binding: &Object, kind: &str) -> Value {
    let name = |Subject { kind, name, namespace, .. }: Subject| match kind.as_str() {
        SERVICE_ACCOUNT => format!("{namespace}/{name}"),
        _ => name,
    };
    let of_kind = subjects(binding).into_iter().filter(|subject| subject.kind == kind);
    of_kind.map(name).collect::<Vec<_>>().join(", ").into()
}

/// The kind RoleBinding or ClusterRoleBinding.
pub struct Bindings {
    pub(super) resource: Resource,
}

impl<W> Kind<W> for Bindings {
    fn resource(&self) -> &Resource {
        &self.resource
    }

    fn prepare_create(
        &self,
        key: &ObjectKey,
        object: Object,
        ctx: &RequestContext<'_>,
    ) -> Result<PreparedObject<W>, StatusError> {
        let object = with_defaults(object);
        check(&self.resource, key, &self.validate(&object))?;
        self.check_bind(key, &object, ctx)?;
        Ok(PreparedObject::without_decision(object))
    }

    fn prepare_update(
        &self,
        key: &ObjectKey,
        old: &Object,
        new: Object,
        _: Option<Subresource>,
        ctx: &RequestContext<'_>,
    ) -> Result<PreparedObject<W>, StatusError> {
        let object = with_defaults(new);
        let mut errors = self.validate(&object);
        if object.field(ROLE_REF) != old.field(ROLE_REF) {
            errors.push(FieldError::invalid(
                Path::new(ROLE_REF),
                object.field(ROLE_REF).clone(),
                "cannot change roleRef",
            ));
        }
        check(&self.resource, key, &errors)?;
        if !only_gc_fields_changed(old, &object) {
            self.check_bind(key, &object, ctx)?;
        }
        Ok(PreparedObject::without_decision(object))
    }
}

impl Bindings {
    /// Kubernetes' `ValidateRoleBinding` and `ValidateClusterRoleBinding`.
    fn validate(&self, binding: &Object) -> Vec<FieldError> {
        let mut errors = Vec::new();
        let (path, role) = (Path::new(ROLE_REF), role_ref(binding));
        let kinds: &[&str] = if self.resource.namespaced { &[ROLE, CLUSTER_ROLE] } else { &[CLUSTER_ROLE] };
        errors.extend(validate_one_of(&path.child(API_GROUP), &role.api_group, &[GROUP]));
        errors.extend(validate_one_of(&path.child("kind"), &role.kind, kinds));
        errors.extend(validate_name(path.child("name"), &role.name, NamePolicy::PathSegment));
        for (index, subject) in subjects(binding).iter().enumerate() {
            self.validate_subject(&Path::new(SUBJECTS).index(index), subject, &mut errors);
        }
        errors
    }

    fn validate_subject(&self, path: &Path, subject: &Subject, errors: &mut Vec<FieldError>) {
        // The names of users and groups are not restricted.
        if subject.kind == SERVICE_ACCOUNT || subject.name.is_empty() {
            errors.extend(validate_name(path.child("name"), &subject.name, NamePolicy::Subdomain));
        }
        match subject.kind.as_str() {
            SERVICE_ACCOUNT => {
                errors.extend(validate_one_of(&path.child(API_GROUP), &subject.api_group, &[""]));
                if subject.namespace.is_empty() && !self.resource.namespaced {
                    errors.push(FieldError::required(path.child("namespace"), ""));
                }
            }
            USER | GROUP_KIND => errors.extend(validate_one_of(&path.child(API_GROUP), &subject.api_group, &[GROUP])),
            kind => errors.extend(validate_one_of(&path.child("kind"), kind, &[SERVICE_ACCOUNT, USER, GROUP_KIND])),
        }
    }

    fn check_bind(&self, key: &ObjectKey, binding: &Object, ctx: &RequestContext<'_>) -> Result<(), StatusError> {
        let role = role_ref(binding);
        let resource = if role.kind == CLUSTER_ROLE { CLUSTER_ROLES } else { ROLES };
        let bind = ResourceAttributes {
            verb: "bind",
            group: GROUP,
            resource,
            name: &role.name,
            ..ResourceAttributes::default()
        };
        if ctx.permissions.allows(&Attributes::Resource(bind)) {
            return Ok(());
        }
        let Some(rules) = ctx.permissions.rules_for_role_ref(&role) else {
            return Err(StatusError::not_found(GROUP, resource, &role.name));
        };
        ctx.permissions
            .confirm_no_escalation(rules.iter().map(AsRef::as_ref))
            .map_err(|why| escalation_error(&self.resource, key, &why))
    }
}

fn validate_one_of(path: &Path, value: &str, supported: &[&str]) -> Option<FieldError> {
    (!supported.contains(&value)).then(|| FieldError::not_supported(path.clone(), value, supported))
}

fn validate_name(path: Path, name: &str, names: NamePolicy) -> Option<FieldError> {
    if name.is_empty() {
        return Some(FieldError::required(path, ""));
    }
    check_name(name, names).err().map(|why| FieldError::invalid(path, name, &why))
}

fn role_ref(binding: &Object) -> RoleRef {
    serde_json::from_value(binding.field(ROLE_REF).clone()).unwrap_or_default()
}

fn subjects(binding: &Object) -> Vec<Subject> {
    serde_json::from_value(binding.field(SUBJECTS).clone()).unwrap_or_default()
}

/// Fills in the default `apiGroup` of the role and of users and groups, and removes an empty list of subjects.
fn with_defaults(mut binding: Object) -> Object {
    let complete = |value: &mut Value| {
        let Some(fields) = value.as_object_mut() else { return };
        if fields.get(API_GROUP).and_then(Value::as_str).unwrap_or_default().is_empty() {
            fields.insert(API_GROUP.to_owned(), GROUP.into());
        }
    };
    let mut role = match binding.field(ROLE_REF) {
        Value::Null => Value::Object(Map::new()),
        role => role.clone(),
    };
    complete(&mut role);
    binding.set_field(ROLE_REF, role);
    let mut subjects = binding.field(SUBJECTS).clone();
    let of_the_group =
        |subject: &&mut Value| [USER, GROUP_KIND].contains(&subject["kind"].as_str().unwrap_or_default());
    subjects.as_array_mut().into_iter().flatten().filter(of_the_group).for_each(complete);
    if subjects.is_null() || subjects == Value::Array(Vec::new()) {
        binding.fields.remove(SUBJECTS);
    } else {
        binding.set_field(SUBJECTS, subjects);
    }
    binding
}
