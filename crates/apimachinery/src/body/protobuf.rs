//! Decodes bodies in protobuf, for the built-in kinds that clients send only in this encoding: namespaces, roles and
//! bindings, self subject reviews and delete options (kubectl), config maps (Helm), leases and events (controllers).
//! Kinds of a service are never sent in protobuf.
//!
//! A body is an envelope (`runtime.Unknown`) after four magic bytes. Only the fields in the tables below are decoded;
//! others are set by the server and skipped.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use jiff::Timestamp;
use serde_json::{Map, Value};

use super::memory_size::{Budget, Exceeded};

/// Media type.
pub const MEDIA_TYPE: &str = "application/vnd.kubernetes.protobuf";
const MAGIC: &[u8] = b"k8s\0";

/// Maximum length of a time in text form, in bytes.
const TIME_BYTES: usize = 32;

/// Reasons why a body cannot be decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// Malformed, or of an unknown kind.
    Malformed,
    /// The JSON tree takes too much memory.
    TooLarge,
}

impl From<Exceeded> for Failure {
    fn from(Exceeded: Exceeded) -> Self {
        Self::TooLarge
    }
}

/// Decodes a body to JSON.
pub fn decode(body: &[u8], budget: &mut Budget) -> Result<Value, Failure> {
    let mut raw: &[u8] = &[];
    let body = body.strip_prefix(MAGIC).ok_or(Failure::Malformed)?;
    let envelope = message(body, ENVELOPE, &mut raw, budget)?;
    let text = |pointer: &str| envelope.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let (api_version, kind) = (text("/typeMeta/apiVersion"), text("/typeMeta/kind"));
    let is_this = |version: &str, name: &str| name == kind && (version == api_version || kind == "DeleteOptions");
    let known = KINDS.iter().find(|(version, name, _)| is_this(version, name));
    let (.., fields) = known.ok_or(Failure::Malformed)?;
    let mut object = message(raw, fields, &mut &[][..], budget)?;
    object["apiVersion"] = api_version.into();
    object["kind"] = kind.into();
    Ok(object)
}

