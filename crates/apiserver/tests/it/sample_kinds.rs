//! The kinds of the tests, a library: shelves with numbered places, books on them, and for each book a card that holds
//! its place.
//!
//! It has all features of a service: a namespaced and a cluster-scoped kind, spans, objects that are created and
//! deleted with others, read sets, counts that are written with the batch, finalizers, a computed column.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Condvar, Mutex},
};

use apimachinery::{
    command::{ObjectKey, Scope, Write},
    kind::{self, Context, Gauge, Kind, MutationResult, PreparedObject, Registry, RequestContext, Span},
    object::{Object, ObjectMeta},
    occurrence::{EventContent, EventRules, EventState, EventType},
    resource::{Cell, Column, NamePolicy, Resource, Subresource, Verb},
    status_error::{OccupiedRange, StatusError, StatusReason},
    time::Time,
};
use serde_json::{Value, json};

pub const GROUP: &str = "library.example.com";
/// The path of the API group and version.
pub const API: &str = "/apis/library.example.com/v1";
/// The path of the books of most tests.
pub const BOOKS: &str = "/apis/library.example.com/v1/namespaces/attic/books";
/// A book on this shelf makes the decision panic.
pub const PANICS_IN_DECIDE: &str = "unthinkable";
/// A book on this shelf makes its preparation panic.
pub const UNREADABLE: &str = "unreadable";
/// A shelf of this name makes applying the write panic.
pub const PANICS_IN_APPLY: &str = "unbearable";
/// Books on this shelf are prepared when [`GATE`] is open.
pub const GATED: &str = "gated";
pub static GATE: Gate = Gate::new();
/// A book with this title makes encoding it as a table panic.
pub const PANICS_IN_TABLE: &str = "unspeakable";

/// The decision state: the shelves and their places.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SampleState {
    shelves: BTreeMap<String, Shelf>,
}

#[derive(Clone, Debug, PartialEq)]
struct Shelf {
    object: Arc<Object>,
    taken: BTreeSet<u128>,
}

impl SampleState {
    /// The number of taken places of a shelf.
    pub fn books(&self, name: &str) -> usize {
        self.shelves.get(name).map_or(0, |shelf| shelf.taken.len())
    }

    fn shelf(&mut self, name: &str) -> &mut Shelf {
        self.shelves.get_mut(name).expect("the shelf is there")
    }
}

impl kind::State for SampleState {
    fn apply(&mut self, write: &Write) {
        match write.key.resource {
            "shelves" => match (&write.old, &write.new) {
                (None, Some(new)) => {
                    assert_ne!(write.key.name, PANICS_IN_APPLY, "more than the state can take in");
                    let empty = Shelf { object: Arc::clone(new), taken: BTreeSet::new() };
                    self.shelves.insert(write.key.name.clone(), empty);
                }
                (Some(_), Some(new)) => self.shelf(&write.key.name).object = Arc::clone(new),
                (_, None) => drop(self.shelves.remove(&write.key.name)),
            },
            "cards" => {
                if let Some((shelf, place)) = write.old.as_deref().and_then(place_of) {
                    assert!(self.shelf(shelf).taken.remove(&place), "{place} was taken");
                }
                if let Some((shelf, place)) = write.new.as_deref().and_then(place_of) {
                    assert!(self.shelf(shelf).taken.insert(place), "{place} was free");
                }
            }
            _ => {}
        }
    }

