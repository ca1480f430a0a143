//! The domain of the simulation: pools, child pools, claims and allocations.

use std::sync::{Arc, LazyLock, RwLock, atomic::AtomicBool};

use apimachinery::{
    command::{Action, Command, ObjectKey, RequestEntropy, Scope, UpdateOperation},
    decoding::ObjectDecoder,
    kind::Registry,
    options::{DeleteOptions, FieldValidation},
    patch::Patch,
    rbac::Permissions,
    schemas::Schemas,
    status_error::{StatusError, StatusReason},
};
use apiserver::{admission::NoAdmission, committer::Committer, metrics::Metrics, watch_cache::WatchCache};
use consistency::Inventory;
use ipam::AllocatorState;
use rand::{Rng as _, rngs::StdRng, seq::IndexedRandom as _};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use store::{Entry, Record, Span, Store};

use super::{
    engine::{Domain, Request},
    state::State,
};

const NAMESPACE: &str = "default";
const CLAIMS: [&str; 8] = ["a", "b", "c", "d", "e", "f", "g", "h"];
/// Pools that always exist: name, block, and the prefix lengths of their claims. They are sometimes full.
const ROOTS: [(&str, &str, [u32; 2]); 3] =
    [("first", "10.0.0.0/26", [28, 29]), ("second", "10.0.1.0/27", [28, 30]), ("sixth", "fd00::/122", [124, 126])];
/// Child pools of the first pool, which are created and deleted: name, prefix length, and the prefix lengths of their claims.
const CHILDREN: [(&str, u32, [u32; 2]); 2] = [("half", 27, [29, 30]), ("quarter", 28, [29, 30])];
/// The label value of the pools that a selector matches.
const TIER: &str = "gold";

static REGISTRY: LazyLock<Arc<Registry<AllocatorState>>> = LazyLock::new(|| Arc::new(ipam::registry()));
static SCHEMAS: LazyLock<Arc<Schemas>> = LazyLock::new(|| Arc::new(Schemas::for_registry(&REGISTRY)));

pub struct Pools;

impl Domain for Pools {
    type DecisionState = AllocatorState;
    type ModelState = State;

    fn registry() -> Arc<Registry<AllocatorState>> {
        Arc::clone(&REGISTRY)
    }

    fn committer(store: Arc<dyn Store>, state: AllocatorState, watch_cache: WatchCache) -> Committer<AllocatorState> {
        Committer {
            store,
            registry: Arc::clone(&REGISTRY),
            schemas: Arc::clone(&SCHEMAS),
            state: Arc::new(RwLock::new(state)),
            watch_cache: Arc::new(watch_cache),
            metrics: Arc::new(Metrics::default()),
            writes: Arc::default(),
            admission: Arc::new(NoAdmission),
            outdated: AtomicBool::new(false),
        }
    }

    fn foundation() -> Vec<Command> {
        let entropy = |place: usize| RequestEntropy([u8::try_from(place).unwrap(); 32]);
        let of = |(place, (name, cidr, _)): (usize, &(&str, &str, _))| {
            let labels = if *name == "second" { json!({}) } else { json!({ "tier": TIER }) };
            create(
                pool_key(name),
                json!({ "metadata": { "labels": labels }, "spec": { "cidr": cidr } }),
                entropy(place),
            )
        };
        ROOTS.iter().enumerate().map(of).collect()
    }

