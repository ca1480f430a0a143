//! Create, update and delete of a kind without rules.

use std::sync::Arc;

use serde_json::{Value, json};

use super::*;
use crate::{
    body::{Decoded, decode},
    command::{Decision, RequestEntropy, Scope, UpdateOperation, WriteResult},
    decoding::DecodedObject,
    fixture,
    kind::RelatedObjects,
    options::{DeleteOptions, FieldValidation, Propagation},
    patch::Patch,
    rbac::Permissions,
    resource::Subresource,
    time::Time,
};

mod hooks;

/// Prepares and decides a command.
fn decide(
    kind: &dyn Kind<()>,
    schema: &Schema,
    command: Command,
    current: Option<&Arc<Object>>,
) -> Result<Decision, StatusError> {
    let plan = prepare(kind, schema, command, current)?;
    let version = current.map(|current| current.metadata.resource_version.as_str());
    assert!(plan.is_for_version(version), "the command was prepared for the current version");
    plan.decide(kind, &(), Existence::of(current.map(AsRef::as_ref)), &RelatedObjects::default())
}

/// The current object of a test, to which commands are applied.
struct Desk(Option<Arc<Object>>);

impl Desk {
    fn with(body: Value) -> Self {
        let mut desk = Self(None);
        desk.create(body).unwrap();
        desk
    }

    fn command(action: Action) -> Command {
        Command {
            key: ObjectKey {
                resource: "shelves",
                scope: Scope::platform(),
                namespace: String::new(),
                name: "a".into(),
            },
            view: None,
            action,
            manager: "tester".to_owned(),
            dry_run: false,
            now: "2026-01-02T03:04:05Z".parse::<Time>().unwrap(),
            entropy: RequestEntropy([7; 32]),
            permissions: Permissions::Unrestricted,
            body_bytes: 0,
        }
    }

    fn run(&mut self, command: Command) -> Result<Decision, StatusError> {
        let registry = fixture::registry();
        let kind = registry.get("shelves").unwrap();
        let schema = Schema::for_resource(kind.resource());
        let mut decision = decide(kind, &schema, command, self.0.as_ref())?;
        if let Some(write) = decision.writes.first_mut() {
            if let Some(new) = &mut write.new {
                let last = self.0.as_ref().map_or(0, |object| object.metadata.resource_version.parse::<u64>().unwrap());
                Arc::make_mut(new).metadata.resource_version = (last + 1).to_string();
            }
            self.0 = write.new.clone();
        }
        Ok(decision)
    }

    fn decoded(body: Value) -> Result<Box<DecodedObject>, StatusError> {
        let body = decode(None, body.to_string().as_bytes()).unwrap();
        fixture::decoded(&fixture::shelf(), body, FieldValidation::Warn)
    }

    fn create(&mut self, body: Value) -> Result<Decision, StatusError> {
        self.run(Self::command(Action::Create(Self::decoded(body)?)))
    }

    fn update(&mut self, change: UpdateOperation, subresource: Option<Subresource>) -> Result<Decision, StatusError> {
        self.run(Self::command(Action::Update { change, subresource }))
    }

    fn replace(&mut self, body: Value) -> Result<Decision, StatusError> {
        self.update(UpdateOperation::Replace(Self::decoded(body)?), None)
    }

    fn merge(&mut self, patch: Value) -> Result<Decision, StatusError> {
        self.patch(Patch::Merge(patch.into()), None)
    }

    fn patch(&mut self, patch: Patch, subresource: Option<Subresource>) -> Result<Decision, StatusError> {
        self.update(UpdateOperation::Patch(patch, FieldValidation::Warn), subresource)
    }

    fn delete(&mut self, options: DeleteOptions) -> Result<Decision, StatusError> {
        self.run(Self::command(Action::Delete(options)))
    }

    fn now(&self) -> Value {
        self.0.as_ref().map_or(Value::Null, |object| object.to_value())
    }
}

fn refused(result: Result<Decision, StatusError>) -> (u16, String) {
    let refusal = result.unwrap_err();
    (refusal.reason.code(), refusal.message)
}

