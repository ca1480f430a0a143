//! The conditions of a namespace that is being deleted: types, reasons and messages of Kubernetes' namespace controller.

use std::collections::BTreeMap;

use apimachinery::{object::Object, resource::Resource, time::Time};
use serde_json::{Value, json};

use crate::limits::CONDITION_FINALIZERS_MAX;

/// The objects that remain in a namespace, and the reasons.
#[derive(Debug, Default)]
pub struct RemainingContent {
    /// Number of objects by resource and group.
    resources: BTreeMap<String, usize>,
    /// Number of objects by finalizer.
    finalizers: BTreeMap<String, usize>,
    /// True if there are further finalizers that are not counted.
    has_other_finalizers: bool,
    /// The first error of a deletion, for each resource.
    refusals: Vec<String>,
}

impl RemainingContent {
    /// Counts an object that still exists.
    pub fn add(&mut self, resource: &Resource, object: &Object) {
        *self.resources.entry(format!("{}.{}", resource.plural, resource.group)).or_default() += 1;
        for finalizer in &object.metadata.finalizers {
            if let Some(count) = self.finalizers.get_mut(finalizer) {
                *count += 1;
            } else if self.finalizers.len() < CONDITION_FINALIZERS_MAX {
                self.finalizers.insert(finalizer.clone(), 1);
            } else {
                self.has_other_finalizers = true;
            }
        }
    }

    /// Records that objects of a resource could not be deleted.
    pub fn refused(&mut self, why: String) {
        self.refusals.push(why);
    }

    /// The number of objects.
    pub fn count(&self) -> usize {
        self.resources.values().sum()
    }

    /// The errors in one text; `None` if there are none.
    pub fn refusal(&self) -> Option<String> {
        let mut refusals = self.refusals.clone();
        refusals.sort_unstable();
        (!refusals.is_empty()).then(|| refusals.join(", "))
    }

    fn resources(&self) -> Option<String> {
        let texts = self.resources.iter().map(|(resource, count)| format!("{resource} has {count} resource instances"));
        let texts: Vec<_> = texts.collect();
        (!texts.is_empty()).then(|| format!("Some resources are remaining: {}", texts.join(", ")))
    }

    fn finalizers(&self) -> Option<String> {
        let texts =
            self.finalizers.iter().map(|(finalizer, count)| format!("{finalizer} in {count} resource instances"));
        let mut texts: Vec<_> = texts.collect();
        if self.has_other_finalizers {
            texts.push("and others".to_owned());
        }
        (!texts.is_empty())
            .then(|| format!("Some content in the namespace has finalizers remaining: {}", texts.join(", ")))
    }
}

/// The updated conditions of `namespace`; `None` if they are up to date. `notes` describe what else is deleted with it.
pub fn updated(namespace: &Object, left: &RemainingContent, notes: &[&str], now: Time) -> Option<Vec<Value>> {
    let present = namespace.field("status").get("conditions").and_then(Value::as_array);
    let mut conditions = present.cloned().unwrap_or_default();
    let mut has_changed = false;
    for wanted in all(left, notes) {
        has_changed |= wanted.set(&mut conditions, now);
    }
    has_changed.then_some(conditions)
}

/// The desired state of a condition.
struct DesiredCondition {
    kind: &'static str,
    status: &'static str,
    reason: &'static str,
    message: String,
}

impl DesiredCondition {
    /// True with the message of `trouble`, False if it has none.
    fn new(kind: &'static str, trouble: (&'static str, Option<String>), none: (&'static str, &str)) -> Self {
        match trouble {
            (reason, Some(message)) => Self { kind, status: "True", reason, message },
            (_, None) => Self { kind, status: "False", reason: none.0, message: none.1.to_owned() },
        }
    }

    /// Sets the condition. Returns true if that changed anything.
    fn set(self, conditions: &mut Vec<Value>, now: Time) -> bool {
        let Self { kind, status, reason, message } = self;
        let mut wanted = json!({
            "type": kind, "status": status, "reason": reason, "message": message, "lastTransitionTime": now,
        });
        let Some(present) = conditions.iter_mut().find(|condition| condition["type"] == kind) else {
            conditions.push(wanted);
            return true;
        };
        if present["status"] == status {
            wanted["lastTransitionTime"] = present["lastTransitionTime"].take();
        }
        let has_changed = ["status", "reason", "message"].iter().any(|field| present[field] != wanted[field]);
        *present = wanted;
        has_changed
    }
}

