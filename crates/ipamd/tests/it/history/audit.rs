//! The checks at the end of a history: the responses were true, and the stored objects are consistent.

use std::collections::{BTreeMap, BTreeSet};

use kube::{Api, api::ListParams, core::DynamicObject};
use serde_json::{Value, json};
use testkit::allocated_cidr;

use super::{
    LAST, SPACES,
    client::{Expected, HistoryClient, Record},
    field, name,
    support::{Block, ServerFixture, assert_disjoint, revision, text},
};

/// All objects at the end, by name.
pub struct FinalState {
    pub claims: BTreeMap<String, DynamicObject>,
    allocations: BTreeMap<String, DynamicObject>,
    pools: BTreeMap<String, DynamicObject>,
}

impl FinalState {
    pub async fn read(front: &ServerFixture) -> Self {
        let by_name = async |api: &Api<DynamicObject>| {
            let items = api.list(&ListParams::default()).await.unwrap().items;
            items.into_iter().map(|object| (name(&object).to_owned(), object)).collect()
        };
        Self {
            claims: by_name(&front.claims).await,
            allocations: by_name(&front.allocations).await,
            pools: by_name(&front.pools).await,
        }
    }

    pub fn verify(&self, actors: &[HistoryClient]) {
        let records: BTreeMap<&str, &Record> =
            actors.iter().flat_map(|actor| &actor.records).map(|(name, record)| (name.as_str(), record)).collect();
        for (name, record) in &records {
            self.check_claim(name, record);
        }
        for name in self.claims.keys().filter(|name| *name != LAST) {
            assert!(records.contains_key(name.as_str()), "unexpected claim {name}");
        }
        self.check_allocations(&records);
        self.check_pools();
    }

    /// Acknowledged claims exist, rejected and deleted ones do not, and existing ones are complete.
    fn check_claim(&self, name: &str, record: &Record) {
        let found = self.claims.get(name);
        match record.claim {
            Expected::Live => assert!(found.is_some(), "{name} was acknowledged and is lost"),
            Expected::Gone => assert!(found.is_none(), "{name} was rejected or deleted but exists"),
            Expected::Unknown => {}
        }
        let Some(claim) = found else { return };
        assert_eq!(field(claim, "/status/phase"), "Bound", "{name}");
        let allocation = &self.allocations[field(claim, "/status/boundAllocationRef/name")];
        assert_eq!(allocated_cidr(allocation), allocated_cidr(claim), "{name} and its allocation");
        assert_eq!(field(allocation, "/spec/claimRef/name"), name);
        if let Some(block) = record.block() {
            assert_eq!(allocated_cidr(claim), block, "{name} has another block than in the response");
        }
    }

    /// Every allocation belongs to a claim, or is retained after one.
    fn check_allocations(&self, records: &BTreeMap<&str, &Record>) {
        let retained: BTreeMap<&str, &Record> = records
            .values()
            .filter_map(|record| Some((field(record.bound.as_ref()?, "/status/boundAllocationRef/name"), *record)))
            .filter(|(_, record)| record.retain && record.claim != Expected::Live)
            .collect();
        let mut kept = BTreeSet::new();
        for (name, allocation) in &self.allocations {
            let claim = field(allocation, "/spec/claimRef/name");
            if !claim.is_empty() {
                let bound = self.claims.get(claim).unwrap_or_else(|| panic!("{name} outlives its claim {claim}"));
                assert_eq!(field(bound, "/status/boundAllocationRef/name"), name);
                continue;
            }
            let record = retained.get(name.as_str()).unwrap_or_else(|| panic!("unexpected retained allocation {name}"));
            assert_ne!(record.allocation, Expected::Gone, "{name} was deleted but exists");
            assert_eq!(
                (field(allocation, "/status/phase"), Some(allocated_cidr(allocation))),
                ("Retained", record.block())
            );
            kept.insert(name.as_str());
        }
        for (name, record) in retained {
            let is_held = self.claims.values().any(|claim| field(claim, "/status/boundAllocationRef/name") == name);
            assert!(
                record.allocation != Expected::Live || is_held || kept.contains(name),
                "{name} was kept and is lost"
            );
        }
    }

