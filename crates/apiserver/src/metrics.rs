//! What operators measure, in the names that Kubernetes dashboards know (`apiserver_request_total` …), as OpenMetrics text.

use std::{fmt::Write as _, time::Duration};

use apimachinery::{
    command::{Action, Command},
    kind::Gauge,
};
use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{counter::Counter, family::Family, gauge::Gauge as PrometheusGauge, histogram::Histogram},
    registry::{Registry, Unit},
};

/// The upper bounds of request latencies in seconds, as kube-apiserver's.
const REQUEST_SECONDS: [f64; 23] = [
    0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 1.25, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 15.0, 20.0, 30.0,
    45.0, 60.0,
];
/// The upper bounds of the sizes of answers in bytes, as kube-apiserver's.
const RESPONSE_BYTES: [f64; 7] = [1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9];
/// What dashboards tell servers apart by that share a Prometheus.
const COMPONENT: &str = "apiserver";
/// The upper bounds of commit latencies in seconds: from a fast disk to a dying one.
const COMMIT_SECONDS: [f64; 12] = [0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0];
/// The upper bounds of batch sizes.
const BATCH_SIZES: [f64; 9] = [1.0, 2.0, 4.0, 8.0, 16.0, 64.0, 256.0, 1024.0, 4096.0];

/// One request, as it is counted.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct RequestLabels {
    /// GET, LIST, WATCH, POST, PUT, PATCH, DELETE or DELETECOLLECTION.
    pub verb: &'static str,
    /// `All` for a dry run, else empty.
    pub dry_run: &'static str,
    /// API group; empty for paths outside the API.
    pub group: &'static str,
    /// API version.
    pub version: &'static str,
    /// Plural resource.
    pub resource: &'static str,
    /// Subresource.
    pub subresource: &'static str,
    /// `resource`, `namespace` or `cluster`.
    pub scope: &'static str,
    /// Always the same.
    pub component: &'static str,
    /// HTTP status code.
    pub code: u16,
}

