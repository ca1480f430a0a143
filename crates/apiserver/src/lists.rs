//! GET on a collection: one snapshot, in pages.
//!
//! A list with a limit is one page, sent as a whole, with a token for the next. A list without a limit is sent while it
//! is read, page by page, so that it needs the memory of about one page, independent of its size.

mod stream;

use std::sync::Arc;

use apimachinery::{
    kind::State,
    list::{self, ContinueToken, ListVersion, document::Document},
    list_meta::ListMeta,
    negotiate::{self, Representation, ResponseShape},
    options::{ListOptions, parse_timeout},
    status_error::{Status, StatusError},
    view::View,
    watch::Filter,
};
use bytes::Bytes;
use http::Response;
use store::{Key, Record, Revision};
use tokio::time::Instant;

use crate::{
    body::Body, clock, context::ApiContext, errors, limits, request_scope::RequestScope, respond, stages::Authorized,
    stored_object,
};

/// Why a list failed.
pub enum ListError {
    /// An ordinary API error.
    Refused(StatusError),
    /// A Status with metadata: the error of an expired continue token contains a new one.
    Expired(Box<Status>),
}

impl From<StatusError> for ListError {
    fn from(refusal: StatusError) -> Self {
        Self::Refused(refusal)
    }
}

impl ListError {
    /// The response for this failure.
    pub fn answer(self) -> Result<Response<Body>, StatusError> {
        match self {
            Self::Refused(refusal) => Err(refusal),
            Self::Expired(status) => Ok(respond::status(&status)),
        }
    }
}

/// Returns the collection, or a page of it.
pub async fn list<W: State>(
    api: &Arc<ApiContext<W>>,
    place: &RequestScope<'_, W>,
    request: &Authorized,
) -> Result<Response<Body>, StatusError> {
    let began = Instant::now();
    let representation = negotiate::negotiate(request.accept().as_deref(), ResponseShape::List, &request.query)?;
    let options = ListOptions::parse(&request.query, place.resource)?;
    let asked = parse_timeout(&request.query)?.filter(|time| !time.is_zero());
    let ends = began + asked.unwrap_or(limits::LIST_TIME_MAX).min(limits::LIST_TIME_MAX);
    let listed = match options.limit {
        Some(limit) => page(api, place, &options, limit, representation).await,
        None => stream_all(api, place, &options, representation, ends).await,
    };
    listed.or_else(ListError::answer)
}

/// A page of up to `limit` items, with a continue token if there are more.
async fn page<W: State>(
    api: &Arc<ApiContext<W>>,
    place: &RequestScope<'_, W>,
    options: &ListOptions,
    limit: usize,
    representation: Representation,
) -> Result<Response<Body>, ListError> {
    let mut reader = ListReader::open(api, place, options).await?;
    let (mut items, mut bytes) = (Vec::new(), 0);
    while reader.more && items.len() < limit && bytes < limits::LIST_PAGE_BYTES_MAX {
        for record in reader.next(limit - items.len()).await? {
            bytes += record.bytes();
            items.push(record.value);
        }
    }
    let meta = reader.meta().await?;
    Ok(list_response(representation, place, items, &meta)?)
}

/// The whole collection.
async fn stream_all<W: State>(
    api: &Arc<ApiContext<W>>,
    place: &RequestScope<'_, W>,
    options: &ListOptions,
    representation: Representation,
    ends: Instant,
) -> Result<Response<Body>, ListError> {
    let mut reader = ListReader::open(api, place, options).await?;
    let items: Vec<Bytes> = reader.next(usize::MAX).await?.into_iter().map(|record| record.value).collect();
    let meta = ListMeta { resource_version: reader.revision().0, ..ListMeta::default() };
    if !reader.more {
        return Ok(list_response(representation, place, items, &meta)?);
    }
    let document = Document { resource: place.resource, representation, now: clock::now() };
    let head = document.head(&meta)?;
    let format =
        stream::ListFormat { plural: place.resource.plural, view: place.view(), representation, now: document.now };
    let body = stream::body(reader, format, head, items, ends);
    Ok(respond::body(200, representation.content_type(), body))
}

/// Reads a snapshot page by page.
pub struct ListReader<W> {
    api: Arc<ApiContext<W>>,
    snapshot: ListVersion,
    /// The prefix of the keys.
    prefix: String,
    /// The view of the requested API version, if any.
    view: Option<&'static View>,
    filter: Filter,
    at: Option<Revision>,
    after: Option<Key>,
    /// True if there may be more.
    pub more: bool,
}

