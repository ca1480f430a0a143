//! How a create may be refused: in the ways that kube-apiserver has for creates, whatever the kind's own rules are.
//!
//! The rules of our kinds have no counterpart in a CRD, so the comparison alone does not judge how they refuse. Clients do:
//! to a create 409 means that the object is there, and 500 that the server failed.

use http::Method;
use serde_json::{Value, json};

use crate::{compare::Difference, request::Request};

/// What kube-apiserver refuses creates with because of what they ask for, and 507, which is ours for a pool without room.
const REFUSALS: [(u16, &str); 10] = [
    (400, "BadRequest"),
    (403, "Forbidden"),
    (404, "NotFound"),
    (405, "MethodNotAllowed"),
    (406, "NotAcceptable"),
    (409, "AlreadyExists"),
    (413, "RequestEntityTooLarge"),
    (415, "UnsupportedMediaType"),
    (422, "Invalid"),
    (507, "InsufficientStorage"),
];

/// What is wrong with how a create was answered. No explanation applies to it.
pub fn fault(request: &Request, ours: &Value, theirs: &Value) -> Option<Difference> {
    let (our_class, their_class) = (class(ours), class(theirs));
    let is_fault = is_create(request, ours)
        && our_class != json!([201, null])
        && our_class != their_class
        && !REFUSALS.iter().any(|refusal| our_class == json!(refusal));
    let allowed = REFUSALS.map(|(code, reason)| format!("{code} {reason}")).join(", ");
    is_fault.then(|| Difference {
        pointer: "/create".to_owned(),
        ours: Some(our_class),
        theirs: Some(format!("a create is refused with one of {allowed}").into()),
    })
}

/// Code and reason.
fn class(answer: &Value) -> Value {
    json!([answer["code"], answer["body"]["reason"]])
}

/// Whether it would have made an object: a POST, or an apply of what is not there afterwards.
fn is_create(request: &Request, ours: &Value) -> bool {
    let absent = |name: &String| ours["after"][name]["answer"]["code"] == 404;
    match request.method {
        Method::POST => true,
        Method::PATCH => {
            let applies = request.content_type.is_some_and(|content_type| content_type.contains("apply"));
            applies && request.subresource.is_empty() && request.name.as_ref().is_some_and(absent)
        }
        _ => false,
    }
}
