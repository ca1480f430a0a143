//! The watch of a history, without a client library; it resumes after each kill from the last revision that it has
//! seen.

use std::time::Duration;

use bytes::Bytes;
use http::Request;
use serde_json::Value;
use testkit::Http;
use tokio::sync::watch;

use super::{
    LAST, Phase,
    support::{CLAIMS, revision, text},
};

/// Longer than any time between two events.
const SILENCE_MAX: Duration = Duration::from_secs(40);
const RETRY_INTERVAL: Duration = Duration::from_millis(5);

/// Returns every event of every claim, from a revision to the last claim of the run.
pub async fn record(http: Http, from: u64, mut phase: watch::Receiver<Phase>) -> Vec<Value> {
    let (mut events, mut last) = (Vec::new(), from);
    loop {
        phase.wait_for(|phase| *phase != Phase::Down).await.unwrap();
        let path = format!("{CLAIMS}?watch=true&resourceVersion={last}");
        let Ok(mut stream) = http.open(Request::get(path).body(Bytes::new()).unwrap()).await else {
            tokio::time::sleep(RETRY_INTERVAL).await;
            continue;
        };
        if stream.status.is_server_error() {
            tokio::time::sleep(RETRY_INTERVAL).await;
            continue;
        }
        assert_eq!(stream.status, 200);
        // A line that a kill truncated is an error; the event arrives again after the restart.
        while let Ok(Some(line)) = stream.line(SILENCE_MAX).await {
            let event: Value = serde_json::from_slice(&line).unwrap();
            if event["type"] == "ERROR" {
                // A server that cannot read its store sends an error event; the watch resumes at the same revision.
                assert!(event["object"]["code"].as_u64() >= Some(500), "{event}");
                break;
            }
            last = revision(&event["object"]);
            events.push(event);
            if text(events.last().unwrap(), "/object/metadata/name") == LAST {
                return events;
            }
        }
    }
}
