//! An in-memory server: objects, spans and an allocator state, changed by the decisions of the kinds.
//!
//! Decisions are made by `apimachinery::rest`. The store is simulated in the simplest way. After every step the
//! invariants are checked: spans do not overlap, and capacities are the sums of the held blocks.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    sync::{Arc, LazyLock},
};

use apimachinery::{
    command::{Action, Command, Decision, ObjectKey, RequestEntropy, Scope, UpdateOperation, Write, WriteResult},
    decoding::{DecodedObject, ObjectDecoder},
    kind::{Kind, Registry, RelatedObjects, Span, State as _},
    object::{Object, ObjectMeta},
    options::{DeleteOptions, FieldValidation},
    rbac::Permissions,
    resource::Subresource,
    rest::{self, Existence},
    schema::Schema,
    status_error::StatusError,
    time::Time,
};
use serde_json::{Value, json};

use crate::{AllocatorState, registry};

static REGISTRY: LazyLock<Registry<AllocatorState>> = LazyLock::new(registry);

static SCHEMAS: LazyLock<BTreeMap<&'static str, Schema>> = LazyLock::new(|| {
    let resources = REGISTRY.iter().map(Kind::resource);
    resources.map(|resource| (resource.plural, Schema::for_resource(resource))).collect()
});

/// Returns the kind of a key's resource.
pub(super) fn kind_of(key: &ObjectKey) -> &'static dyn Kind<AllocatorState> {
    REGISTRY.get(key.resource).expect("a known kind")
}

/// Decodes a request body.
fn decoded(key: &ObjectKey, body: Value) -> Result<Box<DecodedObject>, StatusError> {
    let (resource, schema) = (kind_of(key).resource(), &SCHEMAS[key.resource]);
    let decoder = ObjectDecoder { resource, schema, name: &key.name, validation: FieldValidation::Strict };
    decoder.decode_body(body.into()).map(Box::new)
}

pub(super) struct Server {
    pub(super) state: AllocatorState,
    pub(super) objects: BTreeMap<ObjectKey, Arc<Object>>,
    pub(super) spans: BTreeMap<(String, u128), Span>,
    /// All writes that were applied.
    pub(super) log: Vec<Write>,
    clock: i64,
    /// True if pool statuses are written back after every step.
    pub(super) settles: bool,
}

/// The result of a request.
pub(super) type Answer = Result<(Object, Vec<String>), StatusError>;

pub(super) fn key(resource: &'static str, name: &str) -> ObjectKey {
    let namespace = if resource == "ippools" { "" } else { "default" };
    ObjectKey { resource, scope: Scope::platform(), namespace: namespace.to_owned(), name: name.to_owned() }
}

pub(super) fn pool(name: &str) -> ObjectKey {
    key("ippools", name)
}

pub(super) fn claim(name: &str) -> ObjectKey {
    key("ipclaims", name)
}

impl Server {
    pub(super) fn new() -> Self {
        Self {
            state: AllocatorState::default(),
            objects: BTreeMap::new(),
            spans: BTreeMap::new(),
            log: Vec::new(),
            clock: 0,
            settles: true,
        }
    }

    /// Creates a server with a root pool.
    pub(super) fn with_pool(name: &str, cidr: &str) -> Self {
        let mut server = Self::new();
        server.create(pool(name), json!({ "cidr": cidr })).expect("a plain root pool");
        server
    }

    pub(super) fn now(&self) -> Time {
        let clock = self.clock;
        let text = format!("2026-01-01T{:02}:{:02}:{:02}Z", clock / 3600 % 24, clock / 60 % 60, clock % 60);
        text.parse().expect("a time")
    }

    pub(super) fn create(&mut self, key: ObjectKey, spec: Value) -> Answer {
        self.create_with(key, spec, |_| ())
    }

    /// Creates an object. `touch` changes its metadata first.
    pub(super) fn create_with(&mut self, key: ObjectKey, spec: Value, touch: impl FnOnce(&mut ObjectMeta)) -> Answer {
        let mut metadata = ObjectMeta::default();
        touch(&mut metadata);
        let body = json!({"metadata": metadata, "spec": spec});
        self.act(&key, Action::Create(decoded(&key, body)?))
    }

    /// Returns the result of a dry run.
    pub(super) fn dry_run(&mut self, key: &ObjectKey, spec: Value) -> Answer {
        let decision = self.decide(key, Action::Create(decoded(key, json!({"spec": spec}))?), true)?;
        Ok((answer(&decision), decision.warnings))
    }

    /// Replaces an object with the result of `change`.
    pub(super) fn update(&mut self, key: &ObjectKey, change: impl FnOnce(&mut Object)) -> Answer {
        self.replace(key, None, change)
    }

