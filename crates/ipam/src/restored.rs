//! Warning about the `status.allocatedCIDR` in the body of a create request, for instance from a backup.
//!
//! A create request never sets the status, so the object may get another block. The request succeeds with a warning.

use address::Prefix;
use apimachinery::field::excerpt;
use serde_json::Value;

use crate::{pool_selection::Requester, spec};

/// The `status.allocatedCIDR` of a request body.
pub(crate) struct Restored {
    /// The value, shortened for messages.
    text: String,
    block: Option<Prefix>,
}

impl Restored {
    /// Reads the status of a request body; `None` if it has no `allocatedCIDR`.
    pub(crate) fn of(status: &Value) -> Option<Self> {
        let written = status.get("allocatedCIDR")?;
        let text = written.as_str().filter(|text| !text.is_empty())?;
        Some(Self { text: excerpt(written), block: spec::stored_block(text) })
    }

    /// Returns the warning if `block`, which was allocated, differs from the body.
    pub(crate) fn warning(&self, requester: Requester, block: Prefix) -> Option<String> {
        let field = requester.block_field();
        (self.block != Some(block)).then(|| {
            format!(
                "status.allocatedCIDR: the body says {}, but a status is not taken from it, and the block is {block}; to ask \
                 for a block, name it in spec.{field}",
                self.text
            )
        })
    }
}
