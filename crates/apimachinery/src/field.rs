//! Field errors: path, type and message, worded as Kubernetes does (`k8s.io/apimachinery/pkg/util/validation/field`).

use std::{
    borrow::Cow,
    fmt::{self, Write as _},
};

use serde_json::Value;

use crate::limits::{PATH_BYTES_MAX, PATH_NAME_BYTES_MAX, QUOTED_BYTES_MAX};

/// Marks the end of a truncated text.
const CUT: &str = "...";

/// Returns the text, truncated to at most `bytes_max` bytes plus [`CUT`].
pub fn truncate(text: &str, bytes_max: usize) -> Cow<'_, str> {
    if text.len() <= bytes_max {
        return Cow::Borrowed(text);
    }
    Cow::Owned(format!("{}{CUT}", &text[..text.floor_char_boundary(bytes_max)]))
}

/// A text with a size limit. Writing more fails, so that encoding a large value stops early.
struct Excerpt(String);

impl fmt::Write for Excerpt {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = QUOTED_BYTES_MAX - self.0.len();
        if text.len() <= room {
            self.0.push_str(text);
            return Ok(());
        }
        self.0.push_str(&text[..text.floor_char_boundary(room)]);
        Err(fmt::Error)
    }
}

/// The JSON of a value for use in a message, truncated to [`QUOTED_BYTES_MAX`].
pub fn excerpt(value: &Value) -> String {
    let mut out = Excerpt(String::new());
    match write!(out, "{value}") {
        Ok(()) => out.0,
        Err(fmt::Error) => out.0 + CUT,
    }
}

/// The last step of a path to a value. It is a list on the stack, so that text is built only for errors.
pub(crate) struct PathStep<'a> {
    pub(crate) parent: Option<&'a PathStep<'a>>,
    pub(crate) name: StepName<'a>,
}

/// The name of a [`PathStep`]; the texts are truncated to [`PATH_NAME_BYTES_MAX`].
pub(crate) enum StepName<'a> {
    /// The top of a path that begins with a dot.
    Root,
    /// A field: `.name`, without the dot as the first step.
    Field(&'a str),
    /// The key of a map: `[key]`.
    Key(&'a str),
    /// The index of an item: `[0]`.
    Index(usize),
    /// An item, which formats itself with brackets.
    Item(&'a dyn fmt::Display),
}

impl fmt::Display for PathStep<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(parent) = self.parent {
            parent.fmt(f)?;
        }
        match self.name {
            StepName::Root => Ok(()),
            StepName::Field(name) if self.parent.is_none() => f.write_str(&truncate(name, PATH_NAME_BYTES_MAX)),
            StepName::Field(name) => write!(f, ".{}", truncate(name, PATH_NAME_BYTES_MAX)),
            StepName::Key(key) => write!(f, "[{}]", truncate(key, PATH_NAME_BYTES_MAX)),
            StepName::Index(index) => write!(f, "[{index}]"),
            StepName::Item(item) => f.write_str(&truncate(&item.to_string(), PATH_NAME_BYTES_MAX)),
        }
    }
}

/// Path of a field, such as `spec.ranges[0].start` or `metadata.labels[a/b]`. Truncated to [`PATH_BYTES_MAX`] plus
/// [`CUT`].
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Path(String);

impl Path {
    /// A top-level field.
    pub fn new(name: impl Into<String>) -> Self {
        let name = name.into();
        match truncate(&name, PATH_BYTES_MAX) {
            Cow::Borrowed(_) => Self(name),
            Cow::Owned(truncated) => Self(truncated),
        }
    }

    /// The field `name` inside this one.
    #[must_use]
    pub fn child(&self, name: &str) -> Self {
        let name = truncate(name, PATH_NAME_BYTES_MAX);
        if self.0.is_empty() { Self(name.into_owned()) } else { Self::new(format!("{}.{name}", self.0)) }
    }

    /// The item at `index` of this list.
    #[must_use]
    pub fn index(&self, index: usize) -> Self {
        Self::new(format!("{}[{index}]", self.0))
    }

    /// The value under `key` of this map.
    #[must_use]
    pub fn key(&self, key: &str) -> Self {
        Self::new(format!("{}[{}]", self.0, truncate(key, PATH_NAME_BYTES_MAX)))
    }

    /// The path as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// True if `other` is this field or one inside it.
    pub fn is_prefix_of(&self, other: &str) -> bool {
        other.strip_prefix(self.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Type of a field error: the `reason` of a cause in a Status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldErrorType {
    /// The field is missing.
    Required,
    /// The value is malformed or out of bounds.
    Invalid,
    /// The value is not one of an enumeration.
    NotSupported,
    /// The value is well-formed, but not allowed here.
    Forbidden,
    /// The value duplicates another.
    Duplicate,
    /// The value names something that does not exist.
    NotFound,
    /// Too many characters.
    TooLong,
    /// Too many items.
    TooMany,
    /// The value has the wrong JSON type, such as a string instead of a number.
    TypeInvalid,
    /// A reason defined by the service, such as `PoolExhausted`.
    Other(&'static str),
}

impl FieldErrorType {
    /// The reason as a Status spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Required => "FieldValueRequired",
            Self::Invalid => "FieldValueInvalid",
            Self::NotSupported => "FieldValueNotSupported",
            Self::Forbidden => "FieldValueForbidden",
            Self::Duplicate => "FieldValueDuplicate",
            Self::NotFound => "FieldValueNotFound",
            Self::TooLong => "FieldValueTooLong",
            Self::TooMany => "FieldValueTooMany",
            Self::TypeInvalid => "FieldValueTypeInvalid",
            Self::Other(reason) => reason,
        }
    }
}

/// An error in one field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldError {
    /// The field.
    pub path: Path,
    /// The type.
    pub error_type: FieldErrorType,
    /// The message without the path: `Invalid value: "10.0.0.0/33": must be a CIDR`.
    pub message: String,
}

impl FieldError {
    /// The field is missing.
    pub fn required(path: Path, detail: &str) -> Self {
        Self::with_detail(path, FieldErrorType::Required, "Required value".to_owned(), detail)
    }

