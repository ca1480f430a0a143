//! The parts that several kinds share.

use apimachinery::{
    command::ObjectKey,
    field::FieldError,
    resource::{Cell, Column, NamePolicy, Resource, Verb},
    status_error::StatusError,
};
use serde_json::Value;

/// The column of the name.
pub const NAME: Column = Column {
    name: "Name",
    column_type: "string",
    format: "name",
    description: "Name of the object",
    priority: 0,
    cell: Cell::Name,
};

/// A column of text.
pub const fn text(name: &'static str, cell: Cell) -> Column {
    Column { name, column_type: "string", format: "", description: "", priority: 0, cell }
}

/// A namespaced resource of the core group in version `v1`, with all verbs and without subresources and field selectors.
pub fn namespaced(
    kind: &'static str,
    plural: &'static str,
    singular: &'static str,
    columns: &'static [Column],
    schema: Value,
) -> Resource {
    Resource {
        group: "",
        version: "v1",
        kind,
        plural,
        singular,
        short_names: &[],
        categories: &[],
        namespaced: true,
        verbs: Verb::ALL,
        subresources: &[],
        selectable_fields: &[],
        computed_fields: &[],
        columns,
        names: NamePolicy::Subdomain,
        schema,
    }
}

/// An API error with all field errors, if there are any.
pub fn check(resource: &Resource, key: &ObjectKey, errors: &[FieldError]) -> Result<(), StatusError> {
    if errors.is_empty() { Ok(()) } else { Err(StatusError::invalid(resource.group, resource.kind, &key.name, errors)) }
}