    pub(super) fn update_status(&mut self, key: &ObjectKey, change: impl FnOnce(&mut Object)) -> Answer {
        self.replace(key, Some(Subresource::Status), change)
    }

    fn replace(
        &mut self,
        key: &ObjectKey,
        subresource: Option<Subresource>,
        change: impl FnOnce(&mut Object),
    ) -> Answer {
        let mut object = self.objects.get(key).map_or_else(Object::default, |old| (**old).clone());
        change(&mut object);
        let change = UpdateOperation::Replace(decoded(key, object.to_value())?);
        self.act(key, Action::Update { change, subresource })
    }

    pub(super) fn delete(&mut self, key: &ObjectKey) -> Result<(), StatusError> {
        self.act(key, Action::Delete(DeleteOptions::default())).map(|_| ())
    }

    fn act(&mut self, key: &ObjectKey, action: Action) -> Answer {
        let decision = self.decide(key, action, false)?;
        if let Some(write) = decision.writes.first() {
            assert_eq!(write.key, *key, "the first write is the object's");
        }
        let object = answer(&decision);
        self.commit(decision.writes);
        Ok((object, decision.warnings))
    }

    fn decide(&mut self, key: &ObjectKey, action: Action, dry_run: bool) -> Result<Decision, StatusError> {
        self.clock += 1;
        let kind = kind_of(key);
        let (manager, permissions) = ("tester".to_owned(), Permissions::Unrestricted);
        let (entropy, body_bytes) = (self.entropy(), 0);
        let (key_of_it, now) = (key.clone(), self.now());
        let command =
            Command { key: key_of_it, view: None, action, manager, dry_run, now, entropy, permissions, body_bytes };
        let current = self.objects.get(key);
        let plan = rest::prepare(kind, &SCHEMAS[key.resource], command, current)?;
        plan.decide(kind, &self.state, Existence::of(current.map(AsRef::as_ref)), &self.related(kind, key))
    }

    /// Stores the writes of a decision, and then writes back the pool statuses.
    pub(super) fn commit(&mut self, writes: Vec<Write>) {
        for write in writes {
            self.store(write);
        }
        if self.settles {
            self.settle();
            self.check();
        }
    }

    /// Writes back the outdated pool statuses, and returns the names of those pools.
    pub(super) fn settle(&mut self) -> Vec<String> {
        let writes = self.state.pending_status_updates(self.now());
        let names = writes.iter().map(|write| write.key.name.clone()).collect();
        for write in writes {
            self.store(write);
        }
        assert!(self.state.pending_status_updates(self.now()).is_empty(), "no status is outdated after the write-back");
        names
    }

    fn store(&mut self, mut write: Write) {
        assert_eq!(write.old.as_deref(), self.objects.get(&write.key).map(AsRef::as_ref), "of {:?}", write.key);
        self.move_spans(&write);
        match &mut write.new {
            Some(new) => {
                Arc::make_mut(new).metadata.resource_version = (self.log.len() + 1).to_string();
                self.objects.insert(write.key.clone(), new.clone());
            }
            None => drop(self.objects.remove(&write.key)),
        }
        self.state.apply(&write);
        self.log.push(write);
    }

    /// Moves the spans, and checks that spans of one space never overlap.
    fn move_spans(&mut self, write: &Write) {
        let kind = kind_of(&write.key);
        for span in write.old.iter().flat_map(|old| kind.spans(&write.key, old)) {
            self.spans.remove(&(span.space, span.first)).expect("the released span was held");
        }
        for span in write.new.iter().flat_map(|new| kind.spans(&write.key, new)) {
            let before = self.spans.range(..=(span.space.clone(), span.last)).next_back();
            let clash = before.filter(|(_, other)| other.space == span.space && other.last >= span.first);
            assert!(clash.is_none(), "{span:?} overlaps {clash:?}");
            self.spans.insert((span.space.clone(), span.first), span);
        }
    }

