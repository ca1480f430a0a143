//! The current RBAC policy, cached in memory.
//!
//! Roles and bindings are stored objects ([`crate::rbac`]). Before each use the cache is checked against
//! the end of the log: a permission that an answered write granted or removed applies from the next request on. All
//! rules are read again when one of them has changed; the watch cache reports whether one has.

use std::sync::Arc;

use apimachinery::{kind::State, rbac::Policy, status_error::StatusError};
use apiserver::{
    authentication::default_rules, context::ApiContext, deployment_mode::PolicySource, errors, stored_object,
};
use async_trait::async_trait;
use store::Record;
use tokio::sync::Mutex;

use crate::{log_follower::each_record, rbac};

/// The RBAC policy and its cache.
#[derive(Default)]
pub struct RbacAuthorizer {
    cached: Mutex<Option<CachedPolicy>>,
}

struct CachedPolicy {
    policy: Arc<Policy>,
    /// All rules are unchanged up to this revision.
    revision: u64,
}

#[async_trait]
impl<W: State> PolicySource<W> for RbacAuthorizer {
    /// The policy at the end of the log.
    async fn policy(&self, api: &ApiContext<W>) -> Result<Arc<Policy>, StatusError> {
        // Concurrent requests wait for one read.
        let mut cached = self.cached.lock().await;
        let head = api.watch_cache.head();
        if let Some(cached) = &mut *cached
            && api.watch_cache.unchanged_since(cached.revision, head, rbac::is_rbac_key)
        {
            cached.revision = cached.revision.max(head);
            return Ok(Arc::clone(&cached.policy));
        }
        let policy = Arc::new(read(api).await.map_err(|error| errors::read_failed(&error))?);
        *cached = Some(CachedPolicy { policy: Arc::clone(&policy), revision: head });
        Ok(policy)
    }
}

/// Reads all rules at one revision: an old role combined with a new binding would grant a permission that never
/// existed.
async fn read<W: State>(api: &ApiContext<W>) -> Result<Policy, store::Error> {
    let mut policy = Policy::new(default_rules());
    let mut at = None;
    for resource in rbac::ALL {
        let prefix = format!("{resource}/");
        let add = |record: &Record| {
            let object = stored_object::parse(&record.key, &record.value)?;
            if rbac::is_role(resource) {
                policy.add_role(&object);
            } else {
                policy.add_binding(&object);
            }
            Ok(())
        };
        at = Some(each_record(api, &prefix, at, add).await?);
    }
    Ok(policy)
}
