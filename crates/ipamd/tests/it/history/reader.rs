//! A client that repeatedly reads the pools of the run; every response must contain all of them.

use std::time::Duration;

use kube::{Client, Error, api::ListParams};
use testkit::pools;
use tokio::sync::watch;

use super::{Phase, SPACES};

const BETWEEN_LOOKS: Duration = Duration::from_millis(5);
const ANSWER_DEADLINE: Duration = Duration::from_secs(20);

/// Reads until the run is over; server errors are allowed. Returns the number of successful reads.
pub async fn read_until_over(client: Client, phase: watch::Receiver<Phase>) -> u64 {
    let (pools, mut looks) = (pools(&client), 0);
    while *phase.borrow() != Phase::Over {
        let listed = tokio::time::timeout(ANSWER_DEADLINE, pools.list(&ListParams::default())).await;
        match listed {
            Ok(Ok(list)) => {
                assert_eq!(list.items.len(), SPACES.len(), "pools are missing: {list:?}");
                looks += 1;
            }
            Ok(Err(Error::Api(status))) => assert!(status.code >= 500, "{status:?}"),
            _ => {}
        }
        match tokio::time::timeout(ANSWER_DEADLINE, pools.get(SPACES[0].pool)).await {
            Ok(Ok(_)) => looks += 1,
            Ok(Err(Error::Api(status))) => assert!(status.code >= 500, "{status:?}"),
            _ => {}
        }
        tokio::time::sleep(BETWEEN_LOOKS).await;
    }
    looks
}
