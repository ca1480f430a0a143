//! GET on one object.

use std::sync::Arc;

use apimachinery::{
    kind::State,
    negotiate::{self, Representation, ResponseShape},
    options::{ListOptions, ResourceVersion},
    status_error::StatusError,
};
use http::Response;

use crate::{
    body::Body, context::ApiContext, errors, keys, request_scope::RequestScope, respond, stages::Authorized,
    stored_object,
};

/// Returns the current version of the object.
pub async fn get<W: State>(
    api: &ApiContext<W>,
    place: &RequestScope<'_, W>,
    name: &str,
    request: &Authorized,
) -> Result<Response<Body>, StatusError> {
    let representation = negotiate::negotiate(request.accept().as_deref(), ResponseShape::Object, &request.query)?;
    if let ResourceVersion::At(revision) = ListOptions::parse(&request.query, place.resource)?.resource_version {
        api.wait_until_fresh(revision).await?;
    }
    let Some(key) = keys::store_key(&place.key(name)) else { return Err(place.not_found(name)) };
    let record = api.store.get(&key).await.map_err(|error| errors::read_failed(&error))?;
    let Some(record) = record else { return Err(place.not_found(name)) };
    if representation == Representation::Json && place.view().is_none() {
        return Ok(respond::body(200, representation.content_type(), record.value));
    }
    let (object, bytes) = place.apply_view(Arc::new(stored_object::parse_for_response(&record.value)?), record.value);
    respond::object(representation, place.resource, &object, bytes, 200)
}