    fn request(chance: &mut StdRng) -> Request {
        let entropy = RequestEntropy(chance.random());
        let claim = claim_key(CLAIMS.choose(chance).unwrap());
        let (child, length, _) = *CHILDREN.choose(chance).unwrap();
        let dry_run = chance.random_ratio(1, 12);
        let action = chance.random_range(0..32);
        let mut command = match action {
            0..16 => create(claim, draw_claim(chance), entropy),
            16..23 => delete(claim, entropy),
            23..25 => delete(ObjectKey { resource: "ipallocations", name: allocation_of(&claim), ..claim }, entropy),
            25..27 => {
                let spec = json!({ "parentPoolRef": { "name": "first" }, "prefixLength": length });
                create(pool_key(child), json!({ "metadata": { "labels": { "tier": "iron" } }, "spec": spec }), entropy)
            }
            27 => delete(pool_key(child), entropy),
            28..30 => {
                let policy = ["Retain", "Delete"].choose(chance).unwrap();
                patch(claim, json!({ "reclaimPolicy": policy }), entropy)
            }
            30 => {
                let strategy = ["FirstFit", "BestFit", "LeastUtilized"].choose(chance).unwrap();
                let name = ROOTS.choose(chance).unwrap().0;
                patch(pool_key(name), json!({ "allocation": { "strategy": strategy } }), entropy)
            }
            _ => patch(pool_key(child), json!({}), entropy),
        };
        command.dry_run = dry_run;
        let token = if matches!(command.action, Action::Delete(_)) { String::new() } else { entropy.uid() };
        Request { command, token }
    }

    fn describe(state: &AllocatorState) -> String {
        // The number of listed lengths without a free block depends on earlier writes and has no meaning.
        let mut text = format!("{state:?}");
        while text.contains("Narrow({})]") {
            text = text.replace(", Narrow({})]", "]").replace("[Narrow({})]", "[]");
        }
        text
    }

    fn advance(moment: &mut State, entry: &Entry) -> Result<(), String> {
        moment.advance(entry)
    }

    fn settled(moment: &State) -> Result<(), String> {
        moment.settled()
    }

    /// Makes the comparison of `ipam store check`.
    fn complete(records: &[Record], spans: &[Span]) -> Result<(), String> {
        let scope = Scope::platform();
        let of = |resource: &str| {
            let prefix = format!("{resource}/{}/", scope.as_str());
            records.iter().filter(move |record| record.key.as_str().starts_with(&prefix))
        };
        let mut inventory = Inventory::of_store();
        of("ippools").for_each(|pool| inventory.pool(scope.as_str(), &pool.value));
        of("ipallocations").for_each(|allocation| inventory.allocation(scope.as_str(), &allocation.value));
        let mut comparison = inventory.complete();
        of("ipclaims").for_each(|claim| comparison.claim(scope.as_str(), &claim.value));
        for Span { space, first, last, holder } in spans {
            comparison.span(space, *first, *last, holder.as_str());
        }
        let findings = comparison.finish();
        if findings.faults() == 0 { Ok(()) } else { Err(findings.to_jsonl()) }
    }

    fn explains(moment: &State, command: &Command, refusal: &StatusError) -> bool {
        let (key, reason) = (&command.key, refusal.reason);
        match (key.resource, &command.action) {
            ("ipclaims", Action::Create(decoded)) => match reason {
                StatusReason::AlreadyExists => moment.claims.contains_key(&key.name),
                StatusReason::Invalid => moment.allocations.contains_key(&allocation_of(key)),
                _ => explains_claim(moment, decoded.object.field("spec"), reason),
            },
            ("ipclaims", _) => reason == StatusReason::NotFound && !moment.claims.contains_key(&key.name),
            ("ipallocations", _) => {
                let found = moment.allocations.get(&key.name);
                match reason {
                    StatusReason::NotFound => found.is_none(),
                    StatusReason::Invalid => found.is_some_and(|found| !found.claim.is_empty()),
                    _ => false,
                }
            }
            (_, Action::Create(decoded)) => match reason {
                StatusReason::AlreadyExists => moment.pools.contains_key(&key.name),
                StatusReason::InsufficientStorage => {
                    !has_room(moment, "first", &decoded.object.field("spec")["prefixLength"])
                }
                _ => false,
            },
            (_, action) => match reason {
                StatusReason::NotFound => !moment.pools.contains_key(&key.name),
                StatusReason::Conflict => matches!(action, Action::Delete(_)) && !moment.held(&key.name).is_empty(),
                _ => false,
            },
        }
    }
}

