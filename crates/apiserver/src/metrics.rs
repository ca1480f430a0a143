//! Metrics in OpenMetrics text format, with the names of kube-apiserver (`apiserver_request_total` …) where it has
//! them.

mod labels;
mod process;

use std::{fmt::Write as _, sync::OnceLock, time::Duration};

use apimachinery::{
    command::{Action, Command},
    kind::Gauge,
};
use prometheus_client::{
    encoding::text::{encode_eof, encode_registry},
    metrics::{counter::Counter, family::Family, gauge::Gauge as PrometheusGauge, histogram::Histogram},
    registry::{Registry, Unit},
};

use self::labels::{
    AbortLabels, CertificateLabels, CommandResultLabels, ConnectionEndLabels, LatencyLabels, PreparedLabels,
    ReloadLabels, RequestKindLabels, ResponseLabels, TaskLabels, TerminationLabels,
};
pub use self::labels::{RequestLabels, WatchLabels, WatchListLabels};

/// The upper bounds of request latencies in seconds, as kube-apiserver's.
const REQUEST_SECONDS: [f64; 23] = [
    0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 1.25, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 15.0, 20.0, 30.0,
    45.0, 60.0,
];
/// The upper bounds of response sizes in bytes, as kube-apiserver's.
const RESPONSE_BYTES: [f64; 7] = [1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9];
/// The upper bounds of the sizes of events in bytes, as kube-apiserver's.
const EVENT_BYTES: [f64; 8] = [1_024.0, 2_048.0, 4_096.0, 8_192.0, 16_384.0, 32_768.0, 65_536.0, 131_072.0];
/// The upper bounds of the time in seconds until a watch has sent its initial objects, as kube-apiserver's.
const WATCH_LIST_SECONDS: [f64; 10] = [0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 2.0, 4.0, 6.0];
/// Status codes of requests that were rejected or ended to protect the server.
const TERMINATING: [u16; 2] = [429, 504];
/// The upper bounds of commit latencies in seconds: from a fast disk to a failing one.
const COMMIT_SECONDS: [f64; 12] = [0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0];
/// The upper bounds of batch sizes.
const BATCH_SIZES: [f64; 9] = [1.0, 2.0, 4.0, 8.0, 16.0, 64.0, 256.0, 1024.0, 4096.0];

/// The measurements of a complete response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResponseStats {
    /// The time from the request to the end of the response.
    pub elapsed: Duration,
    /// The size of the body in bytes.
    pub bytes: u64,
}

/// The counters of one watch, looked up once.
#[derive(Clone, Debug)]
pub struct WatchCounters {
    events: Counter,
    bytes: Histogram,
}

impl WatchCounters {
    /// Counts a sent event of `bytes` bytes.
    pub fn event(&self, bytes: usize) {
        self.events.inc();
        self.bytes.observe(bytes as f64);
    }
}

/// Counts an open connection until dropped.
#[derive(Debug)]
pub struct OpenConnection(PrometheusGauge);

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// The labels of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CommandLabels {
    resource: &'static str,
    action: &'static str,
    dry_run: &'static str,
}

impl CommandLabels {
    /// The labels of `command`.
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

/// The component that prepares a command again after its object has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PreparedBy {
    /// The committer.
    Committer,
    /// The task of the request.
    Request,
}

