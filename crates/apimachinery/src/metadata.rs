//! Validation of metadata: names, labels, annotations, finalizers, owner references. Messages are those of
//! `k8s.io/apimachinery/pkg/api/validation` and `pkg/util/validation`.

use std::collections::{BTreeSet, HashSet};

use serde_json::{Value, json};

use crate::{
    field::{FieldError, Path, truncate},
    limits::{
        ANNOTATIONS_BYTES_MAX, GENERATED_BASE_BYTES_MAX, LABEL_BYTES_MAX, MANAGER_BYTES_MAX, QUOTED_BYTES_MAX,
        SUBDOMAIN_BYTES_MAX,
    },
    object::{Object, ObjectMeta, OwnerReference},
    resource::{NamePolicy, Resource},
};

/// Alphabet of generated suffixes, without vowels to avoid forming words.
const GENERATED_ALPHABET: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";

const IMMUTABLE: &str = "field is immutable";

/// Finalizer: keep the dependents when the object is deleted.
pub const FINALIZER_ORPHAN: &str = "orphan";
/// Finalizer: delete the dependents before the object.
pub const FINALIZER_FOREGROUND: &str = "foregroundDeletion";

/// True if a garbage collector has to process an object.
pub fn is_gc_relevant(object: &Object) -> bool {
    !object.metadata.owner_references.is_empty()
        || awaits_finalizer(object, FINALIZER_FOREGROUND)
        || awaits_finalizer(object, FINALIZER_ORPHAN)
}

/// True if an object's deletion has begun and waits for this finalizer.
pub fn awaits_finalizer(object: &Object, finalizer: &str) -> bool {
    object.is_terminating() && object.metadata.finalizers.iter().any(|name| name == finalizer)
}

/// False only if an encoded object is not [`is_gc_relevant`]: a cheap check, which spares parsing most objects.
pub fn may_be_gc_relevant(bytes: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(bytes) else { return true };
    ["\"ownerReferences\"", FINALIZER_FOREGROUND, FINALIZER_ORPHAN].iter().any(|word| text.contains(word))
}

/// Validates the metadata of a new object.
pub fn validate_create(meta: &ObjectMeta, resource: &Resource) -> Vec<FieldError> {
    let mut errors = Vec::new();
    validate_names(meta, resource, &mut errors);
    validate_rest(meta, &mut errors);
    errors
}

/// Validates changed metadata. System fields have been restored before.
pub fn validate_update(old: &ObjectMeta, new: &ObjectMeta) -> Vec<FieldError> {
    let mut errors = Vec::new();
    validate_rest(new, &mut errors);
    let path = Path::new("metadata");
    let added = added_finalizers(&old.finalizers, &new.finalizers);
    if old.deletion_timestamp.is_some() && !added.is_empty() {
        // Formatted as a Go slice.
        let list = added.iter().map(|name| format!("{name:?}")).collect::<Vec<_>>().join(", ");
        let detail = format!(
            "no new finalizers can be added if the object is being deleted, found new finalizers []string{{{list}}}"
        );
        errors.push(FieldError::forbidden(path.child("finalizers"), &detail));
    }
    for (field, old, new) in
        [("name", &old.name, &new.name), ("namespace", &old.namespace, &new.namespace), ("uid", &old.uid, &new.uid)]
    {
        if old != new {
            errors.push(FieldError::invalid(path.child(field), new.as_str(), IMMUTABLE));
        }
    }
    if old.deletion_timestamp != new.deletion_timestamp {
        let time = new.deletion_timestamp.map(|time| time.to_string());
        errors.push(FieldError::invalid(path.child("deletionTimestamp"), time, IMMUTABLE));
    }
    if old.deletion_grace_period_seconds != new.deletion_grace_period_seconds {
        let seconds = new.deletion_grace_period_seconds;
        errors.push(FieldError::invalid(path.child("deletionGracePeriodSeconds"), seconds, IMMUTABLE));
    }
    errors
}

/// Removes duplicate owner references, as Kubernetes does, and returns the uids of those removed.
pub fn dedup_owner_references(meta: &mut ObjectMeta) -> Vec<String> {
    let mut seen: HashSet<&OwnerReference> = HashSet::new();
    let repeated: Vec<bool> = meta.owner_references.iter().map(|owner| !seen.insert(owner)).collect();
    let mut repeated = repeated.into_iter();
    let gone = meta.owner_references.extract_if(.., |_| repeated.next().unwrap_or_default());
    gone.map(|owner| owner.uid).collect()
}

