//! Events of pools.

use std::sync::Arc;

use apimachinery::{
    object::Object,
    occurrence::{EventRules, EventState},
};
use serde_json::json;

use super::harness::{Server, claim, kind_of, pool};

fn event_rules() -> &'static dyn EventRules {
    kind_of(&pool("p")).event_rules().unwrap()
}

/// Returns a pool with this utilization.
fn used(percent: i64) -> Object {
    let mut status = json!({
        "utilizationPercent": percent, "allocatedCIDR": "10.0.0.0/24", "capacity": {"exact": {"available": "9"}},
    });
    if percent < 100 {
        status["largestFreePrefix"] = json!(29);
    }
    Object::from_value(json!({"metadata": {"name": "p"}, "status": status})).unwrap()
}

/// Returns the events of a pool whose utilization takes these values, starting from `state`.
fn events_at(mut state: EventState, percents: &[i64]) -> Vec<(i64, &'static str)> {
    let mut events = Vec::new();
    for percent in percents {
        let (next, content) = event_rules().on_change(&used(*percent), state);
        state = next;
        events.extend(content.map(|content| (*percent, content.reason)));
    }
    events
}

#[test]
fn nearly_exhausted_event_repeats_only_after_dropping_below_90_percent() {
    let (nearly, available) = ("PoolNearlyExhausted", "PoolAvailable");
    assert_eq!(events_at(EventState::default(), &[0, 94, 95, 99, 94, 90, 95, 96]), [(95, nearly)]);
    assert_eq!(events_at(EventState::default(), &[95, 89, 94, 95]), [(95, nearly), (89, available), (95, nearly)]);
}

#[test]
fn exhausted_and_available_events_follow_utilization() {
    let (nearly, exhausted, available) = ("PoolNearlyExhausted", "PoolExhausted", "PoolAvailable");
    assert_eq!(
        events_at(EventState::default(), &[95, 100, 100, 99]),
        [(95, nearly), (100, exhausted), (99, available)]
    );
    assert_eq!(events_at(EventState::default(), &[50, 100, 50, 95]), [(100, exhausted), (50, available), (95, nearly)]);
    assert_eq!(
        events_at(EventState::default(), &[100, 97, 98, 100, 92, 95, 89, 95]),
        [(100, exhausted), (97, available), (100, exhausted), (92, available), (95, nearly)],
        "an event about the low free space exists already"
    );
}

#[test]
fn restart_does_not_repeat_events() {
    let after =
        |percent, last, percents: &[i64]| events_at(event_rules().initial_state(&used(percent), last), percents);
    assert_eq!(after(100, None, &[100]), []);
    assert_eq!(after(97, None, &[98]), []);
    assert_eq!(after(92, Some("PoolNearlyExhausted"), &[95]), []);
    assert_eq!(after(92, Some("PoolAvailable"), &[95]), []);
    assert_eq!(after(92, None, &[95]), [(95, "PoolNearlyExhausted")], "the last event has expired");
    assert_eq!(after(50, Some("PoolExhausted"), &[95]), [(95, "PoolNearlyExhausted")]);
    assert_eq!(after(97, Some("PoolAvailable"), &[80]), [], "that event exists already");
    assert_eq!(after(97, Some("PoolNearlyExhausted"), &[80]), [(80, "PoolAvailable")]);
}

#[test]
fn event_notes_contain_free_addresses() {
    let note = |percent, state| event_rules().on_change(&used(percent), state).1.unwrap().note;
    let nearly = "96% of 10.0.0.0/24 is in use; 9 addresses are free, the largest free block is a /29";
    assert_eq!(note(96, EventState::default()), nearly);
    assert_eq!(note(100, EventState::default()), "no address of 10.0.0.0/24 is free");
}

/// The error refers to the pool by reference count, so the committer does not copy it.
#[test]
fn exhausted_error_refers_to_the_pool_without_copying_it() {
    let mut server = Server::with_pool("p", "10.0.0.0/32");
    let spec = json!({"poolRef": {"name": "p"}, "prefixLength": 32});
    server.create(claim("first"), spec.clone()).unwrap();
    let refusal = server.create(claim("late"), spec).unwrap_err();
    let regarding = refusal.regarding.as_ref().unwrap();
    assert!(Arc::ptr_eq(regarding, &server.objects[&pool("p")]), "{regarding:?}");
    let content = kind_of(&claim("late")).event_for_error(&claim("late"), &refusal).unwrap();
    let note = "IPClaim default/late was refused: IPPool \"p\" is exhausted: no free block of length /32, no address of it is free";
    assert_eq!((content.reason, &*content.note), ("ClaimRefused", note));
    let taken = server.create(claim("first"), json!({"poolRef": {"name": "p"}, "prefixLength": 32})).unwrap_err();
    assert!(taken.regarding.is_none(), "the pool has nothing to do with it");
}
