//! The library as a domain of the simulation: a shelf with fewer places than there are names of books.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, LazyLock},
};

use apimachinery::{
    command::Command,
    kind::Registry,
    status_error::{StatusError, StatusReason},
};
use apiserver::{committer::Committer, watch_cache::WatchCache};
use rand::{Rng as _, rngs::StdRng};
use serde_json::Value;
use store::{Entry, Store};

use super::engine::{Domain, Request};
use crate::{
    commands::{create, create_book, delete, dry, retitle},
    commits,
    sample_kinds::{self, SampleState, book_key, shelf, shelf_key},
};

/// Fewer places than names, so that the shelf is sometimes full.
const PLACES: u32 = 5;
const NAMES: [&str; 8] = ["a", "b", "c", "d", "e", "f", "g", "h"];

pub struct Books;

/// The library after a write.
#[derive(Clone, Debug, Default)]
pub struct ModelState {
    /// The names of the books.
    books: BTreeSet<String>,
    /// Places by card.
    cards: BTreeMap<String, u64>,
    /// The count in the status of the shelf.
    sum: u64,
}

impl Domain for Books {
    type DecisionState = SampleState;
    type ModelState = ModelState;

    fn registry() -> Arc<Registry<SampleState>> {
        static REGISTRY: LazyLock<Arc<Registry<SampleState>>> = LazyLock::new(|| Arc::new(sample_kinds::registry()));
        Arc::clone(&REGISTRY)
    }

    fn committer(store: Arc<dyn Store>, state: SampleState, watch_cache: WatchCache) -> Committer<SampleState> {
        commits::committer(store, state, watch_cache)
    }

    fn foundation() -> Vec<Command> {
        vec![create(shelf_key("a"), shelf("a", PLACES))]
    }

    fn request(chance: &mut StdRng) -> Request {
        let name = NAMES[chance.random_range(0..NAMES.len())];
        match chance.random_range(0..12) {
            0..6 => created(create_book(name)),
            6 => created(dry(create_book(name))),
            7..10 => Request { command: delete(book_key(name)), token: String::new() },
            _ => {
                let token = format!("{:032x}", chance.random::<u128>());
                Request { command: retitle(name, &token), token }
            }
        }
    }

    fn describe(state: &SampleState) -> String {
        format!("{state:?}")
    }

    /// Fails if a place is taken twice.
    fn advance(state: &mut ModelState, entry: &Entry) -> Result<(), String> {
        let object: Option<Value> = entry.value.as_deref().map(|bytes| serde_json::from_slice(bytes).unwrap());
        let key = entry.key.as_str();
        let name = key.rsplit('/').next().unwrap_or_default().to_owned();
        if key.starts_with("books/") {
            if object.is_some() {
                state.books.insert(name)
            } else {
                state.books.remove(&name)
            };
        } else if key.starts_with("cards/") {
            match object {
                Some(object) => state.cards.insert(name, object["spec"]["place"].as_u64().unwrap()),
                None => state.cards.remove(&name),
            };
            let places: BTreeSet<_> = state.cards.values().collect();
            if places.len() < state.cards.len() {
                return Err(format!("a place was given out twice: {:?}", state.cards));
            }
        } else if key.starts_with("shelves/")
            && let Some(object) = object
        {
            state.sum = object["status"]["books"].as_u64().unwrap();
        }
        Ok(())
    }

    fn settled(state: &ModelState) -> Result<(), String> {
        let ModelState { books, cards, sum } = state;
        let are_right = *sum == cards.len() as u64 && books.len() == cards.len();
        if are_right { Ok(()) } else { Err(format!("the sum is {sum}, there are {books:?} and {cards:?}")) }
    }

    fn explains(state: &ModelState, command: &Command, refusal: &StatusError) -> bool {
        match refusal.reason {
            StatusReason::AlreadyExists => state.books.contains(&command.key.name),
            StatusReason::NotFound => !state.books.contains(&command.key.name),
            StatusReason::InsufficientStorage => state.cards.len() == PLACES as usize,
            _ => false,
        }
    }
}

fn created(command: Command) -> Request {
    Request { token: command.entropy.uid(), command }
}