/// Returns the finalizers in `new` that are not in `old`.
pub fn added_finalizers<'a>(old: &[String], new: &'a [String]) -> BTreeSet<&'a String> {
    let old: HashSet<&String> = old.iter().collect();
    new.iter().filter(|name| !old.contains(name)).collect()
}

/// Returns warnings about new finalizers without a domain-qualified name.
pub fn finalizer_warnings(old: &[String], new: &[String]) -> Vec<String> {
    let is_common = |name: &str| [FINALIZER_ORPHAN, FINALIZER_FOREGROUND, "kubernetes"].contains(&name);
    let bare = added_finalizers(old, new).into_iter().filter(|name| !name.contains('/') && !is_common(name));
    let warning = |name: &String| {
        let path = if name.contains('.') { " including a path (/)" } else { "" };
        format!(
            "metadata.finalizers: {name:?}: prefer a domain-qualified finalizer name{path} to avoid accidental conflicts \
             with other finalizer writers"
        )
    };
    bare.map(warning).collect()
}

fn validate_names(meta: &ObjectMeta, resource: &Resource, errors: &mut Vec<FieldError>) {
    let path = Path::new("metadata");
    if let Err(why) = validate_generate_name(&meta.generate_name, resource.names) {
        errors.push(FieldError::invalid(path.child("generateName"), meta.generate_name.as_str(), &why));
    }
    if meta.name.is_empty() {
        errors.push(FieldError::required(path.child("name"), "name or generateName is required"));
    } else if let Err(why) = check_name(&meta.name, resource.names) {
        errors.push(FieldError::invalid(path.child("name"), meta.name.as_str(), &why));
    }
    match (resource.namespaced, meta.namespace.is_empty()) {
        (true, true) => errors.push(FieldError::required(path.child("namespace"), "")),
        (true, false) => {
            if let Err(why) = is_dns_label(&meta.namespace) {
                errors.push(FieldError::invalid(path.child("namespace"), meta.namespace.as_str(), &why));
            }
        }
        (false, false) => {
            errors.push(FieldError::forbidden(path.child("namespace"), "not allowed on this type"));
        }
        (false, true) => {}
    }
}

/// Checks a `generateName`. A trailing `-` is allowed, although no name may end with it.
fn validate_generate_name(base: &str, names: NamePolicy) -> Result<(), String> {
    match base.strip_suffix('-') {
        _ if base.is_empty() => Ok(()),
        Some(front) if !front.is_empty() => check_name(&format!("{front}a"), names),
        _ => check_name(base, names),
    }
}

/// Checks a name against the rule of its kind.
///
/// # Errors
/// Returns the reason, worded as Kubernetes does.
pub fn check_name(name: &str, names: NamePolicy) -> Result<(), String> {
    match names {
        NamePolicy::Subdomain => is_dns_subdomain(name),
        NamePolicy::Label => is_dns_label(name),
        NamePolicy::PathSegment => is_path_segment(name),
    }
}

/// As `IsPathSegmentName` of Kubernetes, plus a length limit.
fn is_path_segment(name: &str) -> Result<(), String> {
    if [".", ".."].contains(&name) {
        return Err(format!("may not be '{name}'"));
    }
    if let Some(character) = name.chars().find(|character| ['/', '%', '\0'].contains(character)) {
        return Err(format!("may not contain '{character}'"));
    }
    if name.len() > SUBDOMAIN_BYTES_MAX {
        return Err(format!("must be no more than {SUBDOMAIN_BYTES_MAX} bytes"));
    }
    Ok(())
}

fn too_long(length_max: usize) -> String {
    format!("must be no more than {length_max} characters")
}

