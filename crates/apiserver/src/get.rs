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
    api::{self, ApiContext, RequestScope},
    body::Body,
    respond,
    stages::Authorized,
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
    let Some(key) = api::store_key(&place.key(name)) else { return Err(place.not_found(name)) };
    let record = api.store.get(&key).await.map_err(|error| api::read_failed(&error))?;
    let Some(record) = record else { return Err(place.not_found(name)) };
    if representation == Representation::Json && place.view().is_none() {
        return Ok(respond::body(200, representation.content_type(), record.value));
    }
    let (object, bytes) = place.apply_view(Arc::new(api::parse(&record.value)?), record.value);
    api::object_response(representation, place.resource, &object, bytes, 200)
}
