//! Validation of an IPPool spec without reading other pools.

use address::{Family, Prefix};
use apimachinery::field::FieldError;

use super::{AllocationPolicy, PoolSpec};
use crate::{spec, types::NameRef};

/// The origin of a pool's block.
pub(super) enum PoolOrigin {
    /// A root pool.
    Root {
        block: Prefix,
        /// The CIDR as written, if it has host bits.
        normalized_from: Option<String>,
    },
    /// A child pool, carved from its parent.
    Child { parent: String, length: Option<u8>, block: Option<Prefix>, normalized_from: Option<String> },
}

impl PoolOrigin {
    /// Decodes and validates a spec without reading other pools.
    pub(super) fn of(spec: &PoolSpec) -> Result<Self, Vec<FieldError>> {
        let mut errors = Vec::new();
        let parsed = spec.cidr.as_deref().and_then(|text| spec::check_cidr(spec::path("cidr"), text, &mut errors));
        let block = parsed.map(|parsed| parsed.prefix);
        let normalized_from = parsed.filter(|parsed| parsed.host_bits).and(spec.cidr.clone());
        let family = block.map(Prefix::family);
        check_policy(spec.allocation.as_ref(), family, &mut errors);
        let origin = match &spec.parent_pool_ref {
            None => {
                check_root(spec, family, &mut errors);
                block.map(|block| Self::Root { block, normalized_from })
            }
            Some(parent) => {
                let length = check_child(spec, parent, block, &mut errors);
                Some(Self::Child { parent: parent.name.clone(), length, block, normalized_from })
            }
        };
        match origin {
            Some(origin) if errors.is_empty() => Ok(origin),
            _ => Err(errors),
        }
    }

    /// Returns the warning for an accepted CIDR with host bits.
    pub(super) fn warning(&self) -> Option<String> {
        let (Self::Root { normalized_from, .. } | Self::Child { normalized_from, .. }) = self;
        let text = normalized_from.as_ref()?;
        let (Self::Root { block, .. } | Self::Child { block: Some(block), .. }) = self else {
            return None;
        };
        Some(host_bits_warning(text, *block))
    }
}

/// Formats the warning about host bits.
pub(super) fn host_bits_warning(text: &str, block: Prefix) -> String {
    format!("spec.cidr: {text} has bits set beyond its prefix length; the pool is {block}")
}

fn check_root(spec: &PoolSpec, family: Option<Family>, errors: &mut Vec<FieldError>) {
    if spec.cidr.is_none() {
        errors.push(FieldError::required(
            spec::path("cidr"),
            "a root pool needs a block; a child pool needs parentPoolRef",
        ));
    }
    if spec.prefix_length.is_some() {
        let detail = "is only for child pools: the length of a root pool is part of spec.cidr";
        errors.push(FieldError::forbidden(spec::path("prefixLength"), detail));
    }
    if let (Some(given), Some(family)) = (spec.ip_family.map(Family::from), family)
        && given != family
    {
        let detail = format!("does not agree with spec.cidr, which is {family}");
        errors.push(FieldError::invalid(spec::path("ipFamily"), given.to_string(), &detail));
    }
}

/// Validates a child pool. Returns the length of the block to carve, if it is known.
fn check_child(spec: &PoolSpec, parent: &NameRef, block: Option<Prefix>, errors: &mut Vec<FieldError>) -> Option<u8> {
    if parent.name.is_empty() {
        errors.push(FieldError::required(spec::path("parentPoolRef").child("name"), ""));
    }
    if spec.ip_family.is_some() {
        errors.push(FieldError::forbidden(spec::path("ipFamily"), "a child pool inherits its family from its parent"));
    }
    let path = spec::path("prefixLength");
    if spec.prefix_length.is_none() && spec.cidr.is_none() {
        errors.push(FieldError::required(path.clone(), "a child pool needs a length, or a cidr"));
    }
    let length = spec::check_length(path.clone(), spec.prefix_length, block.map(Prefix::family), errors);
    if let (Some(length), Some(block)) = (length, block)
        && length != block.length()
    {
        errors.push(FieldError::invalid(path, length, &format!("does not agree with spec.cidr, which is {block}")));
    }
    length
}

/// Checks that the bounds agree with each other and with the family, if it is known.
pub(super) fn check_policy(policy: Option<&AllocationPolicy>, family: Option<Family>, errors: &mut Vec<FieldError>) {
    let Some(policy) = policy else { return };
    let path = |name| spec::path("allocation").child(name);
    let mut length = |name, length| spec::check_length(path(name), length, family, errors);
    let min = length("minPrefixLength", policy.min_prefix_length);
    let max = length("maxPrefixLength", policy.max_prefix_length);
    let default = length("defaultPrefixLength", policy.default_prefix_length);
    if let (Some(min), Some(max)) = (min, max)
        && min > max
    {
        let detail = format!("must be at most maxPrefixLength, which is {max}");
        errors.push(FieldError::invalid(path("minPrefixLength"), min, &detail));
    } else if let Some(default) = default {
        let below = min.filter(|min| default < *min).map(|min| format!("at least minPrefixLength, which is {min}"));
        let above = max.filter(|max| default > *max).map(|max| format!("at most maxPrefixLength, which is {max}"));
        let outside = below.or(above);
        errors.extend(
            outside.map(|bound| FieldError::invalid(path("defaultPrefixLength"), default, &format!("must be {bound}"))),
        );
    }
}