/// All metrics of a server.
pub struct Metrics {
    registry: Registry,
    requests: Family<RequestLabels, Counter>,
    request_seconds: Family<LatencyLabels, Histogram, fn() -> Histogram>,
    request_sli_seconds: Family<ResponseLabels, Histogram, fn() -> Histogram>,
    response_bytes: Family<ResponseLabels, Histogram, fn() -> Histogram>,
    terminations: Family<TerminationLabels, Counter>,
    aborts: Family<AbortLabels, Counter>,
    inflight: Family<RequestKindLabels, PrometheusGauge>,
    watches: PrometheusGauge,
    watch_events: Family<WatchLabels, Counter>,
    watch_event_bytes: Family<WatchLabels, Histogram, fn() -> Histogram>,
    watch_list_seconds: Family<WatchListLabels, Histogram, fn() -> Histogram>,
    commands: Family<CommandResultLabels, Counter>,
    prepared_again: Family<PreparedLabels, Counter>,
    batch_commands: Histogram,
    queue_commands: PrometheusGauge,
    commit_seconds: Histogram,
    commit_writes: Counter,
    handshake_errors: Counter,
    task_restarts: Family<TaskLabels, Counter>,
    connections: PrometheusGauge,
    connection_ends: Family<ConnectionEndLabels, Counter>,
    certificate_ends: Family<CertificateLabels, PrometheusGauge>,
    reloads: Family<ReloadLabels, Counter>,
    disagreements: Counter,
    lost_log_lines: OnceLock<LostLogLines>,
}

/// Returns the number of lines that the log has lost.
type LostLogLines = Box<dyn Fn() -> u64 + Send + Sync>;

impl Default for Metrics {
    fn default() -> Self {
        let mut metrics = Self {
            registry: Registry::default(),
            requests: Family::default(),
            request_seconds: Family::new_with_constructor(|| Histogram::new(REQUEST_SECONDS)),
            // Without the first two bounds, as in kube-apiserver.
            request_sli_seconds: Family::new_with_constructor(|| Histogram::new(REQUEST_SECONDS[2..].iter().copied())),
            response_bytes: Family::new_with_constructor(|| Histogram::new(RESPONSE_BYTES)),
            terminations: Family::default(),
            aborts: Family::default(),
            inflight: Family::default(),
            watches: PrometheusGauge::default(),
            watch_events: Family::default(),
            watch_event_bytes: Family::new_with_constructor(|| Histogram::new(EVENT_BYTES)),
            watch_list_seconds: Family::new_with_constructor(|| Histogram::new(WATCH_LIST_SECONDS)),
            commands: Family::default(),
            prepared_again: Family::default(),
            batch_commands: Histogram::new(BATCH_SIZES),
            queue_commands: PrometheusGauge::default(),
            commit_seconds: Histogram::new(COMMIT_SECONDS),
            commit_writes: Counter::default(),
            handshake_errors: Counter::default(),
            task_restarts: Family::default(),
            connections: PrometheusGauge::default(),
            connection_ends: Family::default(),
            certificate_ends: Family::default(),
            reloads: Family::default(),
            disagreements: Counter::default(),
            lost_log_lines: OnceLock::new(),
        };
        metrics.register_requests();
        metrics.register_watches();
        metrics.register_connections();
        metrics.register_commits();
        metrics.register_files();
        metrics
    }
}

impl Metrics {
    fn register_requests(&mut self) {
        let r = &mut self.registry;
        r.register("apiserver_request", "Requests by verb, resource and code", self.requests.clone());
        r.register_with_unit(
            "apiserver_request_duration",
            "Latency of requests without watches",
            Unit::Seconds,
            self.request_seconds.clone(),
        );
        r.register_with_unit(
            "apiserver_request_sli_duration",
            "Latency of requests without webhooks and queue waits, of which this server has none",
            Unit::Seconds,
            self.request_sli_seconds.clone(),
        );
        r.register(
            "apiserver_response_sizes",
            "Bytes of responses without watches, after compression",
            self.response_bytes.clone(),
        );
        r.register("apiserver_current_inflight_requests", "Requests in progress", self.inflight.clone());
        r.register(
            "apiserver_request_terminations",
            "Requests that were rejected or ended to protect the server",
            self.terminations.clone(),
        );
        r.register(
            "apiserver_request_aborts",
            "Requests whose client disconnected before the response was complete",
            self.aborts.clone(),
        );
    }

    fn register_connections(&mut self) {
        let r = &mut self.registry;
        r.register("apiserver_tls_handshake_errors", "Failed TLS handshakes", self.handshake_errors.clone());
        r.register("ipam_connections", "Open connections", self.connections.clone());
        r.register(
            "ipam_connection_ends",
            "Connections and HTTP/2 streams that the server ended because of their client, by reason",
            self.connection_ends.clone(),
        );
    }

