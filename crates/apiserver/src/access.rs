//! The rules of access as of now, in memory.
//!
//! They are objects like others, in the log like others ([`crate::standalone::rbac`]). Before they are asked it is made sure
//! that they are those of the end of the log: a right that was granted or taken by an answered write is there, or gone,
//! with the next request. They change seldom and are read whole when they do; that nothing has changed is told by the hub.

use std::sync::Arc;

use apimachinery::{access::Policy, kind::World, refusal::Refusal};
use store::Record;
use tokio::sync::Mutex;

use crate::{
    api::{self, Api},
    committer,
    identity::rules_of_everybody,
    standalone::{follower::each_record, rbac},
};

/// The rules of access.
pub struct Access {
    everybody: Arc<Policy>,
    kept: Mutex<Option<Kept>>,
}

struct Kept {
    policy: Arc<Policy>,
    /// The revision of which they are, or one behind it up to which none has changed.
    revision: u64,
}

impl Default for Access {
    fn default() -> Self {
        Self { everybody: Arc::new(Policy::new(rules_of_everybody())), kept: Mutex::default() }
    }
}

impl Access {
    /// What everybody may do who is known, and nobody more.
    pub fn of_everybody(&self) -> Arc<Policy> {
        Arc::clone(&self.everybody)
    }

    /// The rules as they are at the end of the log. Where rules are not kept they are those of everybody.
    pub async fn policy<W: World>(&self, api: &Api<W>) -> Result<Arc<Policy>, Refusal> {
        if api.registry.get(rbac::CLUSTER_ROLES).is_none() {
            return Ok(self.of_everybody());
        }
        // Whoever comes meanwhile waits for the same reading.
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

/// All rules as they were at one revision: an old role with a new binding is a right that never existed.
async fn read<W: World>(api: &Api<W>) -> Result<Policy, store::Error> {
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