/// A field of a message: number, name in JSON, type.
type Field = (u64, &'static str, Shape);

#[derive(Clone, Copy)]
enum Shape {
    Text,
    Strings,
    Integer,
    Boolean,
    /// Map from string to string.
    Map,
    /// Map from string to bytes, which are base64 in JSON.
    BytesMap,
    Message(&'static [Field]),
    Messages(&'static [Field]),
    /// A time in whole seconds; the zero time is omitted.
    Time,
    /// A time with exactly six digits after the second, as Go clients require.
    MicroTime,
    /// Bytes that are not converted to JSON.
    Raw,
}

use Shape::{Boolean, BytesMap, Integer, Map as StringMap, Message, Messages, MicroTime, Raw, Strings, Text, Time};

const ENVELOPE: &[Field] = &[(1, "typeMeta", Message(&[(1, "apiVersion", Text), (2, "kind", Text)])), (2, "", Raw)];

const OWNER: &[Field] = &[
    (1, "kind", Text),
    (3, "name", Text),
    (4, "uid", Text),
    (5, "apiVersion", Text),
    (6, "controller", Boolean),
    (7, "blockOwnerDeletion", Boolean),
];

const METADATA: Field = (
    1,
    "metadata",
    Message(&[
        (1, "name", Text),
        (2, "generateName", Text),
        (3, "namespace", Text),
        (5, "uid", Text),
        (6, "resourceVersion", Text),
        (11, "labels", StringMap),
        (12, "annotations", StringMap),
        (13, "ownerReferences", Messages(OWNER)),
        (14, "finalizers", Strings),
    ]),
);

const ACCESS: &[Field] = &[
    (
        1,
        "resourceAttributes",
        Message(&[
            (1, "namespace", Text),
            (2, "verb", Text),
            (3, "group", Text),
            (4, "version", Text),
            (5, "resource", Text),
            (6, "subresource", Text),
            (7, "name", Text),
        ]),
    ),
    (2, "nonResourceAttributes", Message(&[(1, "path", Text), (2, "verb", Text)])),
];

const DELETE_OPTIONS: &[Field] = &[
    (1, "gracePeriodSeconds", Integer),
    (2, "preconditions", Message(&[(1, "uid", Text), (2, "resourceVersion", Text)])),
    (3, "orphanDependents", Boolean),
    (4, "propagationPolicy", Text),
    (5, "dryRun", Strings),
];

/// Roles. `aggregationRule` is decoded so that it can be rejected.
const ROLE: &[Field] = &[
    METADATA,
    (
        2,
        "rules",
        Messages(&[
            (1, "verbs", Strings),
            (2, "apiGroups", Strings),
            (3, "resources", Strings),
            (4, "resourceNames", Strings),
            (5, "nonResourceURLs", Strings),
        ]),
    ),
    (3, "aggregationRule", Message(&[])),
];

const BINDING: &[Field] = &[
    METADATA,
    (2, "subjects", Messages(&[(1, "kind", Text), (2, "apiGroup", Text), (3, "name", Text), (4, "namespace", Text)])),
    (3, "roleRef", Message(&[(1, "apiGroup", Text), (2, "kind", Text), (3, "name", Text)])),
];

const OBJECT_REFERENCE: &[Field] = &[
    (1, "kind", Text),
    (2, "namespace", Text),
    (3, "name", Text),
    (4, "uid", Text),
    (5, "apiVersion", Text),
    (6, "resourceVersion", Text),
    (7, "fieldPath", Text),
];

const EVENT_SOURCE: &[Field] = &[(1, "component", Text), (2, "host", Text)];

const EVENT_SERIES: &[Field] = &[(1, "count", Integer), (2, "lastObservedTime", MicroTime)];

/// Event of the core group.
const CORE_EVENT: &[Field] = &[
    METADATA,
    (2, "involvedObject", Message(OBJECT_REFERENCE)),
    (3, "reason", Text),
    (4, "message", Text),
    (5, "source", Message(EVENT_SOURCE)),
    (6, "firstTimestamp", Time),
    (7, "lastTimestamp", Time),
    (8, "count", Integer),
    (9, "type", Text),
    (10, "eventTime", MicroTime),
    (11, "series", Message(EVENT_SERIES)),
    (12, "action", Text),
    (13, "related", Message(OBJECT_REFERENCE)),
    (14, "reportingComponent", Text),
    (15, "reportingInstance", Text),
];

/// Event of the group `events.k8s.io`.
const EVENT: &[Field] = &[
    METADATA,
    (2, "eventTime", MicroTime),
    (3, "series", Message(EVENT_SERIES)),
    (4, "reportingController", Text),
    (5, "reportingInstance", Text),
    (6, "action", Text),
    (7, "reason", Text),
    (8, "regarding", Message(OBJECT_REFERENCE)),
    (9, "related", Message(OBJECT_REFERENCE)),
    (10, "note", Text),
    (11, "type", Text),
    (12, "deprecatedSource", Message(EVENT_SOURCE)),
    (13, "deprecatedFirstTimestamp", Time),
    (14, "deprecatedLastTimestamp", Time),
    (15, "deprecatedCount", Integer),
];

const LEASE: &[Field] = &[
    METADATA,
    (
        2,
        "spec",
        Message(&[
            (1, "holderIdentity", Text),
            (2, "leaseDurationSeconds", Integer),
            (3, "acquireTime", MicroTime),
            (4, "renewTime", MicroTime),
            (5, "leaseTransitions", Integer),
        ]),
    ),
];

/// Known kinds by version and kind. `DeleteOptions` may have any version.
const KINDS: &[(&str, &str, &[Field])] = &[
    ("v1", "Namespace", &[METADATA, (2, "spec", Message(&[(1, "finalizers", Strings)]))]),
    ("v1", "ConfigMap", &[METADATA, (2, "data", StringMap), (3, "binaryData", BytesMap), (4, "immutable", Boolean)]),
    ("v1", "DeleteOptions", DELETE_OPTIONS),
    ("v1", "Event", CORE_EVENT),
    ("events.k8s.io/v1", "Event", EVENT),
    ("coordination.k8s.io/v1", "Lease", LEASE),
    ("authentication.k8s.io/v1", "SelfSubjectReview", &[METADATA]),
    ("authorization.k8s.io/v1", "SelfSubjectAccessReview", &[METADATA, (2, "spec", Message(ACCESS))]),
    ("authorization.k8s.io/v1", "SelfSubjectRulesReview", &[METADATA, (2, "spec", Message(&[(1, "namespace", Text)]))]),
    ("rbac.authorization.k8s.io/v1", "ClusterRole", ROLE),
    ("rbac.authorization.k8s.io/v1", "ClusterRoleBinding", BINDING),
    ("rbac.authorization.k8s.io/v1", "Role", ROLE),
    ("rbac.authorization.k8s.io/v1", "RoleBinding", BINDING),
];

/// A value in its wire type.
enum WireValue<'a> {
    Number(u64),
    Bytes(&'a [u8]),
    Other,
}

/// Decodes the listed fields of a message. An empty string is omitted, because Go encodes an absent field as one.
fn message<'a>(
    mut bytes: &'a [u8],
    fields: &[Field],
    raw: &mut &'a [u8],
    budget: &mut Budget,
) -> Result<Value, Failure> {
    let mut object = Map::new();
    while !bytes.is_empty() {
        let (number, wire) = field(&mut bytes).ok_or(Failure::Malformed)?;
        let Some((_, name, shape)) = fields.iter().find(|(known, ..)| *known == number) else { continue };
        if !object.contains_key(*name) {
            budget.key(name, object.len())?;
        }
        let name = (*name).to_owned();
        match (shape, wire) {
            (Text, WireValue::Bytes(bytes)) => {
                let text = text(bytes, budget)?;
                if !text.is_empty() {
                    object.insert(name, text.into());
                }
            }
            (Strings, WireValue::Bytes(bytes)) => {
                let text = text(bytes, budget)?;
                append(&mut object, name, text.into(), budget)?;
            }
            (Integer, WireValue::Number(number)) => drop(object.insert(name, number.cast_signed().into())),
            (Boolean, WireValue::Number(number)) => drop(object.insert(name, (number != 0).into())),
            (StringMap, WireValue::Bytes(entry)) => {
                let (key, value) = self::entry(entry)?;
                let value = text(value, budget)?;
                insert(&mut object, name, text(key, budget)?, value.into(), budget)?;
            }
            (BytesMap, WireValue::Bytes(entry)) => {
                let (key, value) = self::entry(entry)?;
                budget.text(value.len() / 3 * 4 + 4)?;
                insert(&mut object, name, text(key, budget)?, STANDARD.encode(value).into(), budget)?;
            }
            (Message(fields), WireValue::Bytes(inner)) => {
                drop(object.insert(name, message(inner, fields, raw, budget)?));
            }
            (Messages(fields), WireValue::Bytes(inner)) => {
                let inner = message(inner, fields, raw, budget)?;
                append(&mut object, name, inner, budget)?;
            }
            (Time, WireValue::Bytes(inner)) => {
                budget.text(TIME_BYTES)?;
                object.extend(time(inner)?.map(|time| (name, format!("{time:.0}").into())));
            }
            (MicroTime, WireValue::Bytes(inner)) => {
                budget.text(TIME_BYTES)?;
                object.extend(time(inner)?.map(|time| (name, format!("{time:.6}").into())));
            }
            (Raw, WireValue::Bytes(inner)) => *raw = inner,
            _ => return Err(Failure::Malformed),
        }
    }
    Ok(Value::Object(object))
}

fn text<'a>(bytes: &'a [u8], budget: &mut Budget) -> Result<&'a str, Failure> {
    budget.text(bytes.len())?;
    str::from_utf8(bytes).map_err(|_| Failure::Malformed)
}

