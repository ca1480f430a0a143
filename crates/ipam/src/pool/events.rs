//! Events of IPPools: exhausted, nearly exhausted, available again.
//!
//! The thresholds have a hysteresis, so that a pool near a threshold does not cause an event for each claim that is
//! created or deleted.

use apimachinery::{
    object::Object,
    occurrence::{EventContent, EventRules, EventState, EventType},
};

use super::Pools;

const EXHAUSTED: &str = "PoolExhausted";
const NEARLY_EXHAUSTED: &str = "PoolNearlyExhausted";
const AVAILABLE: &str = "PoolAvailable";

/// The utilization, in percent, from which a pool is nearly exhausted.
const NEARLY_FROM: i64 = 95;
/// The utilization, in percent, below which a pool is no longer nearly exhausted.
const NEARLY_UNTIL: i64 = 90;

/// No event is outstanding.
const PLENTY: EventState = EventState(0);
/// PoolNearlyExhausted was the last event.
const SCARCE: EventState = EventState(1);
/// PoolExhausted was the last event.
const NOTHING_LEFT: EventState = EventState(2);
/// PoolAvailable was the last event, after PoolExhausted, and utilization is still at least `NEARLY_UNTIL`.
const RECOVERING: EventState = EventState(3);

impl EventRules for Pools {
    fn initial_state(&self, pool: &Object, last: Option<&str>) -> EventState {
        match (utilization(pool), last) {
            (100.., _) => NOTHING_LEFT,
            (NEARLY_UNTIL.., Some(AVAILABLE | EXHAUSTED)) => RECOVERING,
            (NEARLY_FROM.., _) | (NEARLY_UNTIL.., Some(NEARLY_EXHAUSTED)) => SCARCE,
            _ => PLENTY,
        }
    }

    fn on_change(&self, pool: &Object, before: EventState) -> (EventState, Option<EventContent>) {
        let utilization = utilization(pool);
        let (state, reason) = match (utilization, before) {
            (100.., NOTHING_LEFT) => (NOTHING_LEFT, None),
            (100.., _) => (NOTHING_LEFT, Some(EXHAUSTED)),
            (NEARLY_FROM.., PLENTY) => (SCARCE, Some(NEARLY_EXHAUSTED)),
            (NEARLY_UNTIL.., NOTHING_LEFT) => (RECOVERING, Some(AVAILABLE)),
            (NEARLY_UNTIL.., state) => (state, None),
            (_, NOTHING_LEFT | SCARCE) => (PLENTY, Some(AVAILABLE)),
            (_, _) => (PLENTY, None),
        };
        (state, reason.map(|reason| content(pool, reason, utilization)))
    }
}

fn content(pool: &Object, reason: &'static str, utilization: i64) -> EventContent {
    let (block, free) = (pool.text("/status/allocatedCIDR"), pool.text("/status/capacity/exact/available"));
    let note = match pool.field("status")["largestFreePrefix"].as_i64() {
        Some(length) => {
            let free = if free == "1" { "1 address is free".to_owned() } else { format!("{free} addresses are free") };
            format!("{utilization}% of {block} is in use; {free}, the largest free block is a /{length}")
        }
        None => format!("no address of {block} is free"),
    };
    let event_type = if reason == AVAILABLE { EventType::Normal } else { EventType::Warning };
    EventContent { reason, event_type, note }
}

fn utilization(pool: &Object) -> i64 {
    pool.field("status")["utilizationPercent"].as_i64().unwrap_or_default()
}
