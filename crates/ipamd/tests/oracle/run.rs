//! Sends each request to both servers, and compares the answers, the objects afterwards, and the events.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use anyhow::Context as _;
use bytes::Bytes;
use http::{Method, Request as Wire};
use serde_json::{Value, json};

use crate::{
    access::Settler,
    compare::{Difference, differences, shortened, signature},
    compared_kind::Collection,
    creates,
    known_differences::{self, Case, find_known_difference},
    normalize::Rules,
    request::{Body, Memory, Request},
    watch::{self, Watches},
    wire::{Answer, Client},
};

/// The number of requests between two comparisons of events.
const BATCH: usize = 40;
/// The maximum number of findings that are minimized.
const MINIMIZED_MAX: usize = 40;
/// The maximum number of examples for each explanation.
const EXAMPLES_MAX: usize = 6;
/// The maximum number of earlier requests on an object from which a finding is minimized.
const HISTORY_MAX: usize = 100;

/// One server, and its last seen objects and lists.
pub struct Side {
    /// The client of the server.
    pub client: Client,
    memory: Memory,
    /// Present if the permissions of the server take effect some time after a write.
    settler: Option<Settler>,
}

/// A comparison in progress.
pub struct Run {
    ours: Side,
    theirs: Side,
    rules: Rules,
    collections: Vec<Collection>,
    /// For each object, the requests since it was last absent on both servers.
    histories: BTreeMap<String, Vec<Request>>,
    /// Objects whose events in this batch are not compared, because the servers differed on them.
    tainted: BTreeSet<String>,
    /// The same objects, for each collection since its last list.
    strays: BTreeMap<String, BTreeSet<String>>,
    report: Report,
}

/// The result of a comparison.
#[derive(Default)]
pub struct Report {
    /// The number of requests whose answers were compared.
    pub operations: usize,
    /// The number of compared events.
    pub events: usize,
    /// The uses of each explanation.
    explained: BTreeMap<&'static str, Needed>,
    /// Differences without an explanation, by [`signature`].
    pub unexplained: BTreeMap<String, Finding>,
}

/// The uses of an explanation.
#[derive(Default)]
struct Needed {
    count: usize,
    /// Examples, by the label of the request.
    examples: BTreeMap<&'static str, String>,
}

/// A difference without an explanation.
pub struct Finding {
    /// The number of occurrences.
    pub count: usize,
    text: String,
    label: String,
    last: Option<Request>,
    history: Vec<Request>,
}

/// The outcome of one request, or one event, on both servers.
struct Compared {
    /// `None` for an event.
    request: Option<Request>,
    ours: Value,
    theirs: Value,
    differences: Vec<Difference>,
    /// The paths of the objects that differ afterwards.
    diverged: Vec<String>,
}

impl Side {
    /// A server without any seen objects.
    pub fn new(client: Client) -> Self {
        Self { client, memory: Memory::default(), settler: None }
    }

    /// Makes writes of RBAC objects wait until they are in effect.
    pub fn settling(self, settler: Settler) -> Self {
        Self { settler: Some(settler), ..self }
    }

    async fn settle(&mut self, collection: &str) -> anyhow::Result<()> {
        match &mut self.settler {
            Some(settler) => settler.settle(collection).await,
            None => Ok(()),
        }
    }

    async fn get(&self, path: &str) -> anyhow::Result<Answer> {
        self.client.send(Wire::get(path).header("accept", "application/json").body(Bytes::new())?).await
    }

    /// Reads an object. Returns the answer, and whether the resourceVersion and the content have changed since the last read.
    async fn look(&mut self, target: &str, rules: Rules) -> anyhow::Result<Value> {
        let answer = self.get(target).await?;
        let before = self.memory.object(target).clone();
        self.memory.see(target, &answer);
        let now = self.memory.object(target);
        let moved = before.pointer("/metadata/resourceVersion") != now.pointer("/metadata/resourceVersion");
        let changed = rules.body(before) != rules.body(now.clone());
        Ok(json!({ "answer": rules.answer(&answer), "moved": moved, "changed": changed }))
    }

