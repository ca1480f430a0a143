//! Tests of the field numbers, by an independent decoder.

use serde_json::json;

use super::*;
use crate::{
    fixture,
    openapi::{v2, v3},
    patch::PATCH_TYPES,
};

/// Decodes the fields of a message: number and bytes.
fn fields(mut bytes: &[u8]) -> Vec<(u64, Vec<u8>)> {
    let mut found = Vec::new();
    while !bytes.is_empty() {
        let key = varint(&mut bytes);
        let length = match key & 7 {
            0 => {
                let before = bytes;
                varint(&mut bytes);
                found.push((key >> 3, before[..before.len() - bytes.len()].to_vec()));
                continue;
            }
            1 => 8,
            2 => usize::try_from(varint(&mut bytes)).unwrap(),
            other => unreachable!("wire type {other}"),
        };
        let (value, rest) = bytes.split_at(length);
        found.push((key >> 3, value.to_vec()));
        bytes = rest;
    }
    found
}

fn varint(bytes: &mut &[u8]) -> u64 {
    let mut value = 0;
    for shift in (0..).step_by(7) {
        let (byte, rest) = bytes.split_first().unwrap();
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            break;
        }
    }
    value
}

/// All values at a path of field numbers.
fn at(message: &[u8], path: &[u64]) -> Vec<Vec<u8>> {
    path.iter().fold(vec![message.to_vec()], |messages, number| {
        let inner = messages.iter().flat_map(|message| fields(message));
        inner.filter(|(found, _)| found == number).map(|(_, value)| value).collect()
    })
}

fn texts_at(message: &[u8], path: &[u64]) -> Vec<String> {
    at(message, path).into_iter().map(|bytes| String::from_utf8(bytes).unwrap()).collect()
}

#[test]
fn document_is_encoded_with_gnostic_field_numbers() {
    let document = v2(&[v3(&fixture::registry(), "store.example.com", "v1alpha1")]);
    let bytes = encode(&document);
    assert_eq!(texts_at(&bytes, &[1]), ["2.0"]);
    assert_eq!(texts_at(&bytes, &[2, 1]), ["store.example.com"]);
    let keys = |map: &Value| map.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(texts_at(&bytes, &[8, 2, 1]), keys(&document["paths"]));
    assert_eq!(texts_at(&bytes, &[9, 1, 1]), keys(&document["definitions"]));
    // The media types of patches, the name and type of their body, and their vendor extensions.
    let mut patches = PATCH_TYPES.to_vec();
    patches.sort_unstable();
    assert_eq!(texts_at(&bytes, &[8, 2, 2, 8, 7])[..patches.len()], patches);
    assert_eq!(texts_at(&bytes, &[8, 2, 2, 8, 8, 1, 1, 2])[0], "body");
    assert!(texts_at(&bytes, &[8, 2, 2, 8, 8, 1, 2, 3, 4]).contains(&"fieldValidation".to_owned()));
    assert!(texts_at(&bytes, &[8, 2, 2, 9, 1, 2, 4, 4]).contains(&"namespace".to_owned()));
    assert_eq!(texts_at(&bytes, &[8, 2, 2, 8, 13, 1])[..2], ["x-kubernetes-action", "x-kubernetes-group-version-kind"]);
    assert_eq!(texts_at(&bytes, &[8, 2, 2, 2, 9, 1, 1])[0], "200");
    assert!(texts_at(&bytes, &[8, 2, 2, 4, 9, 1, 2, 1, 2, 1, 1])[0].starts_with("#/definitions/"));
}

#[test]
fn every_schema_keyword_has_its_field_number() {
    let schema = json!({
        "$ref": "#/definitions/a", "format": "f", "title": "t", "description": "d", "default": {"a": 1},
        "multipleOf": 2, "maximum": 3, "exclusiveMaximum": true, "minimum": 1, "exclusiveMinimum": true,
        "maxLength": 4, "minLength": 5, "pattern": "p", "maxItems": 6, "minItems": 7, "uniqueItems": true,
        "maxProperties": 8, "minProperties": 9, "required": ["r"], "enum": ["x", 1],
        "additionalProperties": {"type": "string"}, "type": "object", "items": {"type": "integer"},
        "allOf": [{"title": "all"}], "properties": {"p": {"title": "property"}}, "readOnly": true, "example": [1],
        "x-kubernetes-list-type": "map",
    });
    let bytes = Schema::from(&schema).encode_to_vec();
    let numbers: Vec<u64> = fields(&bytes).into_iter().map(|(number, _)| number).collect();
    // 20 occurs twice; 26, 28 and 29 are discriminator, XML and links, which are not used.
    let expected: Vec<u64> = (1..=20).chain(20..=25).chain([27, 30, 31]).collect();
    assert_eq!(numbers, expected);
    for (path, expected) in [
        ([1].as_slice(), "#/definitions/a"),
        (&[5, 2], r#"{"a":1}"#),
        (&[13], "p"),
        (&[19], "r"),
        (&[21, 1, 22, 1], "string"),
        (&[22, 1], "object"),
        (&[23, 1, 22, 1], "integer"),
        (&[24, 3], "all"),
        (&[25, 1, 1], "p"),
        (&[25, 1, 2, 3], "property"),
        (&[31, 1], "x-kubernetes-list-type"),
        (&[31, 2, 2], r#""map""#),
    ] {
        assert_eq!(texts_at(&bytes, path), [expected], "{path:?}");
    }
    assert_eq!(at(&bytes, &[7]), [3f64.to_le_bytes()]);
    assert_eq!(at(&bytes, &[18]), [[9]]);
    let open = Schema::from(&json!({"additionalProperties": true})).encode_to_vec();
    assert_eq!(at(&open, &[21, 2]), [[1]]);
}
