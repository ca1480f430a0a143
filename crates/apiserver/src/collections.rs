//! DELETE on a collection.
//!
//! The objects that a list would return are deleted page by page, several concurrently, so that they share commits.
//! Each deletion is a separate write: when one fails, those before it remain done, and the response says how many there
//! were.

use std::sync::Arc;

use apimachinery::{
    kind::State,
    list_meta::ListMeta,
    negotiate::{self, Representation, ResponseShape},
    options::{DeleteOptions, ListOptions},
    status_error::{Details, Status, StatusError, StatusReason},
};
use bytes::Bytes;
use futures::future::join_all;
use http::Response;
use store::Record;

use crate::{
    body::Body,
    context::ApiContext,
    keys, limits,
    lists::{self, ListError, ListReader},
    request_scope::RequestScope,
    respond,
    stages::Decoded,
    writes,
};

/// Deletes the objects that a list would return.
pub async fn delete<W: State>(
    api: &Arc<ApiContext<W>>,
    place: &RequestScope<'_, W>,
    request: &Decoded,
) -> Result<Response<Body>, StatusError> {
    let representation = negotiate::negotiate(request.accept().as_deref(), ResponseShape::List, &request.query)?;
    let options = writes::delete_options(request)?;
    let listed = ListOptions::parse(&request.query, place.resource)?;
    let mut left = listed.limit.unwrap_or(usize::MAX);
    let mut reader = match ListReader::open(api, place, &listed).await {
        Ok(reader) => reader,
        Err(failure) => return failure.answer(),
    };
    let mut deleted = Deleted::default();
    while reader.more && left > 0 {
        let records = match reader.next(left.min(limits::PAGE_RECORDS_MAX)).await {
            Ok(records) => records,
            Err(ListError::Expired(status)) if deleted.count == 0 => return Ok(respond::status(&status)),
            Err(ListError::Expired(status)) => {
                return Err(deleted.with_deleted_count(StatusError::new(StatusReason::Expired, status.message)));
            }
            Err(ListError::Refused(refusal)) => return Err(deleted.with_deleted_count(refusal)),
        };
        left -= records.len();
        for records in records.chunks(limits::COLLECTION_DELETIONS_MAX) {
            let outcomes =
                join_all(records.iter().map(|record| delete_one(api, place, record, &options, request))).await;
            for (record, outcome) in records.iter().zip(&outcomes) {
                if matches!(outcome, Ok(true)) {
                    deleted.add(&record.value);
                }
            }
            if let Some(refusal) = outcomes.into_iter().find_map(Result::err) {
                return Err(deleted.with_deleted_count(refusal));
            }
        }
    }
    deleted.answer(api, place, representation)
}

/// Deletes one object. False if it no longer existed.
async fn delete_one<W: State>(
    api: &ApiContext<W>,
    place: &RequestScope<'_, W>,
    record: &Record,
    options: &DeleteOptions,
    request: &Decoded,
) -> Result<bool, StatusError> {
    let key = keys::object_key(&api.registry, record.key.as_str()).ok_or_else(|| {
        StatusError::new(StatusReason::InternalError, format!("{} is not the key of an object", record.key.as_str()))
    })?;
    match api.queue.submit(writes::delete_command(api, key, place.view(), options.clone(), request)?).await {
        Ok(_) => Ok(true),
        Err(refusal) if refusal.reason == StatusReason::NotFound => Ok(false),
        Err(refusal) => Err(refusal),
    }
}

/// The deleted objects.
#[derive(Default)]
struct Deleted {
    count: usize,
    /// The objects; empty if they are too large for the response.
    items: Vec<Bytes>,
    bytes: usize,
}

impl Deleted {
    fn add(&mut self, object: &Bytes) {
        self.count += 1;
        self.bytes += object.len();
        if self.bytes <= limits::LIST_PAGE_BYTES_MAX {
            self.items.push(object.clone());
        } else {
            self.items = Vec::new();
        }
    }

    /// Adds the number of completed deletions to the error of a later one.
    fn with_deleted_count(&self, mut refusal: StatusError) -> StatusError {
        if self.count > 0 {
            refusal.message.push_str(&format!("; {} objects of the collection were deleted before that", self.count));
        }
        refusal
    }

    /// The list of the deleted objects, as kube-apiserver returns it, or their number if the list is too large.
    fn answer<W: State>(
        self,
        api: &ApiContext<W>,
        place: &RequestScope<'_, W>,
        representation: Representation,
    ) -> Result<Response<Body>, StatusError> {
        if self.bytes > limits::LIST_PAGE_BYTES_MAX {
            let (group, kind) = (place.resource.group.to_owned(), place.resource.plural.to_owned());
            let mut status = Status::success(Details { group, kind, ..Details::default() });
            status.message = format!("{} objects were deleted", self.count);
            return Ok(respond::status(&status));
        }
        let meta = ListMeta { resource_version: api.watch_cache.head(), ..ListMeta::default() };
        lists::list_response(representation, place, self.items, &meta)
    }
}
