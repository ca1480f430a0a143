//! Event (core/v1 and events.k8s.io/v1): reports of components about objects. Both versions serve the same stored
//! objects ([`VIEW`], [`apimachinery::view`]). They are deleted after an hour and limited per namespace
//! ([`retention`]); [`recorder`] writes the server's own.

mod check;
mod columns;
mod kind;
pub(super) mod observer;
pub(super) mod recorder;
pub(super) mod retention;
mod schema;

use apimachinery::{kind::Kind, object::Object, view::View};
use serde_json::Value;

use self::kind::Events;

/// The plural resource.
pub const PLURAL: &str = "events";
/// The common key prefix of all events, and of no other objects.
pub const PREFIX: &str = "events/";
/// The group of the newer version; the older one is in the core group.
pub const GROUP: &str = "events.k8s.io";

/// The field names of the newer version, for objects stored in the older one
/// (`k8s.io/kubernetes/pkg/apis/events/v1/conversion.go`).
pub static VIEW: View = View {
    stored: "v1",
    served: "events.k8s.io/v1",
    fields: &[
        ("count", "deprecatedCount"),
        ("firstTimestamp", "deprecatedFirstTimestamp"),
        ("involvedObject", "regarding"),
        ("lastTimestamp", "deprecatedLastTimestamp"),
        ("message", "note"),
        ("reportingComponent", "reportingController"),
        ("source", "deprecatedSource"),
    ],
};

/// The stored version of the kind.
pub fn stored<W>() -> Box<dyn Kind<W>> {
    Box::new(Events::stored())
}

/// The newer version.
pub fn shown<W>() -> Box<dyn Kind<W>> {
    Box::new(Events::shown())
}

/// A field of an event of either version, by its name in the older one.
fn field<'a>(event: &'a Object, name: &str) -> &'a Value {
    event.fields.get(name).unwrap_or_else(|| event.field(VIEW.name(name)))
}

/// A string field; empty if it is missing.
fn text<'a>(event: &'a Object, name: &str) -> &'a str {
    field(event, name).as_str().unwrap_or_default()
}

/// A string inside a field.
fn inner<'a>(event: &'a Object, name: &str, part: &str) -> &'a str {
    field(event, name)[part].as_str().unwrap_or_default()
}
