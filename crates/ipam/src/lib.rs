//! IPPool, IPClaim and IPAllocation: types, validation, and the effects of each write.
//!
//! This is the only crate that depends on both Kubernetes objects and addresses. It is pure and synchronous: time and
//! ids are arguments, and the only state is the [`AllocatorState`], which only `apply` changes. It does not access a store or
//! HTTP, and it does not repeat the checks that `apimachinery::rest` does for every kind (names, finalizers,
//! preconditions, unknown fields).

pub mod allocation;
pub mod claim;
pub mod condition;
pub mod limits;
pub mod names;
#[cfg(feature = "newer")]
mod newer;
pub mod pool;
mod pool_selection;
mod restored;
mod schema;
mod spec;
pub mod state;
#[cfg(test)]
mod tests;
pub mod types;

use apimachinery::kind::Registry;
pub use state::AllocatorState;

/// The API group of all kinds.
pub const GROUP: &str = "ipam.miloapis.com";
/// The API version of all kinds.
pub const VERSION: &str = "v1alpha1";
/// [`GROUP`] and [`VERSION`] as in the `apiVersion` of an object.
pub const API_VERSION: &str = "ipam.miloapis.com/v1alpha1";

/// Returns the registry of the three kinds.
pub fn registry() -> Registry<AllocatorState> {
    Registry::new(vec![
        Box::new(pool::Pools::new()),
        Box::new(claim::Claims::new()),
        Box::new(allocation::Allocations::new()),
        #[cfg(feature = "newer")]
        Box::new(newer::Holds::new()),
    ])
}
