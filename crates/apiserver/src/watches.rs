//! GET on a collection with `watch`: the log as a stream of events or as messages of a WebSocket.
//!
//! A watch is a cursor into the log. The connection polls it for bytes and it does nothing in between, so a slow client
//! costs a cursor and the events that it is about to read. When history up to the cursor has been compacted, the watch
//! ends with 410.

use std::{borrow::Cow, collections::VecDeque, sync::Arc, time::Duration};

use apimachinery::{
    kind::State,
    list_meta::ListMeta,
    negotiate::{self, Representation, ResponseShape},
    object::Object,
    options::ListOptions,
    resource::Resource,
    selector::FieldSelector,
    status_error::{Status, StatusError, StatusReason},
    table,
    view::View,
    watch::{self, EventType, Filter, Start},
};
use bytes::{Bytes, BytesMut};
use futures::stream;
use http::Response;
use store::{Key, Revision};
use tokio::{
    sync::{OwnedSemaphorePermit, watch::Receiver},
    time::Instant,
};
use tokio_util::sync::CancellationToken;

use crate::{
    body::Body,
    clock,
    context::{self, ApiContext},
    entropy::RandomSource,
    limits,
    metrics::{Metrics, WatchCounters, WatchLabels, WatchListLabels},
    request_scope::RequestScope,
    respond,
    serve::put_text,
    stages::Authorized,
    stored_object,
    watch_cache::{Event, Unreadable},
    websocket::{self, Handshake},
};

/// Returns the stream, or the handshake of a WebSocket.
pub async fn watch<W: State>(
    api: &Arc<ApiContext<W>>,
    place: &RequestScope<'_, W>,
    request: &Authorized,
    stop: CancellationToken,
) -> Result<Response<Body>, StatusError> {
    if stop.is_cancelled() {
        // Clients treat a stream that ends before its first event as an error.
        return Err(StatusError::new(StatusReason::ServiceUnavailable, "the server is shutting down").retry_after(1));
    }
    if request.is_websocket
        && let Some(refused) = websocket::check_version(&request.headers)
    {
        return Ok(refused);
    }
    let handshake = request.is_websocket.then(|| Handshake::from_headers(&request.headers)).transpose()?;
    let representation = negotiate::negotiate(request.accept().as_deref(), ResponseShape::Watch, &request.query)?;
    let options = ListOptions::parse(&request.query, place.resource)?;
    let fields = with_name(options.fields.clone(), place)?;
    let permit = context::acquire_permit(&api.watchers)?;
    let phase = match watch::start(&options) {
        Start::Now => Phase::Live { cursor: api.watch_cache.head() },
        Start::After(revision) => Phase::Live { cursor: revision },
        Start::Initial { not_older_than, bookmark } => {
            if let Some(revision) = not_older_than {
                api.wait_until_fresh(revision).await?;
            }
            Phase::Initial { at: None, after: None, bookmark }
        }
    };
    let now = Instant::now();
    let asked = options.timeout_seconds.map_or_else(|| default_timeout(&api.random_source), Duration::from_secs);
    let ends = now + asked.min(limits::WATCH_TIMEOUT_MAX);
    let Resource { group, version, kind, .. } = *place.resource;
    let stream = Watch {
        api: Arc::clone(api),
        counters: api.metrics.watch_counters(&WatchLabels { group, version, kind }),
        began: now,
        namespaced: place.namespace.is_some(),
        plural: place.resource.plural,
        view: place.view(),
        prefix: place.prefix(),
        filter: Filter { labels: options.labels, fields },
        representation,
        framing: if handshake.is_some() { Framing::Messages } else { Framing::Lines },
        phase,
        head: api.watch_cache.subscribe(),
        ends,
        bookmarks: options.allow_bookmarks.then(|| Bookmarks::new(now, ends)),
        columns_sent: false,
        stop,
        pending_frames: VecDeque::new(),
    };
    Ok(stream.into_response(permit, handshake))
}