    /// Removes the finalizers of an object and deletes it.
    async fn remove(&mut self, target: &str) -> anyhow::Result<()> {
        let patch = Wire::patch(target).header("content-type", "application/merge-patch+json");
        let body = json!({ "metadata": { "finalizers": null } }).to_string();
        self.client.send(patch.body(Bytes::from(body))?).await?;
        self.client.send(Wire::delete(target).body(Bytes::new())?).await?;
        let answer = self.get(target).await?;
        anyhow::ensure!(answer.code == 404, "{target} cannot be removed: {}", answer.json());
        self.memory.see(target, &answer);
        self.settle(target.rsplit_once('/').map_or("", |(collection, _)| collection)).await
    }
}

impl Run {
    /// A comparison of two servers without objects.
    pub fn new(ours: Side, theirs: Side, rules: Rules) -> Self {
        let collections = rules.subject.collections();
        let (histories, tainted, strays) = (BTreeMap::new(), BTreeSet::new(), BTreeMap::new());
        Self { ours, theirs, rules, collections, histories, tainted, strays, report: Report::default() }
    }

    /// Sends the requests one after the other, with open watches, and minimizes the findings.
    pub async fn run(mut self, seed: u64, requests: impl Iterator<Item = Request>) -> anyhow::Result<Report> {
        let mut watches = Watches::open(&self.ours.client, &self.theirs.client, self.rules).await?;
        let started = Instant::now();
        let mut first = 0;
        for (step, request) in requests.enumerate() {
            self.step(seed, step, request).await?;
            if (step + 1) % BATCH == 0 {
                self.compare_events(&mut watches, &format!("seed {seed}, steps {first} to {step}")).await?;
                first = step + 1;
            }
            if (step + 1) % 1000 == 0 {
                let (unexplained, seconds) = (self.report.unexplained.len(), started.elapsed().as_secs());
                eprintln!("{} operations, {unexplained} kinds of unexplained differences, {seconds} s", step + 1);
            }
        }
        self.compare_events(&mut watches, &format!("seed {seed}, from step {first}")).await?;
        drop(watches);
        self.minimize().await?;
        Ok(self.report)
    }

    async fn step(&mut self, seed: u64, step: usize, request: Request) -> anyhow::Result<()> {
        let compared = self.compare(&request).await?;
        self.report.operations += 1;
        let target = request.targets(&self.collections);
        let unexplained = self.unexplained(&compared);
        if !unexplained.is_empty() {
            let history = match target.as_slice() {
                [only] => self.histories.get(only).cloned().unwrap_or_default(),
                _ => Vec::new(),
            };
            let place = format!("seed {seed}, step {step}");
            self.report.add(&place, request.label, Some((&request, &compared, history)), &unexplained);
        }
        if request.writes() {
            for target in &target {
                let history = self.histories.entry(target.clone()).or_default();
                history.push(request.clone());
                if history.len() > HISTORY_MAX {
                    history.remove(0);
                }
                if self.ours.memory.version(target).is_none() && self.theirs.memory.version(target).is_none() {
                    history.clear();
                }
            }
        }
        for target in compared.diverged {
            self.put_away(&target).await?;
        }
        Ok(())
    }

    /// Deletes an object from both servers.
    async fn put_away(&mut self, target: &str) -> anyhow::Result<()> {
        let (ours, theirs) = tokio::join!(self.ours.remove(target), self.theirs.remove(target));
        ours.with_context(|| format!("our server deletes {target}"))?;
        theirs.with_context(|| format!("kube-apiserver deletes {target}"))?;
        self.histories.remove(target);
        self.taint(target);
        Ok(())
    }

    /// Excludes the events of an object from the comparison of this batch, and of watches from the last list of each collection.
    fn taint(&mut self, target: &str) {
        self.tainted.insert(target.to_owned());
        for strays in self.strays.values_mut() {
            strays.insert(target.to_owned());
        }
    }

