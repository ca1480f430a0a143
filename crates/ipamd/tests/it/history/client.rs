//! One client of a history: it creates and deletes claims, and records the responses.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use kube::{
    Api, Client, Error,
    api::{DeleteParams, PostParams},
    core::{DynamicObject, Status},
};
use rand::{Rng as _, rngs::SmallRng};
use testkit::{Claim, allocated_cidr, allocations, claim, claims};
use tokio::sync::watch;

use super::{Phase, SPACES, Space, field, support::Block};

/// The maximum number of operations of one client, so that a run ends on fast machines.
const OPERATIONS_MAX: u64 = 400;
/// The maximum number of claims of one client at a time.
const LIVE_MAX: usize = 8;
const ANSWER_DEADLINE: Duration = Duration::from_secs(20);

pub struct HistoryClient {
    index: u64,
    claims: Api<DynamicObject>,
    allocations: Api<DynamicObject>,
    random: SmallRng,
    phase: watch::Receiver<Phase>,
    done: Arc<AtomicU64>,
    pub records: BTreeMap<String, Record>,
    pub operations: u64,
    pub creates: u64,
    pub deletes: u64,
    pub unanswered: u64,
    pub not_written: u64,
}

/// The state of one name according to the responses.
pub struct Record {
    pub retain: bool,
    pub claim: Expected,
    pub allocation: Expected,
    /// The claim in the response.
    pub bound: Option<DynamicObject>,
    /// A create had no response and may still be executed, such as by a paused server that resumes.
    may_come: bool,
}

/// The required state of an object at the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    Live,
    Gone,
    /// A request had no response, so either state is correct.
    Unknown,
}

/// The result of a request.
enum Outcome<T> {
    Done(T),
    Refused(Box<Status>),
    /// The server failed and reported that it wrote nothing, which must be true.
    NotWritten,
    Unanswered,
}

/// Part of the message of such a response.
const NOT_WRITTEN: &str = "nothing was written";

impl HistoryClient {
    pub fn new(
        index: u64,
        client: &Client,
        random: SmallRng,
        phase: watch::Receiver<Phase>,
        done: Arc<AtomicU64>,
    ) -> Self {
        Self {
            index,
            claims: claims(client, "default"),
            allocations: allocations(client, "default"),
            random,
            phase,
            done,
            records: BTreeMap::new(),
            operations: 0,
            creates: 0,
            deletes: 0,
            unanswered: 0,
            not_written: 0,
        }
    }

    pub async fn run(mut self) -> Self {
        while self.is_up().await && self.operations < OPERATIONS_MAX {
            // A claim whose create may still be executed is not deleted: the create could make it again.
            let live = self.names(|record| record.claim == Expected::Live && !record.may_come);
            let kept = self.names(|record| record.claim == Expected::Gone && record.allocation == Expected::Live);
            match self.random.random_range(0..10) {
                0 if !kept.is_empty() => self.free(&kept).await,
                1..4 if !live.is_empty() => self.delete(&live).await,
                _ if live.len() >= LIVE_MAX => self.delete(&live).await,
                4 => self.create_dry().await,
                _ => self.create().await,
            }
        }
        self
    }

    /// Waits until a server is up; false if the run is over.
    async fn is_up(&mut self) -> bool {
        *self.phase.wait_for(|phase| *phase != Phase::Down).await.unwrap() == Phase::Up
    }

    fn names(&self, is_wanted: impl Fn(&Record) -> bool) -> Vec<String> {
        self.records.iter().filter(|(_, record)| is_wanted(record)).map(|(name, _)| name.clone()).collect()
    }

    fn pick(&mut self, names: &[String]) -> String {
        names[self.random.random_range(0..names.len())].clone()
    }

    /// Returns a claim with an unused name, and whether it retains its block.
    fn draw(&mut self) -> (String, Claim, bool) {
        let name = format!("c{:02}-{:04}", self.index, self.records.len());
        let space = &SPACES[self.random.random_range(0..SPACES.len())];
        let retain = self.random.random_bool(0.15);
        let wanted = claim(&name).pool(space.pool);
        let wanted = if self.random.random_bool(0.15) {
            wanted.address(&self.address(space))
        } else {
            wanted.length(self.random.random_range(space.lengths.clone()))
        };
        (name, if retain { wanted.retain() } else { wanted }, retain)
    }

    fn address(&mut self, space: &Space) -> String {
        let block = Block::of(space.cidr);
        let address = block.first + self.random.random_range(0..=block.last - block.first);
        if block.is_v6 {
            std::net::Ipv6Addr::from_bits(address).to_string()
        } else {
            std::net::Ipv4Addr::from_bits(u32::try_from(address).unwrap()).to_string()
        }
    }

    async fn create_dry(&mut self) {
        let (name, wanted, retain) = self.draw();
        let params = PostParams { dry_run: true, ..PostParams::default() };
        let wanted = wanted.into();
        let answered = tokio::time::timeout(ANSWER_DEADLINE, self.claims.create(&params, &wanted)).await;
        // A dry run must not change anything, with a success or an error.
        self.outcome(answered.ok());
        let record = Record { retain, claim: Expected::Gone, allocation: Expected::Gone, bound: None, may_come: false };
        self.records.insert(name, record);
    }

