//! The current RBAC policy, cached in memory.
//!
//! Roles and bindings are stored objects ([`crate::standalone::rbac`]). Before each use the cache is checked against
//! the end of the log: a permission that an answered write granted or removed applies from the next request on. All
//! rules are read again when one of them has changed; the watch cache reports whether one has.

use std::sync::Arc;

use apimachinery::{kind::State, rbac::Policy, status_error::StatusError};
use store::Record;
use tokio::sync::Mutex;

use crate::{
    api::{self, Api},
    committer,
    identity::rules_of_everybody,
    standalone::{follower::each_record, rbac},
};

/// The RBAC policy and its cache.
pub struct Access {
    everybody: Arc<Policy>,
    kept: Mutex<Option<Kept>>,
}

struct Kept {
    policy: Arc<Policy>,
    /// All rules are unchanged up to this revision.
    revision: u64,
}

impl Default for Access {
    fn default() -> Self {
        Self { everybody: Arc::new(Policy::new(rules_of_everybody())), kept: Mutex::default() }
    }
}

impl Access {
    /// The default policy, which is all that a server without stored rules has.
    pub fn of_everybody(&self) -> Arc<Policy> {
        Arc::clone(&self.everybody)
    }

    /// The policy at the end of the log. A server that stores no rules uses the default policy.
    pub async fn policy<W: State>(&self, api: &Api<W>) -> Result<Arc<Policy>, StatusError> {
        if api.registry.get(rbac::CLUSTER_ROLES).is_none() {
            return Ok(self.of_everybody());
        }
        // Concurrent requests wait for one read.
        let mut kept = self.kept.lock().await;
        let head = api.hub.head();
        if let Some(kept) = &mut *kept
            && api.hub.is_quiet(kept.revision, head, rbac::is_rule)
        {
            kept.revision = kept.revision.max(head);
            return Ok(Arc::clone(&kept.policy));
        }
        let policy = Arc::new(read(api).await.map_err(|error| api::read_failed(&error))?);
        *kept = Some(Kept { policy: Arc::clone(&policy), revision: head });
        Ok(policy)
    }
}

/// Reads all rules at one revision: an old role combined with a new binding would grant a permission that never
/// existed.
async fn read<W: State>(api: &Api<W>) -> Result<Policy, store::Error> {
    let mut policy = Policy::new(rules_of_everybody());
    let mut at = None;
    for resource in rbac::ALL {
        let prefix = format!("{resource}/");
        let add = |record: &Record| {
            let object = committer::parse(&record.key, &record.value)?;
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