/// The old paths `/watch/.../{name}` are equivalent to a field selector for the name.
fn with_name<W>(fields: FieldSelector, place: &RequestScope<'_, W>) -> Result<FieldSelector, StatusError> {
    match &place.name {
        Some(name) if fields.name() != Some(name) => {
            let name = name.replace('\\', "\\\\").replace(',', "\\,").replace('=', "\\=");
            FieldSelector::parse(&format!("{fields},metadata.name={name}"))?.for_resource(place.resource)
        }
        _ => Ok(fields),
    }
}

/// Between one and two times the minimum, so that watches that began together do not end together.
fn default_timeout(random_source: &RandomSource) -> Duration {
    // Without random bytes only the spread is lost.
    let byte = random_source().map_or(0, |entropy| entropy.0[0]);
    limits::WATCH_TIMEOUT_MIN + limits::WATCH_TIMEOUT_MIN * u32::from(byte) / 256
}

enum Phase {
    /// Reads the objects of a snapshot, page by page.
    Initial { at: Option<Revision>, after: Option<Key>, bookmark: bool },
    /// Reads the events after the cursor.
    Live { cursor: u64 },
    /// Ends the stream.
    Ended,
}

/// The framing of events.
#[derive(Clone, Copy)]
enum Framing {
    /// One line per event.
    Lines,
    /// One text message of a WebSocket per event.
    Messages,
}

/// The times of the next bookmarks.
struct Bookmarks {
    regular: Instant,
    /// The one shortly before the end; `None` after it was sent.
    last: Option<Instant>,
}

impl Bookmarks {
    fn new(now: Instant, ends: Instant) -> Self {
        Self { regular: now + limits::BOOKMARK_INTERVAL, last: ends.checked_sub(limits::BOOKMARK_BEFORE_END) }
    }

    fn next(&self) -> Instant {
        self.last.map_or(self.regular, |last| last.min(self.regular))
    }

    /// Records that a bookmark is sent.
    fn sent(&mut self, now: Instant) {
        self.last = self.last.filter(|last| *last > now);
        self.regular = now + limits::BOOKMARK_INTERVAL;
    }
}

struct Watch<W> {
    api: Arc<ApiContext<W>>,
    /// The plural of the watched resource.
    plural: &'static str,
    /// The view of the requested API version, if any.
    view: Option<&'static View>,
    prefix: String,
    filter: Filter,
    representation: Representation,
    framing: Framing,
    phase: Phase,
    head: Receiver<u64>,
    ends: Instant,
    bookmarks: Option<Bookmarks>,
    columns_sent: bool,
    stop: CancellationToken,
    /// Encoded events that have not been handed over.
    pending_frames: VecDeque<Bytes>,
    counters: WatchCounters,
    began: Instant,
    /// True if the watch is limited to one namespace.
    namespaced: bool,
}

impl<W: State> Watch<W> {
    fn into_response(self, permit: OwnedSemaphorePermit, handshake: Option<Handshake>) -> Response<Body> {
        let stop = self.stop.clone();
        let content_type = match self.representation {
            Representation::Yaml => respond::JSON,
            representation => representation.content_type(),
        };
        let open = OpenWatch::new(&self.api, permit);
        let frames = stream::unfold((self, open), |(mut watch, open)| async move {
            let bytes = watch.next().await?;
            Some((bytes, (watch, open)))
        });
        let events = Body::events(frames);
        match handshake {
            Some(handshake) => handshake.answer(events, stop),
            None => respond::body(200, content_type, events),
        }
    }