    async fn compare(&mut self, request: &Request) -> anyhow::Result<Compared> {
        let (ours, theirs) = (request.resolve(&self.ours.memory)?, request.resolve(&self.theirs.memory)?);
        let (ours, theirs) = tokio::join!(self.ours.client.send(ours), self.theirs.client.send(theirs));
        let ours = ours.with_context(|| format!("request to our server: {request}"))?;
        let theirs = theirs.with_context(|| format!("request to kube-apiserver: {request}"))?;
        if request.writes() {
            self.theirs.settle(&request.collection).await?;
        }
        if request.method == Method::GET && request.name.is_none() && !request.watches() && ours.code == 200 {
            self.theirs.memory.see_list(&request.collection, &theirs);
            if self.ours.memory.see_list(&request.collection, &ours) {
                self.strays.insert(request.collection.clone(), BTreeSet::new());
            }
            let memories = [&mut self.ours.memory, &mut self.theirs.memory];
            if memories.iter().any(|memory| memory.token(&request.collection).is_empty()) {
                // Only one of them may have applied the limit; then the next pages would differ.
                for memory in memories {
                    memory.forget_token(&request.collection);
                }
            }
        }
        let (mut ours, mut theirs) = if request.watches() {
            let none = BTreeSet::new();
            let strays = self.strays.get(&request.collection).unwrap_or(&none);
            (watch::answer(&ours, self.rules, strays), watch::answer(&theirs, self.rules, strays))
        } else {
            (self.rules.answer(&ours), self.rules.answer(&theirs))
        };
        let mut diverged = Vec::new();
        if request.writes() {
            for target in request.targets(&self.collections) {
                let (our, their) =
                    tokio::join!(self.ours.look(&target, self.rules), self.theirs.look(&target, self.rules));
                let (our, their) = (our?, their?);
                if our["moved"] != their["moved"] {
                    // This is a difference already; the events would repeat it.
                    self.taint(&target);
                }
                if our["answer"] != their["answer"] {
                    diverged.push(target.clone());
                }
                let name = target.rsplit('/').next().unwrap_or_default();
                ours["after"][name] = our;
                theirs["after"][name] = their;
            }
        }
        let differences = differences(&ours, &theirs);
        Ok(Compared { request: Some(request.clone()), ours, theirs, differences, diverged })
    }

    fn unexplained(&mut self, compared: &Compared) -> Vec<Difference> {
        let Compared { request, ours, theirs, differences, .. } = compared;
        let fault = request.as_ref().and_then(|request| creates::fault(request, ours, theirs));
        let mut unexplained = Vec::from_iter(fault);
        for difference in differences {
            match find_known_difference(&Case {
                subject: self.rules.subject,
                request: request.as_ref(),
                ours,
                theirs,
                difference,
            }) {
                Some(explanation) => {
                    self.report.explained.entry(explanation.name).or_default().add(compared, difference);
                }
                None => unexplained.push(difference.clone()),
            }
        }
        unexplained
    }

    async fn compare_events(&mut self, watches: &mut Watches, place: &str) -> anyhow::Result<()> {
        let tainted = std::mem::take(&mut self.tainted);
        let streams = watches.since_last_time(&self.ours.client, &self.theirs.client, self.rules, &tainted).await?;
        for stream in streams {
            self.report.events += stream.events;
            for (our, their) in stream.unequal {
                let differences = differences(&our, &their);
                let diverged = Vec::new();
                let compared = Compared { request: None, ours: our, theirs: their, differences, diverged };
                let unexplained = self.unexplained(&compared);
                if !unexplained.is_empty() {
                    self.report.add(place, &format!("watch {}", stream.path), None, &unexplained);
                }
            }
        }
        Ok(())
    }

    /// For each finding, removes requests on the object as long as the rest still reproduces the difference.
    async fn minimize(&mut self) -> anyhow::Result<()> {
        let mut findings = std::mem::take(&mut self.report.unexplained);
        let mut most: Vec<_> = findings.iter_mut().collect();
        most.sort_by_key(|(_, finding)| std::cmp::Reverse(finding.count));
        for (wanted, finding) in most.into_iter().take(MINIMIZED_MAX) {
            let Some(last) = finding.last.clone() else { continue };
            let mut history = std::mem::take(&mut finding.history);
            if !self.leads_to(&history, &last, wanted).await? {
                continue;
            }
            let mut index = 0;
            while index < history.len() {
                let mut shorter = history.clone();
                shorter.remove(index);
                if self.leads_to(&shorter, &last, wanted).await? {
                    history = shorter;
                } else {
                    index += 1;
                }
            }
            finding.text += "    minimized:\n";
            for request in history.iter().chain([&last]) {
                finding.text += &format!("      {}\n", shortened(&request.to_string(), 1500));
            }
        }
        self.report.unexplained = findings;
        Ok(())
    }

    /// True if these requests, on an object that does not exist at first, reproduce the difference.
    async fn leads_to(&mut self, history: &[Request], last: &Request, wanted: &str) -> anyhow::Result<bool> {
        let targets = last.targets(&self.collections);
        for target in &targets {
            self.put_away(target).await?;
        }
        for request in history {
            self.compare(request).await?;
        }
        let compared = self.compare(last).await?;
        let unexplained = self.unexplained(&compared);
        for target in &targets {
            self.put_away(target).await?;
        }
        Ok(signature(&unexplained) == wanted)
    }
}