    /// The value is malformed or out of bounds.
    pub fn invalid(path: Path, value: impl Into<Value>, detail: &str) -> Self {
        Self::with_value(path, FieldErrorType::Invalid, "Invalid value", &value.into(), detail)
    }

    /// The value has the wrong JSON type.
    pub fn type_invalid(path: Path, value: impl Into<Value>, detail: &str) -> Self {
        Self::with_value(path, FieldErrorType::TypeInvalid, "Invalid value", &value.into(), detail)
    }

    /// The value is not one of `supported`.
    pub fn not_supported(path: Path, value: impl Into<Value>, supported: &[&str]) -> Self {
        let list = supported.iter().map(|v| format!("\"{v}\"")).collect::<Vec<_>>().join(", ");
        let detail = format!("supported values: {list}");
        Self::with_value(path, FieldErrorType::NotSupported, "Unsupported value", &value.into(), &detail)
    }

    /// The value is well-formed, but not allowed here.
    pub fn forbidden(path: Path, detail: &str) -> Self {
        Self::with_detail(path, FieldErrorType::Forbidden, "Forbidden".to_owned(), detail)
    }

    /// The value duplicates another.
    pub fn duplicate(path: Path, value: impl Into<Value>) -> Self {
        Self::with_value(path, FieldErrorType::Duplicate, "Duplicate value", &value.into(), "")
    }

    /// The value names something that does not exist.
    pub fn not_found(path: Path, value: impl Into<Value>) -> Self {
        Self::with_value(path, FieldErrorType::NotFound, "Not found", &value.into(), "")
    }

    /// The value is too long; `detail` states the limit and its unit.
    pub fn too_long(path: Path, detail: &str) -> Self {
        Self::with_detail(path, FieldErrorType::TooLong, "Too long".to_owned(), detail)
    }

    /// The list or map has too many items.
    pub fn too_many(path: Path, actual: usize, limit: usize) -> Self {
        let detail = format!("must have at most {limit} items");
        Self::with_detail(path, FieldErrorType::TooMany, format!("Too many: {actual}"), &detail)
    }

    fn with_value(path: Path, error_type: FieldErrorType, what: &str, value: &Value, detail: &str) -> Self {
        Self::with_detail(path, error_type, format!("{what}: {}", excerpt(value)), detail)
    }

    fn with_detail(path: Path, error_type: FieldErrorType, what: String, detail: &str) -> Self {
        let message = if detail.is_empty() { what } else { format!("{what}: {detail}") };
        Self { path, error_type, message }
    }
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Expected texts are those of `k8s.io/apimachinery/pkg/util/validation/field/errors.go`.
    #[test]
    fn not_found_and_too_many_use_kubernetes_wording() {
        let path = || Path::new("spec").child("shelf");
        let cases = [
            (FieldError::not_found(path(), "attic"), "FieldValueNotFound", r#"spec.shelf: Not found: "attic""#),
            (
                FieldError::too_many(path(), 17, 16),
                "FieldValueTooMany",
                "spec.shelf: Too many: 17: must have at most 16 items",
            ),
        ];
        for (error, error_type, words) in cases {
            assert_eq!((error.error_type.as_str(), error.to_string().as_str()), (error_type, words));
        }
    }

    #[test]
    fn long_value_is_quoted_up_to_limit() {
        let long: Value = vec!["é".repeat(10); 100_000].into();
        let message = FieldError::invalid(Path::new("a"), long, "must be short").message;
        assert!(message.starts_with("Invalid value: [\"éé") && message.ends_with("...: must be short"), "{message}");
        assert!(message.len() <= QUOTED_BYTES_MAX + 50, "{}", message.len());
        let short = FieldError::invalid(Path::new("a"), "x", "must be y").message;
        assert_eq!(short, "Invalid value: \"x\": must be y");
    }

    #[test]
    fn long_path_is_truncated() {
        let long = "k".repeat(PATH_NAME_BYTES_MAX * 10);
        let once = Path::new("a").key(&long);
        assert_eq!(once.as_str().len(), "a[]...".len() + PATH_NAME_BYTES_MAX);
        let often = (0..100).fold(Path::new(long.repeat(10)), |path, _| path.child(&long).key(&long).index(7));
        assert!(often.as_str().len() <= PATH_BYTES_MAX + CUT.len(), "{}", often.as_str().len());
        assert!(Path::new("a").is_prefix_of(once.as_str()));
    }
}
