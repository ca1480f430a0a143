//! GET on a collection: one snapshot, in pages.

use apimachinery::{
    kind::World,
    list::{self, ContinueToken, ListMeta, Snapshot},
    negotiate::{self, Representation, Shape, to_yaml},
    object::Object,
    options::ListOptions,
    refusal::{Refusal, Status},
    table,
    watch::Filter,
};
use bytes::Bytes;
use http::Response;
use store::{Key, Record, Revision};

use crate::{
    api::{self, Api, Place},
    limits, respond,
    serve::Body,
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

/// The part of a collection that a request gets.
pub struct Listed {
    /// The encoded objects.
    pub items: Vec<Bytes>,
    /// Their list's metadata.
    pub meta: ListMeta,
}

/// Answers with the collection, or a page of it.
pub async fn list<W: World>(
    api: &Api<W>,
    place: &Place<'_, W>,
    request: &Authorized,
) -> Result<Response<Body>, Refusal> {
    let representation = negotiate::negotiate(request.accept().as_deref(), Shape::List, &request.query)?;
    let options = ListOptions::parse(&request.query, place.resource)?;
    match collect(api, place, &options).await {
        Ok(listed) => show(representation, place, &listed),
        Err(Failure::Refused(refusal)) => Err(refusal),
        Err(Failure::Expired(status)) => Ok(respond::status(&status)),
    }
}

/// Reads what `options` ask for.
pub async fn collect<W: World>(api: &Api<W>, place: &Place<'_, W>, options: &ListOptions) -> Result<Listed, Failure> {
    let prefix = place.prefix();
    let filter = Filter { labels: options.labels.clone(), fields: options.fields.clone() };
    let mut reader = Reader { narrowed: narrow(&prefix, place, &filter), at: None, after: None, more: true };
    let snapshot = list::snapshot(options, &prefix)?;
    match &snapshot {
        Snapshot::Latest | Snapshot::NotOlderThan(0) => {}
        Snapshot::NotOlderThan(revision) => api.wait_for(*revision).await?,
        Snapshot::Exact(revision) => {
            api.wait_for(*revision).await?;
            reader.at = Some(Revision(*revision));
        }
        Snapshot::Continue { revision, after } => {
            reader.at = revision.map(Revision);
            let after =
                Key::new(after.as_str()).map_err(|_| Refusal::bad_request("invalid continue token: bad start"))?;
            reader.after = Some(after);
        }
    }
    let limit = options.limit.unwrap_or(usize::MAX);
    let mut items = Vec::new();
    while reader.more && items.len() < limit {
        let wanted = if filter.is_everything() { limit - items.len() } else { limits::PAGE_RECORDS_MAX };
        let records = reader.next(api, &snapshot, wanted.min(limits::PAGE_RECORDS_MAX)).await?;
        for record in records {
            if items.len() == limit {
                // A filtered page was fuller than needed: the next one starts behind what was taken.
                reader.more = true;
                break;
            }
            reader.after = Some(record.key);
            if filter.is_everything() || filter.matches(&api::parse(&record.value)?) {
                items.push(record.value);
            }
        }
    }
    let meta = reader.meta(api, filter.is_everything()).await?;
    Ok(Listed { items, meta })
}

/// A list of one name reads one key, not the collection.
fn narrow<W>(prefix: &str, place: &Place<'_, W>, filter: &Filter) -> String {
    let exact = place.namespace.is_some() || !place.resource.namespaced;
    match filter.fields.name().filter(|_| exact) {
        Some(name) => format!("{prefix}{name}"),
        None => prefix.to_owned(),
    }
}

/// Reads a snapshot page by page.
struct Reader {
    narrowed: String,
    at: Option<Revision>,
    after: Option<Key>,
    more: bool,
}

impl Reader {
    async fn next<W: World>(
        &mut self,
        api: &Api<W>,
        snapshot: &Snapshot,
        limit: usize,
    ) -> Result<Vec<Record>, Failure> {
        let page = api.store.list(&self.narrowed, self.after.as_ref(), self.at, limit).await;
        let page = page.map_err(|error| self.failure(snapshot, &error))?;
        self.at = Some(page.revision);
        self.more = page.more;
        Ok(page.records)
    }

    fn failure(&self, snapshot: &Snapshot, error: &store::Error) -> Failure {
        match (error, snapshot, &self.after) {
            (store::Error::Compacted { .. }, Snapshot::Continue { .. }, Some(after)) => {
                Failure::Expired(Box::new(list::expired_continue(ContinueToken::encode_latest(after.as_str()))))
            }
            (store::Error::Compacted { .. }, _, _) => Failure::Refused(list::expired_list()),
            (store::Error::Future { requested, head }, _, _) => Failure::Refused(list::too_large(requested.0, head.0)),
            _ => Failure::Refused(api::read_failed(error)),
        }
    }

    async fn meta<W: World>(&self, api: &Api<W>, unfiltered: bool) -> Result<ListMeta, Failure> {
        let revision = self.at.unwrap_or(Revision(api.hub.head()));
        let mut meta = ListMeta { resource_version: revision.0, ..ListMeta::default() };
        if let (true, Some(after)) = (self.more, &self.after) {
            meta.continue_token = Some(ContinueToken::encode(revision.0, after.as_str()));
            if unfiltered {
                let counted =
                    api.store.count(&self.narrowed, Some(after), revision, limits::REMAINING_COUNTED_MAX).await;
                meta.remaining = match counted {
                    // More than is worth counting: clients must live without the number anyway.
                    Ok(counted) => (counted < limits::REMAINING_COUNTED_MAX).then_some(counted as u64),
                    // The page is whole all the same; whoever continues it learns that the next one is gone.
                    Err(store::Error::Compacted { .. }) => None,
                    Err(error) => return Err(Failure::Refused(api::read_failed(&error))),
                };
            }
        }
        Ok(meta)
    }
}

/// The list in the form that the client wants.
pub fn show<W>(
    representation: Representation,
    place: &Place<'_, W>,
    listed: &Listed,
) -> Result<Response<Body>, Refusal> {
    let content_type = representation.content_type();
    let plain = || list::list_bytes(place.resource, &listed.items, &listed.meta);
    let value = match representation {
        Representation::Json => return Ok(respond::body(200, content_type, plain())),
        Representation::Yaml => {
            let value = serde_json::from_slice(&plain()).unwrap_or_default();
            return Ok(respond::body(200, content_type, to_yaml(&value)?));
        }
        Representation::Table { v1beta1, include } => {
            table::table(place.resource, &objects(listed)?, &listed.meta, include, v1beta1, api::now(), true)
        }
        Representation::Partial { v1beta1 } => table::partial_list(&objects(listed)?, &listed.meta, v1beta1),
    };
    Ok(respond::body(200, content_type, value.to_string()))
}

fn objects(listed: &Listed) -> Result<Vec<Object>, Refusal> {
    listed.items.iter().map(|bytes| api::parse(bytes)).collect()
}
