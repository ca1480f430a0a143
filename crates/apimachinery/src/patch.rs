//! Patches: RFC 6902 (JSON Patch) and RFC 7396 (JSON Merge Patch); for Kubernetes' own kinds also the strategic kind.

mod strategic;

use json_patch::{PatchOperation, jsonptr::PointerBuf};
use serde_json::Value;

use crate::{
    field::{Fault, FaultType, Path},
    refusal::{Reason, Refusal},
    schema::{DEPTH_MAX, Decoded, decode},
};

/// The type of a server-side apply, which is no change of what is there but a statement of what shall be.
pub const APPLY: &str = "application/apply-patch+yaml";
/// The patch types that are understood, as in `Content-Type`.
pub const PATCH_TYPES: &[&str] = &["application/json-patch+json", "application/merge-patch+json", APPLY];
/// The patch type that is understood for kinds of the core group, and for no others.
pub const STRATEGIC: &str = "application/strategic-merge-patch+json";
/// Operations of one JSON Patch.
pub const OPERATIONS_MAX: usize = 10_000;
/// What `copy` and `move` of one JSON Patch may carry around, all together, in bytes of JSON. A few `copy`s that each
/// double what is there would otherwise make gigabytes, or a tree that is too deep to walk.
pub const CARRIED_BYTES_MAX: usize = 3 * 1024 * 1024;

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
    Json(json_patch::Patch),
    /// Fields to set, or with `null` to remove.
    Merge(Decoded),
    /// The same, with lists that are merged: see [`Patch::parse_strategic`].
    Strategic(Decoded),
}

impl Patch {
    /// Reads a patch of the type that `content_type` names.
    pub fn parse(content_type: &str, body: &[u8]) -> Result<Self, Refusal> {
        match content_type.split(';').next().unwrap_or_default().trim() {
            "application/json-patch+json" => Self::parse_json(body),
            "application/merge-patch+json" => Self::parse_merge(body),
            _ => Err(Refusal::new(
                Reason::UnsupportedMediaType,
                format!(
                    "the body of the request was in an unknown format - accepted media types include: {}",
                    PATCH_TYPES.join(", ")
                ),
            )),
        }
    }

    fn parse_json(body: &[u8]) -> Result<Self, Refusal> {
        let value = decode(None, body)?.value;
        let operations = value.as_array().map_or(0, Vec::len);
        if operations > OPERATIONS_MAX {
            let message =
                format!("The allowed maximum operations in a JSON patch is {OPERATIONS_MAX}, got {operations}");
            return Err(Refusal::new(Reason::RequestEntityTooLarge, message));
        }
        serde_json::from_value(value)
            .map(Self::Json)
            .map_err(|error| Refusal::bad_request(format!("error decoding JSON patch: {error}")))
    }

    fn parse_merge(body: &[u8]) -> Result<Self, Refusal> {
        let decoded = decode(None, body)?;
        if decoded.value.is_object() {
            Ok(Self::Merge(decoded))
        } else {
            Err(Refusal::bad_request("error decoding merge patch: it must be a JSON object"))
        }
    }

    /// Reads a strategic merge patch of an object of the core group.
    pub fn parse_strategic(body: &[u8]) -> Result<Self, Refusal> {
        match Self::parse_merge(body)? {
            Self::Merge(decoded) => Ok(Self::Strategic(decoded)),
            other => Ok(other),
        }
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
            Self::Json(patch) => apply_operations(&mut patched, patch)?,
        }
        Ok(patched)
    }
}

fn apply_operations(value: &mut Value, patch: &json_patch::Patch) -> Result<(), Refusal> {
    let mut carried = 0;
    for operation in patch.iter() {
        let (to, subtree) = match operation {
            PatchOperation::Copy(copy) => (&copy.path, copy.from.resolve(value).ok()),
            PatchOperation::Move(moved) => (&moved.path, moved.from.resolve(value).ok()),
            PatchOperation::Add(add) => (&add.path, Some(&add.value)),
            PatchOperation::Replace(replace) => (&replace.path, Some(&replace.value)),
            PatchOperation::Test(_) | PatchOperation::Remove(_) => (&PointerBuf::new(), None),
        };
        let size = subtree.map(Size::of).unwrap_or_default();
        if matches!(operation, PatchOperation::Copy(_) | PatchOperation::Move(_)) {
            carried += size.bytes;
        }
        if carried > CARRIED_BYTES_MAX {
            let message = format!("the patch copies and moves more than the limit of {CARRIED_BYTES_MAX} bytes");
            return Err(Refusal::new(Reason::RequestEntityTooLarge, message));
        }
        if to.count() + size.depth > DEPTH_MAX {
            return Err(unprocessable(&format!("the patched object nests deeper than {DEPTH_MAX} levels")));
        }
        // Whatever goes wrong, what was done so far is thrown away: nothing needs to be undone one by one.
        json_patch::patch_unsafe(value, std::slice::from_ref(operation))
            .map_err(|error| unprocessable(&error.to_string()))?;
    }
    Ok(())
}

/// How large a value is.
#[derive(Clone, Copy, Debug, Default)]
struct Size {
    /// As JSON; near enough for a limit.
    bytes: usize,
    /// Levels below it.
    depth: usize,
}

impl Size {
    fn of(value: &Value) -> Self {
        match value {
            Value::Null | Value::Bool(_) | Value::Number(_) => Self { bytes: 4, depth: 0 },
            Value::String(text) => Self { bytes: text.len() + 2, depth: 0 },
            Value::Array(items) => Self::around(items.iter().map(|item| (0, item))),
            Value::Object(fields) => Self::around(fields.iter().map(|(name, value)| (name.len() + 3, value))),
        }
    }

    fn around<'a>(parts: impl Iterator<Item = (usize, &'a Value)>) -> Self {
        parts.fold(Self { bytes: 2, depth: 1 }, |all, (extra, value)| {
            let part = Self::of(value);
            Self { bytes: all.bytes + extra + part.bytes + 1, depth: all.depth.max(part.depth + 1) }
        })
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
