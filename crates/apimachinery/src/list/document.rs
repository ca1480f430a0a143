//! Encodes a list document in parts: head, items and end. The parts are independent, so a list of any length can be
//! streamed.

use serde_json::{Value, json};

use crate::{
    list_meta::ListMeta,
    negotiate::{Representation, to_yaml},
    object::Object,
    resource::Resource,
    status_error::{StatusError, StatusReason},
    table,
    time::Time,
};

/// The encoding of a list.
#[derive(Clone, Copy, Debug)]
pub struct Document<'a> {
    /// Kind of the items.
    pub resource: &'a Resource,
    /// Representation of the document.
    pub representation: Representation,
    /// Time for computing ages.
    pub now: Time,
}

impl Document<'_> {
    /// Encodes everything before the first item.
    pub fn head(&self, meta: &ListMeta) -> Result<Vec<u8>, StatusError> {
        let (kind, version, items) = match self.representation {
            Representation::Table { v1beta1, .. } => {
                ("Table".to_owned(), table::meta_version(v1beta1).to_owned(), "rows")
            }
            Representation::Partial { v1beta1 } => {
                ("PartialObjectMetadataList".to_owned(), table::meta_version(v1beta1).to_owned(), "items")
            }
            Representation::Json | Representation::Yaml => {
                (format!("{}List", self.resource.kind), self.resource.api_version(), "items")
            }
        };
        let meta = meta.to_value();
        if self.representation == Representation::Yaml {
            let fields = to_yaml(&json!({ "kind": kind, "apiVersion": version, "metadata": meta }))?;
            return Ok(format!("{fields}{items}:").into_bytes());
        }
        let columns = match self.representation {
            Representation::Table { .. } => format!(",\"columnDefinitions\":{}", table::definitions(self.resource)),
            _ => String::new(),
        };
        let head =
            format!("{{\"kind\":\"{kind}\",\"apiVersion\":\"{version}\",\"metadata\":{meta}{columns},\"{items}\":[");
        Ok(head.into_bytes())
    }

    /// Appends an item, given as JSON. There is no separator before the first one.
    pub fn item(&self, document: &mut Vec<u8>, object: &[u8], is_first: bool) -> Result<(), StatusError> {
        match (self.representation, is_first) {
            (Representation::Yaml, true) => document.push(b'\n'),
            (Representation::Yaml, false) | (_, true) => {}
            (_, false) => document.push(b','),
        }
        match self.representation {
            Representation::Json => document.extend_from_slice(object),
            Representation::Yaml => {
                let value: Value = serde_json::from_slice(object).map_err(|error| unreadable(&error))?;
                document.extend_from_slice(to_yaml(&Value::Array(vec![value]))?.as_bytes());
            }
            Representation::Table { v1beta1, include } => {
                let row = table::row(self.resource, &read(object)?, include, v1beta1, self.now);
                document.extend_from_slice(row.to_string().as_bytes());
            }
            Representation::Partial { v1beta1 } => {
                let partial = table::partial(&read(object)?, v1beta1);
                document.extend_from_slice(partial.to_string().as_bytes());
            }
        }
        Ok(())
    }

    /// Everything after the last item.
    pub fn end(&self, has_items: bool) -> &'static [u8] {
        match (self.representation, has_items) {
            (Representation::Yaml, true) => b"",
            (Representation::Yaml, false) => b" []\n",
            _ => b"]}",
        }
    }

    /// Encodes the whole document from items in JSON.
    pub fn whole(&self, meta: &ListMeta, items: impl IntoIterator<Item: AsRef<[u8]>>) -> Result<Vec<u8>, StatusError> {
        let mut document = self.head(meta)?;
        let mut has_items = false;
        for item in items {
            self.item(&mut document, item.as_ref(), !has_items)?;
            has_items = true;
        }
        document.extend_from_slice(self.end(has_items));
        Ok(document)
    }
}

fn read(object: &[u8]) -> Result<Object, StatusError> {
    Object::from_bytes(object).map_err(|error| unreadable(&error))
}