/// Decodes a time. Go encodes the zero time as an empty message.
fn time(mut bytes: &[u8]) -> Result<Option<Timestamp>, Failure> {
    if bytes.is_empty() {
        return Ok(None);
    }
    let (mut seconds, mut nanoseconds) = (0, 0);
    while !bytes.is_empty() {
        match field(&mut bytes) {
            Some((1, WireValue::Number(number))) => seconds = number.cast_signed(),
            Some((2, WireValue::Number(number))) => {
                nanoseconds = i32::try_from(number).map_err(|_| Failure::Malformed)?;
            }
            Some((1 | 2, _)) | None => return Err(Failure::Malformed),
            Some(_) => {}
        }
    }
    Timestamp::new(seconds, nanoseconds).map(Some).map_err(|_| Failure::Malformed)
}

/// Decodes key and value of a map entry.
fn entry(mut bytes: &[u8]) -> Result<(&[u8], &[u8]), Failure> {
    let (mut key, mut value): (&[u8], &[u8]) = (&[], &[]);
    while !bytes.is_empty() {
        match field(&mut bytes) {
            Some((1, WireValue::Bytes(found))) => key = found,
            Some((2, WireValue::Bytes(found))) => value = found,
            Some((1 | 2, _)) | None => return Err(Failure::Malformed),
            Some(_) => {}
        }
    }
    Ok((key, value))
}

