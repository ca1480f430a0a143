//! Keys of the store, and the object keys that they denote.

use apimachinery::{
    command::{ObjectKey, Scope},
    kind::Registry,
};
use store::Key;

/// The key of the first entry of every log. It is not the key of an object, because no resource has a dot in its name.
pub const INIT_KEY: &str = ".log";

/// The object key that the text of a store key denotes; `None` if its resource is unknown.
pub fn object_key<W>(registry: &Registry<W>, text: &str) -> Option<ObjectKey> {
    let [resource, scope, namespace, name] = text.splitn(4, '/').collect::<Vec<_>>()[..] else { return None };
    let resource = registry.get(resource)?.resource().plural;
    Some(ObjectKey {
        resource,
        scope: Scope::from_storage_key(scope),
        namespace: namespace.to_owned(),
        name: name.to_owned(),
    })
}

/// The store key of an object, or `None` if the text is not a valid key.
pub fn store_key(key: &ObjectKey) -> Option<Key> {
    Key::new(key.storage_key()).ok()
}
