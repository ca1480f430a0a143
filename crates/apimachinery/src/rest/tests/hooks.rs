//! Calls of a kind's rules by create, update and delete.

use super::*;
use crate::{
    command::Write,
    field::{FieldErrorType, Path},
    kind::{Context, MutationResult},
};

/// A kind of shelves. Green is invalid, a red shelf cannot be deleted, a gold one is rejected by the decision, a brown
/// one is written with a book, and each deletion also deletes a book.
struct Guarded(Resource);

impl Guarded {
    fn book(key: &ObjectKey) -> ObjectKey {
        ObjectKey { resource: "books", ..key.clone() }
    }

    /// Validates the color and fills in a default, without the decision state.
    fn prepared(&self, key: &ObjectKey, mut object: Object) -> Result<PreparedObject<()>, StatusError> {
        if object.text("/spec/colour") == "green" {
            let error = FieldError::invalid(Path::new("spec").child("colour"), "green", "must not be green");
            return Err(StatusError::invalid(self.0.group, self.0.kind, &key.name, &[error]));
        }
        if object.text("/spec/colour") == "grey" {
            object.set_field("status", json!({"books": 7}));
        }
        if object.text("/spec/colour").is_empty() {
            object.set_field("spec", json!({"colour": "blue"}));
        }
        let prepared = PreparedObject::with_decision(object, |(), key, object, _| Self::decided(key, object));
        Ok(PreparedObject { warnings: vec!["mind the step".to_owned()], ..prepared })
    }

    fn decided(key: &ObjectKey, object: Object) -> Result<MutationResult, StatusError> {
        if object.text("/spec/colour") == "gold" {
            return Err(StatusError::new(StatusReason::InsufficientStorage, "no gold"));
        }
        let secondary_writes = match object.text("/spec/colour") {
            "brown" => vec![Write { key: Self::book(key), old: None, new: Some(Arc::default()) }],
            _ => Vec::new(),
        };
        Ok(MutationResult { object, secondary_writes, ..MutationResult::default() })
    }
}

impl Kind<()> for Guarded {
    fn resource(&self) -> &Resource {
        &self.0
    }

    fn prepare_create(
        &self,
        key: &ObjectKey,
        object: Object,
        _: &RequestContext<'_>,
    ) -> Result<PreparedObject<()>, StatusError> {
        self.prepared(key, object)
    }

    fn prepare_update(
        &self,
        key: &ObjectKey,
        _: &Object,
        new: Object,
        _: Option<Subresource>,
        _: &RequestContext<'_>,
    ) -> Result<PreparedObject<()>, StatusError> {
        self.prepared(key, new)
    }

    fn validate_delete(&self, (): &(), key: &ObjectKey, object: &Object, _: &Context<'_>) -> Result<(), StatusError> {
        match object.text("/spec/colour") {
            "red" => Err(StatusError::conflict(self.0.group, self.0.plural, &key.name, "it is red")),
            _ => Ok(()),
        }
    }

    fn mark_terminating(&self, object: &mut Object) {
        object.set_field("status", json!({"books": 0}));
    }

    fn delete(&self, (): &(), key: &ObjectKey, _: &Object, _: &Context<'_>) -> Result<Vec<Write>, StatusError> {
        Ok(vec![Write { key: Self::book(key), old: Some(Arc::default()), new: None }])
    }
}

fn run(current: Option<&Arc<Object>>, action: Action) -> Result<Decision, StatusError> {
    let kind = Guarded(fixture::shelf());
    let schema = Schema::for_resource(kind.resource());
    decide(&kind, &schema, Desk::command(action), current)
}

fn create(meta: Value, colour: &str) -> Result<Decision, StatusError> {
    let body = json!({"metadata": meta, "spec": {"colour": colour}});
    run(None, Action::Create(Desk::decoded(body)?))
}

fn created(meta: Value, colour: &str) -> Arc<Object> {
    create(meta, colour).unwrap().writes.remove(0).new.unwrap()
}

fn merge(current: &Arc<Object>, patch: Value) -> Result<Decision, StatusError> {
    let change = UpdateOperation::Patch(Patch::Merge(patch.into()), FieldValidation::Warn);
    run(Some(current), Action::Update { change, subresource: None })
}

fn delete(current: &Arc<Object>) -> Result<Decision, StatusError> {
    run(Some(current), Action::Delete(DeleteOptions::default()))
}

/// The resources that a decision writes: `+` created, `~` changed, `-` deleted.
fn writes(decision: &Decision) -> Vec<String> {
    let sign = |write: &Write| match (&write.old, &write.new) {
        (None, Some(_)) => '+',
        (Some(_), Some(_)) => '~',
        (_, None) => '-',
    };
    decision.writes.iter().map(|write| format!("{}{}", sign(write), write.key.resource)).collect()
}

#[test]
fn kind_adds_defaults_secondary_writes_and_warnings() {
    let decision = create(json!({"name": "a"}), "brown").unwrap();
    assert_eq!(
        (writes(&decision), decision.warnings),
        (vec!["+shelves".into(), "+books".into()], vec!["mind the step".into()])
    );
    assert_eq!(created(json!({"name": "a"}), "").text("/spec/colour"), "blue");
}