#[test]
fn created_object_has_system_metadata_and_no_status() {
    let desk = Desk::with(json!({
        "metadata": {"name": "a", "uid": "mine", "generation": 9, "creationTimestamp": "2000-01-01T00:00:00Z"},
        "spec": {"colour": "red"}, "status": {"books": 3},
    }));
    let uid = RequestEntropy([7; 32]).uid();
    assert_eq!(
        desk.now(),
        json!({
            "apiVersion": "store.example.com/v1alpha1", "kind": "Shelf",
            "metadata": {
                "name": "a", "uid": uid, "generation": 1, "creationTimestamp": "2026-01-02T03:04:05Z", "resourceVersion": "1",
                "managedFields": [{
                    "manager": "tester", "operation": "Update", "apiVersion": "store.example.com/v1alpha1",
                    "time": "2026-01-02T03:04:05Z", "fieldsType": "FieldsV1",
                    "fieldsV1": {"f:spec": {".": {}, "f:colour": {}}},
                }],
            },
            "spec": {"colour": "red"},
        })
    );
}

#[test]
fn create_with_invalid_body_is_rejected() {
    let create = |body: Value| refused(Desk(None).create(body));
    assert_eq!(create(json!({"metadata": {"name": "a", "resourceVersion": "1"}})).0, 400);
    assert_eq!(create(json!({"apiVersion": "other/v1"})).0, 400);
    let text = "Book.store.example.com \"a\" is invalid: kind: Invalid value: \"Book\": must be Shelf";
    let book = json!({"apiVersion": "store.example.com/v1alpha1", "kind": "Book", "metadata": {"name": "a"}});
    assert_eq!(create(book), (422, text.to_owned()));
    assert_eq!(create(json!({"metadata": {"name": "a", "labels": {"b": 1}}})).0, 400);
    assert_eq!(create(json!({"metadata": {"name": "a", "labels": {"-": "x"}}, "spec": {}})).0, 422);
    assert_eq!(create(json!({"spec": 1})).0, 422);
    assert_eq!(create(json!(1)).0, 400);
}

#[test]
fn create_of_existing_name_is_already_exists() {
    let mut desk = Desk::with(json!({"metadata": {"name": "a"}}));
    let (code, message) = refused(desk.create(json!({"metadata": {"name": "a"}})));
    assert_eq!((code, message.as_str()), (409, "shelves.store.example.com \"a\" already exists"));
}

