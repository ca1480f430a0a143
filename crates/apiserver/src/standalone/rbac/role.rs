//! Role and ClusterRole: named sets of rules.

use apimachinery::{
    access::{Ask, ResourceAsk, Rule},
    command::ObjectKey,
    field::{Fault, FaultType, Path},
    kind::{Cell, Column, Kind, Prepared, RequestContext, Resource, Subresource},
    limits::RULE_PAIRS_MAX,
    object::Object,
    refusal::Refusal,
};
use serde_json::Value;

use super::{super::empty::text, check, escalates, is_of_the_collector};

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
    ) -> Result<Prepared<W>, Refusal> {
        let object = completed(object);
        let rules = self.judge(key, &object)?;
        self.may_give(key, &rules, ctx)?;
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
        let new = completed(new);
        let rules = self.judge(key, &new)?;
        if !is_of_the_collector(old, &new) {
            self.may_give(key, &rules, ctx)?;
        }
        Ok(Prepared::complete(new))
    }
}

impl Roles {
    /// The parsed rules, if they are valid.
    fn judge(&self, key: &ObjectKey, object: &Object) -> Result<Vec<Rule>, Refusal> {
        let (mut rules, mut faults) = (Vec::new(), Vec::new());
        let path = Path::new(RULES);
        for (index, value) in object.field(RULES).as_array().into_iter().flatten().enumerate() {
            let rule: Rule = serde_json::from_value(value.clone()).unwrap_or_default();
            faults.extend(faults_of(&path.index(index), &rule, value, self.resource.namespaced));
            rules.push(rule);
        }
        faults.extend(fault_of_product(path, &rules));
        if !object.field(AGGREGATION).is_null() {
            let why = "aggregation is not supported: list the rules in the role itself";
            faults.push(Fault::forbidden(Path::new(AGGREGATION), why));
        }
        check(&self.resource, key, &faults)?;
        Ok(rules)
    }

    fn may_give(&self, key: &ObjectKey, rules: &[Rule], ctx: &RequestContext<'_>) -> Result<(), Refusal> {
        let escalate = Ask::Resource(ResourceAsk {
            verb: "escalate",
            group: self.resource.group,
            resource: self.resource.plural,
            name: if ctx.named { &key.name } else { "" },
            ..ResourceAsk::default()
        });
        if ctx.rights.include(&escalate) {
            return Ok(());
        }
        ctx.rights.cover(rules).map_err(|why| escalates(&self.resource, key, &why))
    }
}

/// Fills in an empty list of rules, which Kubernetes has in each role.
fn completed(mut role: Object) -> Object {
    if role.field(RULES).is_null() {
        role.set_field(RULES, Value::Array(Vec::new()));
    }
    role
}

/// A field error if the rules expand to too many pairs of a verb and a resource or path.
fn fault_of_product(path: Path, rules: &[Rule]) -> Option<Fault> {
    let pairs = rules.iter().map(Rule::pairs).fold(0, usize::saturating_add);
    let message = format!(
        "Too many: {pairs}: the rules expand to {pairs} pairs of a verb and a resource or path (verbs x apiGroups x \
         resources x resourceNames), at most {RULE_PAIRS_MAX} are allowed; use '*', or split the rules into several roles"
    );
    (pairs > RULE_PAIRS_MAX).then_some(Fault { path, fault_type: FaultType::TooMany, message })
}

/// Kubernetes' `ValidatePolicyRule`.
fn faults_of(path: &Path, rule: &Rule, value: &Value, namespaced: bool) -> Vec<Fault> {
    let mut faults = Vec::new();
    let required = |name: &str, why: &str| Fault::required(path.child(name), why);
    if rule.verbs.is_empty() {
        faults.push(required("verbs", "verbs must contain at least one value"));
    }
    if !rule.non_resource_urls.is_empty() {
        let urls = || value.get("nonResourceURLs").cloned().unwrap_or_default();
        let invalid = |why: &str| Fault::invalid(path.child("nonResourceURLs"), urls(), why);
        if namespaced {
            faults.push(invalid("namespaced rules cannot apply to non-resource URLs"));
        }
        if !(rule.api_groups.is_empty() && rule.resources.is_empty() && rule.resource_names.is_empty()) {
            faults.push(invalid("rules cannot apply to both regular resources and non-resource URLs"));
        }
        return faults;
    }
    if rule.api_groups.is_empty() {
        faults.push(required("apiGroups", "resource rules must supply at least one api group"));
    }
    if rule.resources.is_empty() {
        faults.push(required("resources", "resource rules must supply at least one resource"));
    }
    faults
}
