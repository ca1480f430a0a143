//! A decoded write request ([`Command`]), and the result of deciding it ([`Decision`]).

use std::sync::Arc;

use serde_json::Value;

use crate::{
    decoding::DecodedObject,
    object::{Object, Template},
    options::{DeleteOptions, FieldValidation},
    patch::Patch,
    rbac::Permissions,
    resource::Subresource,
    status_error::{Details, StatusError},
    time::Time,
    view::View,
};

/// The tenant that names belong to. Keys, uniqueness and overlap checks are separate for each scope.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Scope(Arc<str>);

impl Scope {
    /// The platform scope, for callers without a tenant.
    pub fn platform() -> Self {
        Self(Arc::from("platform"))
    }

    /// The scope whose text in a key is `text`.
    pub fn from_storage_key(text: &str) -> Self {
        Self(Arc::from(text))
    }

    /// The scope as text in a key; contains no `/`.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Identifies an object.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectKey {
    /// The plural resource.
    pub resource: &'static str,
    /// The scope.
    pub scope: Scope,
    /// The namespace; empty for cluster-scoped kinds.
    pub namespace: String,
    /// The name.
    pub name: String,
}

impl ObjectKey {
    /// Returns the key as stored: `resource/scope/namespace/name`.
    pub fn storage_key(&self) -> String {
        format!("{}/{}/{}/{}", self.resource, self.scope.as_str(), self.namespace, self.name)
    }
}

/// A write on an object.
#[derive(Clone, Debug)]
pub enum Action {
    /// Create this object under the name in the command's key; `generateName` is resolved already.
    Create(Box<DecodedObject>),
    /// Change the object, or one part of it.
    Update {
        /// The change.
        change: UpdateOperation,
        /// The subresource; `None` for the main resource.
        subresource: Option<Subresource>,
    },
    /// Server-side apply on the object or a subresource; creates the object if it does not exist.
    Apply {
        /// The applied configuration and options.
        apply: Apply,
        /// The subresource; `None` for the main resource.
        subresource: Option<Subresource>,
    },
    /// Delete it.
    Delete(DeleteOptions),
}

impl Action {
    /// True for a delete.
    pub fn is_delete(&self) -> bool {
        matches!(self, Self::Delete(_))
    }

    /// True if the result may be much larger than body and object together: for a JSON patch with `copy`.
    pub fn has_copy(&self) -> bool {
        matches!(self, Self::Update { change: UpdateOperation::Patch(Patch::Json(operations), _), .. } if operations.has_copy())
    }
}

/// A server-side apply request.
#[derive(Clone, Debug)]
pub struct Apply {
    /// The applied configuration: the fields that the manager owns after it.
    pub config: Value,
    /// Take over fields that other managers own, instead of failing with a conflict.
    pub force: bool,
}

/// The change of an existing object.
#[derive(Clone, Debug)]
pub enum UpdateOperation {
    /// Replace it by this object (PUT).
    Replace(Box<DecodedObject>),
    /// Apply a patch, and treat unknown and repeated fields of the result as given.
    Patch(Patch, FieldValidation),
    /// A malformed patch. A missing object is reported first (404), then this error.
    MalformedPatch(StatusError),
}

/// A decoded write request.
#[derive(Clone, Debug)]
pub struct Command {
    /// The object.
    pub key: ObjectKey,
    /// Conversion between the stored and the served form, if they differ.
    pub view: Option<&'static View>,
    /// The write.
    pub action: Action,
    /// Field manager that will own the changed fields.
    pub manager: String,
    /// Compute and validate everything, persist nothing.
    pub dry_run: bool,
    /// Time at which the request was received.
    pub now: Time,
    /// Random bytes for ids.
    pub entropy: RequestEntropy,
    /// The caller's permissions in the namespace of the object.
    pub permissions: Permissions,
    /// Length of the request body, in bytes.
    pub body_bytes: usize,
}

/// Random bytes of a request, from which ids and generated names are derived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestEntropy(pub [u8; 32]);

impl RequestEntropy {
    /// The uid of the object itself (UUID version 4).
    pub fn uid(self) -> String {
        Self::uuid(self.0.first_chunk())
    }

    /// The uid of an object that is created with it.
    pub fn second_uid(self) -> String {
        Self::uuid(self.0.last_chunk())
    }

    /// Five bytes for the suffix of a generated name.
    pub fn name_suffix(self) -> [u8; 5] {
        let mut suffix = [0; 5];
        suffix.copy_from_slice(&self.0[11..16]);
        suffix
    }

    fn uuid(bytes: Option<&[u8; 16]>) -> String {
        let bytes = bytes.expect("the entropy has 32 bytes");
        uuid::Builder::from_random_bytes(*bytes).into_uuid().to_string()
    }
}

/// A change of one object. At least one of `old` and `new` is set.
#[derive(Clone, Debug)]
pub struct Write {
    /// The object.
    pub key: ObjectKey,
    /// The version that is replaced or deleted; `None` for a create.
    pub old: Option<Arc<Object>>,
    /// The new version; `None` for a delete. Its resourceVersion is set at commit.
    pub new: Option<Arc<Object>>,
}

/// The result of deciding a command.
#[derive(Clone, Debug)]
pub struct Decision {
    /// The changes; empty for a no-op. The first is that of the command's object.
    pub writes: Vec<Write>,
    /// The response.
    pub answer: WriteResult,
    /// For the `Warning` header.
    pub warnings: Vec<String>,
    /// The first write's new version in encoded form, if it was encoded in advance.
    pub encoded: Option<Template>,
}

/// The response to a write.
#[derive(Clone, Debug)]
pub enum WriteResult {
    /// 201 and the new object (of the first write).
    Created,
    /// 200 and the changed object (of the first write).
    Changed,
    /// 200 and the unchanged object.
    Unchanged(Arc<Object>),
    /// 200 and a `Status`: the object is deleted.
    Deleted(Details),
    /// 200 and the last state of the object: an update removed the last finalizer.
    DeletedByUpdate(Arc<Object>),
}
