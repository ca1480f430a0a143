//! What a caller wants to change, decoded, and what that changes: the two ends of a decision.

use std::sync::Arc;

use serde_json::Value;

use crate::{
    access::Rights,
    draft::Draft,
    kind::Subresource,
    object::{Object, Template},
    options::{DeleteOptions, FieldValidation},
    patch::Patch,
    refusal::{Details, Refusal},
    time::Time,
    view::View,
};

/// Whose names these are. Every key, uniqueness and overlap is inside one scope.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Scope(Arc<str>);

impl Scope {
    /// The platform's own scope: callers without a tenant.
    pub fn platform() -> Self {
        Self(Arc::from("platform"))
    }

    /// The scope whose part of a key this is.
    pub fn from_key(text: &str) -> Self {
        Self(Arc::from(text))
    }

    /// As a part of a key: no `/` in it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The address of an object.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectKey {
    /// The plural resource.
    pub resource: &'static str,
    /// Whose.
    pub scope: Scope,
    /// The namespace; empty for cluster-scoped kinds.
    pub namespace: String,
    /// The name.
    pub name: String,
}

impl ObjectKey {
    /// Its text in the store: `resource/scope/namespace/name`.
    pub fn to_text(&self) -> String {
        format!("{}/{}/{}/{}", self.resource, self.scope.as_str(), self.namespace, self.name)
    }
}

/// What to do with an object.
#[derive(Clone, Debug)]
pub enum Action {
    /// Create this object, under the name of the command's key: `generateName` was resolved before.
    Create(Box<Draft>),
    /// Change the object, or one part of it.
    Update {
        /// How.
        change: Mutation,
        /// Which part; `None` is the object without its subresources.
        subresource: Option<Subresource>,
    },
    /// Make it, or the part of it, what its manager wants it to be; create it if there is none.
    Apply {
        /// What is wanted, and how.
        apply: Apply,
        /// Which part; `None` is the object without its subresources.
        subresource: Option<Subresource>,
    },
    /// Delete it.
    Delete(DeleteOptions),
}

impl Action {
    /// Whether it deletes.
    pub fn is_delete(&self) -> bool {
        matches!(self, Self::Delete(_))
    }

    /// Whether its result may be much larger than its body and the object together: only what copies makes more of them.
    pub fn multiplies(&self) -> bool {
        matches!(self, Self::Update { change: Mutation::Patch(Patch::Json(operations), _), .. } if operations.copy())
    }
}

/// What one manager wants of an object: server-side apply.
#[derive(Clone, Debug)]
pub struct Apply {
    /// The fields that it wants, and nothing else.
    pub config: Value,
    /// Take fields over that others own.
    pub force: bool,
}

/// How an existing object is to change.
#[derive(Clone, Debug)]
pub enum Mutation {
    /// Put this object in its place.
    Replace(Box<Draft>),
    /// Patch it, and meet unknown and repeated fields of the result like this.
    Patch(Patch, FieldValidation),
    /// A patch that makes no sense as it stands. Whether there is such an object is to be said first.
    Unreadable(Refusal),
}

/// A decoded write request.
#[derive(Clone, Debug)]
pub struct Command {
    /// Whose object, and which.
    pub key: ObjectKey,
    /// How its caller sees it, if that is not as it is stored.
    pub view: Option<&'static View>,
    /// What to do with it.
    pub action: Action,
    /// Who will own the fields that it sets.
    pub manager: String,
    /// Compute and validate everything, persist nothing.
    pub dry_run: bool,
    /// When it was received.
    pub now: Time,
    /// Randomness for ids.
    pub seed: Seed,
    /// What the caller may do in the namespace of the object.
    pub rights: Rights,
    /// How long the body of the request was, in bytes.
    pub body_bytes: usize,
}

/// Random bytes from which a decision takes its ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seed(pub [u8; 32]);

impl Seed {
    /// The first uid of a decision: the object's own (UUID version 4).
    pub fn uid(self) -> String {
        Self::uuid(self.0.first_chunk())
    }

    /// The second: of the object that comes with it.
    pub fn companion_uid(self) -> String {
        Self::uuid(self.0.last_chunk())
    }

    /// Five bytes for the letters of a generated name.
    pub fn suffix(self) -> [u8; 5] {
        let mut suffix = [0; 5];
        suffix.copy_from_slice(&self.0[11..16]);
        suffix
    }

    fn uuid(bytes: Option<&[u8; 16]>) -> String {
        let bytes = bytes.expect("a seed has 32 bytes");
        uuid::Builder::from_random_bytes(*bytes).into_uuid().to_string()
    }
}

/// One object that changes. `old` or `new`, never neither.
#[derive(Clone, Debug)]
pub struct Write {
    /// Which.
    pub key: ObjectKey,
    /// The version that is replaced or deleted; `None`: it is created.
    pub old: Option<Arc<Object>>,
    /// The new version; `None`: it is deleted. Its resourceVersion is set when it is committed.
    pub new: Option<Arc<Object>>,
}

/// What a decision answers.
#[derive(Clone, Debug)]
pub struct Decision {
    /// What changes; empty for a no-op. The first is the object of the command.
    pub writes: Vec<Write>,
    /// What the caller is told.
    pub answer: Answer,
    /// For the `Warning` header.
    pub warnings: Vec<String>,
    /// The new version of the first write, if it has been encoded before.
    pub encoded: Option<Template>,
}

/// What the caller is told.
#[derive(Clone, Debug)]
pub enum Answer {
    /// 201 and the new object: the first write's.
    Created,
    /// 200 and the changed object: the first write's.
    Changed,
    /// 200 and the object, which stays as it is.
    Unchanged(Arc<Object>),
    /// 200 and a `Status`: it is gone.
    Deleted(Details),
    /// 200 and the object's last state: an update removed the last finalizer.
    DeletedBy(Arc<Object>),
}
