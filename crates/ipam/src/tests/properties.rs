//! Property tests with random operations: the kinds against the model, undoing writes, and rebuilding the allocator
//! state.

use apimachinery::{
    command::Write,
    kind::State as _,
    object::{Object, ObjectMeta},
};
use proptest::{collection::vec, option, prelude::*};
use serde_json::{Value, json};

use super::{
    harness::{Server, claim, pool},
    model::{Block, Choice, Model, Outcome, Request, Source},
};
use crate::{AllocatorState, allocation};

/// Blocks of root pools. Some overlap, and both families occur.
const ROOTS: [Block; 5] = [
    Block { six: false, first: 0x0a00_0000, length: 26 },
    Block { six: false, first: 0x0a00_0020, length: 27 },
    Block { six: false, first: 0x0a00_0080, length: 28 },
    Block { six: true, first: 0x2001_0db8 << 96, length: 123 },
    Block { six: true, first: (0x2001_0db8 << 96) + 0x40, length: 122 },
];

#[derive(Clone, Debug)]
enum Step {
    Root {
        name: u8,
        place: usize,
        strategy: Choice,
        cap: Option<u8>,
    },
    Child {
        name: u8,
        parent: u8,
        request: RequestTemplate,
        strategy: Choice,
        cap: Option<u8>,
    },
    UpdatePolicy {
        name: u8,
        strategy: Choice,
        cap: Option<u8>,
    },
    DeletePool {
        name: u8,
    },
    Claim {
        name: u8,
        source: SourceTemplate,
        request: RequestTemplate,
        retain: bool,
    },
    DeleteClaim {
        name: u8,
    },
    DeleteAllocation {
        name: u8,
    },
    /// Ends a batch, if batches are longer than one step.
    Settle,
}

/// A request for a block of `2^host_bits` addresses: any, or the `offset`-th one from the start of a root.
#[derive(Clone, Debug)]
struct RequestTemplate {
    place: usize,
    host_bits: u8,
    offset: Option<u8>,
}

#[derive(Clone, Debug)]
enum SourceTemplate {
    Pool(u8),
    Tier(u8),
}

impl RequestTemplate {
    fn request(&self) -> Request {
        let root = ROOTS[self.place];
        let length = if root.six { 128 - self.host_bits } else { 32 - self.host_bits };
        let exact = self.offset.map(|offset| {
            let size = 1 << self.host_bits;
            Block { six: root.six, first: root.first / size * size + u128::from(offset) * size, length }
        });
        Request { length: exact.is_none().then_some(length), exact }
    }
}

fn a_strategy() -> impl Strategy<Value = Choice> {
    prop_oneof![Just(Choice::FirstFit), Just(Choice::BestFit), Just(Choice::LeastUtilized)]
}

/// A root pool, or the region of a request. Mostly IPv4, so that requests and pools meet.
fn a_place() -> impl Strategy<Value = usize> {
    prop_oneof![4 => Just(0_usize), 1 => Just(1_usize), 2 => Just(2_usize), 2 => 3..ROOTS.len()]
}

fn a_request() -> impl Strategy<Value = RequestTemplate> {
    (a_place(), prop_oneof![4 => 0..3_u8, 1 => 3..7_u8], option::weighted(0.25, 0..20_u8))
        .prop_map(|(place, host_bits, offset)| RequestTemplate { place, host_bits, offset })
}

fn a_cap() -> impl Strategy<Value = Option<u8>> {
    option::weighted(0.1, prop_oneof![30..=32_u8, 126..=128_u8])
}

fn a_root() -> impl Strategy<Value = Step> {
    (0..3_u8, a_place(), a_strategy(), a_cap()).prop_map(|(name, place, strategy, cap)| Step::Root {
        name,
        place,
        strategy,
        cap,
    })
}

