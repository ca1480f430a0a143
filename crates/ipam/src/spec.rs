//! What the kinds do alike with their specs: read them, compare them, find faults in lengths and blocks.

use address::{Family, Parsed, Prefix};
use apimachinery::{
    field::{Fault, Path},
    object::Object,
    refusal::Refusal,
};
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::GROUP;

/// The path of a field of the spec.
pub(crate) fn path(name: &str) -> Path {
    Path::new("spec").child(name)
}

/// The spec as its type. A spec that is absent reads as an empty one: what it lacks is then said field by field.
pub(crate) fn read<'o, T: Deserialize<'o> + Default>(object: &'o Object) -> Result<T, Refusal> {
    match object.fields.get("spec") {
        None | Some(Value::Null) => Ok(T::default()),
        Some(spec) => T::deserialize(spec).map_err(|error| {
            let fault = Fault::type_invalid(Path::new("spec"), spec.clone(), &error.to_string());
            Refusal::invalid(GROUP, &object.kind, &object.metadata.name, &[fault])
        }),
    }
}

/// The spec as JSON, to write defaults into it.
pub(crate) fn edit(object: &mut Object) -> Option<&mut Map<String, Value>> {
    object.fields.entry("spec").or_insert_with(|| Value::Object(Map::new())).as_object_mut()
}

/// One fault for each field of the spec that changed and is not among `mutable`.
pub(crate) fn immutable_faults(old: &Object, new: &Object, mutable: &[&str]) -> Vec<Fault> {
    let names = |object: &Object| -> Vec<String> {
        object.field("spec").as_object().map(|spec| spec.keys().cloned().collect()).unwrap_or_default()
    };
    let mut all = names(old);
    all.extend(names(new));
    all.sort_unstable();
    all.dedup();
    all.retain(|name| !mutable.contains(&name.as_str()) && value(old, name) != value(new, name));
    all.iter().map(|name| Fault::forbidden(path(name), &format!("spec.{name} is immutable"))).collect()
}

/// Fields of the spec that the service may have filled in: what an update leaves out keeps its value.
pub(crate) fn keep(old: &Object, new: &mut Object, names: &[&str]) {
    let left_out = names.iter().filter(|name| value(new, name).is_none());
    let kept: Vec<_> = left_out.filter_map(|name| Some(((*name).to_owned(), value(old, name)?.clone()))).collect();
    if let Some(spec) = edit(new) {
        spec.extend(kept);
    }
}

/// A field of the spec, where `""` is as good as absent.
fn value<'o>(object: &'o Object, name: &str) -> Option<&'o Value> {
    object.field("spec").get(name).filter(|value| !value.is_null() && *value != "")
}

/// A prefix length as it was written, if it can be one in the family (in any, while the family is unknown).
pub(crate) fn check_length(
    path: Path,
    length: Option<i64>,
    family: Option<Family>,
    faults: &mut Vec<Fault>,
) -> Option<u8> {
    let length = length?;
    let bits = family.map_or(128, Family::bits);
    if length <= 0 {
        faults.push(Fault::invalid(path, length, "must be greater than 0"));
        return None;
    }
    match u8::try_from(length) {
        Ok(fitting) if fitting <= bits => Some(fitting),
        _ => {
            let of_family = family.map_or_else(String::new, |family| format!(" for {family}"));
            faults.push(Fault::invalid(path, length, &format!("must be at most {bits}{of_family}")));
            None
        }
    }
}

/// A block as it was written.
pub(crate) fn check_cidr(path: Path, text: &str, faults: &mut Vec<Fault>) -> Option<Parsed> {
    let parsed = address::parse_cidr(text);
    parsed.map_err(|error| faults.push(Fault::invalid(path, text, &format!("invalid CIDR: {error}")))).ok()
}

/// A block that the service itself has written into a status. Unlike what people write, it may lie in the part of IPv6
/// that prints as IPv4-mapped.
pub(crate) fn stored_block(text: &str) -> Option<Prefix> {
    let (address, length) = text.split_once('/')?;
    let length = length.parse().ok()?;
    match address.parse().ok()? {
        std::net::IpAddr::V4(address) => Prefix::new(Family::V4, address.to_bits().into(), length).ok(),
        std::net::IpAddr::V6(address) => Prefix::new(Family::V6, address.to_bits(), length).ok(),
    }
}

/// Says in the status that it reflects the generation which this change will make the current one. What the service does
/// about a change of a spec is done in the same transaction.
pub(crate) fn observe_change(old: &Object, new: &mut Object) {
    let generation = old.metadata.generation.unwrap_or(0);
    let changed = old.field("spec") != new.field("spec");
    let due = if changed { generation.saturating_add(1) } else { generation };
    observe(new, Some(due));
}

/// Says in the status that it reflects this generation.
pub(crate) fn observe(object: &mut Object, generation: Option<i64>) {
    if let Some(status) = object.fields.get_mut("status").and_then(Value::as_object_mut) {
        status.insert("observedGeneration".to_owned(), generation.into());
    }
}