/// True if a claim with this spec could be rejected with this reason, given the existing pools.
fn explains_claim(moment: &State, spec: &Value, reason: StatusReason) -> bool {
    let length = &spec["prefixLength"];
    match (spec["poolRef"]["name"].as_str(), reason) {
        (Some(pool), StatusReason::BadRequest) => !moment.pools.contains_key(pool),
        (Some(pool), StatusReason::InsufficientStorage) => !has_room(moment, pool, length),
        (None, StatusReason::InsufficientStorage) => {
            let is_v4 = length.as_u64() <= Some(32);
            let matching = ROOTS
                .iter()
                .filter(|(name, cidr, _)| moment.pools[*name].labels["tier"] == TIER && cidr.contains('.') == is_v4);
            !matching.clone().any(|(name, _, _)| has_room(moment, name, length))
        }
        _ => false,
    }
}

fn has_room(moment: &State, pool: &str, length: &Value) -> bool {
    let length = u32::try_from(length.as_u64().unwrap()).unwrap();
    moment.pools.get(pool).is_some_and(|found| found.block.has_room(length, &moment.held(pool)))
}

/// Generates a claim for any pool, by name or by label.
fn draw_claim(chance: &mut StdRng) -> Value {
    let pools = ROOTS.map(|(name, _, lengths)| (name, lengths)).into_iter();
    let pools: Vec<_> = pools.chain(CHILDREN.map(|(name, _, lengths)| (name, lengths))).collect();
    let (pool, lengths) = *pools.choose(chance).unwrap();
    let mut spec = json!({ "prefixLength": lengths.choose(chance).unwrap() });
    if chance.random_ratio(1, 3) && matches!(pool, "first" | "sixth") {
        spec["poolSelector"] = json!({ "matchLabels": { "tier": TIER } });
        spec["ipFamily"] = (if pool == "first" { "IPv4" } else { "IPv6" }).into();
    } else {
        spec["poolRef"] = json!({ "name": pool });
    }
    if chance.random_ratio(1, 4) {
        spec["reclaimPolicy"] = "Retain".into();
    }
    json!({ "spec": spec })
}

fn pool_key(name: &str) -> ObjectKey {
    ObjectKey { resource: "ippools", scope: Scope::platform(), namespace: String::new(), name: name.to_owned() }
}

fn claim_key(name: &str) -> ObjectKey {
    ObjectKey { resource: "ipclaims", namespace: NAMESPACE.to_owned(), ..pool_key(name) }
}

/// Returns the name of the allocation of a claim, which is derived from the claim's namespace and name.
fn allocation_of(claim: &ObjectKey) -> String {
    let digest = Sha256::digest(format!("{}/{}", claim.namespace, claim.name));
    let head = digest.first_chunk().unwrap();
    format!("alloc-{:016x}", u64::from_be_bytes(*head))
}

fn create(key: ObjectKey, body: Value, entropy: RequestEntropy) -> Command {
    let resource = REGISTRY.get(key.resource).unwrap().resource();
    let (schema, validation) = (SCHEMAS.get(resource), FieldValidation::Strict);
    let decoded =
        ObjectDecoder { resource, schema, name: &key.name, validation }.decode_body(named(&key, body).into()).unwrap();
    command(key, Action::Create(Box::new(decoded)), entropy)
}

fn named(key: &ObjectKey, mut body: Value) -> Value {
    body["metadata"]["name"] = key.name.clone().into();
    body
}

fn delete(key: ObjectKey, entropy: RequestEntropy) -> Command {
    command(key, Action::Delete(DeleteOptions::default()), entropy)
}

/// Changes the spec and sets an annotation to a unique value.
fn patch(key: ObjectKey, spec: Value, entropy: RequestEntropy) -> Command {
    let patch = json!({ "metadata": { "annotations": { "example.com/trace": entropy.uid() } }, "spec": spec });
    let patch = Patch::parse("application/merge-patch+json", patch.to_string().as_bytes()).unwrap();
    command(
        key,
        Action::Update { change: UpdateOperation::Patch(patch, FieldValidation::Strict), subresource: None },
        entropy,
    )
}

fn command(key: ObjectKey, action: Action, entropy: RequestEntropy) -> Command {
    Command {
        key,
        view: None,
        action,
        manager: "tester".to_owned(),
        dry_run: false,
        now: "2026-01-01T00:00:00Z".parse().unwrap(),
        entropy,
        permissions: Permissions::Unrestricted,
        body_bytes: 0,
    }
}
