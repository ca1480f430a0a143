//! GET on a collection: one snapshot, in pages.
//!
//! A list with a limit is one page, whole, and says where the next begins. One without a limit is sent as it is read, page by
//! page, so that it costs the server no more than a page of it however long it is.

mod sent;

use std::sync::Arc;

use apimachinery::{
    kind::World,
    list::{self, ContinueToken, ListMeta, Snapshot, document::Document},
    negotiate::{self, Representation, Shape},
    options::{ListOptions, parse_timeout},
    refusal::{Refusal, Status},
    view::View,
    watch::Filter,
};
use bytes::Bytes;
use http::Response;
use store::{Key, Record, Revision};
use tokio::time::Instant;

use crate::{
    api::{self, Api, Place},
    body::Body,
    limits, respond,
    stages::Authorized,
};

/// Why there is no list.
pub enum Failure {
    /// An ordinary refusal.
    Refused(Refusal),
    /// A Status with metadata: an expired page has a fresh token.
    Expired(Box<Status>),
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl Failure {
    /// As an answer.
    pub fn answer(self) -> Result<Response<Body>, Refusal> {
        match self {
            Self::Refused(refusal) => Err(refusal),
            Self::Expired(status) => Ok(respond::status(&status)),
        }
    }
}

/// Answers with the collection, or a page of it.
pub async fn list<W: World>(
    api: &Arc<Api<W>>,
    place: &Place<'_, W>,
    request: &Authorized,
) -> Result<Response<Body>, Refusal> {
    let began = Instant::now();
    let representation = negotiate::negotiate(request.accept().as_deref(), Shape::List, &request.query)?;
    let options = ListOptions::parse(&request.query, place.resource)?;
    let asked = parse_timeout(&request.query)?.filter(|time| !time.is_zero());
    let ends = began + asked.unwrap_or(limits::LIST_TIME_MAX).min(limits::LIST_TIME_MAX);
    let listed = match options.limit {
        Some(limit) => page(api, place, &options, limit, representation).await,
        None => all(api, place, &options, representation, ends).await,
    };
    listed.or_else(Failure::answer)
}

/// Up to `limit` items, and where to go on.
async fn page<W: World>(
    api: &Arc<Api<W>>,
    place: &Place<'_, W>,
    options: &ListOptions,
    limit: usize,
    representation: Representation,
) -> Result<Response<Body>, Failure> {
    let mut reader = Reader::open(api, place, options).await?;
    let (mut items, mut bytes) = (Vec::new(), 0);
    while reader.more && items.len() < limit && bytes < limits::LIST_PAGE_BYTES_MAX {
        for record in reader.next(limit - items.len()).await? {
            bytes += record.bytes();
            items.push(record.value);
        }
    }
    let meta = reader.meta().await?;
    Ok(show(representation, place, items, &meta)?)
}

/// All that there is.
async fn all<W: World>(
    api: &Arc<Api<W>>,
    place: &Place<'_, W>,
    options: &ListOptions,
    representation: Representation,
    ends: Instant,
) -> Result<Response<Body>, Failure> {
    let mut reader = Reader::open(api, place, options).await?;
    let items: Vec<Bytes> = reader.next(usize::MAX).await?.into_iter().map(|record| record.value).collect();
    let meta = ListMeta { resource_version: reader.revision().0, ..ListMeta::default() };
    if !reader.more {
        return Ok(show(representation, place, items, &meta)?);
    }
    let document = Document { resource: place.resource, representation, now: api::now() };
    let head = document.head(&meta)?;
    let form = sent::Form { plural: place.resource.plural, view: place.view(), representation, now: document.now };
    let body = sent::body(reader, form, head, items, ends);
    Ok(respond::body(200, representation.content_type(), body))
}

/// Reads a snapshot page by page.
pub struct Reader<W> {
    api: Arc<Api<W>>,
    snapshot: Snapshot,
    /// What its keys begin with.
    prefix: String,
    /// How its objects are shown.
    view: Option<&'static View>,
    filter: Filter,
    at: Option<Revision>,
    after: Option<Key>,
    /// Whether there may be more.
    pub more: bool,
}

impl<W: World> Reader<W> {
    /// At the beginning of what `options` ask for.
    pub async fn open(api: &Arc<Api<W>>, place: &Place<'_, W>, options: &ListOptions) -> Result<Self, Failure> {
        let prefix = place.prefix();
        let filter = Filter { labels: options.labels.clone(), fields: options.fields.clone() };
        let snapshot = list::snapshot(options, &prefix)?;
        let (mut at, mut after) = (None, None);
        match &snapshot {
            Snapshot::Latest | Snapshot::NotOlderThan(0) => {}
            Snapshot::NotOlderThan(revision) => api.wait_for(*revision).await?,
            Snapshot::Exact(revision) => {
                api.wait_for(*revision).await?;
                at = Some(Revision(*revision));
            }
            Snapshot::Continue { revision, after: key } => {
                at = revision.map(Revision);
                let key =
                    Key::new(key.as_str()).map_err(|_| Refusal::bad_request("invalid continue token: bad start"))?;
                after = Some(key);
            }
        }
        let prefix = narrow(prefix, place, &filter);
        Ok(Self { api: Arc::clone(api), snapshot, prefix, view: place.view(), filter, at, after, more: true })
    }

