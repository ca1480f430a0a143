//! Example kinds for the tests of this crate, one namespaced and one cluster-scoped.

use serde_json::{Value, json};

use crate::{
    body::Decoded,
    command::ObjectKey,
    decoding::{DecodedObject, ObjectDecoder},
    kind::{Context, Kind, PreparedObject, Registry, RequestContext},
    object::Object,
    options::FieldValidation,
    resource::{Cell, Column, NamePolicy, Resource, Subresource, Verb},
    schema::Schema,
    status_error::StatusError,
};

/// A cluster-scoped kind with all verbs.
pub fn shelf() -> Resource {
    Resource {
        group: "store.example.com",
        version: "v1alpha1",
        kind: "Shelf",
        plural: "shelves",
        singular: "shelf",
        short_names: &["sh"],
        categories: &["store"],
        namespaced: false,
        verbs: Verb::ALL,
        subresources: &[Subresource::Status],
        selectable_fields: &["spec.colour"],
        computed_fields: &[],
        columns: COLUMNS,
        names: NamePolicy::Subdomain,
        schema: schema("A shelf."),
    }
}

/// A namespaced kind that users neither create nor replace.
pub fn book() -> Resource {
    Resource {
        kind: "Book",
        plural: "books",
        singular: "book",
        short_names: &[],
        categories: &[],
        namespaced: true,
        verbs: &[Verb::Delete, Verb::DeleteCollection, Verb::Get, Verb::List, Verb::Patch, Verb::Watch],
        schema: schema("A book."),
        ..shelf()
    }
}

/// Both kinds. Their decision state is empty.
pub fn registry() -> Registry<()> {
    Registry::new(vec![Box::new(Inert(shelf())), Box::new(Inert(book()))])
}

/// Both kinds, one of the core group, and a virtual one (create only) of a third group.
pub fn registry_of_groups() -> Registry<()> {
    let core = Resource {
        group: "",
        version: "v1",
        kind: "Room",
        plural: "rooms",
        singular: "room",
        subresources: &[Subresource::Status, Subresource::Finalize],
        ..shelf()
    };
    let question = Resource {
        group: "ask.example.com",
        version: "v2",
        kind: "Question",
        plural: "questions",
        singular: "question",
        short_names: &[],
        categories: &[],
        verbs: &[Verb::Create],
        subresources: &[],
        ..shelf()
    };
    let core: Box<dyn Kind<()>> = Box::new(Inert(core));
    registry().with([core]).with_virtual_resources([question])
}

/// Decodes a body.
pub fn decoded(
    resource: &Resource,
    body: Decoded,
    validation: FieldValidation,
) -> Result<Box<DecodedObject>, StatusError> {
    let schema = Schema::for_resource(resource);
    ObjectDecoder { resource, schema: &schema, name: "a", validation }.decode_body(body).map(Box::new)
}

/// An object from JSON.
pub fn object(value: Value) -> Object {
    Object::from_value(value).expect("the test wrote an object")
}

const fn column(name: &'static str, column_type: &'static str, cell: Cell) -> Column {
    Column { name, column_type, format: "", description: "", priority: 0, cell }
}

const COLUMNS: &[Column] = &[
    Column {
        name: "Name",
        column_type: "string",
        format: "name",
        description: "Its name.",
        priority: 0,
        cell: Cell::Name,
    },
    column("Colour", "string", Cell::Pointer("/spec/colour")),
    column("Books", "integer", Cell::Pointer("/status/books")),
    column("Dusted", "date", Cell::Pointer("/status/dusted")),
    column("Empty", "boolean", Cell::Computed(|object| json!(object.field("status")["books"] == 0))),
    Column {
        name: "Namespace",
        column_type: "string",
        format: "",
        description: "",
        priority: 1,
        cell: Cell::Pointer("/metadata/namespace"),
    },
    column("Age", "string", Cell::Age),
];

fn schema(description: &str) -> Value {
    json!({
        "type": "object",
        "description": description,
        "properties": {
            "spec": {
                "type": "object",
                "description": "Desired state.",
                "properties": {"colour": {"type": "string", "description": "Its colour."}},
            },
            "status": {
                "type": "object",
                "description": "Observed state.",
                "properties": {
                    "books": {"type": "integer", "format": "int64"},
                    "full": {"type": "boolean"},
                },
            },
        },
    })
}

/// A kind without rules.
struct Inert(Resource);

impl Kind<()> for Inert {
    fn resource(&self) -> &Resource {
        &self.0
    }

    fn prepare_create(
        &self,
        _: &ObjectKey,
        object: Object,
        _: &RequestContext<'_>,
    ) -> Result<PreparedObject<()>, StatusError> {
        Ok(PreparedObject::without_decision(object))
    }

    fn prepare_update(
        &self,
        _: &ObjectKey,
        _: &Object,
        new: Object,
        _: Option<Subresource>,
        _: &RequestContext<'_>,
    ) -> Result<PreparedObject<()>, StatusError> {
        Ok(PreparedObject::without_decision(new))
    }

    fn validate_delete(&self, (): &(), _: &ObjectKey, _: &Object, _: &Context<'_>) -> Result<(), StatusError> {
        Ok(())
    }
}
