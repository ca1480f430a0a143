//! What requests, watches and commands are told apart by.

use prometheus_client::encoding::EncodeLabelSet;

/// What dashboards tell servers apart by that share a Prometheus.
const COMPONENT: &str = "apiserver";

/// Where a request goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Place {
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
}

/// One request, as it is counted.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct RequestLabels {
    /// GET, LIST, WATCH, POST, PUT, PATCH, DELETE or DELETECOLLECTION.
    pub verb: &'static str,
    /// `All` for a dry run, else empty.
    pub dry_run: &'static str,
    /// Where it goes.
    #[prometheus(flatten)]
    pub place: Place,
    /// Always the same.
    pub component: &'static str,
    /// HTTP status code.
    pub code: u16,
}

impl Default for RequestLabels {
    fn default() -> Self {
        Self { verb: "OTHER", dry_run: "", place: Place::default(), component: COMPONENT, code: 0 }
    }
}

/// A request, as its latency is measured.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct LatencyLabels {
    verb: &'static str,
    dry_run: &'static str,
    #[prometheus(flatten)]
    place: Place,
    component: &'static str,
}

/// A request, as its answer and the time for it are measured.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct AnswerLabels {
    verb: &'static str,
    #[prometheus(flatten)]
    place: Place,
    component: &'static str,
}

/// A request that the server did not do, to protect itself.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct TerminationLabels {
    verb: &'static str,
    #[prometheus(flatten)]
    place: Place,
    component: &'static str,
    code: u16,
}

/// A request that nobody waited for to the end.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct AbortLabels {
    verb: &'static str,
    #[prometheus(flatten)]
    place: Place,
}

impl RequestLabels {
    /// As its latency is measured.
    pub fn latency(&self) -> LatencyLabels {
        let Self { verb, dry_run, place, component, .. } = *self;
        LatencyLabels { verb, dry_run, place, component }
    }

    /// As its answer is measured.
    pub fn answer(&self) -> AnswerLabels {
        let Self { verb, place, component, .. } = *self;
        AnswerLabels { verb, place, component }
    }

    /// As one that was not done.
    pub fn termination(&self) -> TerminationLabels {
        let Self { verb, place, component, code, .. } = *self;
        TerminationLabels { verb, place, component, code }
    }

    /// As one that was given up.
    pub fn abort(&self) -> AbortLabels {
        let Self { verb, place, .. } = *self;
        AbortLabels { verb, place }
    }
}

/// A watch, as its events are counted.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct WatchLabels {
    /// API group.
    pub group: &'static str,
    /// API version.
    pub version: &'static str,
    /// The kind of its objects.
    pub kind: &'static str,
}

/// A stream of initial objects, as it is measured.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct WatchListLabels {
    /// API group.
    pub group: &'static str,
    /// API version.
    pub version: &'static str,
    /// Plural resource.
    pub resource: &'static str,
    /// `namespace` or `cluster`.
    pub scope: &'static str,
}

/// A command, as it is counted.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct CommandLabels {
    /// Plural resource.
    pub resource: &'static str,
    /// create, update, apply or delete.
    pub action: &'static str,
    /// Whether nothing was to be written.
    pub dry_run: &'static str,
    /// `ok`, `abandoned` (the caller was answered otherwise, or gone, before its turn) or the reason of a refusal.
    pub result: &'static str,
}

/// A command that is prepared again.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct PreparedLabels {
    /// `committer` or `request`.
    pub by: &'static str,
}

/// Requests under way.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct KindLabels {
    /// `mutating` or `readOnly`.
    pub request_kind: &'static str,
}

/// A background task.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct TaskLabels {
    /// Its name.
    pub task: &'static str,
}

/// A certificate of the server.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct CertificateLabels {
    /// `file`, `own`, `admin` or `authority`.
    pub certificate: &'static str,
}

/// Files that are read while the server runs.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ReloadLabels {
    /// `certificate`, `client-ca`, `tokens` or `own`.
    pub files: &'static str,
    /// `success` or `failure`.
    pub result: &'static str,
}

/// A connection, or a stream of one, that the server ended.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct EndLabels {
    /// `limit`, `accept`, `unknown`, `head`, `idle`, `send`, `stream` or `resets`.
    pub reason: &'static str,
}
