//! Field selectors: `metadata.name=a,status.phase!=Ready`.

use std::{fmt, net::IpAddr};

use crate::{field::excerpt, kind::Resource, limits::REQUIREMENTS_MAX, object::Object, refusal::Refusal};

const NAME: &str = "metadata.name";
const NAMESPACE: &str = "metadata.namespace";

/// What fields an object must have. The default selects everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FieldSelector(Vec<Requirement>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Requirement {
    field: String,
    /// The same as a JSON pointer: a watch asks for every object.
    pointer: String,
    equal: bool,
    value: String,
    /// Where its value comes from, if it is computed.
    computed: Option<Computed>,
}

/// How the value of a field is computed. It follows from the field.
#[derive(Clone, Copy, Debug)]
struct Computed(fn(&Object) -> &str);

impl PartialEq for Computed {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Computed {}

impl FieldSelector {
    /// Parses the text form; the empty text selects everything.
    pub fn parse(text: &str) -> Result<Self, Refusal> {
        let mut terms = split_terms(text);
        terms.retain(|term| !term.is_empty());
        if terms.len() > REQUIREMENTS_MAX {
            let message = format!("invalid selector: there are more than {REQUIREMENTS_MAX} requirements");
            return Err(Refusal::bad_request(message));
        }
        let requirements = terms.into_iter().map(|term| {
            parse_term(term).ok_or_else(|| {
                let (text, term) = (excerpt(&text.into()), excerpt(&term.into()));
                Refusal::bad_request(format!("invalid selector: {text}; can't understand {term}"))
            })
        });
        requirements.collect::<Result<_, _>>().map(Self)
    }

    /// The same for the objects of `resource`, which must have the fields. A block (`format: cidr` in the schema) is selected
    /// however its address is spelled.
    pub fn of(mut self, resource: &Resource) -> Result<Self, Refusal> {
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

    /// Whether the object satisfies it. A field that is absent is as good as empty.
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

    /// Whether it selects everything.
    pub fn is_everything(&self) -> bool {
        self.0.is_empty()
    }

    /// The only name that it selects, if it names one.
    pub fn name(&self) -> Option<&str> {
        self.exactly(NAME)
    }

    /// The only namespace that it selects, if it names one.
    pub fn namespace(&self) -> Option<&str> {
        self.exactly(NAMESPACE)
    }

    fn exactly(&self, field: &str) -> Option<&str> {
        self.0.iter().find(|requirement| requirement.equal && requirement.field == field).map(|r| r.value.as_str())
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

fn check_field(field: &str, resource: &Resource) -> Result<(), Refusal> {
    let of_metadata = if resource.namespaced { &[NAME, NAMESPACE][..] } else { &[NAME] };
    let computed = || resource.computed_fields.iter().map(|(field, _)| *field);
    let supported = || of_metadata.iter().chain(resource.selectable_fields).copied().chain(computed());
    if supported().any(|known| known == field) {
        return Ok(());
    }
    let list = supported().map(|known| format!("\"{known}\"")).collect::<Vec<_>>().join(", ");
    Err(Refusal::bad_request(format!("\"{field}\" is not a known field selector: only {list}")))
}

fn is_cidr(field: &str, resource: &Resource) -> bool {
    let pointer = format!("/properties/{}", field.replace('.', "/properties/"));
    resource.schema.pointer(&pointer).is_some_and(|schema| schema["format"] == "cidr")
}

/// A CIDR with its address in the form that addresses are written in.
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

/// Undoes `\\`, `\,` and `\=`; any other escape, and a bare `=`, is malformed.
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