    /// The next bytes; `None` at the end.
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if !self.pending_frames.is_empty() {
                return Some(self.take());
            }
            if self.stop.is_cancelled() {
                return None;
            }
            if self.has_pending() {
                self.api.watch_scheduler.acquire().await;
            }
            let step = match self.phase {
                Phase::Initial { .. } => self.initial().await,
                Phase::Live { cursor } => self.live(cursor).await,
                Phase::Ended => return None,
            };
            if let Err(status) = step {
                let object = serde_json::to_vec(&status).expect("a Status is strings and numbers");
                self.pending_frames.push_back(watch::encode_event(EventType::Error, &object));
                self.phase = Phase::Ended;
            }
        }
    }

    /// Takes encoded events, with their framing, up to [`limits::WATCH_BYTES_MAX`].
    fn take(&mut self) -> Bytes {
        let mut chunk = BytesMut::new();
        while chunk.len() < limits::WATCH_BYTES_MAX
            && let Some(event) = self.pending_frames.pop_front()
        {
            match self.framing {
                Framing::Lines => chunk.extend_from_slice(&event),
                Framing::Messages => put_text(&mut chunk, &event),
            }
        }
        chunk.freeze()
    }

    /// True if there are objects or events to read without waiting.
    fn has_pending(&self) -> bool {
        match self.phase {
            Phase::Initial { .. } => true,
            Phase::Live { cursor } => cursor < self.api.watch_cache.head(),
            Phase::Ended => false,
        }
    }

    /// Reads one page of the snapshot.
    async fn initial(&mut self) -> Result<(), Status> {
        let Phase::Initial { at, after, bookmark } = &mut self.phase else { return Ok(()) };
        let page = self.api.store.list(&self.prefix, after.as_ref(), *at, limits::PAGE_RECORDS_MAX).await;
        let page = page.map_err(|error| failure(&error))?;
        (*at, *after) = (Some(page.revision), page.records.last().map(|record| record.key.clone()));
        let bookmark = *bookmark;
        for record in &page.records {
            let event = self.render_initial(&record.value).map_err(|refusal| refusal.to_status())?;
            self.append_event(event);
        }
        if !page.more {
            self.phase = Phase::Live { cursor: page.revision.0 };
            if bookmark {
                let bookmark = self.bookmark(page.revision.0, true);
                self.pending_frames.push_back(bookmark);
            }
            self.record_list_latency();
        }
        Ok(())
    }

    /// Encodes an object of the snapshot; `None` if the filter excludes it.
    fn render_initial(&mut self, value: &[u8]) -> Result<Option<Bytes>, StatusError> {
        if self.representation == Representation::Json && self.view.is_none() && self.filter.is_everything() {
            return Ok(Some(watch::encode_event(EventType::Added, value)));
        }
        let object = stored_object::parse_for_response(value)?;
        let object = self.shown(&object);
        Ok(self.filter.matches(&object).then(|| self.encode(EventType::Added, &object)))
    }

    /// Records that all initial objects have been read.
    fn record_list_latency(&self) {
        let Resource { group, version, plural: resource, .. } = *self.resource();
        let scope = if self.namespaced { "namespace" } else { "cluster" };
        let labels = WatchListLabels { group, version, resource, scope };
        self.api.metrics.observe_watch_list(&labels, self.began.elapsed());
    }

    /// Sends what is due by time, or else reads the events after the cursor, or else waits for events.
    async fn live(&mut self, cursor: u64) -> Result<(), Status> {
        if self.check_timers(cursor) {
            return Ok(());
        }
        let events_after = self.api.events_after(cursor, &self.prefix).await;
        let (events, upto) = events_after.map_err(|error| failure(&error))?;
        self.phase = Phase::Live { cursor: upto };
        for event in &events {
            // Events before an unreadable one are still sent.
            let event = self.render_event(event).map_err(|unreadable| not_an_object(&unreadable))?;
            self.append_event(event);
        }
        if self.pending_frames.is_empty() && upto >= self.api.watch_cache.head() {
            self.wait(upto).await;
        }
        Ok(())
    }

    /// Encodes an event with the type that the filter of this watch determines; `None` if the filter excludes it.
    fn render_event(&mut self, event: &Event) -> Result<Option<Bytes>, Unreadable> {
        let event_type = if self.filter.is_everything() {
            watch::event_type(event.existed(), event.exists())
        } else {
            let (old, new) = (event.previous()?, event.current()?);
            let (old, new) = (old.map(|old| self.shown(old)), new.map(|new| self.shown(new)));
            watch::transition(&self.filter, old.as_deref(), new.as_deref())
        };
        let Some(event_type) = event_type else { return Ok(None) };
        if self.representation == Representation::Json && self.view.is_none() {
            return event.frame(event_type).map(Some);
        }
        let object = event.object(event_type)?;
        let object = self.shown(&object);
        Ok(Some(self.encode(event_type, &object)))
    }

    /// Waits until the head advances, a bookmark or the end is due, or the watch is stopped.
    async fn wait(&mut self, cursor: u64) {
        let due = self.bookmarks.as_ref().map_or(self.ends, |bookmarks| bookmarks.next().min(self.ends));
        tokio::select! {
            () = self.stop.cancelled() => {}
            // The watch holds the API and its watch cache, so the sender is never dropped.
            _ = self.head.wait_for(|head| *head > cursor) => {}
            () = tokio::time::sleep_until(due) => {}
        }
    }

    /// Ends the watch or queues a bookmark, if it is due. Called before every step, so that events cannot delay it.
    fn check_timers(&mut self, cursor: u64) -> bool {
        let now = Instant::now();
        if now >= self.ends {
            self.phase = Phase::Ended;
            return true;
        }
        let Some(bookmarks) = self.bookmarks.as_mut().filter(|bookmarks| bookmarks.next() <= now) else { return false };
        bookmarks.sent(now);
        let frame = self.bookmark(cursor, false);
        self.pending_frames.push_back(frame);
        true
    }

    fn bookmark(&mut self, revision: u64, initial_end: bool) -> Bytes {
        let object = watch::bookmark(self.resource(), revision, initial_end);
        self.encode(EventType::Bookmark, &object)
    }

    fn encode(&mut self, event_type: EventType, object: &Object) -> Bytes {
        let bytes = match self.representation {
            Representation::Json | Representation::Yaml => object.to_bytes(),
            Representation::Partial { v1beta1 } => table::partial(object, v1beta1).to_string().into_bytes(),
            Representation::Table { v1beta1, include } => {
                let revision = object.metadata.resource_version.parse().unwrap_or_default();
                let meta = ListMeta { resource_version: revision, ..ListMeta::default() };
                let columns = !std::mem::replace(&mut self.columns_sent, true);
                table::table(self.resource(), &[object], &meta, include, v1beta1, clock::now(), columns)
                    .to_string()
                    .into_bytes()
            }
        };
        watch::encode_event(event_type, &bytes)
    }

    fn resource(&self) -> &Resource {
        self.api.registry.find_view(self.plural, self.view).expect("the watched resource is registered").resource()
    }

    /// Converts a stored object to the requested API version.
    fn shown<'a>(&self, object: &'a Object) -> Cow<'a, Object> {
        match self.view {
            None => Cow::Borrowed(object),
            Some(view) => Cow::Owned(view.to_served(object.clone())),
        }
    }

    fn append_event(&mut self, event: Option<Bytes>) {
        if let Some(event) = event {
            self.counters.event(event.len());
            self.pending_frames.push_back(event);
        }
    }
}

fn failure(error: &store::Error) -> Status {
    match error {
        store::Error::Compacted { requested, compacted } => watch::expired(requested.0, compacted.0),
        error => {
            tracing::error!(error = %error, "a watch could not read the store");
            StatusError::new(StatusReason::InternalError, "the store could not be read").to_status()
        }
    }
}

fn not_an_object(unreadable: &Unreadable) -> Status {
    tracing::error!(error = %unreadable, "a watch could not read a stored object");
    StatusError::new(StatusReason::InternalError, "the stored object cannot be read").to_status()
}

/// Counts a watch and holds its permit while it is open.
struct OpenWatch {
    metrics: Arc<Metrics>,
    _permit: OwnedSemaphorePermit,
}

impl OpenWatch {
    fn new<W>(api: &ApiContext<W>, permit: OwnedSemaphorePermit) -> Self {
        api.metrics.watches(1);
        Self { metrics: Arc::clone(&api.metrics), _permit: permit }
    }
}

impl Drop for OpenWatch {
    fn drop(&mut self) {
        self.metrics.watches(-1);
    }
}