impl<W: State> ListReader<W> {
    /// Opens the snapshot that `options` select, at its first item.
    pub async fn open(
        api: &Arc<ApiContext<W>>,
        place: &RequestScope<'_, W>,
        options: &ListOptions,
    ) -> Result<Self, ListError> {
        let prefix = place.prefix();
        let filter = Filter { labels: options.labels.clone(), fields: options.fields.clone() };
        let snapshot = list::list_version(options, &prefix)?;
        let (mut at, mut after) = (None, None);
        match &snapshot {
            ListVersion::Latest | ListVersion::NotOlderThan(0) => {}
            ListVersion::NotOlderThan(revision) => api.wait_until_fresh(*revision).await?,
            ListVersion::Exact(revision) => {
                api.wait_until_fresh(*revision).await?;
                at = Some(Revision(*revision));
            }
            ListVersion::Continue { revision, after: key } => {
                at = revision.map(Revision);
                let key = Key::new(key.as_str())
                    .map_err(|_| StatusError::bad_request("invalid continue token: bad start"))?;
                after = Some(key);
            }
        }
        let prefix = narrow_prefix(prefix, place, &filter);
        Ok(Self { api: Arc::clone(api), snapshot, prefix, view: place.view(), filter, at, after, more: true })
    }

    /// Returns up to `limit` records that match the filter, from one page of the store.
    pub async fn next(&mut self, limit: usize) -> Result<Vec<Record>, ListError> {
        let everything = self.filter.is_everything();
        let wanted = if everything { limit } else { usize::MAX }.min(limits::PAGE_RECORDS_MAX);
        let page = self.api.store.list(&self.prefix, self.after.as_ref(), self.at, wanted).await;
        let page = page.map_err(|error| self.failure(&error))?;
        (self.at, self.more) = (Some(page.revision), page.more);
        let mut records = Vec::with_capacity(if everything { page.records.len() } else { 0 });
        for mut record in page.records {
            if records.len() == limit {
                // The filter can leave a page with more matches than needed: the next one starts after the last record
                // taken.
                self.more = true;
                break;
            }
            self.after = Some(record.key.clone());
            if let Some(view) = self.view {
                record.value = stored_object::view_bytes(view, &record.value)?;
            }
            if everything || self.filter.matches(&stored_object::parse_for_response(&record.value)?) {
                records.push(record);
            }
        }
        Ok(records)
    }

    /// The revision of the snapshot.
    pub fn revision(&self) -> Revision {
        self.at.unwrap_or(Revision(self.api.watch_cache.head()))
    }

    fn failure(&self, error: &store::Error) -> ListError {
        match (error, &self.snapshot, &self.after) {
            (store::Error::Compacted { .. }, ListVersion::Continue { .. }, Some(after)) => {
                ListError::Expired(Box::new(list::expired_continue(ContinueToken::encode_latest(after.as_str()))))
            }
            (store::Error::Compacted { .. }, _, _) => ListError::Refused(list::expired_list()),
            (store::Error::FutureRevision { requested, head }, _, _) => {
                ListError::Refused(list::too_large(requested.0, head.0))
            }
            _ => ListError::Refused(errors::read_failed(error)),
        }
    }

    /// The metadata of a list that ends at the current position.
    async fn meta(&self) -> Result<ListMeta, ListError> {
        let revision = self.revision();
        let mut meta = ListMeta { resource_version: revision.0, ..ListMeta::default() };
        if let (true, Some(after)) = (self.more, &self.after) {
            meta.continue_token = Some(ContinueToken::encode(revision.0, after.as_str()));
            if self.filter.is_everything() {
                let most = limits::REMAINING_COUNTED_MAX;
                let counted = self.api.store.count(&self.prefix, Some(after), revision, most).await;
                meta.remaining = match counted {
                    // With `most` or more, `remainingItemCount` is omitted: the field is optional for clients.
                    Ok(counted) => (counted < most).then_some(counted as u64),
                    // This page is complete; continuing it will report the expired revision.
                    Err(store::Error::Compacted { .. }) => None,
                    Err(error) => return Err(ListError::Refused(errors::read_failed(&error))),
                };
            }
        }
        Ok(meta)
    }
}

/// A list of one name reads one key instead of the collection.
fn narrow_prefix<W>(prefix: String, place: &RequestScope<'_, W>, filter: &Filter) -> String {
    let exact = place.namespace.is_some() || !place.resource.namespaced;
    match filter.fields.name().filter(|_| exact) {
        Some(name) => format!("{prefix}{name}"),
        None => prefix,
    }
}

/// Encodes the list in the representation that the client accepts.
pub fn list_response<W>(
    representation: Representation,
    place: &RequestScope<'_, W>,
    items: Vec<Bytes>,
    meta: &ListMeta,
) -> Result<Response<Body>, StatusError> {
    let document = Document { resource: place.resource, representation, now: clock::now() };
    Ok(respond::body(200, representation.content_type(), document.whole(meta, items)?))
}