    fn register_watches(&mut self) {
        let r = &mut self.registry;
        r.register("apiserver_longrunning_requests", "Open watches", self.watches.clone());
        r.register("apiserver_watch_events", "Events sent to watches", self.watch_events.clone());
        r.register(
            "apiserver_watch_events_sizes",
            "Bytes of the events sent to watches",
            self.watch_event_bytes.clone(),
        );
        r.register_with_unit(
            "apiserver_watch_list_duration",
            "Time until a watch had sent its initial objects",
            Unit::Seconds,
            self.watch_list_seconds.clone(),
        );
    }

    fn register_commits(&mut self) {
        let r = &mut self.registry;
        r.register("ipam_commands", "Decided writes by resource, action and result", self.commands.clone());
        r.register(
            "ipam_commands_prepared_again",
            "Writes that were prepared again because the object had changed, by component",
            self.prepared_again.clone(),
        );
        r.register("ipam_commit_batch_commands", "Commands decided together", self.batch_commands.clone());
        r.register(
            "ipam_commit_queue_commands",
            "Commands left in the queue when a batch began",
            self.queue_commands.clone(),
        );
        r.register_with_unit(
            "ipam_commit_duration",
            "Latency of the store's commits",
            Unit::Seconds,
            self.commit_seconds.clone(),
        );
        r.register("ipam_commit_writes", "Object versions written", self.commit_writes.clone());
        r.register("ipam_task_restarts", "Restarts of background tasks", self.task_restarts.clone());
    }

    fn register_files(&mut self) {
        let r = &mut self.registry;
        r.register_with_unit(
            "ipam_certificate_expiration_timestamp",
            "Expiry of the server's certificates in seconds since 1970",
            Unit::Seconds,
            self.certificate_ends.clone(),
        );
        r.register("ipam_file_reloads", "Reloads of changed files, by result", self.reloads.clone());
        r.register(
            "ipam_restored_status_disagreements",
            "Objects whose stored status differed from the held spans when the state was read",
            self.disagreements.clone(),
        );
    }

    /// Records the duration and size of a completely sent response.
    pub fn observe_response(&self, labels: &RequestLabels, ResponseStats { elapsed, bytes }: ResponseStats) {
        self.request_seconds.get_or_create(&labels.latency()).observe(elapsed.as_secs_f64());
        self.request_sli_seconds.get_or_create(&labels.response()).observe(elapsed.as_secs_f64());
        self.response_bytes.get_or_create(&labels.response()).observe(bytes as f64);
    }

    /// Counts a request whose response has begun.
    pub fn request_finished(&self, labels: &RequestLabels) {
        if TERMINATING.contains(&labels.code) {
            self.terminations.get_or_create(&labels.termination()).inc();
        }
        self.requests.get_or_create(labels).inc();
    }

    /// Counts a request whose client disconnected before the response was complete.
    pub fn request_aborted(&self, labels: &RequestLabels) {
        self.aborts.get_or_create(&labels.abort()).inc();
    }

    /// Adds `change` to the number of requests in progress: 1 at the beginning, -1 at the end.
    pub fn inflight(&self, mutating: bool, change: i64) {
        let request_kind = if mutating { "mutating" } else { "readOnly" };
        self.inflight.get_or_create(&RequestKindLabels { request_kind }).inc_by(change);
    }

    /// Adds `change` to the number of open watches: 1 at the beginning, -1 at the end.
    pub fn watches(&self, change: i64) {
        self.watches.inc_by(change);
    }

    /// The counters of a watch with these labels.
    pub fn watch_counters(&self, labels: &WatchLabels) -> WatchCounters {
        WatchCounters {
            events: self.watch_events.get_or_create_owned(labels),
            bytes: self.watch_event_bytes.get_or_create_owned(labels),
        }
    }