#[test]
fn metadata_and_kind_errors_are_reported_together() {
    let labels = json!({"name": "a", "labels": {"x": "-"}});
    let both = create(labels.clone(), "green").unwrap_err();
    let fields: Vec<_> = both.details.causes.iter().map(|cause| cause.field.as_str()).collect();
    assert_eq!(fields, ["metadata.labels", "spec.colour"]);
    assert!(both.message.starts_with("Shelf.store.example.com \"a\" is invalid: [metadata.labels: "), "{both}");
    assert!(both.message.ends_with(", spec.colour: Invalid value: \"green\": must not be green]"), "{both}");
    // API errors of the kind that are not field errors are returned only if the fields are valid.
    let first = create(labels.clone(), "gold").unwrap_err();
    assert_eq!((first.reason, first.details.causes.len()), (StatusReason::Invalid, 1));
    assert_eq!(create(labels.clone(), "blue").unwrap_err().details.causes.len(), 1);
    assert_eq!(create(json!({"name": "a"}), "gold").unwrap_err().reason, StatusReason::InsufficientStorage);

    let current = created(json!({"name": "a"}), "blue");
    let both = merge(&current, json!({"metadata": labels, "spec": {"colour": "green"}})).unwrap_err();
    assert_eq!(both.details.causes.len(), 2);
    assert_eq!(both.details.causes[0].reason, FieldErrorType::Invalid.as_str());
}

#[test]
fn defaulting_without_effect_is_no_write() {
    let current = created(json!({"name": "a"}), "");
    let decision = merge(&current, json!({"spec": null})).unwrap();
    assert!(matches!(&decision.answer, WriteResult::Unchanged(object) if Arc::ptr_eq(object, &current)));
    assert_eq!((writes(&decision), decision.warnings.len()), (vec![], 1));
}

#[test]
fn write_refers_to_the_object_that_was_read() {
    let current = created(json!({"name": "a", "finalizers": ["e.x/a"]}), "blue");
    for decision in [merge(&current, json!({"spec": {"colour": "pink"}})), delete(&current)] {
        let decision = decision.unwrap();
        assert_eq!(writes(&decision), ["~shelves"]);
        assert!(Arc::ptr_eq(decision.writes[0].old.as_ref().unwrap(), &current));
    }
}

#[test]
fn kind_can_reject_deletion_at_its_beginning_and_end() {
    let red = created(json!({"name": "a", "finalizers": ["e.x/a"]}), "red");
    assert_eq!(delete(&red).unwrap_err().reason, StatusReason::Conflict);

    let blue = created(json!({"name": "a", "finalizers": ["e.x/a"]}), "blue");
    let marked = delete(&blue).unwrap().writes.remove(0).new.unwrap();
    assert_eq!((marked.metadata.deletion_grace_period_seconds, marked.metadata.generation), (Some(0), Some(2)));
    assert_eq!(marked.field("status"), &json!({"books": 0}));
    let ended = merge(&marked, json!({"metadata": {"finalizers": []}, "spec": {"colour": "red"}}));
    assert_eq!(ended.unwrap_err().reason, StatusReason::Conflict);
    // The secondary writes of the update are dropped; those of the deletion are made.
    let ended = merge(&marked, json!({"metadata": {"finalizers": []}, "spec": {"colour": "brown"}})).unwrap();
    assert_eq!(writes(&ended), ["-shelves", "-books"]);
    assert!(matches!(&ended.answer, WriteResult::DeletedByUpdate(object) if object.text("/spec/colour") == "brown"));
}

#[test]
fn delete_includes_secondary_writes_and_returns_uid() {
    let current = created(json!({"name": "a"}), "blue");
    let decision = delete(&current).unwrap();
    assert_eq!(writes(&decision), ["-shelves", "-books"]);
    let WriteResult::Deleted(details) = decision.answer else { panic!("not deleted") };
    assert_eq!((details.group.as_str(), details.kind.as_str()), ("store.example.com", "shelves"));
    assert_eq!((details.name.as_str(), details.uid), ("a", current.metadata.uid.clone()));
}

#[test]
fn only_spec_changes_through_main_resource_increment_generation() {
    let grey = created(json!({"name": "a"}), "grey");
    let mut bare = (*grey).clone();
    bare.set_field("status", Value::Null);
    let bare = Arc::new(bare);
    let patch = json!({"metadata": {"labels": {"a": "b"}}});
    let new = merge(&bare, patch).unwrap().writes.remove(0).new.unwrap();
    assert_eq!((new.field("status"), new.metadata.generation), (&json!({"books": 7}), Some(1)));

    let mut unset = (*grey).clone();
    unset.set_field("spec", Value::Null);
    let change = UpdateOperation::Patch(Patch::Merge(json!({"status": {"books": 1}}).into()), FieldValidation::Warn);
    let subresource = Some(Subresource::Status);
    let decision = run(Some(&Arc::new(unset)), Action::Update { change, subresource });
    let new = decision.unwrap().writes.remove(0).new.unwrap();
    assert_eq!((new.text("/spec/colour"), new.metadata.generation), ("blue", Some(1)));
}