fn a_step() -> impl Strategy<Value = Step> {
    let source = prop_oneof![
        3 => (0..3_u8).prop_map(SourceTemplate::Pool),
        2 => (0..6_u8).prop_map(SourceTemplate::Pool),
        2 => (0..2_u8).prop_map(SourceTemplate::Tier),
    ];
    prop_oneof![
        2 => a_root(),
        4 => (3..6_u8, prop_oneof![3 => 0..3_u8, 1 => 0..6_u8], a_request(), a_strategy(), a_cap())
            .prop_map(|(name, parent, request, strategy, cap)| Step::Child { name, parent, request, strategy, cap }),
        1 => (0..6_u8, a_strategy(), a_cap()).prop_map(|(name, strategy, cap)| Step::UpdatePolicy { name, strategy, cap }),
        1 => (0..6_u8).prop_map(|name| Step::DeletePool { name }),
        20 => (0..24_u8, source, a_request(), prop::bool::weighted(0.3))
            .prop_map(|(name, source, request, retain)| Step::Claim { name, source, request, retain }),
        10 => (0..24_u8).prop_map(|name| Step::DeleteClaim { name }),
        5 => (0..24_u8).prop_map(|name| Step::DeleteAllocation { name }),
        3 => Just(Step::Settle),
    ]
}

/// Generates operations that begin with three root pools.
fn a_history(length: usize) -> impl Strategy<Value = Vec<Step>> {
    let roots = [(0, 0), (1, 2), (2, 3)]
        .map(|(name, place)| a_strategy().prop_map(move |strategy| Step::Root { name, place, strategy, cap: None }));
    (roots, vec(a_step(), 1..length)).prop_map(|(roots, steps)| [roots.to_vec(), steps].concat())
}

fn policy(strategy: Choice, cap: Option<u8>) -> Value {
    let mut policy = json!({"strategy": format!("{strategy:?}")});
    if let Some(cap) = cap {
        policy["maxPrefixLength"] = cap.into();
    }
    policy
}

/// Writes the request into a spec. The field of an exact block is `address` for claims and `cidr` for pools.
fn set_request(spec: &mut Value, request: Request, field: &str) {
    if let Some(length) = request.length {
        spec["prefixLength"] = length.into();
    }
    if let Some(block) = request.exact {
        spec[field] = block.cidr().into();
    }
}

fn tier(name: u8) -> u8 {
    name % 2
}

fn label(name: u8) -> impl FnOnce(&mut ObjectMeta) {
    move |meta| {
        drop(meta.labels.insert("tier".to_owned(), tier(name).to_string()));
    }
}

/// Returns the result of the service.
fn run(server: &mut Server, step: &Step) -> Outcome {
    let cidr = |object: Object| object.text("/status/allocatedCIDR").to_owned();
    let answer = match step {
        Step::Root { name, place, strategy, cap } => {
            let spec = json!({"cidr": ROOTS[*place].cidr(), "allocation": policy(*strategy, *cap)});
            server.create_with(pool(&format!("p{name}")), spec, label(*name)).map(|(object, _)| cidr(object))
        }
        Step::Child { name, parent, request, strategy, cap } => {
            let parent = json!({"name": format!("p{parent}")});
            let mut spec = json!({"parentPoolRef": parent, "allocation": policy(*strategy, *cap)});
            set_request(&mut spec, request.request(), "cidr");
            server.create_with(pool(&format!("p{name}")), spec, label(*name)).map(|(object, _)| cidr(object))
        }
        Step::UpdatePolicy { name, strategy, cap } => {
            let key = pool(&format!("p{name}"));
            if !server.objects.contains_key(&key) {
                return Err(404);
            }
            let policy = policy(*strategy, *cap);
            server.update(&key, |pool| pool.fields["spec"]["allocation"] = policy).map(|(object, _)| cidr(object))
        }
        Step::Claim { name, source, request, retain } => {
            let mut spec = match source {
                SourceTemplate::Pool(pool) => json!({"poolRef": {"name": format!("p{pool}")}}),
                SourceTemplate::Tier(tier) => {
                    json!({"poolSelector": {"matchLabels": {"tier": tier.to_string()}}})
                }
            };
            spec["reclaimPolicy"] = if *retain { "Retain" } else { "Delete" }.into();
            set_request(&mut spec, request.request(), "address");
            server.create(claim(&format!("c{name}")), spec).map(|(object, _)| cidr(object))
        }
        Step::DeletePool { name } => server.delete(&pool(&format!("p{name}"))).map(|()| String::new()),
        Step::DeleteClaim { name } => server.delete(&claim(&format!("c{name}"))).map(|()| String::new()),
        Step::DeleteAllocation { name } => {
            server.delete(&allocation::key_for(&claim(&format!("c{name}")))).map(|()| String::new())
        }
        Step::Settle => {
            server.settle();
            Ok(String::new())
        }
    };
    answer.map_err(|refusal| refusal.reason.code())
}

