//! What can be said of the spec of an IPClaim without looking at any pool.

use address::{Family, ParseError, Prefix};
use apimachinery::{
    field::{Fault, Path},
    selector::LabelSelector,
};
use serde_json::json;

use super::types::{ClaimSpec, OwnerRef};
use crate::{
    choose::{Purpose, Request},
    spec,
    types::{NameRef, PoolRef, PoolSelector},
};

/// Where a valid claim wants its block from.
pub(super) enum Source {
    /// This pool.
    Named(PoolRef),
    /// Any pool that matches.
    Matching(Box<LabelSelector>, Option<NameRef>),
}

/// Reads and validates a spec by itself, without looking at any pool.
pub(super) fn check(claim: ClaimSpec) -> Result<(Source, Request), Vec<Fault>> {
    let mut faults = Vec::new();
    let family = claim.ip_family.map(Family::from);
    let block = claim.address.as_deref().and_then(|text| check_address(text, family, &mut faults));
    let length = check_length(claim.prefix_length, family, block, &mut faults);
    check_owner(claim.owner_ref.as_ref(), &mut faults);
    let source = match (claim.pool_ref, claim.pool_selector) {
        (Some(pool), None) => Some(Source::Named(check_pool_ref(pool, &mut faults))),
        (None, Some(selector)) => check_selector(selector, &mut faults),
        (None, None) => {
            faults.push(Fault::required(Path::new("spec"), "one of poolRef and poolSelector must be given"));
            None
        }
        (Some(_), Some(_)) => {
            faults.push(Fault::forbidden(Path::new("spec"), "poolRef and poolSelector are mutually exclusive"));
            None
        }
    };
    match source {
        Some(source) if faults.is_empty() => Ok((source, Request { purpose: Purpose::Claim, family, length, block })),
        _ => Err(faults),
    }
}

/// An exact address is a block of one. Host bits are refused: they leave open whether the block or the address is meant.
fn check_address(text: &str, family: Option<Family>, faults: &mut Vec<Fault>) -> Option<Prefix> {
    let block = match read_address(text) {
        Ok(block) if block.length() > 0 => block,
        Ok(_) => {
            faults.push(Fault::invalid(spec::path("address"), text, "its prefix length must be greater than 0"));
            return None;
        }
        Err(detail) => {
            faults.push(Fault::invalid(spec::path("address"), text, &detail));
            return None;
        }
    };
    let of_address = block.family();
    if let Some(family) = family.filter(|family| *family != of_address) {
        let detail = format!("address family {family} does not match spec.address, which is {of_address}");
        faults.push(Fault::invalid(spec::path("ipFamily"), family.to_string(), &detail));
        return None;
    }
    Some(block)
}

fn read_address(text: &str) -> Result<Prefix, String> {
    match address::parse_address_or_cidr(text) {
        Ok((parsed, _)) if parsed.host_bits => {
            let address = text.split('/').next().unwrap_or_default();
            Err(format!(
                "has bits set beyond its prefix length; write {} for the block, {address} for the address",
                parsed.prefix
            ))
        }
        Ok((parsed, _)) => Ok(parsed.prefix),
        // A block that prints as IPv4-mapped can be asked for in the very form in which a status shows it.
        Err(error @ ParseError::Ipv4Mapped { .. }) => {
            spec::stored_block(text).filter(|block| block.to_string() == text).ok_or_else(|| error.to_string())
        }
        Err(error) => Err(error.to_string()),
    }
}

fn check_length(
    length: Option<i64>,
    family: Option<Family>,
    block: Option<Prefix>,
    faults: &mut Vec<Fault>,
) -> Option<u8> {
    let path = spec::path("prefixLength");
    let checked = spec::check_length(path.clone(), length, family.or(block.map(Prefix::family)), faults)?;
    if let Some(block) = block.filter(|block| block.length() != checked) {
        faults.push(Fault::invalid(path, checked, &format!("does not agree with spec.address, which is {block}")));
    }
    Some(checked)
}

fn check_owner(owner: Option<&OwnerRef>, faults: &mut Vec<Fault>) {
    let Some(owner) = owner else { return };
    for (name, value) in [("kind", &owner.kind), ("name", &owner.name)] {
        if value.is_empty() {
            faults.push(Fault::required(spec::path("ownerRef").child(name), ""));
        }
    }
}

fn check_pool_ref(pool: PoolRef, faults: &mut Vec<Fault>) -> PoolRef {
    let path = spec::path("poolRef");
    if pool.name.is_empty() {
        faults.push(Fault::required(path.child("name"), ""));
    }
    check_project(pool.project_ref.as_ref(), &path, faults);
    pool
}

fn check_selector(selector: PoolSelector, faults: &mut Vec<Fault>) -> Option<Source> {
    let path = spec::path("poolSelector");
    check_project(selector.project_ref.as_ref(), &path, faults);
    let labels = json!({
        "matchLabels": selector.match_labels,
        "matchExpressions": selector.match_expressions,
    });
    match LabelSelector::from_json(&labels, &path) {
        Ok(labels) => Some(Source::Matching(Box::new(labels), selector.project_ref)),
        Err(more) => {
            faults.extend(more);
            None
        }
    }
}

fn check_project(project: Option<&NameRef>, path: &Path, faults: &mut Vec<Fault>) {
    if project.is_some_and(|project| project.name.is_empty()) {
        faults.push(Fault::required(path.child("projectRef").child("name"), ""));
    }
}
