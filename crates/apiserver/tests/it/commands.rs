//! Commands as request handlers submit them.

use std::{
    collections::HashMap,
    sync::{
        LazyLock,
        atomic::{AtomicU64, Ordering},
    },
};

use apimachinery::{
    command::{Action, Command, ObjectKey, RequestEntropy, UpdateOperation},
    decoding::ObjectDecoder,
    kind::Registry,
    options::{DeleteOptions, FieldValidation},
    patch::Patch,
    rbac::Permissions,
    resource::Resource,
    schema::Schema,
};
use serde_json::{Value, json};

use crate::sample_kinds::{self, SampleState, book, book_key};

/// The kinds of the library.
static REGISTRY: LazyLock<Registry<SampleState>> = LazyLock::new(sample_kinds::registry);
/// Their schemas, built once for tests with thousands of commands.
static SCHEMAS: LazyLock<HashMap<&'static str, Schema>> = LazyLock::new(|| {
    let schema = |resource: &Resource| (resource.plural, Schema::for_resource(resource));
    REGISTRY.iter().map(|kind| schema(kind.resource())).collect()
});

fn command(key: ObjectKey, action: Action) -> Command {
    Command {
        key,
        view: None,
        action,
        manager: "tester".to_owned(),
        dry_run: false,
        now: "2026-01-01T00:00:00Z".parse().unwrap(),
        entropy: fresh_seed(),
        permissions: Permissions::Unrestricted,
        body_bytes: 0,
    }
}

/// A command that creates an object.
pub fn create(key: ObjectKey, body: Value) -> Command {
    let resource = REGISTRY.get(key.resource).unwrap().resource();
    let schema = &SCHEMAS[key.resource];
    let decoder = ObjectDecoder { resource, schema, name: &key.name, validation: FieldValidation::Strict };
    let object = decoder.decode_body(body.into()).unwrap();
    command(key, Action::Create(Box::new(object)))
}

/// A command that creates a book on the shelf `a`.
pub fn create_book(name: &str) -> Command {
    create(book_key(name), book(name, "a"))
}

/// A command that deletes an object.
pub fn delete(key: ObjectKey) -> Command {
    command(key, Action::Delete(DeleteOptions::default()))
}

/// A command that changes the title of a book.
pub fn retitle(name: &str, title: &str) -> Command {
    let patch = json!({ "spec": { "title": title } }).to_string();
    let patch = Patch::parse("application/merge-patch+json", patch.as_bytes()).unwrap();
    command(
        book_key(name),
        Action::Update { change: UpdateOperation::Patch(patch, FieldValidation::Strict), subresource: None },
    )
}

/// The command with a body of at least `bytes` bytes: the title is filled up, if there is one.
pub fn large(command: Command, bytes: usize) -> Command {
    let filler = "x".repeat(bytes);
    let mut command = Command { body_bytes: bytes, ..command };
    match &mut command.action {
        Action::Create(decoded) => {
            decoded.object.fields["spec"]["title"] = filler.into();
        }
        Action::Update { change: UpdateOperation::Patch(Patch::Merge(patch), _), .. } => {
            patch.value["spec"]["title"] = filler.into();
        }
        _ => {}
    }
    command
}

/// The command as a dry run.
pub fn dry(command: Command) -> Command {
    Command { dry_run: true, ..command }
}

/// A seed that differs from all others.
fn fresh_seed() -> RequestEntropy {
    static DRAWN: AtomicU64 = AtomicU64::new(0);
    let mut entropy = RequestEntropy([0; 32]);
    for place in [0, 16] {
        entropy.0[place..place + 8].copy_from_slice(&DRAWN.fetch_add(1, Ordering::Relaxed).to_be_bytes());
    }
    entropy
}
