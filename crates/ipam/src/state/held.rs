//! The block of a pool that an object holds.

use address::Prefix;
use apimachinery::object::Object;
#[cfg(feature = "newer")]
use apimachinery::{command::ObjectKey, kind::Span};

use crate::spec;

/// The pool and block that an allocation holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct HeldBlock<'o> {
    /// The name of the pool.
    pub(crate) pool: &'o str,
    pub(crate) block: Prefix,
}

impl<'o> HeldBlock<'o> {
    /// Reads the held block of an allocation; `None` if its status has no valid block.
    pub(crate) fn of(object: &'o Object) -> Option<Self> {
        let block = spec::stored_block(object.text("/status/allocatedCIDR"))?;
        Some(Self { pool: object.text("/spec/poolRef/name"), block })
    }
}

#[cfg(feature = "newer")]
/// Returns the span that an object of the kind IPHold holds.
pub(crate) fn span_of_hold(key: &ObjectKey, object: &Object) -> Option<Span> {
    let number = |field: &str| Some(spec::stored_block(&format!("{}/32", object.text(field)))?.first());
    let space = super::space_of_pool(&key.scope, object.text("/spec/pool"));
    Some(Span { space, first: number("/spec/first")?, last: number("/spec/last")?, holder: key.storage_key() })
}
