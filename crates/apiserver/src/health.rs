//! `/livez`, `/readyz` and `/healthz`: named checks, worded as in kube-apiserver. They are answered from memory.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use apimachinery::{kind::Gauge, options::Query};
use store::Store;
use tokio::time::Instant;

use crate::{prober::Prober, write_path::WritePath};

/// The state that the checks read.
#[derive(Debug, Default)]
pub struct Health {
    /// The health of the write path.
    pub writes: Arc<WritePath>,
    prober: Prober,
    restored: AtomicBool,
    stopping: AtomicBool,
}

/// The kind of probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Probe {
    /// Liveness, whether the process should keep running: `/livez`, `/healthz`.
    Live,
    /// Readiness, whether it should get requests: `/readyz`.
    Ready,
}

impl Probe {
    /// The probe at the path `/name`.
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "livez" | "healthz" => Some(Self::Live),
            "readyz" => Some(Self::Ready),
            _ => None,
        }
    }
}

/// One check and its outcome.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// Its name, as in `/readyz/<name>`.
    pub name: &'static str,
    /// The error, if it failed.
    pub failure: Option<String>,
}

impl Health {
    /// Records that the state has been read from the store, so that requests can be served.
    pub fn set_restored(&self) {
        self.restored.store(true, Ordering::Release);
    }

    /// Records that the server is shutting down.
    pub fn set_stopping(&self) {
        self.stopping.store(true, Ordering::Release);
    }

    /// True if requests can be served.
    pub fn is_restored(&self) -> bool {
        self.restored.load(Ordering::Acquire)
    }

    /// Probes the store at intervals until dropped.
    pub async fn probe(&self, store: &Arc<dyn Store>) {
        self.prober.run(store, &self.writes).await;
    }

    /// All checks of a probe.
    pub fn checks(&self, probe: Probe) -> Vec<Check> {
        let check = |name, failed: bool, why: &str| Check { name, failure: failed.then(|| why.to_owned()) };
        let mut checks = vec![check("ping", false, "")];
        if probe == Probe::Ready {
            let now = Instant::now();
            checks.push(Check { name: "store", failure: self.prober.check(now).err() });
            checks.push(Check { name: "commits", failure: self.writes.check(now).err() });
            checks.push(check("restore", !self.is_restored(), "the state is being read back from the store"));
            checks.push(check("shutdown", self.stopping.load(Ordering::Acquire), "process is shutting down"));
        }
        checks
    }
}

/// The status code and text of a probe's response.
pub fn answer(name: &str, mut checks: Vec<Check>, query: &Query) -> (u16, String) {
    let mut text = String::new();
    let excluded: Vec<&str> = query.get_all("exclude").collect();
    for check in &mut checks {
        if excluded.contains(&check.name) {
            check.failure = None;
            text += &format!("[+]{} excluded: ok\n", check.name);
        } else if check.failure.is_some() {
            text += &format!("[-]{} failed: reason withheld\n", check.name);
        } else {
            text += &format!("[+]{} ok\n", check.name);
        }
    }
    let unknown: Vec<_> = excluded.iter().filter(|name| !checks.iter().any(|check| check.name == **name)).collect();
    if !unknown.is_empty() {
        let list = unknown.iter().map(|name| format!("\"{name}\"")).collect::<Vec<_>>().join(",");
        text += &format!("warn: some health checks cannot be excluded: no matches for {list}\n");
    }
    if checks.iter().any(|check| check.failure.is_some()) {
        return (500, format!("{text}{name} check failed\n"));
    }
    if query.flag("verbose") { (200, format!("{text}{name} check passed\n")) } else { (200, "ok".to_owned()) }
}

/// The status code and text of the response for one check, which includes the reason.
pub fn answer_one(check: &Check) -> (u16, String) {
    match &check.failure {
        None => (200, "ok".to_owned()),
        Some(why) => (500, format!("internal server error: {why}\n")),
    }
}

/// The result of every check as a gauge (1 if it passed), and the age of the oldest waiting write.
pub fn gauges(health: &Health) -> [Gauge; 2] {
    let age = health.writes.oldest_age(Instant::now()).unwrap_or_default();
    let oldest = Gauge {
        name: "ipam_commit_oldest_command_age_seconds",
        help: "Age of the oldest write that waits for its commit, in seconds",
        samples: vec![(Vec::new(), age.as_secs_f64())],
    };
    [checks_gauge(health), oldest]
}

fn checks_gauge(health: &Health) -> Gauge {
    let probes = [("livez", Probe::Live), ("readyz", Probe::Ready)];
    let samples =
        probes.iter().flat_map(|(name, probe)| health.checks(*probe).into_iter().map(move |check| (*name, check)));
    let sample = |(probe, Check { name, failure }): (&str, Check)| {
        let labels = vec![("name", name.to_owned()), ("type", probe.to_owned())];
        (labels, f64::from(u8::from(failure.is_none())))
    };
    Gauge {
        name: "kubernetes_healthcheck",
        help: "1 if the check passes, 0 if it fails",
        samples: samples.map(sample).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A server whose store has answered the probe with `answer`.
    fn answered(answer: Result<(), &str>) -> Health {
        let health = Health::default();
        health.prober.record_answer(answer.map_err(ToOwned::to_owned));
        health
    }

    fn ask(health: &Health, query: &str) -> (u16, String) {
        let query = Query::parse(query).unwrap();
        answer("readyz", health.checks(Probe::Ready), &query)
    }

    #[test]
    fn failed_check_is_named_without_its_reason() {
        let (code, text) = ask(&answered(Err("disk gone")), "");
        assert_eq!(code, 500);
        assert_eq!(
            text,
            "[+]ping ok\n[-]store failed: reason withheld\n[+]commits ok\n[-]restore failed: reason withheld\n\
             [+]shutdown ok\nreadyz check failed\n"
        );
    }

    #[test]
    fn ready_probe_returns_ok_and_lists_checks_only_if_verbose() {
        let health = answered(Ok(()));
        health.set_restored();
        assert_eq!(ask(&health, ""), (200, "ok".to_owned()));
        let (code, text) = ask(&health, "verbose");
        assert_eq!((code, text.ends_with("[+]shutdown ok\nreadyz check passed\n")), (200, true), "{text}");
        health.set_stopping();
        assert_eq!(ask(&health, "").0, 500);
        assert_eq!(ask(&health, "exclude=shutdown").0, 200);
    }

    #[test]
    fn exclusion_of_an_unknown_check_is_warned_about() {
        let (_, text) = ask(&answered(Ok(())), "exclude=nothing&verbose");
        assert!(text.contains("warn: some health checks cannot be excluded: no matches for \"nothing\"\n"), "{text}");
    }

    #[test]
    fn liveness_does_not_depend_on_the_store() {
        let health = answered(Err("away"));
        health.writes.failed(&store::Error::Unavailable("away".to_owned()));
        assert!(health.checks(Probe::Live).iter().all(|check| check.failure.is_none()));
    }
}
