//! Connections of clients that are not authenticated yet, and the closing of the oldest when there are too many.
//!
//! A handshake, or a connection without a credential, costs a client almost nothing. If new connections were rejected
//! at a limit, a few thousand idle ones could keep all other clients out until they time out. Therefore the oldest one
//! is closed instead: a client that presents a certificate or a token is authenticated after one round trip, and is no
//! longer counted here.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use apimachinery::rbac::UserInfo;
use tokio_util::sync::CancellationToken;

/// The open connections without an authenticated client.
pub struct UnauthenticatedConnections {
    max: usize,
    open: Mutex<Open>,
}

#[derive(Default)]
struct Open {
    next: u64,
    by_age: BTreeMap<u64, CancellationToken>,
}

/// A connection without an authenticated client, counted until dropped.
pub struct UnauthenticatedConnection {
    age: u64,
    all: Arc<UnauthenticatedConnections>,
    evicted: CancellationToken,
}

impl UnauthenticatedConnections {
    /// Allows `max` concurrent connections.
    pub fn new(max: usize) -> Self {
        Self { max, open: Mutex::default() }
    }

    /// Adds a connection, and cancels the oldest one beyond the limit.
    pub fn enter(self: &Arc<Self>) -> UnauthenticatedConnection {
        let evicted = CancellationToken::new();
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let age = open.next;
        open.next += 1;
        open.by_age.insert(age, evicted.clone());
        if open.by_age.len() > self.max
            && let Some((_, oldest)) = open.by_age.pop_first()
        {
            oldest.cancel();
        }
        UnauthenticatedConnection { age, all: Arc::clone(self), evicted }
    }
}

impl UnauthenticatedConnection {
    /// Canceled when the connection must be closed.
    pub fn evicted(&self) -> CancellationToken {
        self.evicted.clone()
    }
}

impl Drop for UnauthenticatedConnection {
    fn drop(&mut self) {
        self.all.open.lock().unwrap_or_else(PoisonError::into_inner).by_age.remove(&self.age);
    }
}

/// The client of a connection.
pub struct Peer {
    certificate: Option<Arc<UserInfo>>,
    unauthenticated: Mutex<Option<UnauthenticatedConnection>>,
}

impl Peer {
    /// A client with a certificate is authenticated, and is not counted.
    pub(super) fn new(certificate: Option<UserInfo>, unauthenticated: UnauthenticatedConnection) -> Self {
        let unauthenticated = certificate.is_none().then_some(unauthenticated);
        Self { certificate: certificate.map(Arc::new), unauthenticated: Mutex::new(unauthenticated) }
    }

    /// The identity in the client's certificate.
    pub fn certificate(&self) -> Option<Arc<UserInfo>> {
        self.certificate.clone()
    }

    /// Records that a request has presented a credential: the connection is no longer counted.
    pub fn mark_authenticated(&self) {
        drop(self.unauthenticated.lock().unwrap_or_else(PoisonError::into_inner).take());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gave_way(unauthenticated_connections: &[UnauthenticatedConnection]) -> Vec<usize> {
        let all = unauthenticated_connections.iter().enumerate();
        all.filter(|(_, one)| one.evicted.is_cancelled()).map(|(index, _)| index).collect()
    }

    #[test]
    fn oldest_unauthenticated_connection_is_closed_over_the_limit() {
        let all = Arc::new(UnauthenticatedConnections::new(3));
        let mut open: Vec<_> = (0..3).map(|_| all.enter()).collect();
        assert_eq!(gave_way(&open), Vec::<usize>::new());
        open.push(all.enter());
        assert_eq!(gave_way(&open), [0]);
        // One is authenticated, and another takes its place.
        drop(open.remove(1));
        open.push(all.enter());
        assert_eq!(gave_way(&open), [0]);
        open.push(all.enter());
        assert_eq!(gave_way(&open), [0, 1]);
        drop(open);
        assert!(all.open.lock().unwrap().by_age.is_empty());
    }
}
