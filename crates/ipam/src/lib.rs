//! IPPool, IPClaim and IPAllocation: their types, their validation, and what each write changes.
//!
//! This is the only crate that knows both Kubernetes objects and addresses. It is pure and synchronous: time and ids are
//! arguments, and the only state is the [`World`], which moves by nothing but `apply`. It deliberately does not read or
//! write a store, does not know HTTP, and does not repeat what `apimachinery::verbs` does for every kind (names,
//! finalizers, preconditions, unknown fields).

pub mod allocation;
mod choose;
pub mod claim;
pub mod condition;
pub mod limits;
pub mod names;
#[cfg(feature = "newer")]
mod newer;
pub mod pool;
mod restored;
mod schema;
mod spec;
#[cfg(test)]
mod tests;
pub mod types;
pub mod world;

use apimachinery::kind::Registry;
pub use world::World;

/// The API group of all kinds.
pub const GROUP: &str = "ipam.miloapis.com";
/// The API version of all kinds.
pub const VERSION: &str = "v1alpha1";
/// [`GROUP`] and [`VERSION`] as they stand in an object.
pub const API_VERSION: &str = "ipam.miloapis.com/v1alpha1";

/// The three kinds.
pub fn registry() -> Registry<World> {
    Registry::new(vec![
        Box::new(pool::Pools::new()),
        Box::new(claim::Claims::new()),
        Box::new(allocation::Allocations::new()),
        #[cfg(feature = "newer")]
        Box::new(newer::Holds::new()),
    ])
}
