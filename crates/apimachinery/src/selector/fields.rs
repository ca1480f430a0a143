//! Field selectors: `metadata.name=a,status.phase!=Ready`.

use std::{fmt, net::IpAddr};

use crate::{field::excerpt, limits::REQUIREMENTS_MAX, object::Object, resource::Resource, status_error::StatusError};

const NAME: &str = "metadata.name";
const NAMESPACE: &str = "metadata.namespace";

/// A field selector. The default selects everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FieldSelector(Vec<Requirement>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Requirement {
    field: String,
    /// The field as a JSON pointer, precomputed because a watch evaluates it for every object.
    pointer: String,
    equal: bool,
    value: String,
    /// Computes the value, for a computed field.
    computed: Option<Computed>,
}

/// The function that computes the value of a field. `==` ignores it, because [`Requirement::field`] determines the
/// function.
#[derive(Clone, Copy, Debug)]
struct Computed(fn(&Object) -> &str);

impl PartialEq for Computed {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Computed {}

impl FieldSelector {
    /// Parses the text form; empty text selects everything.
    pub fn parse(text: &str) -> Result<Self, StatusError> {
        let mut terms = split_terms(text);
        terms.retain(|term| !term.is_empty());
        if terms.len() > REQUIREMENTS_MAX {
            let message = format!("invalid selector: there are more than {REQUIREMENTS_MAX} requirements");
            return Err(StatusError::bad_request(message));
        }
        let requirements = terms.into_iter().map(|term| {
            parse_term(term).ok_or_else(|| {
                let (text, term) = (excerpt(&text.into()), excerpt(&term.into()));
                StatusError::bad_request(format!("invalid selector: {text}; can't understand {term}"))
            })
        });
        requirements.collect::<Result<_, _>>().map(Self)
    }

    /// Binds the selector to the fields of `resource`; 400 for an unknown field. For a field with `format: cidr` in the
    /// schema, the value is converted to canonical form.
    pub fn for_resource(mut self, resource: &Resource) -> Result<Self, StatusError> {
        for requirement in &mut self.0 {
            check_field(&requirement.field, resource)?;
            let computed = resource.computed_fields.iter().find(|(field, _)| *field == requirement.field);
            requirement.computed = computed.map(|(_, compute)| Computed(*compute));
            if let Some(canonical) =
                canonical_cidr(&requirement.value).filter(|_| is_cidr(&requirement.field, resource))
            {
                requirement.value = canonical;
            }
        }
        Ok(self)
    }

    /// True if the object satisfies the selector. An absent field equals the empty value.
    pub fn matches(&self, object: &Object) -> bool {
        self.0.iter().all(|requirement| {
            let found = match (requirement.computed, requirement.field.as_str()) {
                (Some(Computed(compute)), _) => compute(object),
                (None, NAME) => &object.metadata.name,
                (None, NAMESPACE) => &object.metadata.namespace,
                (None, _) => object.text(&requirement.pointer),
            };
            (found == requirement.value) == requirement.equal
        })
    }

    /// True if it selects everything.
    pub fn is_everything(&self) -> bool {
        self.0.is_empty()
    }

    /// The name required by `metadata.name=...`, if any.
    pub fn name(&self) -> Option<&str> {
        self.0.iter().find(|requirement| requirement.equal && requirement.field == NAME).map(|r| r.value.as_str())
    }
}

impl fmt::Display for FieldSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, Requirement { field, equal, value, .. }) in self.0.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            let operator = if *equal { "=" } else { "!=" };
            let value = value.replace('\\', "\\\\").replace(',', "\\,").replace('=', "\\=");
            write!(f, "{comma}{field}{operator}{value}")?;
        }
        Ok(())
    }
}

fn check_field(field: &str, resource: &Resource) -> Result<(), StatusError> {
    let of_metadata = if resource.namespaced { &[NAME, NAMESPACE][..] } else { &[NAME] };
    let computed = || resource.computed_fields.iter().map(|(field, _)| *field);
    let supported = || of_metadata.iter().chain(resource.selectable_fields).copied().chain(computed());
    if supported().any(|known| known == field) {
        return Ok(());
    }
    let list = supported().map(|known| format!("\"{known}\"")).collect::<Vec<_>>().join(", ");
    Err(StatusError::bad_request(format!("\"{field}\" is not a known field selector: only {list}")))
}

fn is_cidr(field: &str, resource: &Resource) -> bool {
    let pointer = format!("/properties/{}", field.replace('.', "/properties/"));
    resource.schema.pointer(&pointer).is_some_and(|schema| schema["format"] == "cidr")
}

/// Returns a CIDR with its address in canonical form.
fn canonical_cidr(text: &str) -> Option<String> {
    let (address, length) = text.split_once('/')?;
    let address: IpAddr = address.parse().ok()?;
    Some(format!("{address}/{length}"))
}

/// Splits at commas that are not escaped.
fn split_terms(text: &str) -> Vec<&str> {
    let (mut terms, mut start, mut escaped) = (Vec::new(), 0, false);
    for (at, character) in text.char_indices() {
        match character {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            ',' => {
                terms.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    terms.push(&text[start..]);
    terms
}

fn parse_term(term: &str) -> Option<Requirement> {
    let at = term.find(['=', '!'])?;
    let (field, rest) = term.split_at(at);
    let (equal, value) = match rest.strip_prefix("!=") {
        Some(value) => (false, value),
        None => (true, rest.strip_prefix("==").or_else(|| rest.strip_prefix('='))?),
    };
    let pointer = format!("/{}", field.replace('.', "/"));
    Some(Requirement { field: field.to_owned(), pointer, equal, value: unescape(value)?, computed: None })
}

/// Resolves `\\`, `\,` and `\=`; other escapes, and an unescaped `=`, are malformed.
fn unescape(text: &str) -> Option<String> {
    let mut value = String::with_capacity(text.len());
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => value.push(characters.next().filter(|c| ['\\', ',', '='].contains(c))?),
            '=' => return None,
            other => value.push(other),
        }
    }
    Some(value)
}
