//! Shared functions for specs: reading, comparison, validation of lengths and CIDRs.

use address::{Family, Parsed, Prefix};
use apimachinery::{
    field::{FieldError, Path},
    object::Object,
    status_error::StatusError,
};
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::GROUP;

/// Returns the path of a spec field.
pub(crate) fn path(name: &str) -> Path {
    Path::new("spec").child(name)
}

/// Decodes the spec. An absent spec is decoded as an empty one; validation then reports each missing field.
pub(crate) fn read<'o, T: Deserialize<'o> + Default>(object: &'o Object) -> Result<T, StatusError> {
    match object.fields.get("spec") {
        None | Some(Value::Null) => Ok(T::default()),
        Some(spec) => T::deserialize(spec).map_err(|error| {
            let fault = FieldError::type_invalid(Path::new("spec"), spec.clone(), &error.to_string());
            StatusError::invalid(GROUP, &object.kind, &object.metadata.name, &[fault])
        }),
    }
}

/// Returns the spec as a JSON map, for writing defaults.
pub(crate) fn edit(object: &mut Object) -> Option<&mut Map<String, Value>> {
    object.fields.entry("spec").or_insert_with(|| Value::Object(Map::new())).as_object_mut()
}

/// Returns one field error for each spec field that changed and is not in `mutable`.
pub(crate) fn immutable_faults(old: &Object, new: &Object, mutable: &[&str]) -> Vec<FieldError> {
    let names = |object: &Object| -> Vec<String> {
        object.field("spec").as_object().map(|spec| spec.keys().cloned().collect()).unwrap_or_default()
    };
    let mut all = names(old);
    all.extend(names(new));
    all.sort_unstable();
    all.dedup();
    all.retain(|name| !mutable.contains(&name.as_str()) && value(old, name) != value(new, name));
    all.iter().map(|name| FieldError::forbidden(path(name), &format!("spec.{name} is immutable"))).collect()
}

/// Copies the fields `names` from `old` if `new` omits them. The service may have set them.
pub(crate) fn keep_omitted(old: &Object, new: &mut Object, names: &[&str]) {
    let left_out = names.iter().filter(|name| value(new, name).is_none());
    let kept: Vec<_> = left_out.filter_map(|name| Some(((*name).to_owned(), value(old, name)?.clone()))).collect();
    if let Some(spec) = edit(new) {
        spec.extend(kept);
    }
}

/// Returns a spec field; `None` if it is absent, null or `""`.
fn value<'o>(object: &'o Object, name: &str) -> Option<&'o Value> {
    object.field("spec").get(name).filter(|value| !value.is_null() && *value != "")
}

/// Validates a prefix length: 1 to 32 or 128, depending on the family. An unknown family allows 128.
pub(crate) fn check_length(
    path: Path,
    length: Option<i64>,
    family: Option<Family>,
    errors: &mut Vec<FieldError>,
) -> Option<u8> {
    let length = length?;
    let bits = family.map_or(128, Family::bits);
    if length <= 0 {
        errors.push(FieldError::invalid(path, length, "must be greater than 0"));
        return None;
    }
    match u8::try_from(length) {
        Ok(fitting) if fitting <= bits => Some(fitting),
        _ => {
            let of_family = family.map_or_else(String::new, |family| format!(" for {family}"));
            errors.push(FieldError::invalid(path, length, &format!("must be at most {bits}{of_family}")));
            None
        }
    }
}

/// Parses a CIDR.
pub(crate) fn check_cidr(path: Path, text: &str, errors: &mut Vec<FieldError>) -> Option<Parsed> {
    let parsed = address::parse_cidr(text);
    parsed.map_err(|error| errors.push(FieldError::invalid(path, text, &format!("invalid CIDR: {error}")))).ok()
}

/// Parses a block that the service wrote into a status. Unlike user input, it may be in the IPv6 range that is printed
/// as IPv4-mapped.
pub(crate) fn stored_block(text: &str) -> Option<Prefix> {
    let (address, length) = text.split_once('/')?;
    let length = length.parse().ok()?;
    match address.parse().ok()? {
        std::net::IpAddr::V4(address) => Prefix::new(Family::V4, address.to_bits().into(), length).ok(),
        std::net::IpAddr::V6(address) => Prefix::new(Family::V6, address.to_bits(), length).ok(),
    }
}

/// Sets `observedGeneration` to the generation that this change produces. Pool and claim changes take effect in the
/// same transaction.
pub(crate) fn bump_observed_generation(old: &Object, new: &mut Object) {
    let generation = old.metadata.generation.unwrap_or(0);
    let changed = old.field("spec") != new.field("spec");
    let due = if changed { generation.saturating_add(1) } else { generation };
    set_observed_generation(new, Some(due));
}

/// Sets `observedGeneration`.
pub(crate) fn set_observed_generation(object: &mut Object, generation: Option<i64>) {
    if let Some(status) = object.fields.get_mut("status").and_then(Value::as_object_mut) {
        status.insert("observedGeneration".to_owned(), generation.into());
    }
}
