//! Patches: JSON Patch (RFC 6902) and JSON Merge Patch (RFC 7396); for Kubernetes' own kinds also strategic
//! merge patch.

mod operations;
mod strategic;

use serde_json::Value;

pub use self::operations::Operations;
use crate::{
    body::{Decoded, check_size, decode, decode_operations},
    field::{FieldError, FieldErrorType, Path},
    status_error::{StatusError, StatusReason},
};

/// Media type of a server-side apply, which is not a patch of the current object but a configuration.
pub const APPLY: &str = "application/apply-patch+yaml";
/// Supported values of `Content-Type` for PATCH.
pub const PATCH_TYPES: &[&str] = &["application/json-patch+json", "application/merge-patch+json", APPLY];
/// Media type of strategic merge patch, supported for Kubernetes' own kinds only.
pub const STRATEGIC: &str = "application/strategic-merge-patch+json";
/// True if this `Content-Type` is server-side apply.
pub fn is_apply(content_type: &str) -> bool {
    content_type.split(';').next().unwrap_or_default().trim() == APPLY
}

/// True if this `Content-Type` is strategic merge patch.
pub fn is_strategic(content_type: &str) -> bool {
    content_type.split(';').next().unwrap_or_default().trim() == STRATEGIC
}

/// A decoded patch.
#[derive(Clone, Debug)]
pub enum Patch {
    /// JSON Patch.
    Json(Operations),
    /// JSON Merge Patch.
    Merge(Decoded),
    /// Strategic merge patch.
    Strategic(Decoded),
}

impl Patch {
    /// Decodes a patch; `content_type` determines its type.
    pub fn parse(content_type: &str, body: &[u8]) -> Result<Self, StatusError> {
        PatchType::from_content_type(content_type)?.read(body)
    }

    /// Paths of fields that are repeated in the patch.
    pub fn duplicates(&self) -> &[String] {
        match self {
            Self::Json(_) => &[],
            Self::Merge(decoded) | Self::Strategic(decoded) => &decoded.duplicates,
        }
    }

    /// Applies the patch to a copy of `value`. Errors have no kind and name yet: see [`StatusError::with_details`].
    pub fn apply(&self, value: &Value) -> Result<Value, StatusError> {
        let mut patched = value.clone();
        match self {
            Self::Merge(patch) => json_patch::merge(&mut patched, &patch.value),
            Self::Strategic(patch) => strategic::merge(&mut patched, &patch.value),
            Self::Json(operations) => operations.apply(&mut patched)?,
        }
        check_size(&patched)?;
        Ok(patched)
    }
}

/// Type of a patch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PatchType {
    /// RFC 6902.
    Json,
    /// RFC 7396.
    Merge,
    /// Strategic merge patch, for Kubernetes' own kinds only.
    Strategic,
}

impl PatchType {
    /// Determines the type from `content_type`. Strategic merge patch is not included, because only some kinds support
    /// it: see [`is_strategic`].
    pub fn from_content_type(content_type: &str) -> Result<Self, StatusError> {
        match content_type.split(';').next().unwrap_or_default().trim() {
            "application/json-patch+json" => Ok(Self::Json),
            "application/merge-patch+json" => Ok(Self::Merge),
            _ => Err(StatusError::new(
                StatusReason::UnsupportedMediaType,
                format!(
                    "the body of the request was in an unknown format - accepted media types include: {}",
                    PATCH_TYPES.join(", ")
                ),
            )),
        }
    }

    /// Decodes a patch of this type.
    pub fn read(self, body: &[u8]) -> Result<Patch, StatusError> {
        if self == Self::Json {
            return Operations::parse(decode_operations(body)?.value).map(Patch::Json);
        }
        let decoded = decode(None, body)?;
        match self {
            _ if !decoded.value.is_object() => {
                Err(StatusError::bad_request("error decoding merge patch: it must be a JSON object"))
            }
            Self::Strategic => Ok(Patch::Strategic(decoded)),
            Self::Json | Self::Merge => Ok(Patch::Merge(decoded)),
        }
    }
}

fn unprocessable(why: &str) -> StatusError {
    let message = format!("the server rejected our request due to an error in our request: {why}");
    let error = FieldError {
        path: Path::new("patch"),
        error_type: FieldErrorType::Invalid,
        message: format!("Invalid value: {why}"),
    };
    StatusError::new(StatusReason::Invalid, message).with_cause(&error)
}

#[cfg(test)]
mod tests;