/// Returns the result of the model.
fn expected(model: &mut Model, step: &Step) -> Outcome {
    match step {
        Step::Root { name, place, strategy, cap } => {
            let block = ROOTS[*place];
            if cap.is_some_and(|cap| cap > if block.six { 128 } else { 32 }) {
                return Err(422);
            }
            model.create_root(&format!("p{name}"), block, (*strategy, *cap), tier(*name))
        }
        Step::Child { name, parent, request, strategy, cap } => {
            let (name_text, parent) = (format!("p{name}"), format!("p{parent}"));
            let exact = request.request().exact;
            let contradicts = exact.is_some_and(|block| !block.six && cap.is_some_and(|cap| cap > 32));
            if contradicts {
                return Err(422);
            }
            model.create_child(&name_text, &parent, request.request(), (*strategy, *cap), tier(*name))
        }
        Step::UpdatePolicy { name, strategy, cap } => model.update_policy(&format!("p{name}"), *strategy, *cap),
        Step::DeletePool { name } => model.delete_pool(&format!("p{name}")),
        Step::Claim { name, source, request, retain } => {
            let source = match source {
                SourceTemplate::Pool(pool) => Source::Pool(format!("p{pool}")),
                SourceTemplate::Tier(tier) => Source::Tier(*tier),
            };
            model.create_claim(&format!("c{name}"), &source, request.request(), *retain)
        }
        Step::DeleteClaim { name } => model.delete_claim(&format!("c{name}")),
        Step::DeleteAllocation { name } => model.delete_allocation(&format!("c{name}")),
        Step::Settle => Ok(String::new()),
    }
}

fn assert_capacities(server: &Server, model: &Model) {
    for (name, free, largest) in model.capacities() {
        let status = server.get(&pool(&name)).field("status");
        assert_eq!(status["capacity"]["exact"]["available"], free.to_string(), "{name}");
        assert_eq!(status["largestFreePrefix"].as_u64(), largest.map(u64::from), "{name}");
    }
}

/// Rebuilds the allocator state as after a restart: from the cached objects, then the spans.
fn restarted(server: &Server) -> AllocatorState {
    let mut state = AllocatorState::default();
    for (key, object) in server.objects.iter().rev() {
        if state.cached_resources().contains(&key.resource) {
            let object = Object::from_bytes(&object.to_bytes()).expect("what was written can be read");
            state.load_object(key.clone(), object).expect("a stored pool");
        }
    }
    for span in server.spans.values() {
        state.load_span(span).expect("a span that is held");
    }
    state
}

fn reversed(write: &Write) -> Write {
    Write { key: write.key.clone(), old: write.new.clone(), new: write.old.clone() }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn kinds_return_the_results_of_the_model(steps in a_history(150)) {
        let (mut server, mut model) = (Server::new(), Model::default());
        for step in &steps {
            let outcome = run(&mut server, step);
            prop_assert_eq!(&outcome, &expected(&mut model, step), "{:?}", step);
            assert_capacities(&server, &model);
        }
    }

    #[test]
    fn applying_reversed_writes_restores_the_state(steps in a_history(80), settles: bool) {
        let mut server = Server::new();
        server.settles = settles;
        let mut seen = vec![(0, server.state.debug_dump())];
        for step in &steps {
            let _ = run(&mut server, step);
            seen.push((server.log.len(), server.state.debug_dump()));
        }
        for (length, text) in seen.iter().rev() {
            while server.log.len() > *length {
                let write = server.log.pop().expect("the log is longer");
                server.state.apply(&reversed(&write));
            }
            prop_assert_eq!(&server.state.debug_dump(), text);
        }
    }

    #[test]
    fn restart_rebuilds_the_same_state(steps in a_history(80)) {
        let mut server = Server::new();
        for (idx, step) in steps.iter().enumerate() {
            let _ = run(&mut server, step);
            if idx % 4 == 0 || idx + 1 == steps.len() {
                prop_assert_eq!(restarted(&server).debug_dump(), server.state.debug_dump());
            }
        }
    }
}