fn validate_rest(meta: &ObjectMeta, errors: &mut Vec<FieldError>) {
    let path = Path::new("metadata");
    for (key, value) in &meta.labels {
        let path = || Path::new("metadata").child("labels");
        if let Err(why) = is_qualified_name(key) {
            errors.push(FieldError::invalid(path(), key.as_str(), &why));
        }
        if let Err(why) = is_label_value(value) {
            errors.push(FieldError::invalid(path(), value.as_str(), &why));
        }
    }
    validate_annotations(meta, errors);
    validate_owners(&meta.owner_references, &path.child("ownerReferences"), errors);
    validate_finalizers(meta, &path.child("finalizers"), errors);
}

fn validate_annotations(meta: &ObjectMeta, errors: &mut Vec<FieldError>) {
    let path = || Path::new("metadata").child("annotations");
    for key in meta.annotations.keys() {
        // Kubernetes once allowed upper case in the prefix, and still does.
        if let Err(why) = is_qualified_name(&key.to_ascii_lowercase()) {
            errors.push(FieldError::invalid(path(), key.as_str(), &why));
        }
    }
    let bytes: usize = meta.annotations.iter().map(|(key, value)| key.len() + value.len()).sum();
    if bytes > ANNOTATIONS_BYTES_MAX {
        let detail = format!("may not be more than {ANNOTATIONS_BYTES_MAX} bytes");
        errors.push(FieldError::too_long(path(), &detail));
    }
}

fn validate_finalizers(meta: &ObjectMeta, path: &Path, errors: &mut Vec<FieldError>) {
    for finalizer in &meta.finalizers {
        if let Err(why) = is_qualified_name(finalizer) {
            errors.push(FieldError::invalid(path.clone(), finalizer.as_str(), &why));
        }
    }
    let has = |name: &str| meta.finalizers.iter().any(|finalizer| finalizer == name);
    if has(FINALIZER_ORPHAN) && has(FINALIZER_FOREGROUND) {
        let detail = format!("finalizer {FINALIZER_ORPHAN} and {FINALIZER_FOREGROUND} cannot be both set");
        errors.push(FieldError::invalid(path.clone(), Value::from(meta.finalizers.clone()), &detail));
    }
}

fn validate_owners(owners: &[OwnerReference], path: &Path, errors: &mut Vec<FieldError>) {
    for (index, owner) in owners.iter().enumerate() {
        let path_of = |field: &str| path.index(index).child(field);
        for (field, value) in
            [("apiVersion", &owner.api_version), ("kind", &owner.kind), ("name", &owner.name), ("uid", &owner.uid)]
        {
            if value.is_empty() {
                errors.push(FieldError::required(path_of(field), "must not be empty"));
            }
        }
    }
    // Two controllers are enough for the message, so further ones are not looked for.
    let mut controllers = owners.iter().filter(|owner| owner.controller == Some(true));
    if let (Some(first), Some(second)) = (controllers.next(), controllers.next()) {
        let name = |owner: &OwnerReference| {
            format!("{}/{}", truncate(&owner.kind, QUOTED_BYTES_MAX), truncate(&owner.name, QUOTED_BYTES_MAX))
        };
        let detail = format!(
            "Only one reference can have Controller set to true. Found \"true\" in references for {} and {}",
            name(first),
            name(second)
        );
        let all: Value = owners.iter().map(|owner| json!(owner)).collect();
        errors.push(FieldError::invalid(path.clone(), all, &detail));
    }
}

/// Derives a field manager from the `User-Agent` of a request without one: the part before the first `/`, without
/// control characters, truncated to [`MANAGER_BYTES_MAX`].
pub fn field_manager_from_user_agent(user_agent: &str) -> String {
    let program = user_agent.split('/').next().unwrap_or_default();
    let printable: String = program.chars().filter(|c| !c.is_control()).collect();
    printable[..printable.floor_char_boundary(MANAGER_BYTES_MAX)].to_owned()
}

/// Validates the name of a field manager.
pub(crate) fn field_manager_error(name: &str, path: Path) -> Option<FieldError> {
    if name.len() > MANAGER_BYTES_MAX {
        return Some(FieldError::too_long(path, &format!("may not be more than {MANAGER_BYTES_MAX} bytes")));
    }
    let printable = !name.chars().any(char::is_control);
    (!printable).then(|| FieldError::invalid(path, name, "should only contain printable characters"))
}