    /// In every pool no two blocks overlap, and the capacity equals the sum of the blocks.
    fn check_pools(&self) {
        for space in &SPACES {
            let claimed =
                self.allocations.values().filter(|allocation| field(allocation, "/spec/poolRef/name") == space.pool);
            let carved = self.pools.values().filter(|pool| field(pool, "/spec/parentPoolRef/name") == space.pool);
            let held = assert_disjoint(space.cidr, claimed.chain(carved).map(allocated_cidr));
            let total = Block::of(space.cidr).size();
            let pool = &self.pools[space.pool];
            for (count, expected) in [("total", total), ("allocated", held), ("available", total - held)] {
                assert_eq!(
                    field(pool, &format!("/status/capacity/exact/{count}")),
                    expected.to_string(),
                    "{count} of {}",
                    space.pool
                );
            }
        }
    }
}

/// Replays the watch events: each must be valid at its position, and the result must equal the final list.
pub fn replay(events: &[Value], finally: &BTreeMap<String, DynamicObject>) {
    let mut present: BTreeMap<String, Value> = BTreeMap::new();
    let mut held: BTreeMap<String, BTreeSet<Block>> = BTreeMap::new();
    let mut last = 0;
    for event in events {
        let object = &event["object"];
        assert!(revision(object) > last, "revision {last} is followed by {event}");
        last = revision(object);
        let name = text(object, "/metadata/name").to_owned();
        let (block, blocks) = (block_of(object), held.entry(pool_of(object)).or_default());
        match text(event, "/type") {
            "ADDED" => {
                assert!(!present.contains_key(&name), "{name} is added twice");
                take(blocks, block, event);
                present.insert(name, object.clone());
            }
            "MODIFIED" => {
                let before = present.insert(name, object.clone()).unwrap_or_else(|| panic!("not there: {event}"));
                assert_eq!(block_of(&before), block, "a block does not change: {event}");
            }
            "DELETED" => {
                assert!(present.remove(&name).is_some(), "not there: {event}");
                blocks.remove(&block);
            }
            other => panic!("{other}: {event}"),
        }
    }
    let listed = finally.iter().map(|(name, claim)| (name.clone(), serde_json::to_value(claim).unwrap()));
    assert_eq!(present, listed.collect(), "the watch and the list differ");
}

fn pool_of(claim: &Value) -> String {
    text(claim, "/status/poolRef/name").to_owned()
}

fn block_of(claim: &Value) -> Block {
    Block::of(text(claim, "/status/allocatedCIDR"))
}

/// Adds a block to the blocks of its pool, none of which it may overlap.
fn take(blocks: &mut BTreeSet<Block>, block: Block, event: &Value) {
    let below = blocks.range(..=block).next_back();
    let above = blocks.range(block..).next();
    for other in below.into_iter().chain(above) {
        assert!(other.last < block.first || block.last < other.first, "{block:?} overlaps {other:?}: {event}");
    }
    blocks.insert(block);
}

#[test]
fn replay_rejects_impossible_event_sequences() {
    let event = |kind: &str, name: &str, revision: u64, block: &str| {
        let metadata = json!({ "name": name, "resourceVersion": revision.to_string() });
        let status = json!({ "poolRef": { "name": "root" }, "allocatedCIDR": block });
        json!({ "type": kind, "object": { "metadata": metadata, "status": status } })
    };
    let first = event("ADDED", "a", 5, "10.0.0.0/28");
    for (second, words) in [
        (event("MODIFIED", "a", 5, "10.0.0.0/28"), "revision 5 is followed by"),
        (event("MODIFIED", "a", 4, "10.0.0.0/28"), "revision 5 is followed by"),
        (event("ADDED", "a", 6, "10.0.0.16/28"), "added twice"),
        (event("ADDED", "b", 6, "10.0.0.8/29"), "overlaps"),
        (event("ADDED", "b", 6, "10.0.0.0/24"), "overlaps"),
        (event("MODIFIED", "b", 6, "10.0.0.16/28"), "not there"),
        (event("DELETED", "b", 6, "10.0.0.16/28"), "not there"),
        (event("MODIFIED", "a", 6, "10.0.0.16/28"), "a block does not change"),
        (event("BOOKMARK", "a", 6, "10.0.0.0/28"), "BOOKMARK"),
        (event("ADDED", "b", 6, "10.0.0.16/28"), "the watch and the list differ"),
    ] {
        let story = [first.clone(), second];
        let noticed = std::panic::catch_unwind(|| replay(&story, &BTreeMap::new())).unwrap_err();
        let said = noticed.downcast_ref::<String>().unwrap();
        assert!(said.contains(words), "{said}");
    }
    replay(&[first, event("DELETED", "a", 6, "10.0.0.0/28")], &BTreeMap::new());
}
