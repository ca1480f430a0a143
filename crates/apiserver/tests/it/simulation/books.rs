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
use apiserver::{committer::Committer, hub::Hub};
use rand::{Rng as _, rngs::StdRng};
use serde_json::Value;
use store::{Entry, Store};

use super::engine::{Domain, Request};
use crate::{
    commands::{create, create_book, delete, dry, retitle},
    commits,
    library::{self, World, book_key, shelf, shelf_key},
};

/// Fewer places than names, so that the shelf is sometimes full.
const PLACES: u32 = 5;
const NAMES: [&str; 8] = ["a", "b", "c", "d", "e", "f", "g", "h"];

pub struct Books;

/// The library after a write.
#[derive(Clone, Debug, Default)]
pub struct Moment {
    /// The names of the books.
    books: BTreeSet<String>,
    /// Places by card.
    cards: BTreeMap<String, u64>,
    /// The count in the status of the shelf.
    sum: u64,
}

impl Domain for Books {
    type World = World;
    type Moment = Moment;

    fn registry() -> Arc<Registry<World>> {
        static REGISTRY: LazyLock<Arc<Registry<World>>> = LazyLock::new(|| Arc::new(library::registry()));
        Arc::clone(&REGISTRY)
    }

    fn committer(store: Arc<dyn Store>, world: World, hub: Hub) -> Committer<World> {
        commits::committer(store, world, hub)
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

    fn describe(world: &World) -> String {
        format!("{world:?}")
    }

    /// Fails if a place is taken twice.
    fn advance(moment: &mut Moment, entry: &Entry) -> Result<(), String> {
        let object: Option<Value> = entry.value.as_deref().map(|bytes| serde_json::from_slice(bytes).unwrap());
        let key = entry.key.as_str();
        let name = key.rsplit('/').next().unwrap_or_default().to_owned();
        if key.starts_with("books/") {
            if object.is_some() {
                moment.books.insert(name)
            } else {
                moment.books.remove(&name)
            };
        } else if key.starts_with("cards/") {
            match object {
                Some(object) => moment.cards.insert(name, object["spec"]["place"].as_u64().unwrap()),
                None => moment.cards.remove(&name),
            };
            let places: BTreeSet<_> = moment.cards.values().collect();
            if places.len() < moment.cards.len() {
                return Err(format!("a place was given out twice: {:?}", moment.cards));
            }
        } else if key.starts_with("shelves/")
            && let Some(object) = object
        {
            moment.sum = object["status"]["books"].as_u64().unwrap();
        }
        Ok(())
    }

    fn settled(moment: &Moment) -> Result<(), String> {
        let Moment { books, cards, sum } = moment;
        let are_right = *sum == cards.len() as u64 && books.len() == cards.len();
        if are_right { Ok(()) } else { Err(format!("the sum is {sum}, there are {books:?} and {cards:?}")) }
    }

    fn explains(moment: &Moment, command: &Command, refusal: &StatusError) -> bool {
        match refusal.reason {
            StatusReason::AlreadyExists => moment.books.contains(&command.key.name),
            StatusReason::NotFound => !moment.books.contains(&command.key.name),
            StatusReason::InsufficientStorage => moment.cards.len() == PLACES as usize,
            _ => false,
        }
    }
}

fn created(command: Command) -> Request {
    Request { token: command.entropy.uid(), command }
}
