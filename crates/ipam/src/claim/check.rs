//! Validation of an IPClaim spec without reading pools.

use address::{Family, ParseError, Parsed, Prefix};
use apimachinery::{
    field::{FieldError, Path},
    selector::LabelSelector,
};
use serde_json::json;

use super::{ClaimSpec, OwnerRef};
use crate::{
    pool_selection::{Request, Requester},
    spec,
    types::{NameRef, PoolRef, PoolSelector},
};

/// The pools from which a valid claim requests its block.
pub(super) enum PoolSource {
    /// The named pool.
    Named(PoolRef),
    /// Any pool that matches the selector, in the given project.
    Matching(Box<LabelSelector>, Option<NameRef>),
}

/// Decodes and validates a spec without reading pools.
pub(super) fn check(claim: ClaimSpec) -> Result<(PoolSource, Request), Vec<FieldError>> {
    let mut errors = Vec::new();
    let family = claim.ip_family.map(Family::from);
    let address = claim.address.as_deref();
    let of_address = address.and_then(|text| check_family(text, family, &mut errors));
    let path = spec::path("prefixLength");
    let length = spec::check_length(path, claim.prefix_length, family.or(of_address), &mut errors);
    let block = address.filter(|_| of_address.is_some()).and_then(|text| check_address(text, length, &mut errors));
    check_owner(claim.owner_ref.as_ref(), &mut errors);
    let source = match (claim.pool_ref, claim.pool_selector) {
        (Some(pool), None) => Some(PoolSource::Named(check_pool_ref(pool, &mut errors))),
        (None, Some(selector)) => check_selector(selector, &mut errors),
        (None, None) => {
            errors.push(FieldError::required(Path::new("spec"), "one of poolRef and poolSelector must be given"));
            None
        }
        (Some(_), Some(_)) => {
            errors.push(FieldError::forbidden(Path::new("spec"), "poolRef and poolSelector are mutually exclusive"));
            None
        }
    };
    match source {
        Some(source) if errors.is_empty() => {
            Ok((source, Request { requester: Requester::Claim, family, length, block }))
        }
        _ => Err(errors),
    }
}

/// Returns the family of an address if the address is valid and agrees with the requested family.
fn check_family(text: &str, family: Option<Family>, errors: &mut Vec<FieldError>) -> Option<Family> {
    let of_address = match read(text) {
        Ok(parsed) => parsed.prefix.family(),
        Err(detail) => {
            errors.push(FieldError::invalid(spec::path("address"), text, &detail));
            return None;
        }
    };
    if let Some(family) = family.filter(|family| *family != of_address) {
        let detail = format!("address family {family} does not match spec.address, which is {of_address}");
        errors.push(FieldError::invalid(spec::path("ipFamily"), family.to_string(), &detail));
        return None;
    }
    Some(of_address)
}

/// Returns the block that the address and the prefix length name, if they agree.
fn check_address(text: &str, length: Option<u8>, errors: &mut Vec<FieldError>) -> Option<Prefix> {
    let block = match block_of(text, length) {
        Ok(block) => block,
        Err(detail) => {
            errors.push(FieldError::invalid(spec::path("address"), text, &detail));
            return None;
        }
    };
    if let Some(length) = length.filter(|length| *length != block.length()) {
        let detail = format!("does not agree with spec.address, which is {block}");
        errors.push(FieldError::invalid(spec::path("prefixLength"), length, &detail));
    }
    Some(block)
}

/// Returns the block that `text` names. The length is the one in the text, otherwise `spec_length`
/// (`spec.prefixLength`), otherwise that of a single address. Host bits are an error, because either the block or the
/// address could be meant.
pub(super) fn block_of(text: &str, spec_length: Option<u8>) -> Result<Prefix, String> {
    let spec_length = spec_length.filter(|_| !text.contains('/'));
    let parsed = match spec_length {
        Some(length) => read(&format!("{text}/{length}"))?,
        None => read(text)?,
    };
    let block = parsed.prefix;
    if block.length() == 0 {
        return Err("its prefix length must be greater than 0".to_owned());
    }
    if !parsed.host_bits {
        return Ok(block);
    }
    let address = text.split('/').next().unwrap_or_default();
    Err(match spec_length {
        None => {
            format!("has bits set beyond its prefix length; write {block} for the block, {address} for the address")
        }
        Some(length) => format!(
            "has bits set beyond spec.prefixLength, which is {length}; write {block} for the block, or leave out \
             spec.prefixLength for the address {address}"
        ),
    })
}

/// Parses an address or a CIDR.
fn read(text: &str) -> Result<Parsed, String> {
    let error = match address::parse_address_or_cidr(text) {
        Ok((parsed, _)) => return Ok(parsed),
        Err(error) => error,
    };
    // A block in the IPv4-mapped range is accepted exactly as a status prints it, so that it can be requested again.
    let mapped = matches!(error, ParseError::Ipv4Mapped { .. }).then(|| spec::stored_block(text)).flatten();
    match mapped.filter(|block| block.to_string() == text) {
        Some(prefix) => Ok(Parsed { prefix, host_bits: false, address: prefix.first() }),
        None => Err(error.to_string()),
    }
}

fn check_owner(owner: Option<&OwnerRef>, errors: &mut Vec<FieldError>) {
    let Some(owner) = owner else { return };
    for (name, value) in [("kind", &owner.kind), ("name", &owner.name)] {
        if value.is_empty() {
            errors.push(FieldError::required(spec::path("ownerRef").child(name), ""));
        }
    }
}

fn check_pool_ref(pool: PoolRef, errors: &mut Vec<FieldError>) -> PoolRef {
    let path = spec::path("poolRef");
    if pool.name.is_empty() {
        errors.push(FieldError::required(path.child("name"), ""));
    }
    check_project(pool.project_ref.as_ref(), &path, errors);
    pool
}

fn check_selector(selector: PoolSelector, errors: &mut Vec<FieldError>) -> Option<PoolSource> {
    let path = spec::path("poolSelector");
    check_project(selector.project_ref.as_ref(), &path, errors);
    if selector.match_labels.is_empty() && selector.match_expressions.is_empty() {
        let detail = "it must have matchLabels or matchExpressions: an empty selector would mean every pool";
        errors.push(FieldError::required(path, detail));
        return None;
    }
    let labels = json!({
        "matchLabels": selector.match_labels,
        "matchExpressions": selector.match_expressions,
    });
    match LabelSelector::from_json(&labels, &path) {
        Ok(labels) => Some(PoolSource::Matching(Box::new(labels), selector.project_ref)),
        Err(more) => {
            errors.extend(more);
            None
        }
    }
}

fn check_project(project: Option<&NameRef>, path: &Path, errors: &mut Vec<FieldError>) {
    if project.is_some_and(|project| project.name.is_empty()) {
        errors.push(FieldError::required(path.child("projectRef").child("name"), ""));
    }
}