#[test]
fn field_validation_controls_unknown_and_duplicate_fields() {
    let body = decode(None, br#"{"metadata":{"name":"a"},"spec":{"color":1,"colour":"b","colour":"c"}}"#).unwrap();
    let create = |field_validation| {
        let decoded = fixture::decoded(&fixture::shelf(), body.clone(), field_validation);
        let decision = decoded.and_then(|decoded| Desk(None).run(Desk::command(Action::Create(decoded))));
        decision.map(|decision| decision.warnings).map_err(|refusal| refusal.message)
    };
    let warnings = ["unknown field \"spec.color\"", "duplicate field \"spec.colour\""].map(str::to_owned).to_vec();
    assert_eq!(create(FieldValidation::Ignore), Ok(vec![]));
    assert_eq!(create(FieldValidation::Warn), Ok(warnings));
    let strict = "Shelf in version \"v1alpha1\" cannot be handled as a Shelf: strict decoding error: \
                  unknown field \"spec.color\", duplicate field \"spec.colour\"";
    assert_eq!(create(FieldValidation::Strict), Err(strict.to_owned()));
}

#[test]
fn replace_requires_current_resource_version() {
    let mut desk = Desk::with(json!({"metadata": {"name": "a"}, "spec": {"colour": "red"}}));
    let body =
        |version: &str| json!({"metadata": {"name": "a", "resourceVersion": version}, "spec": {"colour": "blue"}});
    assert_eq!(refused(desk.replace(body(""))).0, 422);
    assert_eq!(refused(desk.replace(body("7"))).0, 409);
    desk.replace(body("1")).unwrap();
    let now = desk.now();
    assert_eq!((&now["spec"]["colour"], &now["metadata"]["generation"]), (&json!("blue"), &json!(2)));
    assert_eq!(refused(Desk(None).replace(body("1"))).0, 404);
}

#[test]
fn resource_version_in_patch_is_a_precondition() {
    let mut desk = Desk::with(json!({"metadata": {"name": "a"}}));
    assert_eq!(refused(desk.merge(json!({"metadata": {"resourceVersion": "9"}, "spec": {"colour": "x"}}))).0, 409);
    assert_eq!(refused(desk.merge(json!({"metadata": {"uid": "other"}}))).0, 422);
    assert_eq!(refused(desk.merge(json!({"metadata": {"name": "b"}}))).0, 400);
    desk.merge(json!({"metadata": {"resourceVersion": "1"}, "spec": {"colour": "x"}})).unwrap();
    assert_eq!(desk.now()["spec"]["colour"], "x");
}

#[test]
fn update_without_changes_is_no_write() {
    let mut desk = Desk::with(json!({"metadata": {"name": "a"}, "spec": {"colour": "red"}}));
    let decision = desk.merge(json!({"spec": {"colour": "red"}, "metadata": {"generation": 5}})).unwrap();
    assert!(matches!(decision.answer, WriteResult::Unchanged(_)) && decision.writes.is_empty());
    desk.merge(json!({"metadata": {"labels": {"a": "b"}}})).unwrap();
    assert_eq!(desk.now()["metadata"]["generation"], 1, "labels are not desired state");
}

#[test]
fn main_resource_and_status_write_only_their_part() {
    let mut desk = Desk::with(json!({"metadata": {"name": "a"}, "spec": {"colour": "red"}}));
    let patch = json!({"spec": {"colour": "blue"}, "status": {"books": 3}, "metadata": {"labels": {"a": "b"}}});
    desk.patch(Patch::Merge(patch.clone().into()), Some(Subresource::Status)).unwrap();
    let now = desk.now();
    assert_eq!((&now["spec"]["colour"], &now["status"]["books"]), (&json!("red"), &json!(3)));
    assert_eq!((&now["metadata"]["labels"], &now["metadata"]["generation"]), (&Value::Null, &json!(1)));
    desk.merge(json!({"status": {"books": 4}, "spec": {"colour": "blue"}})).unwrap();
    assert_eq!((&desk.now()["spec"]["colour"], &desk.now()["status"]["books"]), (&json!("blue"), &json!(3)));
}

#[test]
fn finalizers_delay_deletion_until_last_is_removed() {
    let mut desk = Desk::with(json!({"metadata": {"name": "a", "finalizers": ["e.x/a"]}}));
    desk.delete(DeleteOptions::default()).unwrap();
    let meta = &desk.now()["metadata"];
    assert_eq!(meta["deletionTimestamp"], "2026-01-02T03:04:05Z");
    assert_eq!((&meta["finalizers"], &meta["generation"]), (&json!(["e.x/a"]), &json!(2)));
    assert!(matches!(desk.delete(DeleteOptions::default()).unwrap().answer, WriteResult::Unchanged(_)));
    assert_eq!(refused(desk.merge(json!({"metadata": {"finalizers": ["e.x/a", "e.x/b"]}}))).0, 422);
    let (_, message) = refused(desk.create(json!({"metadata": {"name": "a"}})));
    assert!(message.starts_with("object is being deleted: "), "{message}");
    let decision = desk.merge(json!({"metadata": {"finalizers": null}})).unwrap();
    assert!(matches!(decision.answer, WriteResult::DeletedByUpdate(_)));
    assert_eq!(desk.now(), Value::Null);
}

#[test]
fn delete_sets_garbage_collection_finalizers() {
    use Propagation::{Background, Foreground, Orphan};
    // Finalizers before the delete, propagation policy, finalizers after it; null: the object is deleted or has none.
    for (present, propagation, left) in [
        (json!(null), None, json!(null)),
        (json!(null), Some(Background), json!(null)),
        (json!(null), Some(Foreground), json!(["foregroundDeletion"])),
        (json!(null), Some(Orphan), json!(["orphan"])),
        (json!(["foregroundDeletion"]), None, json!(["foregroundDeletion"])),
        (json!(["orphan"]), None, json!(["orphan"])),
        (json!(["orphan"]), Some(Background), json!(null)),
        (json!(["orphan", "e.x/a"]), Some(Foreground), json!(["e.x/a", "foregroundDeletion"])),
        (json!(["e.x/a", "foregroundDeletion"]), Some(Background), json!(["e.x/a"])),
    ] {
        let mut desk = Desk::with(json!({"metadata": {"name": "a", "finalizers": present}}));
        desk.delete(DeleteOptions { propagation, ..DeleteOptions::default() }).unwrap();
        assert_eq!(desk.now()["metadata"]["finalizers"], left, "{present} {propagation:?}");
    }
    let mut desk = Desk::with(json!({"metadata": {"name": "a"}}));
    let mut delete = |propagation| {
        desk.delete(DeleteOptions { propagation: Some(propagation), ..DeleteOptions::default() }).unwrap()
    };
    assert!(matches!(delete(Foreground).answer, WriteResult::Changed));
    assert!(matches!(delete(Foreground).answer, WriteResult::Unchanged(_)), "deletion has begun already");
    assert!(matches!(delete(Orphan).answer, WriteResult::Changed), "a later policy replaces the earlier one");
    assert!(matches!(delete(Background).answer, WriteResult::Deleted(_)), "no finalizer is left");
}

#[test]
fn delete_checks_preconditions_and_returns_details() {
    let mut desk = Desk::with(json!({"metadata": {"name": "a"}}));
    let mut delete = |options| {
        let refusal = desk.delete(options).unwrap_err();
        assert_eq!((refusal.reason, refusal.details.kind.as_str()), (StatusReason::Conflict, "Shelf"));
        refusal.message
    };
    expect_test::expect![[r#"Operation cannot be fulfilled on Shelf.store.example.com "a": the UID in the precondition (other) does not match the UID in record (07070707-0707-4707-8707-070707070707). The object might have been deleted and then recreated"#]]
        .assert_eq(&delete(DeleteOptions { uid: Some("other".to_owned()), ..DeleteOptions::default() }));
    expect_test::expect![[r#"Operation cannot be fulfilled on Shelf.store.example.com "a": the ResourceVersion in the precondition (9) does not match the ResourceVersion in record (1). The object might have been modified"#]]
        .assert_eq(&delete(DeleteOptions { resource_version: Some("9".to_owned()), ..DeleteOptions::default() }));
    let WriteResult::Deleted(details) = desk.delete(DeleteOptions::default()).unwrap().answer else {
        panic!("not deleted")
    };
    assert_eq!((details.kind.as_str(), details.uid), ("shelves", RequestEntropy([7; 32]).uid()));
    assert_eq!(refused(desk.delete(DeleteOptions::default())).0, 404);
}

#[test]
fn body_must_match_object_of_path() {
    let mut desk = Desk::with(json!({"metadata": {"name": "a"}}));
    let body = |more: Value| {
        let mut meta = json!({"name": "a", "resourceVersion": "1"});
        json_patch::merge(&mut meta, &more);
        json!({"metadata": meta})
    };
    for (meta, expected) in [
        (json!({"name": "b"}), "the name of the object (b) does not match the name on the URL (a)"),
        (json!({"name": ""}), "the name of the object (a based on URL) was undeterminable: name must be provided"),
        (
            json!({"uid": "other"}),
            "Operation cannot be fulfilled on shelves.store.example.com \"a\": Precondition failed: UID in \
             precondition: other, UID in object meta: 07070707-0707-4707-8707-070707070707",
        ),
        (
            json!({"resourceVersion": "7"}),
            "Operation cannot be fulfilled on shelves.store.example.com \"a\": the object has been modified; please \
             apply your changes to the latest version and try again",
        ),
        (
            json!({"resourceVersion": null}),
            "shelves.store.example.com \"a\" is invalid: metadata.resourceVersion: Invalid value: 0: must be specified \
             for an update",
        ),
    ] {
        assert_eq!(refused(desk.replace(body(meta))).1, expected);
    }
    // The namespace in a body is ignored for a cluster-scoped kind.
    desk.replace(body(json!({"namespace": "x"}))).unwrap();
    let expected =
        "the API version in the data (v1) does not match the expected API version (store.example.com/v1alpha1)";
    assert_eq!(refused(desk.replace(json!({"apiVersion": "v1"}))), (400, expected.to_owned()));
}

#[test]
fn change_of_kind_is_rejected_except_in_status() {
    let mut desk = Desk::with(json!({"metadata": {"name": "a"}}));
    let version = "store.example.com/v1alpha1";
    let body =
        |kind: &str| json!({"apiVersion": version, "kind": kind, "metadata": {"name": "a", "resourceVersion": "1"}});
    let text = "Book.store.example.com \"a\" is invalid: kind: Invalid value: \"Book\": must be Shelf";
    assert_eq!(refused(desk.replace(body("Book"))), (422, text.to_owned()));
    assert_eq!(refused(desk.merge(json!({"kind": "Book"}))), (422, text.to_owned()));
    let text = "Shelf.other \"a\" is invalid: [metadata.labels: Invalid value: \"-\": name part must";
    let refusal = refused(desk.merge(json!({"apiVersion": "other/v2", "metadata": {"labels": {"-": ""}}})));
    assert!(refusal.1.starts_with(text) && refusal.1.contains("apiVersion: Invalid value"), "{refusal:?}");
    let gone = desk.merge(json!({"kind": null})).unwrap_err();
    assert_eq!((gone.reason, gone.details.causes[0].field.as_str()), (StatusReason::Invalid, "patch"));
    let mut write = |patch: Value| desk.patch(Patch::Merge(patch.into()), Some(Subresource::Status));
    assert_eq!(refused(write(json!({"apiVersion": "other/v2", "status": {"books": 1}}))).0, 422);
    write(json!({"kind": "Book", "status": {"books": 1}})).unwrap();
    assert_eq!((&desk.now()["kind"], &desk.now()["status"]["books"]), (&json!("Shelf"), &json!(1)));
}

#[test]
fn status_update_ignores_errors_outside_status() {
    let mut desk = Desk::with(json!({"metadata": {"name": "a"}}));
    let mut write = |patch: Value| desk.patch(Patch::Merge(patch.into()), Some(Subresource::Status));
    let body = json!({"spec": {"colour": 1, "x": 1}, "metadata": {"labels": {"-": ""}}, "status": {"books": 3}});
    assert_eq!(write(body).unwrap().warnings, ["unknown field \"spec.x\""]);
    assert_eq!(refused(write(json!({"status": {"books": "many"}}))).0, 422);
    assert_eq!(refused(write(json!({"metadata": {"labels": {"b": 1}}}))).0, 422, "metadata cannot be decoded");
}

#[test]
fn dropped_status_is_not_validated() {
    let mut desk = Desk::with(json!({"metadata": {"name": "a"}}));
    desk.merge(json!({"status": {"books": "many"}})).unwrap();
    assert_eq!(refused(desk.merge(json!({"status": {"books": "many"}, "spec": {"colour": 1}}))).0, 422);
    Desk(None).create(json!({"metadata": {"name": "a"}, "status": {"books": "many"}})).unwrap();
}

#[test]
fn errors_carry_decode_warnings() {
    let mut desk = Desk::with(json!({"metadata": {"name": "a"}}));
    let expected = ["unknown field \"spec.x\""];
    let body = json!({"metadata": {"name": "a", "resourceVersion": "7"}, "spec": {"x": 1}});
    assert_eq!(desk.replace(body.clone()).unwrap_err().warnings, expected);
    assert_eq!(desk.merge(body).unwrap_err().warnings, expected);
    assert_eq!(desk.create(json!({"metadata": {"name": "a"}, "spec": {"x": 1}})).unwrap_err().warnings, expected);
    let body = json!({"metadata": {"name": "a", "resourceVersion": "1"}, "spec": {"x": 1}});
    assert_eq!(Desk(None).replace(body).unwrap_err().warnings, expected);
}

#[test]
fn malformed_patch_of_missing_object_is_not_found() {
    let change = || UpdateOperation::MalformedPatch(StatusError::bad_request("no sense"));
    assert_eq!(refused(Desk(None).update(change(), None)).0, 404);
    let mut desk = Desk::with(json!({"metadata": {"name": "a"}}));
    assert_eq!(refused(desk.update(change(), None)), (400, "no sense".to_owned()));
}

#[test]
fn duplicate_owner_references_cause_a_warning() {
    let owner = json!({"apiVersion": "v1", "kind": "K", "name": "n", "uid": "u"});
    let twice = json!({"name": "a", "ownerReferences": [owner, owner]});
    let mut desk = Desk(None);
    let created = desk.create(json!({"metadata": twice})).unwrap();
    let patched = desk.merge(json!({"metadata": twice})).unwrap();
    let begin = ".metadata.ownerReferences contains duplicate entries";
    let end = "; API server dedups owner references in 1.20+, and may reject such requests as early as 1.24; please fix your \
               requests; duplicate UID(s) observed: u";
    assert_eq!(created.warnings, [format!("{begin}{end}")]);
    assert_eq!(patched.warnings, [format!("{begin} after mutating admission happens{end}")]);
}

#[test]
fn replace_checks_name_before_existence() {
    let replace = |name: &str| refused(Desk(None).replace(json!({"metadata": {"name": name, "resourceVersion": "1"}})));
    assert_eq!((replace("a").0, replace("b").0), (404, 400));
}

#[test]
fn namespace_in_body_must_match_path() {
    let registry = fixture::registry();
    let book = registry.get("books").unwrap();
    let schema = Schema::for_resource(book.resource());
    let create = |namespace: &str| {
        let body = Decoded::from(json!({"metadata": {"namespace": namespace}}));
        let decoded = fixture::decoded(book.resource(), body, FieldValidation::Warn)?;
        let mut command = Desk::command(Action::Create(decoded));
        command.key = ObjectKey { resource: "books", namespace: "n".to_owned(), ..command.key };
        decide(book, &schema, command, None)
    };
    let text = "the namespace of the provided object does not match the namespace sent on the request";
    assert_eq!(refused(create("m")), (400, text.to_owned()));
    for same in ["", "n"] {
        let created = create(same).unwrap().writes.remove(0).new.unwrap();
        assert_eq!(created.metadata.namespace, "n");
    }
}

#[test]
fn update_cannot_change_system_metadata() {
    let mut desk = Desk::with(json!({"metadata": {"name": "a"}, "spec": {"colour": "red"}}));
    let before = desk.now();
    let patch = json!({"metadata": {
        "creationTimestamp": "2000-01-01T00:00:00Z", "generation": 7, "selfLink": "/x", "resourceVersion": null, "uid": null,
    }});
    assert!(matches!(desk.merge(patch).unwrap().answer, WriteResult::Unchanged(_)));
    assert_eq!(desk.now(), before);
}

#[test]
fn managed_fields_are_ignored_on_create_and_replaced_on_update() {
    let entry = |manager: &str| {
        json!({
            "manager": manager, "operation": "Update", "apiVersion": "store.example.com/v1alpha1",
            "fieldsType": "FieldsV1", "fieldsV1": {"f:spec": {"f:colour": {}}},
        })
    };
    let spec = json!({"colour": "red"});
    let mut desk = Desk::with(json!({"metadata": {"name": "a", "managedFields": [entry("given")]}, "spec": spec}));
    let managers = |object: &Value| {
        let entries = object["metadata"]["managedFields"].as_array().cloned().unwrap_or_default();
        entries.iter().map(|entry| entry["manager"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(managers(&desk.now()), ["tester"], "the creator owns all fields");
    let mut change = |managed_fields: Value, expected: &[&str]| {
        let version = &desk.now()["metadata"]["resourceVersion"];
        let meta = json!({"name": "a", "resourceVersion": version, "managedFields": managed_fields});
        desk.replace(json!({"metadata": meta, "spec": spec})).unwrap();
        assert_eq!(managers(&desk.now()), expected);
    };
    change(Value::Null, &["tester"]);
    change(json!([entry("x")]), &["x"]);
    change(Value::Null, &["x"]);
    change(json!([]), &["x"]);
    change(json!([entry("y")]), &["y"]);
    change(json!([{}]), &[]);
    let patch = br#"[{"op":"replace","path":"/metadata/resourceVersion","value":"1"}]"#;
    let patch = Patch::parse("application/json-patch+json", patch).unwrap();
    assert_eq!(refused(desk.patch(patch, None)).0, 409);
}

#[test]
fn patch_result_is_validated_like_a_body() {
    let mut desk = Desk::with(json!({"metadata": {"name": "a"}}));
    let strict = |patch: &str| {
        let patch = Patch::parse("application/merge-patch+json", patch.as_bytes()).unwrap();
        UpdateOperation::Patch(patch, FieldValidation::Strict)
    };
    let refusal = desk.update(strict(r#"{"spec":{"colour":"a","colour":"b","color":"c"}}"#), None).unwrap_err();
    assert_eq!((refusal.reason, refusal.details.causes[0].field.as_str()), (StatusReason::Invalid, "patch"));
    assert!(refusal.message.ends_with(r#"unknown field "spec.color", duplicate field "spec.colour""#), "{refusal}");
    let refusal = desk.merge(json!({"spec": {"colour": 1}})).unwrap_err();
    assert_eq!((refusal.reason, refusal.details.causes[0].field.as_str()), (StatusReason::Invalid, "spec.colour"));
    let whole = Patch::parse("application/json-patch+json", br#"[{"op":"replace","path":"","value":[]}]"#).unwrap();
    let refusal = desk.patch(whole, None).unwrap_err();
    assert_eq!((refusal.reason, refusal.details.causes[0].field.as_str()), (StatusReason::Invalid, "patch"));
    let failing = Patch::parse("application/json-patch+json", br#"[{"op":"remove","path":"/x"}]"#).unwrap();
    let refusal = desk.patch(failing, None).unwrap_err();
    assert_eq!((refusal.details.kind.as_str(), refusal.details.name.as_str()), ("Shelf", "a"));
    desk.merge(json!({"spec": {"color": "c"}})).map(|decision| assert_eq!(decision.warnings.len(), 1)).unwrap();
}

#[test]
fn removed_field_increments_generation() {
    let mut desk = Desk::with(json!({"metadata": {"name": "a"}, "spec": {"colour": "red"}}));
    desk.merge(json!({"spec": null})).unwrap();
    assert_eq!((&desk.now()["spec"], &desk.now()["metadata"]["generation"]), (&Value::Null, &json!(2)));
}

#[test]
fn type_and_metadata_errors_are_reported_together() {
    let body = json!({"metadata": {"name": "a", "labels": {"-": "x"}}, "spec": {"colour": 1}});
    let refusal = Desk(None).create(body).unwrap_err();
    let fields: Vec<_> = refusal.details.causes.iter().map(|cause| cause.field.as_str()).collect();
    assert_eq!(fields, ["metadata.labels", "spec.colour"]);
    let body = json!({"metadata": {"name": "a", "finalizers": ["-bad"]}, "spec": {"colour": 1}});
    let refusal = Desk(None).create(body).unwrap_err();
    let fields: Vec<_> = refusal.details.causes.iter().map(|cause| cause.field.as_str()).collect();
    assert_eq!(fields, ["metadata.finalizers", "spec.colour"]);
}
