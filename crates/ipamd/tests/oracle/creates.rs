//! The errors with which a create may be rejected: those of kube-apiserver for creates of any kind.
//!
//! The rules of our kinds have no counterpart in a CRD, so the comparison alone does not check their errors. Clients depend on
//! them: for a create, 409 means that the object exists, and 500 that the server failed.

use http::Method;
use serde_json::{Value, json};

use crate::{compare::Difference, request::Request};

/// Codes and reasons with which kube-apiserver rejects a create because of its content, and 507, with which our server rejects a claim
/// from a pool without free space.
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

/// Returns a difference if a create was rejected with another error. No explanation applies to it.
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
        theirs: Some(format!("a create is rejected with one of {allowed}").into()),
    })
}

/// The code and the reason of an answer.
fn class(answer: &Value) -> Value {
    json!([answer["code"], answer["body"]["reason"]])
}

/// True if the request would have created an object: a POST, or an apply of an object that does not exist afterwards.
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