    /// Checks that the stored status of every pool is the sum of the blocks held by objects.
    fn check(&self) {
        for (key, object) in self.objects.iter().filter(|(key, _)| key.resource == "ippools") {
            let sizes = self.holders(&key.name).into_iter().map(|cidr| size(cidr).expect("a part of a pool"));
            let held: u128 = sizes.sum();
            let Some(total) = size(object.text("/status/allocatedCIDR")) else {
                continue;
            };
            let status = object.field("status");
            let shown = &status["capacity"]["exact"];
            assert_eq!(shown["allocated"], held.to_string(), "pool {}", key.name);
            assert_eq!(shown["available"], (total - held).to_string(), "pool {}", key.name);
            assert_eq!(status["utilizationPercent"], json!(percent(held, total)), "pool {}", key.name);
            let carved = self.carved(&key.name);
            let (phase, reason) = match total - held {
                _ if object.is_terminating() => ("Pending", "Terminating"),
                0 if carved == total => ("Exhausted", "FullyCarved"),
                0 => ("Exhausted", "PoolExhausted"),
                _ => ("Ready", "AddressesAvailable"),
            };
            let ready = status["conditions"].as_array().and_then(|all| all.iter().find(|one| one["type"] == "Ready"));
            assert_eq!(
                (&status["phase"], &ready.expect("a condition Ready")["reason"]),
                (&json!(phase), &json!(reason))
            );
            assert_eq!(status["observedGeneration"], json!(object.metadata.generation));
        }
    }

    /// Returns the blocks that objects hold in a pool.
    pub(super) fn holders(&self, pool: &str) -> Vec<&str> {
        let held = self.objects.iter().filter(|(key, object)| match key.resource {
            "ippools" => object.text("/spec/parentPoolRef/name") == pool,
            "ipallocations" => object.text("/spec/poolRef/name") == pool,
            _ => false,
        });
        held.map(|(_, object)| object.text("/status/allocatedCIDR")).collect()
    }

    /// Returns the number of addresses of the child pools of a pool.
    fn carved(&self, pool: &str) -> u128 {
        let pools = self.objects.iter().filter(|(key, _)| key.resource == "ippools").map(|(_, object)| object);
        let children = pools.filter(|object| object.text("/spec/parentPoolRef/name") == pool);
        children.filter_map(|object| size(object.text("/status/allocatedCIDR"))).sum()
    }

    pub(super) fn get(&self, key: &ObjectKey) -> &Object {
        &self.objects[key]
    }

    /// Returns the key of the allocation of a claim.
    pub(super) fn allocation_of(&self, claim: &ObjectKey) -> ObjectKey {
        key("ipallocations", self.get(claim).text("/status/boundAllocationRef/name"))
    }

    fn related(&self, kind: &dyn Kind<AllocatorState>, key: &ObjectKey) -> RelatedObjects {
        let reads = kind.read_set(key).into_iter();
        let objects = reads.filter_map(|key| Some((key.clone(), self.objects.get(&key)?.clone())));
        RelatedObjects { objects: objects.collect() }
    }

    fn entropy(&self) -> RequestEntropy {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&self.clock.to_be_bytes());
        bytes[24..].copy_from_slice(&(-self.clock).to_be_bytes());
        RequestEntropy(bytes)
    }
}

/// Returns the percentage. Both numbers are halved until the multiplication by 100 fits, which is exact for powers of
/// two.
fn percent(held: u128, total: u128) -> u128 {
    match held.checked_mul(100) {
        Some(hundredfold) => hundredfold / total,
        None => percent(held / 2, total / 2),
    }
}

/// Returns the object in the response; for a deletion the deleted object.
fn answer(decision: &Decision) -> Object {
    let object = match (&decision.answer, decision.writes.first()) {
        (WriteResult::Unchanged(object) | WriteResult::DeletedByUpdate(object), _) => object,
        (_, Some(Write { new: Some(object), .. } | Write { old: Some(object), .. })) => object,
        (answer, _) => panic!("{answer:?} without an object"),
    };
    (**object).clone()
}

/// Returns the number of addresses of a block; `None` if it does not fit in 128 bits.
fn size(cidr: &str) -> Option<u128> {
    let (address, length) = cidr.split_once('/').expect("a CIDR");
    let bits = if address.contains(':') { 128 } else { 32 };
    1_u128.checked_shl(bits - length.parse::<u32>().expect("a length"))
}

/// Formats a result: the block and the warnings, or the error with its causes.
pub(super) fn show(answer: &Answer) -> String {
    match answer {
        Ok((object, warnings)) => {
            let phase = object.text("/status/phase");
            let mut text = format!("{phase} {}\n", object.text("/status/allocatedCIDR"));
            for warning in warnings {
                let _ = writeln!(text, "warning: {warning}");
            }
            text
        }
        Err(refusal) => show_refusal(refusal),
    }
}

pub(super) fn show_refusal(refusal: &StatusError) -> String {
    let mut text = format!("{} {}: {}\n", refusal.reason.code(), refusal.reason.as_str(), refusal.message);
    for cause in &refusal.details.causes {
        let _ = writeln!(text, "- {} {}: {}", cause.reason, cause.field, cause.message);
    }
    text
}