fn all(left: &RemainingContent, notes: &[&str]) -> [DesiredCondition; 5] {
    let deleted = ["All content successfully deleted, may be waiting on finalization"].iter().chain(notes);
    let deleted = deleted.copied().collect::<Vec<_>>().join("; ");
    let failed = left
        .refusal()
        .map(|refusal| format!("Failed to delete all resource types, {} remaining: {refusal}", left.refusals.len()));
    [
        DesiredCondition::new(
            "NamespaceDeletionDiscoveryFailure",
            ("DiscoveryFailed", None),
            ("ResourcesDiscovered", "All resources successfully discovered"),
        ),
        DesiredCondition::new(
            "NamespaceDeletionGroupVersionParsingFailure",
            ("GroupVersionParsingFailed", None),
            ("ParsedGroupVersions", "All legacy kube types successfully parsed"),
        ),
        DesiredCondition::new(
            "NamespaceDeletionContentFailure",
            ("ContentDeletionFailed", failed),
            ("ContentDeleted", &deleted),
        ),
        DesiredCondition::new(
            "NamespaceContentRemaining",
            ("SomeResourcesRemain", left.resources()),
            ("ContentRemoved", "All content successfully removed"),
        ),
        DesiredCondition::new(
            "NamespaceFinalizersRemaining",
            ("SomeFinalizersRemain", left.finalizers()),
            ("ContentHasNoFinalizers", "All content-preserving finalizers finished"),
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::namespace::Namespaces;

    /// One remaining object of a core resource, with these finalizers.
    fn left(finalizers: &[String]) -> RemainingContent {
        let resource = kind_of_namespaces();
        let mut object = Object::default();
        object.metadata.finalizers = finalizers.to_vec();
        let mut left = RemainingContent::default();
        left.add(&resource, &object);
        left
    }

    fn kind_of_namespaces() -> Resource {
        <Namespaces as apimachinery::kind::Kind<()>>::resource(&Namespaces::new()).clone()
    }

    fn time(second: i64) -> Time {
        Time::new(jiff::Timestamp::from_second(second).unwrap())
    }

    fn namespace(conditions: Vec<Value>) -> Object {
        let mut namespace = Object::default();
        namespace.set_field("status", json!({ "phase": "Terminating", "conditions": conditions }));
        namespace
    }

    fn condition<'a>(conditions: &'a [Value], kind: &str) -> &'a Value {
        conditions.iter().find(|condition| condition["type"] == kind).unwrap()
    }

    #[test]
    fn condition_transition_time_changes_only_with_status() {
        let finalizer = |name: &str| left(&[name.to_owned()]);
        let foreign = json!({ "type": "Mine", "status": "True" });
        let first = updated(&namespace(vec![foreign.clone()]), &finalizer("a"), &[], time(1)).unwrap();
        assert_eq!((first.len(), &first[0]), (6, &foreign), "conditions of others stay");
        assert_eq!(updated(&namespace(first.clone()), &finalizer("a"), &[], time(2)), None);
        let second = updated(&namespace(first), &finalizer("b"), &[], time(3)).unwrap();
        let remaining = condition(&second, "NamespaceFinalizersRemaining");
        assert_eq!(
            remaining["message"],
            "Some content in the namespace has finalizers remaining: b in 1 resource instances"
        );
        assert_eq!(remaining["lastTransitionTime"], json!(time(1)));
        let third = updated(&namespace(second), &RemainingContent::default(), &[], time(4)).unwrap();
        for kind in ["NamespaceContentRemaining", "NamespaceFinalizersRemaining"] {
            let removed = condition(&third, kind);
            assert_eq!(
                (&removed["status"], &removed["lastTransitionTime"]),
                (&json!("False"), &json!(time(4))),
                "{kind}"
            );
        }
    }

    #[test]
    fn condition_lists_deletion_errors_in_order() {
        let mut left = left(&[]);
        left.refused("b is refused".to_owned());
        left.refused("a is refused".to_owned());
        let conditions = updated(&namespace(Vec::new()), &left, &["a note"], time(1)).unwrap();
        let failed = condition(&conditions, "NamespaceDeletionContentFailure");
        assert_eq!(failed["message"], "Failed to delete all resource types, 2 remaining: a is refused, b is refused");
        let resources = condition(&conditions, "NamespaceContentRemaining");
        assert_eq!(resources["message"], "Some resources are remaining: namespaces. has 1 resource instances");
    }

    #[test]
    fn condition_names_finalizers_up_to_the_limit() {
        let names: Vec<_> = (0..=CONDITION_FINALIZERS_MAX).map(|index| format!("example.com/{index:03}")).collect();
        let conditions = updated(&namespace(Vec::new()), &left(&names), &[], time(1)).unwrap();
        let message = condition(&conditions, "NamespaceFinalizersRemaining")["message"].as_str().unwrap();
        assert_eq!(message.matches(" in 1 resource instances").count(), CONDITION_FINALIZERS_MAX);
        assert!(message.ends_with(", and others"), "{message}");
    }
}