fn unreadable(error: &serde_json::Error) -> StatusError {
    StatusError::new(StatusReason::InternalError, format!("a stored object cannot be read: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        fixture,
        negotiate::{IncludeObject, indent},
    };

    const REPRESENTATIONS: [Representation; 6] = [
        Representation::Json,
        Representation::Yaml,
        Representation::Table { v1beta1: false, include: IncludeObject::Metadata },
        Representation::Table { v1beta1: true, include: IncludeObject::Object },
        Representation::Partial { v1beta1: false },
        Representation::Partial { v1beta1: true },
    ];

    fn document(resource: &Resource, representation: Representation) -> Document<'_> {
        Document { resource, representation, now: "2026-01-02T03:04:05Z".parse().unwrap() }
    }

    fn object(name: &str) -> Value {
        json!({
            "apiVersion": "library.example.com/v1", "kind": "Book",
            "metadata": {"name": name, "labels": {"a": "- b: #c"}, "resourceVersion": "7"},
            "spec": {"title": "line\nbreak \"quoted\"", "pages": [1, [2.5, null], {}], "none": [], "text": "yes"},
        })
    }

    /// Decodes a document in any representation.
    fn read(representation: Representation, document: &[u8]) -> Value {
        match representation {
            Representation::Yaml => serde_saphyr::from_slice(document).unwrap(),
            _ => serde_json::from_slice(document).unwrap(),
        }
    }

    #[test]
    fn document_contains_all_items_in_every_representation() {
        let resource = fixture::book();
        let meta = ListMeta { resource_version: 9, continue_token: Some("t".to_owned()), remaining: Some(2) };
        for representation in REPRESENTATIONS {
            for count in 0..3 {
                let objects: Vec<Value> = (0..count).map(|n| object(&format!("b{n}"))).collect();
                let items: Vec<String> = objects.iter().map(Value::to_string).collect();
                let whole = document(&resource, representation).whole(&meta, &items).unwrap();
                let found = read(representation, &whole);
                let shown = |object: &Value| Object::from_value(object.clone()).unwrap();
                let (kind, place, expected): (_, _, Vec<Value>) = match representation {
                    Representation::Json | Representation::Yaml => ("BookList", "items", objects.clone()),
                    Representation::Partial { v1beta1 } => {
                        let partial = objects.iter().map(|object| table::partial(&shown(object), v1beta1));
                        ("PartialObjectMetadataList", "items", partial.collect())
                    }
                    Representation::Table { v1beta1, include } => {
                        let document = document(&resource, representation);
                        let row = |object| table::row(&resource, &shown(object), include, v1beta1, document.now);
                        assert_eq!(found["columnDefinitions"], table::definitions(&resource));
                        ("Table", "rows", objects.iter().map(row).collect())
                    }
                };
                assert_eq!(found[place], Value::from(expected), "{representation:?} of {count}");
                assert_eq!(found["kind"], kind);
                let metadata = json!({"resourceVersion": "9", "continue": "t", "remainingItemCount": 2});
                assert_eq!(found["metadata"], metadata, "{representation:?}");
            }
        }
    }

    #[test]
    fn json_document_contains_items_unchanged() {
        let meta = ListMeta { resource_version: 12, continue_token: Some("abc".to_owned()), remaining: Some(3) };
        let resource = fixture::book();
        let whole = document(&resource, Representation::Json).whole(&meta, ["{\"a\":1}", "{\"b\":2}"]).unwrap();
        let expected = concat!(
            r#"{"kind":"BookList","apiVersion":"store.example.com/v1alpha1","#,
            r#""metadata":{"continue":"abc","remainingItemCount":3,"resourceVersion":"12"},"items":[{"a":1},{"b":2}]}"#,
        );
        assert_eq!(String::from_utf8(whole).unwrap(), expected);
    }

    #[test]
    fn metadata_document_has_the_requested_api_version() {
        let resource = fixture::book();
        let item = object("a").to_string();
        for (v1beta1, version) in [(false, "meta.k8s.io/v1"), (true, "meta.k8s.io/v1beta1")] {
            let representation = Representation::Partial { v1beta1 };
            let whole = document(&resource, representation).whole(&ListMeta::default(), [&item]).unwrap();
            let found = read(representation, &whole);
            assert_eq!((&found["apiVersion"], &found["items"][0]["apiVersion"]), (&json!(version), &json!(version)));
        }
    }

    #[test]
    fn indented_document_is_equal_json() {
        let resource = fixture::book();
        let items = [object("a").to_string(), object("b").to_string()];
        let whole = document(&resource, Representation::Json).whole(&ListMeta::default(), &items).unwrap();
        assert_eq!(read(Representation::Json, &indent(&whole).unwrap()), read(Representation::Json, &whole));
    }

    #[test]
    fn unreadable_object_is_an_internal_error() {
        let resource = fixture::book();
        for representation in
            REPRESENTATIONS.into_iter().filter(|representation| *representation != Representation::Json)
        {
            let refused = document(&resource, representation).whole(&ListMeta::default(), ["{"]).unwrap_err();
            assert_eq!(refused.reason, StatusReason::InternalError, "{representation:?}");
        }
    }
}
