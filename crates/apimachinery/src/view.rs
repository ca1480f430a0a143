//! Views: objects that are served in two API groups and stored once, such as Events. One group serves them as stored,
//! in the other some top-level fields have other names ([`crate::kind::Kind::view`]).
//!
//! Commands are computed in the served version. Conversion is at the two ends: [`crate::rest::prepare`], and the
//! encoding of responses. Entries of `managedFields` are converted too, so that they use the field names of the version
//! that is read.

use serde_json::{Map, Value};

use crate::object::Object;

/// Conversion between stored objects and their served form in another group.
#[derive(Debug)]
pub struct View {
    /// API version of the stored objects.
    pub stored: &'static str,
    /// API version in which they are served.
    pub served: &'static str,
    /// Top-level fields with two names: stored, served.
    pub fields: &'static [(&'static str, &'static str)],
}

impl View {
    /// Converts a stored object to the served form.
    #[must_use]
    pub fn to_served(&self, object: Object) -> Object {
        convert(object, self.stored, self.served, |name| self.name(name))
    }

    /// Converts a served object to the stored form.
    #[must_use]
    pub fn to_stored(&self, object: Object) -> Object {
        convert(object, self.served, self.stored, |name| {
            self.fields.iter().find(|(_, served)| *served == name).map_or(name, |(stored, _)| *stored)
        })
    }

    /// The served name of a stored field.
    pub fn name<'a>(&self, stored: &'a str) -> &'a str {
        self.fields.iter().find(|(name, _)| *name == stored).map_or(stored, |(_, served)| *served)
    }
}

fn convert(mut object: Object, from: &str, to: &str, name: impl for<'a> Fn(&'a str) -> &'a str) -> Object {
    to.clone_into(&mut object.api_version);
    object.fields = object.fields.into_iter().map(|(field, value)| (name(&field).to_owned(), value)).collect();
    for entry in &mut object.metadata.managed_fields {
        convert_entry(entry, from, to, &name);
    }
    object
}

/// Converts an entry of `managedFields`. One of another version is left unchanged.
fn convert_entry(entry: &mut Value, from: &str, to: &str, name: impl for<'a> Fn(&'a str) -> &'a str) {
    let Some(entry) = entry.as_object_mut().filter(|entry| entry.get("apiVersion").is_some_and(|known| known == from))
    else {
        return;
    };
    entry.insert("apiVersion".to_owned(), to.into());
    let Some(Value::Object(owned)) = entry.get_mut("fieldsV1") else { return };
    let renamed = |(path, inner): (String, Value)| match path.strip_prefix("f:") {
        Some(field) => (format!("f:{}", name(field)), inner),
        None => (path, inner),
    };
    *owned = std::mem::take(owned).into_iter().map(renamed).collect::<Map<_, _>>();
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn view_converts_between_stored_and_served_form() {
        let view = View { stored: "v1", served: "events.k8s.io/v1", fields: &[("message", "note")] };
        let object = |version: &str, name: &str| {
            let owned = Map::from_iter([("f:reason".to_owned(), json!({})), (format!("f:{name}"), json!({}))]);
            let mut value = json!({
                "apiVersion": version, "kind": "Event", "reason": "message",
                "metadata": {"name": "a", "managedFields": [
                    {"apiVersion": version, "manager": "m", "fieldsV1": owned},
                    {"apiVersion": "v9", "manager": "n", "fieldsV1": {"f:message": {}}},
                ]},
            });
            value[name] = json!({"message": "text"});
            Object::from_value(value).unwrap()
        };
        let (stored, served) = (object("v1", "message"), object("events.k8s.io/v1", "note"));
        assert_eq!(view.to_served(stored.clone()), served);
        assert_eq!(view.to_stored(served), stored);
    }
}