impl Request {
    /// Returns the paths of the objects that the request may change.
    fn targets(&self, collections: &[Collection]) -> Vec<String> {
        let named = match &self.body {
            Body::Json(body) if self.method == Method::POST => body.pointer("/metadata/name").and_then(Value::as_str),
            _ => None,
        };
        let of_collection = || collections.iter().find(|known| known.path == self.collection).map(Collection::targets);
        let targets = match (&self.name, named) {
            (Some(_), _) => self.target().into_iter().collect(),
            (None, Some(name)) => vec![format!("{}/{name}", self.collection)],
            (None, None) if self.method == Method::DELETE => of_collection().unwrap_or_default(),
            (None, None) => Vec::new(),
        };
        let is_path = |target: &String| target.rsplit('/').next().is_some_and(|name| name.len() == 1);
        targets.into_iter().filter(is_path).collect()
    }
}

impl Needed {
    fn add(&mut self, compared: &Compared, difference: &Difference) {
        self.count += 1;
        let Some(request) = &compared.request else { return };
        if self.examples.len() < EXAMPLES_MAX {
            let (ours, theirs) = (shown(&compared.ours, 900), shown(&compared.theirs, 900));
            let (label, request) = (request.label, shortened(&request.to_string(), 600));
            let example = || format!("    {request}\n    ours:   {ours}\n    theirs: {theirs}\n    {difference}");
            self.examples.entry(label).or_insert_with(example);
        }
    }
}

impl Report {
    fn add(
        &mut self,
        place: &str,
        label: &str,
        about: Option<(&Request, &Compared, Vec<Request>)>,
        unexplained: &[Difference],
    ) {
        let finding = self.unexplained.entry(signature(unexplained)).or_insert_with(|| {
            let mut text = format!("{label} ({place})\n");
            if let Some((request, compared, _)) = &about {
                text += &format!("    {}\n", shortened(&request.to_string(), 2500));
                text += &format!("    ours:   {}\n", shown(&compared.ours, 6000));
                text += &format!("    theirs: {}\n", shown(&compared.theirs, 6000));
            }
            for difference in unexplained {
                text += &format!("    {difference}\n");
            }
            let (last, history) =
                about.map_or((None, Vec::new()), |(request, _, history)| (Some(request.clone()), history));
            Finding { count: 0, text, label: label.to_owned(), last, history }
        });
        finding.count += 1;
    }

    /// Prints the findings and the explained differences.
    pub fn print(&self) {
        let mut findings: Vec<_> = self.unexplained.values().collect();
        findings.sort_by_key(|finding| (std::cmp::Reverse(finding.count), &finding.label));
        for finding in findings {
            println!("DIFFERENCE, {} times: {}", finding.count, finding.text);
        }
        let reasons = known_differences::reasons();
        for (name, needed) in &self.explained {
            println!("explained, {} times: {name}: {}", needed.count, reasons.get(name).unwrap_or(&""));
            for (label, example) in &needed.examples {
                println!("  for example {label}:\n{example}");
            }
        }
    }

    /// True if an explanation was used.
    pub fn needed(&self, name: &str) -> bool {
        self.explained.contains_key(name)
    }

    /// Returns the summary line.
    pub fn summary(&self) -> String {
        let explained: usize = self.explained.values().map(|needed| needed.count).sum();
        let unexplained: usize = self.unexplained.values().map(|finding| finding.count).sum();
        let by_reason: Vec<_> =
            self.explained.iter().map(|(name, needed)| format!("{name} {}", needed.count)).collect();
        format!(
            "{} operations compared, {} events, {explained} explained differences ({}), {unexplained} unexplained",
            self.operations,
            self.events,
            by_reason.join(", "),
        )
    }
}

/// Returns the code and the body of an answer as text.
fn shown(answer: &Value, length: usize) -> String {
    shortened(&format!("{} {}", answer["code"], answer["body"]), length)
}

/// Polls until `state` returns a value. Returns an error after `limit`.
pub async fn until<T>(what: &str, limit: Duration, mut state: impl FnMut() -> Option<T>) -> anyhow::Result<T> {
    let started = Instant::now();
    loop {
        if let Some(found) = state() {
            return Ok(found);
        }
        anyhow::ensure!(started.elapsed() < limit, "not after {limit:?}: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
