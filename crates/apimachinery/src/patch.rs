//! Patches: RFC 6902 (JSON Patch) and RFC 7396 (JSON Merge Patch); for Kubernetes' own kinds also the strategic kind.

mod operations;
mod strategic;

use serde_json::Value;

pub use self::operations::Operations;
use crate::{
    field::{Fault, FaultType, Path},
    refusal::{Reason, Refusal},
    schema::{Decoded, check_size, decode, decode_operations},
};

/// The type of a server-side apply, which is no change of what is there but a statement of what shall be.
pub const APPLY: &str = "application/apply-patch+yaml";
/// The patch types that are understood, as in `Content-Type`.
pub const PATCH_TYPES: &[&str] = &["application/json-patch+json", "application/merge-patch+json", APPLY];
/// The patch type that is understood for kinds of the core group, and for no others.
pub const STRATEGIC: &str = "application/strategic-merge-patch+json";
/// Whether a body of this `Content-Type` is a server-side apply.
pub fn is_apply(content_type: &str) -> bool {
    content_type.split(';').next().unwrap_or_default().trim() == APPLY
}

/// Whether a body of this `Content-Type` is a strategic merge patch.
pub fn is_strategic(content_type: &str) -> bool {
    content_type.split(';').next().unwrap_or_default().trim() == STRATEGIC
}

/// A change of an object.
#[derive(Clone, Debug)]
pub enum Patch {
    /// Operations, one after the other.
    Json(Operations),
    /// Fields to set, or with `null` to remove.
    Merge(Decoded),
    /// The same, with lists that are merged.
    Strategic(Decoded),
}

impl Patch {
    /// Reads a patch of the type that `content_type` names.
    pub fn parse(content_type: &str, body: &[u8]) -> Result<Self, Refusal> {
        PatchType::of(content_type)?.read(body)
    }

    /// The paths of fields that the patch itself repeats.
    pub fn duplicates(&self) -> &[String] {
        match self {
            Self::Json(_) => &[],
            Self::Merge(decoded) | Self::Strategic(decoded) => &decoded.duplicates,
        }
    }

    /// What `value` becomes. Refusals are without kind and name: see [`Refusal::about`].
    pub fn apply(&self, value: &Value) -> Result<Value, Refusal> {
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

/// How a patch is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PatchType {
    /// RFC 6902.
    Json,
    /// RFC 7396.
    Merge,
    /// Kubernetes' own, of the core group's kinds alone.
    Strategic,
}

impl PatchType {
    /// The type that `content_type` names; never the strategic one, which not every kind understands: see [`is_strategic`].
    pub fn of(content_type: &str) -> Result<Self, Refusal> {
        match content_type.split(';').next().unwrap_or_default().trim() {
            "application/json-patch+json" => Ok(Self::Json),
            "application/merge-patch+json" => Ok(Self::Merge),
            _ => Err(Refusal::new(
                Reason::UnsupportedMediaType,
                format!(
                    "the body of the request was in an unknown format - accepted media types include: {}",
                    PATCH_TYPES.join(", ")
                ),
            )),
        }
    }

    /// Reads a patch of this type.
    pub fn read(self, body: &[u8]) -> Result<Patch, Refusal> {
        if self == Self::Json {
            return Operations::parse(decode_operations(body)?.value).map(Patch::Json);
        }
        let decoded = decode(None, body)?;
        match self {
            _ if !decoded.value.is_object() => {
                Err(Refusal::bad_request("error decoding merge patch: it must be a JSON object"))
            }
            Self::Strategic => Ok(Patch::Strategic(decoded)),
            Self::Json | Self::Merge => Ok(Patch::Merge(decoded)),
        }
    }
}

fn unprocessable(why: &str) -> Refusal {
    let message = format!("the server rejected our request due to an error in our request: {why}");
    let fault =
        Fault { path: Path::new("patch"), fault_type: FaultType::Invalid, message: format!("Invalid value: {why}") };
    Refusal::new(Reason::Invalid, message).because(&fault)
}

#[cfg(test)]
mod tests;
