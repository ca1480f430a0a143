//! What an object holds of a pool.

use address::Prefix;
use apimachinery::object::Object;
#[cfg(feature = "newer")]
use apimachinery::{command::ObjectKey, kind::Span};

use crate::spec;

/// What an allocation takes of a pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Held<'o> {
    /// The pool.
    pub(crate) pool: &'o str,
    /// The block.
    pub(crate) block: Prefix,
}

impl<'o> Held<'o> {
    /// What this allocation holds.
    pub(crate) fn of(object: &'o Object) -> Option<Self> {
        let block = spec::stored_block(object.text("/status/allocatedCIDR"))?;
        Some(Self { pool: object.text("/spec/poolRef/name"), block })
    }
}

#[cfg(feature = "newer")]
/// The span that an object of the kind holds.
pub(crate) fn span_of_hold(key: &ObjectKey, object: &Object) -> Option<Span> {
    let number = |field: &str| Some(spec::stored_block(&format!("{}/32", object.text(field)))?.first());
    let space = super::space_of_pool(&key.scope, object.text("/spec/pool"));
    Some(Span { space, first: number("/spec/first")?, last: number("/spec/last")?, holder: key.to_text() })
}
