//! Role and ClusterRole: named sets of rules.

use apimachinery::{
    command::ObjectKey,
    field::{FieldError, FieldErrorType, Path},
    kind::{Kind, PreparedObject, RequestContext},
    limits::RULE_PAIRS_MAX,
    object::Object,
    rbac::{Attributes, ResourceAttributes, Rule},
    resource::{Cell, Column, Resource, Subresource},
    status_error::StatusError,
};
use serde_json::Value;

use super::{
    super::resources::{check, text},
    escalation_error, only_gc_fields_changed,
};

pub(super) const CREATED_AT: Column =
    Column { column_type: "date", ..text("Created At", Cell::Pointer("/metadata/creationTimestamp")) };

const RULES: &str = "rules";
const AGGREGATION: &str = "aggregationRule";

/// The kind Role or ClusterRole.
pub struct Roles {
    pub(super) resource: Resource,
}

impl<W> Kind<W> for Roles {
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
        let rules = self.check_valid(key, &object)?;
        self.check_escalate(key, &rules, ctx)?;
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
        let new = with_defaults(new);
        let rules = self.check_valid(key, &new)?;
        if !only_gc_fields_changed(old, &new) {
            self.check_escalate(key, &rules, ctx)?;
        }
        Ok(PreparedObject::without_decision(new))
    }
}

impl Roles {
    /// The parsed rules, if they are valid.
    fn check_valid(&self, key: &ObjectKey, object: &Object) -> Result<Vec<Rule>, StatusError> {
        let (mut rules, mut errors) = (Vec::new(), Vec::new());
        let path = Path::new(RULES);
        for (index, value) in object.field(RULES).as_array().into_iter().flatten().enumerate() {
            let rule: Rule = serde_json::from_value(value.clone()).unwrap_or_default();
            errors.extend(validate(&path.index(index), &rule, value, self.resource.namespaced));
            rules.push(rule);
        }
        errors.extend(validate_product(path, &rules));
        if !object.field(AGGREGATION).is_null() {
            let why = "aggregation is not supported: list the rules in the role itself";
            errors.push(FieldError::forbidden(Path::new(AGGREGATION), why));
        }
        check(&self.resource, key, &errors)?;
        Ok(rules)
    }

    fn check_escalate(&self, key: &ObjectKey, rules: &[Rule], ctx: &RequestContext<'_>) -> Result<(), StatusError> {
        let escalate = Attributes::Resource(ResourceAttributes {
            verb: "escalate",
            group: self.resource.group,
            resource: self.resource.plural,
            name: if ctx.name_in_path { &key.name } else { "" },
            ..ResourceAttributes::default()
        });
        if ctx.permissions.allows(&escalate) {
            return Ok(());
        }
        ctx.permissions.confirm_no_escalation(rules).map_err(|why| escalation_error(&self.resource, key, &why))
    }
}

/// Fills in an empty list of rules, which Kubernetes has in each role.
fn with_defaults(mut role: Object) -> Object {
    if role.field(RULES).is_null() {
        role.set_field(RULES, Value::Array(Vec::new()));
    }
    role
}

/// A field error if the rules expand to too many pairs of a verb and a resource or path.
fn validate_product(path: Path, rules: &[Rule]) -> Option<FieldError> {
    let pairs = rules.iter().map(Rule::pairs).fold(0, usize::saturating_add);
    let message = format!(
        "Too many: {pairs}: the rules expand to {pairs} pairs of a verb and a resource or path (verbs x apiGroups x \
         resources x resourceNames), at most {RULE_PAIRS_MAX} are allowed; use '*', or split the rules into several roles"
    );
    (pairs > RULE_PAIRS_MAX).then_some(FieldError { path, error_type: FieldErrorType::TooMany, message })
}

/// Kubernetes' `ValidatePolicyRule`.
fn validate(path: &Path, rule: &Rule, value: &Value, namespaced: bool) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let required = |name: &str, why: &str| FieldError::required(path.child(name), why);
    if rule.verbs.is_empty() {
        errors.push(required("verbs", "verbs must contain at least one value"));
    }
    if !rule.non_resource_urls.is_empty() {
        let urls = || value.get("nonResourceURLs").cloned().unwrap_or_default();
        let invalid = |why: &str| FieldError::invalid(path.child("nonResourceURLs"), urls(), why);
        if namespaced {
            errors.push(invalid("namespaced rules cannot apply to non-resource URLs"));
        }
        if !(rule.api_groups.is_empty() && rule.resources.is_empty() && rule.resource_names.is_empty()) {
            errors.push(invalid("rules cannot apply to both regular resources and non-resource URLs"));
        }
        return errors;
    }
    if rule.api_groups.is_empty() {
        errors.push(required("apiGroups", "resource rules must supply at least one api group"));
    }
    if rule.resources.is_empty() {
        errors.push(required("resources", "resource rules must supply at least one resource"));
    }
    errors
}