    fn observed_resources() -> &'static [&'static str] {
        &["shelves", "cards"]
    }

    fn pending_status_updates(&self, _: Time) -> Vec<Write> {
        let behind = self.shelves.values().filter(|shelf| shelf.object.field("status")["books"] != shelf.taken.len());
        behind
            .map(|shelf| {
                let mut new = Object::clone(&shelf.object);
                new.set_field("status", json!({ "books": shelf.taken.len() }));
                Write {
                    key: shelf_key(&new.metadata.name),
                    old: Some(Arc::clone(&shelf.object)),
                    new: Some(Arc::new(new)),
                }
            })
            .collect()
    }

    fn load_object(&mut self, key: ObjectKey, object: Object) -> Result<(), String> {
        let empty = Shelf { object: Arc::new(object), taken: BTreeSet::new() };
        self.shelves.insert(key.name, empty);
        Ok(())
    }

    fn load_span(&mut self, span: &Span) -> Result<(), String> {
        let known = self.shelves.get_mut(&span.space).ok_or("a card of no shelf")?;
        known.taken.insert(span.first);
        Ok(())
    }

    fn cached_resources(&self) -> &'static [&'static str] {
        &["shelves"]
    }

    fn gauges(&self) -> Vec<Gauge> {
        let sample = |(name, shelf): (&String, &Shelf)| (vec![("shelf", name.clone())], shelf.taken.len() as f64);
        vec![Gauge {
            name: "library_books",
            help: "Books by shelf",
            samples: self.shelves.iter().map(sample).collect(),
        }]
    }
}

/// Holds preparations, and counts them.
pub struct Gate {
    state: Mutex<GateState>,
    changed: Condvar,
}

struct GateState {
    is_open: bool,
    held: usize,
    held_max: usize,
}

impl Gate {
    const fn new() -> Self {
        let state = GateState { is_open: false, held: 0, held_max: 0 };
        Self { state: Mutex::new(state), changed: Condvar::new() }
    }

    fn pass(&self) {
        let mut state = self.state.lock().unwrap();
        state.held += 1;
        state.held_max = state.held_max.max(state.held);
        let mut state = self.changed.wait_while(state, |state| !state.is_open).unwrap();
        state.held -= 1;
    }

    /// The number of preparations held.
    pub fn held(&self) -> usize {
        self.state.lock().unwrap().held
    }

    /// The maximum number of preparations held at the same time.
    pub fn held_max(&self) -> usize {
        self.state.lock().unwrap().held_max
    }

    pub fn open(&self) {
        self.state.lock().unwrap().is_open = true;
        self.changed.notify_all();
    }
}

/// All kinds of the library.
pub fn registry() -> Registry<SampleState> {
    Registry::new(vec![Box::new(Shelves(shelves())), Box::new(Books(books())), Box::new(Cards(cards()))])
}

pub fn shelf_key(name: &str) -> ObjectKey {
    ObjectKey { resource: "shelves", scope: Scope::platform(), namespace: String::new(), name: name.to_owned() }
}

pub fn book_key(name: &str) -> ObjectKey {
    ObjectKey { resource: "books", scope: Scope::platform(), namespace: "attic".to_owned(), name: name.to_owned() }
}

/// A shelf, as a client writes it.
pub fn shelf(name: &str, places: u32) -> Value {
    json!({ "metadata": { "name": name }, "spec": { "places": places } })
}

/// A book with its name as title, as a client writes it.
pub fn book(name: &str, shelf: &str) -> Value {
    json!({ "metadata": { "name": name }, "spec": { "shelf": shelf, "title": name } })
}

fn card_key(book: &ObjectKey) -> ObjectKey {
    ObjectKey { resource: "cards", name: format!("card-{}", book.name), ..book.clone() }
}

/// The shelf and the place of a card.
fn place_of(card: &Object) -> Option<(&str, u128)> {
    Some((card.text("/spec/shelf"), u128::from(card.field("spec")["place"].as_u64()?)))
}

struct Shelves(Resource);

/// A shelf reports when it becomes full, and when it is no longer full.
impl EventRules for Shelves {
    fn initial_state(&self, object: &Object, last: Option<&str>) -> EventState {
        EventState(u8::from(last.map_or(is_full(object), |last| last == "ShelfFull")))
    }

    fn on_change(&self, object: &Object, before: EventState) -> (EventState, Option<EventContent>) {
        let now = self.initial_state(object, None);
        let reason = if is_full(object) { "ShelfFull" } else { "ShelfOpen" };
        let content = EventContent { reason, event_type: EventType::Normal, note: "so it is".to_owned() };
        (now, (now != before).then_some(content))
    }
}

fn is_full(shelf: &Object) -> bool {
    shelf.field("status")["books"] == shelf.field("spec")["places"]
}

impl Kind<SampleState> for Shelves {
    fn resource(&self) -> &Resource {
        &self.0
    }