    /// Up to `limit` records that the filter shows, of one page of the store.
    pub async fn next(&mut self, limit: usize) -> Result<Vec<Record>, Failure> {
        let everything = self.filter.is_everything();
        let wanted = if everything { limit } else { usize::MAX }.min(limits::PAGE_RECORDS_MAX);
        let page = self.api.store.list(&self.prefix, self.after.as_ref(), self.at, wanted).await;
        let page = page.map_err(|error| self.failure(&error))?;
        (self.at, self.more) = (Some(page.revision), page.more);
        let mut records = Vec::with_capacity(if everything { page.records.len() } else { 0 });
        for mut record in page.records {
            if records.len() == limit {
                // A page with what the filter does not show was fuller than needed: the next one starts behind what was taken.
                self.more = true;
                break;
            }
            self.after = Some(record.key.clone());
            if let Some(view) = self.view {
                record.value = api::show_bytes(view, &record.value)?;
            }
            if everything || self.filter.matches(&api::parse(&record.value)?) {
                records.push(record);
            }
        }
        Ok(records)
    }

    /// The revision of the snapshot.
    pub fn revision(&self) -> Revision {
        self.at.unwrap_or(Revision(self.api.hub.head()))
    }

    fn failure(&self, error: &store::Error) -> Failure {
        match (error, &self.snapshot, &self.after) {
            (store::Error::Compacted { .. }, Snapshot::Continue { .. }, Some(after)) => {
                Failure::Expired(Box::new(list::expired_continue(ContinueToken::encode_latest(after.as_str()))))
            }
            (store::Error::Compacted { .. }, _, _) => Failure::Refused(list::expired_list()),
            (store::Error::Future { requested, head }, _, _) => Failure::Refused(list::too_large(requested.0, head.0)),
            _ => Failure::Refused(api::read_failed(error)),
        }
    }

    /// The metadata of a list that ends here.
    async fn meta(&self) -> Result<ListMeta, Failure> {
        let revision = self.revision();
        let mut meta = ListMeta { resource_version: revision.0, ..ListMeta::default() };
        if let (true, Some(after)) = (self.more, &self.after) {
            meta.continue_token = Some(ContinueToken::encode(revision.0, after.as_str()));
            if self.filter.is_everything() {
                let most = limits::REMAINING_COUNTED_MAX;
                let counted = self.api.store.count(&self.prefix, Some(after), revision, most).await;
                meta.remaining = match counted {
                    // More than is worth counting: clients must live without the number anyway.
                    Ok(counted) => (counted < most).then_some(counted as u64),
                    // The page is whole all the same; a client that continues it learns that the next one is gone.
                    Err(store::Error::Compacted { .. }) => None,
                    Err(error) => return Err(Failure::Refused(api::read_failed(&error))),
                };
            }
        }
        Ok(meta)
    }
}

/// A list of one name reads one key, not the collection.
fn narrow<W>(prefix: String, place: &Place<'_, W>, filter: &Filter) -> String {
    let exact = place.namespace.is_some() || !place.resource.namespaced;
    match filter.fields.name().filter(|_| exact) {
        Some(name) => format!("{prefix}{name}"),
        None => prefix,
    }
}

/// The list in the form that the client wants.
pub fn show<W>(
    representation: Representation,
    place: &Place<'_, W>,
    items: Vec<Bytes>,
    meta: &ListMeta,
) -> Result<Response<Body>, Refusal> {
    let document = Document { resource: place.resource, representation, now: api::now() };
    Ok(respond::body(200, representation.content_type(), document.whole(meta, items)?))
}
