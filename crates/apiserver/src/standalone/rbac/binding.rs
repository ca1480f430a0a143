//! RoleBinding and ClusterRoleBinding: they grant the rules of a role to subjects.

use apimachinery::{
    access::{Ask, CLUSTER_ROLE, GROUP, ROLE, ResourceAsk, RoleRef, Subject},
    command::ObjectKey,
    field::{Fault, Path},
    kind::{Cell, Column, Kind, Names, Prepared, RequestContext, Resource, Subresource},
    metadata::check_name,
    object::Object,
    refusal::Refusal,
};
use serde_json::{Map, Value};

use super::{
    super::empty::{NAME, text},
    CLUSTER_ROLES, ROLES, check, escalates, is_of_the_collector,
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
    ) -> Result<Prepared<W>, Refusal> {
        let object = completed(object);
        check(&self.resource, key, &self.faults_of(&object))?;
        self.may_bind(key, &object, ctx)?;
        Ok(Prepared::complete(object))
    }

    fn prepare_update(
        &self,
        key: &ObjectKey,
        old: &Object,
        new: Object,
        _: Option<Subresource>,
        ctx: &RequestContext<'_>,
    ) -> Result<Prepared<W>, Refusal> {
        let object = completed(new);
        let mut faults = self.faults_of(&object);
        if object.field(ROLE_REF) != old.field(ROLE_REF) {
            faults.push(Fault::invalid(Path::new(ROLE_REF), object.field(ROLE_REF).clone(), "cannot change roleRef"));
        }
        check(&self.resource, key, &faults)?;
        if !is_of_the_collector(old, &object) {
            self.may_bind(key, &object, ctx)?;
        }
        Ok(Prepared::complete(object))
    }
}

impl Bindings {
    /// Kubernetes' `ValidateRoleBinding` and `ValidateClusterRoleBinding`.
    fn faults_of(&self, binding: &Object) -> Vec<Fault> {
        let mut faults = Vec::new();
        let (path, role) = (Path::new(ROLE_REF), role_ref(binding));
        let kinds: &[&str] = if self.resource.namespaced { &[ROLE, CLUSTER_ROLE] } else { &[CLUSTER_ROLE] };
        faults.extend(unless_in(&path.child(API_GROUP), &role.api_group, &[GROUP]));
        faults.extend(unless_in(&path.child("kind"), &role.kind, kinds));
        faults.extend(fault_of_name(path.child("name"), &role.name, Names::PathSegment));
        for (index, subject) in subjects(binding).iter().enumerate() {
            self.faults_of_subject(&Path::new(SUBJECTS).index(index), subject, &mut faults);
        }
        faults
    }

    fn faults_of_subject(&self, path: &Path, subject: &Subject, faults: &mut Vec<Fault>) {
        // The names of users and groups are not restricted.
        if subject.kind == SERVICE_ACCOUNT || subject.name.is_empty() {
            faults.extend(fault_of_name(path.child("name"), &subject.name, Names::Subdomain));
        }
        match subject.kind.as_str() {
            SERVICE_ACCOUNT => {
                faults.extend(unless_in(&path.child(API_GROUP), &subject.api_group, &[""]));
                if subject.namespace.is_empty() && !self.resource.namespaced {
                    faults.push(Fault::required(path.child("namespace"), ""));
                }
            }
            USER | GROUP_KIND => faults.extend(unless_in(&path.child(API_GROUP), &subject.api_group, &[GROUP])),
            kind => faults.extend(unless_in(&path.child("kind"), kind, &[SERVICE_ACCOUNT, USER, GROUP_KIND])),
        }
    }

    fn may_bind(&self, key: &ObjectKey, binding: &Object, ctx: &RequestContext<'_>) -> Result<(), Refusal> {
        let role = role_ref(binding);
        let resource = if role.kind == CLUSTER_ROLE { CLUSTER_ROLES } else { ROLES };
        let bind = ResourceAsk { verb: "bind", group: GROUP, resource, name: &role.name, ..ResourceAsk::default() };
        if ctx.rights.include(&Ask::Resource(bind)) {
            return Ok(());
        }
        let Some(rules) = ctx.rights.rules_of_role(&role) else {
            return Err(Refusal::not_found(GROUP, resource, &role.name));
        };
        ctx.rights.cover(rules.iter().map(AsRef::as_ref)).map_err(|why| escalates(&self.resource, key, &why))
    }
}

fn unless_in(path: &Path, value: &str, supported: &[&str]) -> Option<Fault> {
    (!supported.contains(&value)).then(|| Fault::not_supported(path.clone(), value, supported))
}

fn fault_of_name(path: Path, name: &str, names: Names) -> Option<Fault> {
    if name.is_empty() {
        return Some(Fault::required(path, ""));
    }
    check_name(name, names).err().map(|why| Fault::invalid(path, name, &why))
}

fn role_ref(binding: &Object) -> RoleRef {
    serde_json::from_value(binding.field(ROLE_REF).clone()).unwrap_or_default()
}

fn subjects(binding: &Object) -> Vec<Subject> {
    serde_json::from_value(binding.field(SUBJECTS).clone()).unwrap_or_default()
}

/// Fills in the default `apiGroup` of the role and of users and groups, and removes an empty list of subjects.
fn completed(mut binding: Object) -> Object {
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