    fn event_rules(&self) -> Option<&dyn EventRules> {
        Some(self)
    }

    fn prepare_create(
        &self,
        _: &ObjectKey,
        mut object: Object,
        _: &RequestContext<'_>,
    ) -> Result<PreparedObject<SampleState>, StatusError> {
        object.set_field("status", json!({ "books": 0 }));
        Ok(PreparedObject::without_decision(object))
    }

    fn prepare_update(
        &self,
        _: &ObjectKey,
        _: &Object,
        new: Object,
        _: Option<Subresource>,
        _: &RequestContext<'_>,
    ) -> Result<PreparedObject<SampleState>, StatusError> {
        Ok(PreparedObject::without_decision(new))
    }

    fn validate_delete(
        &self,
        state: &SampleState,
        key: &ObjectKey,
        _: &Object,
        _: &Context<'_>,
    ) -> Result<(), StatusError> {
        let books = state.shelves[&key.name].taken.len();
        if books == 0 {
            return Ok(());
        }
        let why = format!("{books} book(s) stand on it");
        let places = OccupiedRange { space: key.name.clone(), first: 0, last: u128::MAX };
        Err(StatusError::conflict(GROUP, "shelves", &key.name, &why).occupied(places))
    }
}

struct Books(Resource);

impl Kind<SampleState> for Books {
    fn resource(&self) -> &Resource {
        &self.0
    }

    fn event_for_error(&self, key: &ObjectKey, refusal: &StatusError) -> Option<EventContent> {
        let note = format!("{}: {}", key.name, refusal.message);
        Some(EventContent { reason: "BookRefused", event_type: EventType::Warning, note })
    }

    fn read_set(&self, key: &ObjectKey) -> Vec<ObjectKey> {
        vec![card_key(key)]
    }

    fn prepare_create(
        &self,
        _: &ObjectKey,
        object: Object,
        _: &RequestContext<'_>,
    ) -> Result<PreparedObject<SampleState>, StatusError> {
        assert_ne!(object.text("/spec/shelf"), UNREADABLE, "an unreadable value");
        if object.text("/spec/shelf") == GATED {
            GATE.pass();
        }
        Ok(PreparedObject::with_decision(object, place))
    }

    fn prepare_update(
        &self,
        _: &ObjectKey,
        _: &Object,
        new: Object,
        _: Option<Subresource>,
        _: &RequestContext<'_>,
    ) -> Result<PreparedObject<SampleState>, StatusError> {
        Ok(PreparedObject::without_decision(new))
    }

    fn mark_terminating(&self, object: &mut Object) {
        object.set_field("status", json!({ "place": object.field("status")["place"], "phase": "Leaving" }));
    }

    fn delete(
        &self,
        _: &SampleState,
        key: &ObjectKey,
        _: &Object,
        ctx: &Context<'_>,
    ) -> Result<Vec<Write>, StatusError> {
        let key = card_key(key);
        let card = ctx.related.objects.get(&key).cloned();
        Ok(card.map(|card| Write { key, old: Some(card), new: None }).into_iter().collect())
    }
}

/// Places a book on the first free place of its shelf, and creates its card.
fn place(
    state: &SampleState,
    key: &ObjectKey,
    mut object: Object,
    ctx: &Context<'_>,
) -> Result<MutationResult, StatusError> {
    let name = object.text("/spec/shelf").to_owned();
    assert_ne!(name, PANICS_IN_DECIDE, "a panic in a decision");
    let Some(chosen) = state.shelves.get(&name) else {
        return Err(StatusError::bad_request(format!("there is no shelf {name:?}")));
    };
    let places = chosen.object.field("spec")["places"].as_u64().unwrap_or_default();
    let Some(place) = (0..places).find(|place| !chosen.taken.contains(&u128::from(*place))) else {
        let refusal = StatusError::new(StatusReason::InsufficientStorage, format!("the shelf {name:?} is full"));
        return Err(refusal.regarding(&chosen.object));
    };
    object.set_field("status", json!({ "place": place }));
    let card = Object {
        api_version: object.api_version.clone(),
        kind: "Card".to_owned(),
        metadata: ObjectMeta {
            name: card_key(key).name,
            namespace: key.namespace.clone(),
            uid: ctx.entropy.second_uid(),
            creation_timestamp: Some(ctx.now),
            generation: Some(1),
            ..ObjectMeta::default()
        },
        fields: serde_json::Map::from_iter([("spec".to_owned(), json!({ "shelf": name, "place": place }))]),
        ..Object::default()
    };
    let card = Write { key: card_key(key), old: None, new: Some(Arc::new(card)) };
    Ok(MutationResult { object, secondary_writes: vec![card], warnings: vec!["books are heavy".to_owned()] })
}

