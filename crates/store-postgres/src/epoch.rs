//! What revisions belong to. It changes when they are no longer what others know: after the log was filled, or moved ahead.

use std::sync::{Arc, PoisonError, RwLock};

use uuid::Uuid;

/// The epoch that this process knows. Clones are the same one.
#[derive(Clone, Debug)]
pub struct Epoch(Arc<RwLock<Uuid>>);

impl Epoch {
    /// The one that was found.
    pub fn new(epoch: Uuid) -> Self {
        Self(Arc::new(RwLock::new(epoch)))
    }

    /// What it is now.
    pub fn get(&self) -> Uuid {
        *self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// This process began another one itself.
    pub fn set(&self, epoch: Uuid) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = epoch;
    }
}
