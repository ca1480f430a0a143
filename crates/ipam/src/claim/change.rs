//! Validation of spec changes of a bound claim, that is, of one that has a block.

use apimachinery::{field::FieldError, object::Object};

use super::check::block_of;
use crate::spec;

/// Returns the errors of a spec change. The spec is immutable, except for the reclaim policy and for `address`, which
/// may be changed as long as it names the same block.
pub(super) fn check_change(old: &Object, new: &Object) -> Vec<FieldError> {
    let mut errors = spec::immutable_faults(old, new, &["reclaimPolicy", "address"]);
    errors.extend(check_address_change(old, new));
    errors
}

/// Checks a change of `address`: it may be added, respelled or removed, but must name the claim's block.
fn check_address_change(old: &Object, new: &Object) -> Option<FieldError> {
    let path = spec::path("address");
    let text = new.text("/spec/address");
    if text.is_empty() || text == old.text("/spec/address") {
        return None;
    }
    let length = new.field("spec")["prefixLength"].as_u64().and_then(|length| u8::try_from(length).ok());
    let held = spec::stored_block(old.text("/status/allocatedCIDR"));
    match (block_of(text, length), held) {
        (Ok(block), Some(held)) if block == held => None,
        (Err(detail), _) => Some(FieldError::invalid(path, text, &detail)),
        (Ok(_), None) => Some(FieldError::forbidden(path, "spec.address is immutable")),
        (Ok(_), Some(held)) => {
            let detail = format!("spec.address is immutable, except that it may name the block of the claim, {held}");
            Some(FieldError::forbidden(path, &detail))
        }
    }
}
