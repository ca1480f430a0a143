//! What may change in the spec of a claim that has its block.

use apimachinery::{field::Fault, object::Object};

use super::check::block_of;
use crate::spec;

/// What is wrong with a change of a spec: what was asked for stays, whatever names the same block in other words.
pub(super) fn check_change(old: &Object, new: &Object) -> Vec<Fault> {
    let mut faults = spec::immutable_faults(old, new, &["reclaimPolicy", "address"]);
    faults.extend(check_address_change(old, new));
    faults
}

/// An address may be added later, spelled anew, and taken away, as long as it is the block that the claim has.
fn check_address_change(old: &Object, new: &Object) -> Option<Fault> {
    let path = spec::path("address");
    let text = new.text("/spec/address");
    if text.is_empty() || text == old.text("/spec/address") {
        return None;
    }
    let length = new.field("spec")["prefixLength"].as_u64().and_then(|length| u8::try_from(length).ok());
    let held = spec::stored_block(old.text("/status/allocatedCIDR"));
    match (block_of(text, length), held) {
        (Ok(block), Some(held)) if block == held => None,
        (Err(detail), _) => Some(Fault::invalid(path, text, &detail)),
        (Ok(_), None) => Some(Fault::forbidden(path, "spec.address is immutable")),
        (Ok(_), Some(held)) => {
            let detail = format!("spec.address is immutable, except that it may name the block of the claim, {held}");
            Some(Fault::forbidden(path, &detail))
        }
    }
}