    /// Records how long a watch took to send its initial objects.
    pub fn observe_watch_list(&self, labels: &WatchListLabels, elapsed: Duration) {
        self.watch_list_seconds.get_or_create(labels).observe(elapsed.as_secs_f64());
    }

    /// Records a batch of `commands` commands, and `waiting` left in the queue.
    pub fn batch_started(&self, commands: usize, waiting: usize) {
        self.batch_commands.observe(commands as f64);
        self.queue_commands.set(i64::try_from(waiting).unwrap_or(i64::MAX));
    }

    /// Records a commit, successful or not.
    pub fn commit_finished(&self, elapsed: Duration, writes: usize) {
        self.commit_seconds.observe(elapsed.as_secs_f64());
        self.commit_writes.inc_by(writes as u64);
    }

    /// Counts a command after its decision and, if it writes, its commit. `result` is `ok` or the reason of an API
    /// error.
    pub fn command_finished(&self, command: CommandLabels, result: &'static str) {
        let CommandLabels { resource, action, dry_run } = command;
        self.commands.get_or_create(&CommandResultLabels { resource, action, dry_run, result }).inc();
    }

    /// Counts a command that is prepared again because its object has changed.
    pub fn prepared_again(&self, by: PreparedBy) {
        let by = match by {
            PreparedBy::Committer => "committer",
            PreparedBy::Request => "request",
        };
        self.prepared_again.get_or_create(&PreparedLabels { by }).inc();
    }

    /// Counts a failed TLS handshake.
    pub fn handshake_failed(&self) {
        self.handshake_errors.inc();
    }

    /// Counts a background task that ended and is restarted.
    pub fn task_restarted(&self, task: &'static str) {
        self.task_restarts.get_or_create(&TaskLabels { task }).inc();
    }

    /// Sets the expiry of a certificate, in seconds since 1970.
    pub fn certificate_ends(&self, certificate: &'static str, seconds: i64) {
        self.certificate_ends.get_or_create(&CertificateLabels { certificate }).set(seconds);
    }

    /// Counts a reload of changed files.
    pub fn reloaded(&self, files: &'static str, success: bool) {
        let result = if success { "success" } else { "failure" };
        self.reloads.get_or_create(&ReloadLabels { files, result }).inc();
    }

    /// Counts objects whose stored status differed from their spans when the state was read.
    pub fn count_disagreements(&self, objects: usize) {
        self.disagreements.inc_by(objects as u64);
    }

    /// Counts an open connection until the returned value is dropped.
    pub fn connection(&self) -> OpenConnection {
        self.connections.inc();
        OpenConnection(self.connections.clone())
    }

    /// Counts a connection or a stream that the server ended.
    pub fn connection_ended(&self, reason: &'static str) {
        self.connection_ends.get_or_create(&ConnectionEndLabels { reason }).inc();
    }

    /// Sets the function that returns the number of lost log lines. Later calls are ignored.
    pub fn count_lost_log_lines(&self, count: impl Fn() -> u64 + Send + Sync + 'static) {
        self.lost_log_lines.get_or_init(|| Box::new(count));
    }

    /// Renders all metrics as OpenMetrics text, with those of the process and the given gauges.
    pub fn render(&self, gauges: &[Gauge]) -> String {
        let mut text = String::new();
        encode_registry(&mut text, &self.registry).expect("writing to a string does not fail");
        process::render(&mut text).expect("writing to a string does not fail");
        if let Some(count) = self.lost_log_lines.get() {
            text += "# HELP ipam_log_lines_lost Log lines that were dropped because standard error failed or was too slow\n";
            text += &format!("# TYPE ipam_log_lines_lost counter\nipam_log_lines_lost_total {}\n", count());
        }
        for gauge in gauges {
            render_gauge(&mut text, gauge).expect("writing to a string does not fail");
        }
        encode_eof(&mut text).expect("writing to a string does not fail");
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
    fn gauges_are_rendered_before_the_eof_mark() {
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