fn append(object: &mut Map<String, Value>, name: String, value: Value, budget: &mut Budget) -> Result<(), Failure> {
    budget.item()?;
    if let Value::Array(list) = object.entry(name).or_insert_with(|| Value::Array(Vec::new())) {
        list.push(value);
    }
    Ok(())
}

/// Inserts a value into a map field.
fn insert(
    object: &mut Map<String, Value>,
    name: String,
    key: &str,
    value: Value,
    budget: &mut Budget,
) -> Result<(), Failure> {
    if let Value::Object(map) = object.entry(name).or_insert_with(|| Value::Object(Map::new())) {
        budget.key(key, map.len())?;
        map.insert(key.to_owned(), value);
    }
    Ok(())
}

/// Decodes the next field and advances `bytes`.
fn field<'a>(bytes: &mut &'a [u8]) -> Option<(u64, WireValue<'a>)> {
    let tag = varint(bytes)?;
    let wire = match tag & 7 {
        0 => WireValue::Number(varint(bytes)?),
        1 => bytes.split_off(..8).map(|_| WireValue::Other)?,
        2 => {
            let length = usize::try_from(varint(bytes)?).ok()?;
            WireValue::Bytes(bytes.split_off(..length)?)
        }
        5 => bytes.split_off(..4).map(|_| WireValue::Other)?,
        _ => return None,
    };
    Some((tag >> 3, wire))
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let byte = bytes.split_off_first()?;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn decode(body: &[u8]) -> Option<Value> {
        super::decode(body, &mut Budget::new(1 << 20)).ok()
    }

    /// Encodes a field with bytes.
    fn bytes(number: u8, inner: &[u8]) -> Vec<u8> {
        let length = u8::try_from(inner.len()).unwrap();
        [&[number << 3 | 2, length], inner].concat()
    }

    fn body(api_version: &str, kind: &str, raw: &[u8]) -> Vec<u8> {
        let type_meta = [bytes(1, api_version.as_bytes()), bytes(2, kind.as_bytes())].concat();
        [MAGIC.to_vec(), bytes(1, &type_meta), bytes(2, raw), bytes(3, b""), bytes(4, b"")].concat()
    }

    #[test]
    fn namespace_of_kubectl_is_decoded() {
        let label = [bytes(1, b"a"), bytes(2, b"b")].concat();
        let meta = [bytes(1, b"team"), bytes(2, b""), vec![7 << 3, 0], bytes(8, b""), bytes(11, &label)].concat();
        let raw = [bytes(1, &meta), bytes(2, &bytes(1, b"kubernetes")), bytes(3, &bytes(1, b""))].concat();
        assert_eq!(
            decode(&body("v1", "Namespace", &raw)).unwrap(),
            json!({
                "apiVersion": "v1", "kind": "Namespace",
                "metadata": {"name": "team", "labels": {"a": "b"}}, "spec": {"finalizers": ["kubernetes"]},
            })
        );
    }

    #[test]
    fn lease_of_a_controller_is_decoded() {
        let time = bytes(4, &[1 << 3, 0x80, 0x92, 0xb8, 0xc3, 0x06, 2 << 3, 0xc0, 0x84, 0x3d]);
        let spec = [bytes(1, b"me"), vec![2 << 3, 15], bytes(3, b""), time, vec![5 << 3, 0]].concat();
        let raw = [bytes(1, &bytes(1, b"lock")), bytes(2, &spec)].concat();
        assert_eq!(
            decode(&body("coordination.k8s.io/v1", "Lease", &raw)).unwrap(),
            json!({
                "apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "lock"},
                "spec": {
                    "holderIdentity": "me", "leaseDurationSeconds": 15, "renewTime": "2025-07-09T06:15:28.001000Z",
                    "leaseTransitions": 0,
                },
            })
        );
    }

    #[test]
    fn config_map_of_helm_is_decoded() {
        let entry = |value: &[u8]| [bytes(1, b"release"), bytes(2, value)].concat();
        let raw =
            [bytes(1, &bytes(1, b"v1")), bytes(2, &entry(b"text")), bytes(3, &entry(&[0, 1, 255])), vec![4 << 3, 1]];
        assert_eq!(
            decode(&body("v1", "ConfigMap", &raw.concat())).unwrap(),
            json!({
                "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "v1"},
                "data": {"release": "text"}, "binaryData": {"release": "AAH/"}, "immutable": true,
            })
        );
    }

    #[test]
    fn roles_and_bindings_of_kubectl_are_decoded() {
        let version = "rbac.authorization.k8s.io/v1";
        let rule = [bytes(1, b"get"), bytes(2, b""), bytes(3, b"pods"), bytes(4, b"x")].concat();
        let paths = [bytes(1, b"get"), bytes(5, b"/metrics")].concat();
        let raw = [bytes(1, &bytes(1, b"r")), bytes(2, &rule), bytes(2, &paths), bytes(3, &bytes(1, b"x"))].concat();
        assert_eq!(
            decode(&body(version, "ClusterRole", &raw)).unwrap(),
            json!({
                "apiVersion": version, "kind": "ClusterRole", "metadata": {"name": "r"}, "aggregationRule": {},
                "rules": [
                    {"verbs": ["get"], "apiGroups": [""], "resources": ["pods"], "resourceNames": ["x"]},
                    {"verbs": ["get"], "nonResourceURLs": ["/metrics"]},
                ],
            })
        );
        let subject = [bytes(1, b"User"), bytes(2, b"g"), bytes(3, b"jane"), bytes(4, b"")].concat();
        let bound = [bytes(1, b"g"), bytes(2, b"Role"), bytes(3, b"r")].concat();
        let raw = [bytes(1, &bytes(1, b"b")), bytes(2, &subject), bytes(3, &bound)].concat();
        assert_eq!(
            decode(&body(version, "RoleBinding", &raw)).unwrap(),
            json!({
                "apiVersion": version, "kind": "RoleBinding", "metadata": {"name": "b"},
                "subjects": [{"kind": "User", "apiGroup": "g", "name": "jane"}],
                "roleRef": {"apiGroup": "g", "kind": "Role", "name": "r"},
            })
        );
    }

    #[test]
    fn delete_options_of_any_version_are_decoded() {
        let raw = [vec![1 << 3, 30], bytes(2, &bytes(1, b"u")), vec![3 << 3, 1], bytes(5, b"All")].concat();
        assert_eq!(
            decode(&body("x.example.com/v2", "DeleteOptions", &raw)).unwrap(),
            json!({
                "apiVersion": "x.example.com/v2", "kind": "DeleteOptions", "gracePeriodSeconds": 30,
                "preconditions": {"uid": "u"}, "orphanDependents": true, "dryRun": ["All"],
            })
        );
    }

    #[test]
    fn unknown_or_truncated_messages_are_rejected() {
        assert_eq!(decode(b"{}"), None);
        assert_eq!(decode(&body("v1", "Pod", b"")), None);
        let whole = body("v1", "Namespace", &bytes(1, &bytes(1, b"team")));
        assert!(decode(&whole).is_some());
        for end in 0..whole.len() {
            // Truncation between fields of the envelope may leave a valid message; it must not panic.
            drop(decode(&whole[..end]));
        }
        assert_eq!(decode(&whole[..whole.len() - 5]), None, "inside a field");
        assert_eq!(decode(&[MAGIC, &[0xff; 12]].concat()), None, "an unterminated varint");
    }

    #[test]
    fn many_small_values_exceed_the_budget() {
        let long = |raw: &[u8]| {
            let type_meta = [bytes(1, b"rbac.authorization.k8s.io/v1"), bytes(2, b"Role")].concat();
            let length = u32::try_from(raw.len()).unwrap();
            let varint = (0..5).map(|n| u8::try_from(length >> (7 * n) & 0x7f).unwrap() | if n < 4 { 0x80 } else { 0 });
            [MAGIC.to_vec(), bytes(1, &type_meta), vec![2 << 3 | 2], varint.collect(), raw.to_vec()].concat()
        };
        let rule = bytes(2, &bytes(1, b""));
        assert!(decode(&long(&rule.repeat(100))).is_some());
        let refused = super::decode(&long(&rule.repeat(10_000)), &mut Budget::new(1 << 20));
        assert_eq!(refused, Err(Failure::TooLarge));
    }
}
