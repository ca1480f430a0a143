//! The block that the body of a create says the object had, as one restored from a backup does.
//!
//! A status is never taken from a body, so the object may be given another block. Nothing is refused for that; the sender is
//! told.

use address::Prefix;
use apimachinery::field::excerpt;
use serde_json::Value;

use crate::{choose::Purpose, spec};

/// The `allocatedCIDR` of the status in a body.
pub(crate) struct Restored {
    /// As messages quote it.
    text: String,
    block: Option<Prefix>,
}

impl Restored {
    /// What a status says, if it names a block.
    pub(crate) fn of(status: &Value) -> Option<Self> {
        let written = status.get("allocatedCIDR")?;
        let text = written.as_str().filter(|text| !text.is_empty())?;
        Some(Self { text: excerpt(written), block: spec::stored_block(text) })
    }

    /// For the sender, if the object gets another block than the body says.
    pub(crate) fn warning(&self, purpose: Purpose, block: Prefix) -> Option<String> {
        let field = purpose.block_field();
        (self.block != Some(block)).then(|| {
            format!(
                "status.allocatedCIDR: the body says {}, but a status is not taken from it, and the block is {block}; to ask \
                 for a block, name it in spec.{field}",
                self.text
            )
        })
    }
}