/// The kind Card, whose objects users neither create nor delete.
struct Cards(Resource);

impl Kind<SampleState> for Cards {
    fn resource(&self) -> &Resource {
        &self.0
    }

    fn prepare_create(
        &self,
        _: &ObjectKey,
        _: Object,
        _: &RequestContext<'_>,
    ) -> Result<PreparedObject<SampleState>, StatusError> {
        panic!("the verb is not offered")
    }

    fn prepare_update(
        &self,
        _: &ObjectKey,
        _: &Object,
        new: Object,
        _: Option<Subresource>,
        _: &RequestContext<'_>,
    ) -> Result<PreparedObject<SampleState>, StatusError> {
        Ok(PreparedObject::without_decision(new))
    }

    fn validate_delete(&self, _: &SampleState, _: &ObjectKey, _: &Object, _: &Context<'_>) -> Result<(), StatusError> {
        panic!("the verb is not offered")
    }

    fn delete(&self, _: &SampleState, _: &ObjectKey, _: &Object, _: &Context<'_>) -> Result<Vec<Write>, StatusError> {
        panic!("the verb is not offered")
    }

    fn spans(&self, key: &ObjectKey, object: &Object) -> Vec<Span> {
        let place = place_of(object);
        let span = place.map(|(shelf, place)| Span {
            space: shelf.to_owned(),
            first: place,
            last: place,
            holder: key.storage_key(),
        });
        span.into_iter().collect()
    }
}

fn shelves() -> Resource {
    Resource {
        group: GROUP,
        version: "v1",
        kind: "Shelf",
        plural: "shelves",
        singular: "shelf",
        short_names: &[],
        categories: &[],
        namespaced: false,
        verbs: Verb::ALL,
        subresources: &[Subresource::Status],
        selectable_fields: &[],
        computed_fields: &[],
        columns: const { &[column("Name", Cell::Name), column("Books", Cell::Pointer("/status/books"))] },
        names: NamePolicy::Subdomain,
        schema: schema(json!({ "places": { "type": "integer" } }), json!({ "books": { "type": "integer" } })),
    }
}

fn books() -> Resource {
    Resource {
        kind: "Book",
        plural: "books",
        singular: "book",
        namespaced: true,
        selectable_fields: &["spec.title"],
        columns: const { &[column("Name", Cell::Name), column("Title", Cell::Computed(title))] },
        schema: schema(
            json!({ "shelf": { "type": "string" }, "title": { "type": "string" } }),
            json!({ "place": { "type": "integer" }, "phase": { "type": "string" } }),
        ),
        ..shelves()
    }
}

fn cards() -> Resource {
    Resource {
        kind: "Card",
        plural: "cards",
        singular: "card",
        namespaced: true,
        verbs: &[Verb::Get, Verb::List, Verb::Patch, Verb::Watch],
        columns: const { &[column("Name", Cell::Name)] },
        schema: schema(json!({ "shelf": { "type": "string" }, "place": { "type": "integer" } }), json!({})),
        ..shelves()
    }
}

fn title(book: &Object) -> Value {
    let title = book.text("/spec/title");
    assert_ne!(title, PANICS_IN_TABLE, "a panic in a table");
    json!(title)
}

const fn column(name: &'static str, cell: Cell) -> Column {
    Column { name, column_type: "string", format: "", description: "", priority: 0, cell }
}

fn schema(spec: Value, status: Value) -> Value {
    json!({
        "type": "object",
        "description": "A thing in a library.",
        "properties": {
            "spec": { "type": "object", "properties": spec },
            "status": { "type": "object", "properties": status },
        },
    })
}