impl Default for RequestLabels {
    fn default() -> Self {
        Self {
            verb: "OTHER",
            dry_run: "",
            group: "",
            version: "",
            resource: "",
            subresource: "",
            scope: "",
            component: COMPONENT,
            code: 0,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct LatencyLabels {
    verb: &'static str,
    dry_run: &'static str,
    group: &'static str,
    version: &'static str,
    resource: &'static str,
    subresource: &'static str,
    scope: &'static str,
    component: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct SizeLabels {
    verb: &'static str,
    group: &'static str,
    version: &'static str,
    resource: &'static str,
    subresource: &'static str,
    scope: &'static str,
    component: &'static str,
}

impl RequestLabels {
    fn latency(&self) -> LatencyLabels {
        let Self { verb, dry_run, group, version, resource, subresource, scope, component, .. } = *self;
        LatencyLabels { verb, dry_run, group, version, resource, subresource, scope, component }
    }

    fn size(&self) -> SizeLabels {
        let Self { verb, group, version, resource, subresource, scope, component, .. } = *self;
        SizeLabels { verb, group, version, resource, subresource, scope, component }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CommandLabels {
    resource: &'static str,
    action: &'static str,
    dry_run: &'static str,
    result: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct KindLabels {
    request_kind: &'static str,
}

/// A whole answer, as it is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Whole {
    /// From the request to the answer.
    pub elapsed: Duration,
    /// The length of its body.
    pub bytes: u64,
}

/// A command, as it is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decided {
    resource: &'static str,
    action: &'static str,
    dry_run: &'static str,
}

impl Decided {
    /// What is counted of a command.
    pub fn of(command: &Command) -> Self {
        let action = match &command.action {
            Action::Create(_) => "create",
            Action::Update { .. } => "update",
            Action::Apply { .. } => "apply",
            Action::Delete(_) => "delete",
        };
        Self { resource: command.key.resource, action, dry_run: if command.dry_run { "true" } else { "false" } }
    }
}

/// All counters of a server.
pub struct Metrics {
    registry: Registry,
    requests: Family<RequestLabels, Counter>,
    request_seconds: Family<LatencyLabels, Histogram, fn() -> Histogram>,
    response_bytes: Family<SizeLabels, Histogram, fn() -> Histogram>,
    inflight: Family<KindLabels, PrometheusGauge>,
    watches: PrometheusGauge,
    watch_events: Counter,
    commands: Family<CommandLabels, Counter>,
    batch_commands: Histogram,
    queue_commands: PrometheusGauge,
    commit_seconds: Histogram,
    commit_writes: Counter,
    handshake_errors: Counter,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut metrics = Self {
            registry: Registry::default(),
            requests: Family::default(),
            request_seconds: Family::new_with_constructor(|| Histogram::new(REQUEST_SECONDS)),
            response_bytes: Family::new_with_constructor(|| Histogram::new(RESPONSE_BYTES)),
            inflight: Family::default(),
            watches: PrometheusGauge::default(),
            watch_events: Counter::default(),
            commands: Family::default(),
            batch_commands: Histogram::new(BATCH_SIZES),
            queue_commands: PrometheusGauge::default(),
            commit_seconds: Histogram::new(COMMIT_SECONDS),
            commit_writes: Counter::default(),
            handshake_errors: Counter::default(),
        };
        metrics.register();
        metrics
    }
}

impl Metrics {
    fn register(&mut self) {
        let r = &mut self.registry;
        r.register("apiserver_request", "Requests by verb, resource and code", self.requests.clone());
        r.register_with_unit(
            "apiserver_request_duration",
            "Latency of requests, watches not counted",
            Unit::Seconds,
            self.request_seconds.clone(),
        );
        r.register(
            "apiserver_response_sizes",
            "Bytes of answers as they leave, watches not counted",
            self.response_bytes.clone(),
        );
        r.register("apiserver_current_inflight_requests", "Requests under way", self.inflight.clone());
        r.register("apiserver_longrunning_requests", "Open watches", self.watches.clone());
        r.register("apiserver_watch_events", "Events sent to watches", self.watch_events.clone());
        r.register("ipam_commands", "Decided writes by resource, action and result", self.commands.clone());
        r.register("ipam_commit_batch_commands", "Commands decided together", self.batch_commands.clone());
        r.register(
            "ipam_commit_queue_commands",
            "Commands left waiting when a batch began",
            self.queue_commands.clone(),
        );
        r.register_with_unit(
            "ipam_commit_duration",
            "Latency of the store's commits",
            Unit::Seconds,
            self.commit_seconds.clone(),
        );
        r.register("ipam_commit_writes", "Object versions written", self.commit_writes.clone());
        r.register("apiserver_tls_handshake_errors", "Failed TLS handshakes", self.handshake_errors.clone());
    }

    /// A request was answered. `whole` is `None` for a watch, whose answer goes on.
    pub fn request_finished(&self, labels: RequestLabels, whole: Option<Whole>) {
        if let Some(Whole { elapsed, bytes }) = whole {
            self.request_seconds.get_or_create(&labels.latency()).observe(elapsed.as_secs_f64());
            self.response_bytes.get_or_create(&labels.size()).observe(bytes as f64);
        }
        self.requests.get_or_create(&labels).inc();
    }

    /// A request began or, with -1, ended.
    pub fn inflight(&self, mutating: bool, change: i64) {
        let request_kind = if mutating { "mutating" } else { "readOnly" };
        self.inflight.get_or_create(&KindLabels { request_kind }).inc_by(change);
    }

    /// A watch began or, with -1, ended.
    pub fn watches(&self, change: i64) {
        self.watches.inc_by(change);
    }

    /// Events were sent to a watch.
    pub fn watch_events(&self, count: usize) {
        self.watch_events.inc_by(count as u64);
    }

    /// A batch of `commands` began, and `waiting` were left.
    pub fn batch_started(&self, commands: usize, waiting: usize) {
        self.batch_commands.observe(commands as f64);
        self.queue_commands.set(i64::try_from(waiting).unwrap_or(i64::MAX));
    }

    /// The store committed, or failed to.
    pub fn commit_finished(&self, elapsed: Duration, writes: usize) {
        self.commit_seconds.observe(elapsed.as_secs_f64());
        self.commit_writes.inc_by(writes as u64);
    }

    /// A command was decided and, if anything was to be written, committed. `result` is `ok` or the reason of a refusal.
    pub fn command_finished(&self, command: Decided, result: &'static str) {
        let Decided { resource, action, dry_run } = command;
        self.commands.get_or_create(&CommandLabels { resource, action, dry_run, result }).inc();
    }

    /// A TLS handshake failed.
    pub fn handshake_failed(&self) {
        self.handshake_errors.inc();
    }

    /// Everything as OpenMetrics text, with the gauges that the service computes at this moment.
    pub fn render(&self, gauges: &[Gauge]) -> String {
        let mut text = String::new();
        encode(&mut text, &self.registry).expect("writing to a string does not fail");
        let end = text.strip_suffix("# EOF\n").map_or(text.len(), str::len);
        text.truncate(end);
        for gauge in gauges {
            render_gauge(&mut text, gauge).expect("writing to a string does not fail");
        }
        text.push_str("# EOF\n");
        text
    }
}

fn render_gauge(text: &mut String, gauge: &Gauge) -> std::fmt::Result {
    writeln!(text, "# HELP {} {}\n# TYPE {} gauge", gauge.name, gauge.help, gauge.name)?;
    for (labels, value) in &gauge.samples {
        let labels = labels.iter().map(|(name, value)| format!("{name}=\"{}\"", escape(value))).collect::<Vec<_>>();
        if labels.is_empty() {
            writeln!(text, "{} {value}", gauge.name)?;
        } else {
            writeln!(text, "{}{{{}}} {value}", gauge.name, labels.join(","))?;
        }
    }
    Ok(())
}

fn escape(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_services_gauges_stand_before_the_end_mark() {
        let gauge = Gauge {
            name: "ipam_pool_utilization_ratio",
            help: "Share",
            samples: vec![(vec![("pool", "a\"b".to_owned())], 0.5)],
        };
        let text = Metrics::default().render(&[gauge]);
        assert!(text.contains("ipam_pool_utilization_ratio{pool=\"a\\\"b\"} 0.5\n# EOF\n"), "{text}");
        assert_eq!(text.matches("# EOF").count(), 1);
    }
}