    async fn create(&mut self) {
        let (name, wanted, retain) = self.draw();
        let mut outcome = self.try_create(&wanted).await;
        let may_come = matches!(outcome, Outcome::Unanswered);
        if may_come && self.random.random_bool(0.5) && self.is_up().await {
            // A client may repeat a create that had no response, with the same name.
            outcome = match self.try_create(&wanted).await {
                Outcome::Refused(status) if status.reason == "AlreadyExists" => self.read(&name).await,
                other => other,
            };
        }
        let (fate, bound) = match outcome {
            Outcome::Done(bound) => {
                assert_eq!(field(&bound, "/status/phase"), "Bound", "{name}");
                self.creates += 1;
                (Expected::Live, Some(bound))
            }
            Outcome::Refused(status) => {
                let expected = [(422, "Invalid"), (507, "InsufficientStorage")];
                assert!(expected.contains(&(status.code, status.reason.as_str())), "{name}: {status:?}");
                (if may_come { Expected::Unknown } else { Expected::Gone }, None)
            }
            // This create wrote nothing, but an earlier one without a response may have.
            Outcome::NotWritten => (if may_come { Expected::Unknown } else { Expected::Gone }, None),
            Outcome::Unanswered => (Expected::Unknown, None),
        };
        self.records.insert(name, Record { retain, claim: fate, allocation: fate, bound, may_come });
    }

    async fn try_create(&mut self, wanted: &Claim) -> Outcome<DynamicObject> {
        let (api, params, object) = (self.claims.clone(), PostParams::default(), wanted.clone().into());
        let answered = tokio::time::timeout(ANSWER_DEADLINE, api.create(&params, &object)).await;
        self.outcome(answered.ok())
    }

    async fn read(&mut self, name: &str) -> Outcome<DynamicObject> {
        let answered = tokio::time::timeout(ANSWER_DEADLINE, self.claims.get(name)).await;
        let outcome = self.outcome(answered.ok());
        assert!(!matches!(&outcome, Outcome::Refused(_)), "{name} already exists, but it cannot be read");
        outcome
    }

    async fn delete(&mut self, live: &[String]) {
        let name = self.pick(live);
        let api = self.claims.clone();
        let fate = self.remove(&api, &name).await;
        self.deletes += u64::from(fate == Expected::Gone);
        let record = self.records.get_mut(&name).unwrap();
        record.claim = fate;
        record.allocation = if record.retain { Expected::Live } else { fate };
    }

    /// Deletes the allocation of a retained block.
    async fn free(&mut self, kept: &[String]) {
        let name = self.pick(kept);
        let bound = self.records[&name].bound.as_ref().unwrap();
        let allocation = field(bound, "/status/boundAllocationRef/name").to_owned();
        let api = self.allocations.clone();
        self.records.get_mut(&name).unwrap().allocation = self.remove(&api, &allocation).await;
    }

    /// Deletes an object that must exist; without a response it sometimes repeats the request.
    async fn remove(&mut self, api: &Api<DynamicObject>, name: &str) -> Expected {
        match self.try_delete(api, name).await {
            Outcome::Done(()) => return Expected::Gone,
            Outcome::Refused(status) => {
                panic!("{name} was acknowledged and cannot be deleted: {status:?}")
            }
            Outcome::NotWritten => return Expected::Live,
            Outcome::Unanswered => {}
        }
        if !self.random.random_bool(0.5) || !self.is_up().await {
            return Expected::Unknown;
        }
        match self.try_delete(api, name).await {
            Outcome::Done(()) => Expected::Gone,
            Outcome::Refused(status) if status.code == 404 => Expected::Gone,
            Outcome::Refused(status) => panic!("{name}: {status:?}"),
            Outcome::NotWritten | Outcome::Unanswered => Expected::Unknown,
        }
    }

    async fn try_delete(&mut self, api: &Api<DynamicObject>, name: &str) -> Outcome<()> {
        let answered = tokio::time::timeout(ANSWER_DEADLINE, api.delete(name, &DeleteParams::default())).await;
        self.outcome(answered.ok().map(|result| result.map(|_| ())))
    }

    fn outcome<T>(&mut self, answered: Option<Result<T, Error>>) -> Outcome<T> {
        self.operations += 1;
        self.done.fetch_add(1, Ordering::Relaxed);
        match answered {
            Some(Ok(done)) => Outcome::Done(done),
            Some(Err(Error::Api(status))) if status.code < 500 || status.code == 507 => Outcome::Refused(status),
            Some(Err(Error::Api(status))) if status.message.contains(NOT_WRITTEN) => {
                self.not_written += 1;
                Outcome::NotWritten
            }
            _ => {
                self.unanswered += 1;
                Outcome::Unanswered
            }
        }
    }
}

impl Record {
    /// The block in the response.
    pub fn block(&self) -> Option<&str> {
        self.bound.as_ref().map(allocated_cidr)
    }
}
