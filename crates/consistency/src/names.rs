//! Object names in a compact form.
//!
//! The name of an allocation is a hash of its claim, so it is stored in eight bytes. Names of another form are faults;
//! they are stored as text.

use std::collections::{BTreeMap, HashMap};

use sha2::{Digest as _, Sha256};

/// The platform scope. It is omitted in the names of objects.
const PLATFORM: &str = "platform";
/// The prefix of the name of every allocation.
const ALLOCATION: &str = "alloc-";
/// The number of hexadecimal digits after the prefix.
const HASH_DIGITS: usize = 16;

/// The name of an allocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Name {
    /// `alloc-` and this number in hexadecimal.
    Hash(u64),
    /// Another name, as an index into [`Texts`].
    Text(u32),
}

/// Interned texts.
#[derive(Default)]
pub struct Texts {
    texts: Vec<Box<str>>,
    places: HashMap<Box<str>, u32>,
}

/// A namespace of a scope, and the numbers of its objects.
#[derive(Clone, Debug, Default)]
pub struct Namespace {
    pub scope: Box<str>,
    pub name: Box<str>,
    pub exists: bool,
    pub claims: u64,
    pub allocations: u64,
}

/// Namespaces by number.
#[derive(Default)]
pub struct Namespaces {
    list: Vec<Namespace>,
    places: BTreeMap<(Box<str>, Box<str>), u32>,
    /// The last result of `number`, because objects arrive in the order of their namespaces.
    latest: Option<u32>,
}

/// Returns the hash in the name of a claim's allocation.
pub fn of_claim(namespace: &str, claim: &str) -> u64 {
    let mut hash = Sha256::new();
    hash.update(namespace.as_bytes());
    hash.update(b"/");
    hash.update(claim.as_bytes());
    hash.finalize().iter().take(8).fold(0, |number, byte| number << 8 | u64::from(*byte))
}

/// Returns the name of an allocation.
pub fn allocation(hash: u64) -> String {
    format!("{ALLOCATION}{hash:0HASH_DIGITS$x}")
}

/// Returns the display name of an object: scope (unless it is the platform), namespace and name.
pub fn path(scope: &str, namespace: &str, name: &str) -> String {
    let parts = [if scope == PLATFORM { "" } else { scope }, namespace, name];
    parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("/")
}

impl Texts {
    /// Returns the compact form of a name, and interns it if it is not a hash.
    pub fn intern(&mut self, text: &str) -> Name {
        self.find(text).unwrap_or_else(|| {
            let place = u32::try_from(self.texts.len()).unwrap_or(u32::MAX);
            self.texts.push(text.into());
            self.places.insert(text.into(), place);
            Name::Text(place)
        })
    }

    /// Returns the compact form of a name; `None` if it is not a hash and was never interned.
    pub fn find(&self, text: &str) -> Option<Name> {
        let digits = text.strip_prefix(ALLOCATION).filter(|digits| {
            digits.len() == HASH_DIGITS && digits.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
        });
        match digits.and_then(|digits| u64::from_str_radix(digits, 16).ok()) {
            Some(hash) => Some(Name::Hash(hash)),
            None => self.places.get(text).copied().map(Name::Text),
        }
    }

    /// Returns a name as text.
    pub fn text(&self, name: Name) -> String {
        match name {
            Name::Hash(hash) => allocation(hash),
            Name::Text(place) => self.texts.get(place as usize).map_or_else(String::new, ToString::to_string),
        }
    }
}

impl Namespaces {
    /// Returns the number of a namespace, which is assigned on first use.
    pub fn number(&mut self, scope: &str, name: &str) -> u32 {
        if let Some(latest) = self.latest
            && self.list.get(latest as usize).is_some_and(|found| &*found.scope == scope && &*found.name == name)
        {
            return latest;
        }
        let next = u32::try_from(self.list.len()).unwrap_or(u32::MAX);
        let number = *self.places.entry((scope.into(), name.into())).or_insert(next);
        if number == next {
            self.list.push(Namespace { scope: scope.into(), name: name.into(), ..Namespace::default() });
        }
        self.latest = Some(number);
        number
    }

    /// Returns the namespace with a number.
    pub fn get(&self, number: u32) -> &Namespace {
        &self.list[number as usize]
    }

    /// Returns the namespace with a number, for changes.
    pub fn get_mut(&mut self, number: u32) -> &mut Namespace {
        &mut self.list[number as usize]
    }

    /// Returns all namespaces.
    pub fn all(&self) -> &[Namespace] {
        &self.list
    }
}
