//! The labels of metrics.

use prometheus_client::encoding::EncodeLabelSet;

/// The `component` label, as in kube-apiserver.
const COMPONENT: &str = "apiserver";

/// The resource that a request addresses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ResourceLabels {
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

/// The labels of a request.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct RequestLabels {
    /// GET, LIST, WATCH, POST, PUT, PATCH, DELETE or DELETECOLLECTION.
    pub verb: &'static str,
    /// `All` for a dry run, else empty.
    pub dry_run: &'static str,
    /// The resource.
    #[prometheus(flatten)]
    pub target: ResourceLabels,
    /// Always `apiserver`.
    pub component: &'static str,
    /// HTTP status code.
    pub code: u16,
}

impl Default for RequestLabels {
    fn default() -> Self {
        Self { verb: "OTHER", dry_run: "", target: ResourceLabels::default(), component: COMPONENT, code: 0 }
    }
}

/// The labels of a request's latency.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct LatencyLabels {
    verb: &'static str,
    dry_run: &'static str,
    #[prometheus(flatten)]
    target: ResourceLabels,
    component: &'static str,
}

/// The labels of a response's size and SLI latency.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ResponseLabels {
    verb: &'static str,
    #[prometheus(flatten)]
    target: ResourceLabels,
    component: &'static str,
}

/// The labels of a request that was rejected or ended to protect the server.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct TerminationLabels {
    verb: &'static str,
    #[prometheus(flatten)]
    target: ResourceLabels,
    component: &'static str,
    code: u16,
}

/// The labels of a request whose client disconnected.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct AbortLabels {
    verb: &'static str,
    #[prometheus(flatten)]
    target: ResourceLabels,
}

impl RequestLabels {
    /// The labels of the latency.
    pub fn latency(&self) -> LatencyLabels {
        let Self { verb, dry_run, target, component, .. } = *self;
        LatencyLabels { verb, dry_run, target, component }
    }

    /// The labels of the response.
    pub fn response(&self) -> ResponseLabels {
        let Self { verb, target, component, .. } = *self;
        ResponseLabels { verb, target, component }
    }

    /// The labels of a rejected or ended request.
    pub fn termination(&self) -> TerminationLabels {
        let Self { verb, target, component, code, .. } = *self;
        TerminationLabels { verb, target, component, code }
    }

    /// The labels of an aborted request.
    pub fn abort(&self) -> AbortLabels {
        let Self { verb, target, .. } = *self;
        AbortLabels { verb, target }
    }
}

/// The labels of a watch's events.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct WatchLabels {
    /// API group.
    pub group: &'static str,
    /// API version.
    pub version: &'static str,
    /// The kind of its objects.
    pub kind: &'static str,
}

/// The labels of the initial objects of a watch.
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

/// The labels of a command.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct CommandResultLabels {
    /// Plural resource.
    pub resource: &'static str,
    /// create, update, apply or delete.
    pub action: &'static str,
    /// `true` or `false`.
    pub dry_run: &'static str,
    /// `ok`, `abandoned` (the caller timed out or disconnected before the decision) or the reason of an API error.
    pub result: &'static str,
}

/// The labels of a command that is prepared again.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct PreparedLabels {
    /// `committer` or `request`.
    pub by: &'static str,
}

/// The labels of requests in progress.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct RequestKindLabels {
    /// `mutating` or `readOnly`.
    pub request_kind: &'static str,
}

/// The labels of a background task.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct TaskLabels {
    /// Its name.
    pub task: &'static str,
}

/// The labels of a certificate of the server.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct CertificateLabels {
    /// `file`, `own`, `admin` or `authority`.
    pub certificate: &'static str,
}

/// The labels of files that are read again while the server runs.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ReloadLabels {
    /// `certificate`, `client-ca`, `tokens` or `own`.
    pub files: &'static str,
    /// `success` or `failure`.
    pub result: &'static str,
}

/// The labels of a connection or a stream that the server ended.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ConnectionEndLabels {
    /// `limit`, `accept`, `unknown`, `head`, `idle`, `send`, `stream` or `resets`.
    pub reason: &'static str,
}