/// Formats a validation message as Kubernetes does: a sentence, examples, and a regular expression. The expression is
/// documentation only; it is not evaluated.
fn regex_error(sentence: &str, examples: &[&str], regex: &str) -> String {
    let examples = examples.iter().map(|example| format!("'{example}', ")).collect::<Vec<_>>().join(" or ");
    format!("{sentence} (e.g. {examples}regex used for validation is '{regex}')")
}

/// Checks for a DNS subdomain: lower case letters, digits, `-` and `.`; up to 253 characters (RFC 1123).
pub fn is_dns_subdomain(text: &str) -> Result<(), String> {
    if text.len() > SUBDOMAIN_BYTES_MAX {
        return Err(too_long(SUBDOMAIN_BYTES_MAX));
    }
    if text.split('.').all(is_label_text) {
        return Ok(());
    }
    Err(regex_error(
        "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start \
         and end with an alphanumeric character",
        &["example.com"],
        r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*",
    ))
}

/// Checks for a DNS label: lower case letters, digits and `-`; up to 63 characters (RFC 1123).
pub fn is_dns_label(text: &str) -> Result<(), String> {
    if text.len() > LABEL_BYTES_MAX {
        return Err(too_long(LABEL_BYTES_MAX));
    }
    if is_label_text(text) {
        return Ok(());
    }
    Err(regex_error(
        "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end \
         with an alphanumeric character",
        &["my-name", "123-abc"],
        "[a-z0-9]([-a-z0-9]*[a-z0-9])?",
    ))
}

fn is_label_text(text: &str) -> bool {
    let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    !text.is_empty() && text.bytes().all(inner) && !text.starts_with('-') && !text.ends_with('-')
}

const QUALIFIED: &str = "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an \
                         alphanumeric character";
const QUALIFIED_EXAMPLES: &[&str] = &["MyName", "my.name", "123-abc"];
const QUALIFIED_REGEX: &str = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]";

/// Checks for a label key: `name` or `prefix/name`.
pub fn is_qualified_name(text: &str) -> Result<(), String> {
    let name = match text.split_once('/') {
        None => text,
        Some((_, name)) if name.contains('/') => {
            let form = regex_error(&format!("a qualified name {QUALIFIED}"), QUALIFIED_EXAMPLES, QUALIFIED_REGEX);
            return Err(format!("{form} with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"));
        }
        Some(("", _)) => return Err("prefix part must be non-empty".to_owned()),
        Some((prefix, name)) => {
            is_dns_subdomain(prefix).map_err(|why| format!("prefix part {why}"))?;
            name
        }
    };
    match name {
        "" => Err("name part must be non-empty".to_owned()),
        _ if name.len() > LABEL_BYTES_MAX => Err(format!("name part {}", too_long(LABEL_BYTES_MAX))),
        _ if is_label_characters(name) => Ok(()),
        _ => Err(regex_error(&format!("name part {QUALIFIED}"), QUALIFIED_EXAMPLES, QUALIFIED_REGEX)),
    }
}

/// Checks for a label value: empty, or up to 63 letters, digits, `-`, `_` and `.`.
pub fn is_label_value(text: &str) -> Result<(), String> {
    if text.len() > LABEL_BYTES_MAX {
        return Err(too_long(LABEL_BYTES_MAX));
    }
    if text.is_empty() || is_label_characters(text) {
        return Ok(());
    }
    Err(regex_error(
        &format!("a valid label must be an empty string or {}", QUALIFIED.trim_start_matches("must ")),
        &["MyValue", "my_value", "12345"],
        "(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?",
    ))
}

fn is_label_characters(text: &str) -> bool {
    let edge = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    let inner = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
    text.bytes().all(inner) && edge(text.chars().next()) && edge(text.chars().next_back())
}

/// Generates a name: `base`, truncated to [`GENERATED_BASE_BYTES_MAX`], and five random characters.
pub fn generate_name(base: &str, random: [u8; 5]) -> String {
    let end = base.char_indices().map(|(at, c)| at + c.len_utf8()).take_while(|end| *end <= GENERATED_BASE_BYTES_MAX);
    let mut name = base[..end.last().unwrap_or(0)].to_owned();
    name.extend(
        random.iter().map(|byte| char::from(GENERATED_ALPHABET[usize::from(*byte) % GENERATED_ALPHABET.len()])),
    );
    name
}

#[cfg(test)]
mod tests;
