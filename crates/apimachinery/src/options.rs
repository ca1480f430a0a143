//! Query parameters and option bodies of writes, deletes, lists and watches.

use std::{borrow::Cow, time::Duration};

use percent_encoding::percent_decode_str;
use serde_json::Value;

use crate::{
    field::{FieldError, Path},
    limits::QUERY_PARAMETERS_MAX,
    metadata::field_manager_error,
    resource::Resource,
    selector::{FieldSelector, LabelSelector},
    status_error::StatusError,
};

/// API group of option objects, for API errors.
const META: &str = "meta.k8s.io";

/// A decoded query string: names and values in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Query(Vec<(String, String)>);

impl Query {
    /// Decodes `raw`, the part of a URL after the question mark.
    pub fn parse(raw: &str) -> Result<Self, StatusError> {
        let pairs = raw.split('&').filter(|pair| !pair.is_empty());
        if pairs.clone().count() > QUERY_PARAMETERS_MAX {
            let message = format!("the query has more than the limit of {QUERY_PARAMETERS_MAX} parameters");
            return Err(StatusError::bad_request(message));
        }
        let pairs = pairs.map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let decode = |text: &str| {
                let text = text.replace('+', " ");
                let malformed = || StatusError::bad_request(format!("invalid URL escape in {text:?}"));
                percent_decode(&text).ok_or_else(malformed)
            };
            Ok((decode(name)?, decode(value)?))
        });
        pairs.collect::<Result<_, _>>().map(Self)
    }

    /// The first value of `name`.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    /// All values of `name`.
    pub fn get_all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    /// A boolean parameter: false if absent, `0` or `false`; otherwise true, even if empty.
    pub fn flag(&self, name: &str) -> bool {
        self.get(name).is_some_and(|value| value != "0" && !value.eq_ignore_ascii_case("false"))
    }
}

/// Decodes `%xx`; `None` if malformed or not UTF-8.
pub(crate) fn percent_decode(text: &str) -> Option<String> {
    let is_escape = |rest: &str| rest.bytes().take(2).filter(u8::is_ascii_hexdigit).count() == 2;
    let decode = || percent_decode_str(text).decode_utf8().ok().map(Cow::into_owned);
    text.split('%').skip(1).all(is_escape).then(decode).flatten()
}

/// The type of a write, which determines its options.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OptionsKind {
    /// Create.
    Create,
    /// Replace (PUT).
    Update,
    /// Patch.
    Patch,
    /// Server-side apply.
    Apply,
}

/// The query parameter `fieldValidation`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FieldValidation {
    /// Drop unknown fields silently.
    Ignore,
    /// Drop them and warn.
    #[default]
    Warn,
    /// Return an error.
    Strict,
}

/// Options of a create, replace, patch or apply.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WriteOptions {
    /// Compute and validate everything, persist nothing.
    pub dry_run: bool,
    /// Treatment of unknown and repeated fields.
    pub field_validation: FieldValidation,
    /// Field manager, if given.
    pub field_manager: Option<String>,
    /// For apply: take over fields that other managers own.
    pub force: bool,
}

impl WriteOptions {
    /// Parses the options; returns 422 with all invalid ones.
    pub fn parse(query: &Query, kind: OptionsKind) -> Result<Self, StatusError> {
        let mut errors = Vec::new();
        let field_manager = query.get("fieldManager").filter(|name| !name.is_empty());
        match kind {
            OptionsKind::Patch if query.get("force").is_some() => {
                errors.push(FieldError::forbidden(Path::new("force"), "may not be specified for non-apply patch"));
            }
            OptionsKind::Apply if field_manager.is_none() => {
                errors.push(FieldError::required(Path::new("fieldManager"), "is required for apply patch"));
            }
            _ => {}
        }
        errors.extend(field_manager.and_then(|name| field_manager_error(name, Path::new("fieldManager"))));
        let dry_run = dry_run(query, &mut errors);
        let field_validation = field_validation(query, &mut errors);
        let kind = match kind {
            OptionsKind::Create => "CreateOptions",
            OptionsKind::Update => "UpdateOptions",
            OptionsKind::Patch | OptionsKind::Apply => "PatchOptions",
        };
        into_result(kind, &errors)?;
        let field_manager = field_manager.map(str::to_owned);
        Ok(Self { dry_run, field_validation, field_manager, force: query.flag("force") })
    }
}

fn field_validation(query: &Query, errors: &mut Vec<FieldError>) -> FieldValidation {
    match query.get("fieldValidation") {
        None | Some("" | "Warn") => FieldValidation::Warn,
        Some("Ignore") => FieldValidation::Ignore,
        Some("Strict") => FieldValidation::Strict,
        Some(other) => {
            let supported = ["", "Ignore", "Strict", "Warn"];
            errors.push(FieldError::not_supported(Path::new("fieldValidation"), other, &supported));
            FieldValidation::Warn
        }
    }
}

fn dry_run(query: &Query, errors: &mut Vec<FieldError>) -> bool {
    let values: Vec<Value> = query.get_all("dryRun").filter(|value| !value.is_empty()).map(Value::from).collect();
    check_dry_run(&values, errors)
}

/// Validates the values, and returns true for a dry run.
fn check_dry_run(values: &[Value], errors: &mut Vec<FieldError>) -> bool {
    if values.iter().any(|value| value != "All") {
        errors.push(FieldError::not_supported(Path::new("dryRun"), values, &["All"]));
    }
    !values.is_empty()
}

fn into_result(kind: &str, errors: &[FieldError]) -> Result<(), StatusError> {
    if errors.is_empty() { Ok(()) } else { Err(StatusError::invalid(META, kind, "", errors)) }
}

/// Treatment of the dependents of a deleted object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Propagation {
    /// Delete them after the object.
    Background,
    /// Delete them before the object.
    Foreground,
    /// Keep them.
    Orphan,
}

/// Options of a delete.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeleteOptions {
    /// Precondition: the uid of the object.
    pub uid: Option<String>,
    /// Precondition: the resourceVersion of the object.
    pub resource_version: Option<String>,
    /// Treatment of its dependents; `None` for the default.
    pub propagation: Option<Propagation>,
    /// The client sent `orphanDependents=false`: it gets 202 while finalizers are pending and 200 when the object is
    /// deleted.
    pub orphan_dependents_false: bool,
    /// Compute and validate everything, persist nothing.
    pub dry_run: bool,
}

impl DeleteOptions {
    /// Parses the options from the body if there is one, otherwise from the query. `dryRun` in the query counts in
    /// either case, so that such a request never deletes anything.
    pub fn parse(body: Option<&Value>, query: &Query) -> Result<Self, StatusError> {
        let mut errors = Vec::new();
        let options = match body {
            Some(body) => Self::from_body(body, &mut errors)?,
            None => Self::from_query(query, &mut errors)?,
        };
        let dry_run = options.dry_run | dry_run(query, &mut errors);
        into_result("DeleteOptions", &errors)?;
        Ok(Self { dry_run, ..options })
    }

    fn from_query(query: &Query, errors: &mut Vec<FieldError>) -> Result<Self, StatusError> {
        // Accepted without effect: no kind here has a grace period.
        number(query, "gracePeriodSeconds")?;
        let orphan = query.get("orphanDependents").map(|_| query.flag("orphanDependents"));
        let propagation = propagation(query.get("propagationPolicy"), orphan, errors);
        Ok(Self { propagation, orphan_dependents_false: orphan == Some(false), ..Self::default() })
    }

    fn from_body(body: &Value, errors: &mut Vec<FieldError>) -> Result<Self, StatusError> {
        let malformed = |what: &str| StatusError::bad_request(format!("the body is not a DeleteOptions: {what}"));
        let fields = body.as_object().ok_or_else(|| malformed("it must be an object"))?;
        let text = |object: &Value, name: &str| match object.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(_) => Err(malformed(&format!("{name} must be a string"))),
        };
        let preconditions = fields.get("preconditions").unwrap_or(&Value::Null);
        if !preconditions.is_null() && !preconditions.is_object() {
            return Err(malformed("preconditions must be an object"));
        }
        let orphan = match fields.get("orphanDependents") {
            None | Some(Value::Null) => None,
            Some(Value::Bool(orphan)) => Some(*orphan),
            Some(_) => return Err(malformed("orphanDependents must be a boolean")),
        };
        if fields.get("gracePeriodSeconds").is_some_and(|seconds| !seconds.is_null() && !seconds.is_i64()) {
            return Err(malformed("gracePeriodSeconds must be an integer"));
        }
        let (version, kind) = (text(body, "apiVersion")?, text(body, "kind")?);
        check_type(version.as_deref().unwrap_or_default(), kind.as_deref().unwrap_or_default())?;
        let policy = text(body, "propagationPolicy")?;
        Ok(Self {
            uid: text(preconditions, "uid")?,
            resource_version: text(preconditions, "resourceVersion")?,
            propagation: propagation(policy.as_deref(), orphan, errors),
            orphan_dependents_false: orphan == Some(false),
            dry_run: body_dry_run(fields.get("dryRun"), errors).ok_or_else(|| malformed("dryRun must be a list"))?,
        })
    }
}

/// Clients send `DeleteOptions` of `v1`, of `meta.k8s.io/v1` or of the group of the object, or no type.
fn check_type(api_version: &str, kind: &str) -> Result<(), StatusError> {
    let known_version = match api_version.split_once('/') {
        None => api_version.is_empty() || api_version == "v1",
        Some((META, version)) => version == "v1",
        Some((group, version)) => !group.is_empty() && !version.is_empty() && !version.contains('/'),
    };
    if known_version && (kind.is_empty() || kind == "DeleteOptions") {
        return Ok(());
    }
    Err(StatusError::bad_request(format!("no kind \"{kind}\" is registered for version \"{api_version}\"")))
}

fn body_dry_run(value: Option<&Value>, errors: &mut Vec<FieldError>) -> Option<bool> {
    let values = match value {
        None | Some(Value::Null) => return Some(false),
        Some(values) => values.as_array()?,
    };
    Some(check_dry_run(values, errors))
}

fn propagation(policy: Option<&str>, orphan: Option<bool>, errors: &mut Vec<FieldError>) -> Option<Propagation> {
    let path = Path::new("propagationPolicy");
    let policy = policy.filter(|policy| !policy.is_empty());
    if let (Some(_), Some(_)) = (policy, orphan) {
        let detail = "orphanDependents and deletionPropagation cannot be both set";
        errors.push(FieldError::invalid(path.clone(), policy.unwrap_or_default(), detail));
    }
    match (policy, orphan) {
        (Some("Background"), _) => Some(Propagation::Background),
        (Some("Foreground"), _) => Some(Propagation::Foreground),
        (Some("Orphan"), _) => Some(Propagation::Orphan),
        (Some(other), _) => {
            errors.push(FieldError::not_supported(path, other, &["Foreground", "Background", "Orphan", "nil"]));
            None
        }
        (None, Some(true)) => Some(Propagation::Orphan),
        (None, Some(false)) => Some(Propagation::Background),
        (None, None) => None,
    }
}

/// The query parameter `resourceVersion`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ResourceVersion {
    /// Not given: the latest state.
    #[default]
    Unset,
    /// `0`: any state.
    Any,
    /// A revision (not 0).
    At(u64),
}

/// The query parameter `resourceVersionMatch`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VersionMatch {
    /// Exactly this state.
    Exact,
    /// This state or a later one.
    NotOlderThan,
}

/// Options of a get, list or watch.
#[derive(Clone, Debug, Default)]
pub struct ListOptions {
    /// Label selector.
    pub labels: LabelSelector,
    /// Field selector.
    pub fields: FieldSelector,
    /// Page size; `None` for no limit.
    pub limit: Option<usize>,
    /// Token to continue a list.
    pub continue_token: Option<String>,
    /// Requested revision.
    pub resource_version: ResourceVersion,
    /// Meaning of the requested revision.
    pub version_match: Option<VersionMatch>,
    /// True for a watch.
    pub watch: bool,
    /// The client accepts bookmarks.
    pub allow_bookmarks: bool,
    /// Send the current objects first, as events.
    pub send_initial_events: Option<bool>,
    /// Duration of a watch, in seconds.
    pub timeout_seconds: Option<u64>,
}

impl ListOptions {
    /// Parses and validates the options.
    pub fn parse(query: &Query, resource: &Resource) -> Result<Self, StatusError> {
        let mut errors = Vec::new();
        let wanted_match = query.get("resourceVersionMatch").unwrap_or_default();
        let version_match = match wanted_match {
            "Exact" => Some(VersionMatch::Exact),
            "NotOlderThan" => Some(VersionMatch::NotOlderThan),
            _ => None,
        };
        let resource_version = resource_version(query);
        let mut options = Self {
            labels: LabelSelector::parse(query.get("labelSelector").unwrap_or_default())?,
            fields: FieldSelector::parse(query.get("fieldSelector").unwrap_or_default())?,
            limit: limit(query)?,
            continue_token: query.get("continue").filter(|token| !token.is_empty()).map(str::to_owned),
            // An invalid version is treated as a revision here and rejected below, in the order of Kubernetes.
            resource_version: resource_version.clone().unwrap_or(ResourceVersion::At(0)),
            version_match,
            watch: query.flag("watch"),
            allow_bookmarks: query.flag("allowWatchBookmarks"),
            send_initial_events: query.get("sendInitialEvents").map(|_| query.flag("sendInitialEvents")),
            timeout_seconds: number(query, "timeoutSeconds")?.filter(|seconds| *seconds > 0),
        };
        if options.watch {
            options.check_watch(wanted_match, &mut errors);
        } else {
            options.check_list(wanted_match, &mut errors);
        }
        into_result("ListOptions", &errors)?;
        options.fields = options.fields.for_resource(resource)?;
        if options.continue_token.is_some() && matches!(options.resource_version, ResourceVersion::At(_)) {
            return Err(StatusError::bad_request("specifying resource version is not allowed when using continue"));
        }
        resource_version?;
        Ok(options)
    }

    fn check_list(&self, wanted_match: &str, errors: &mut Vec<FieldError>) {
        let path = || Path::new("resourceVersionMatch");
        let mut forbid = |applies: bool, why: &str| errors.extend(applies.then(|| FieldError::forbidden(path(), why)));
        if !wanted_match.is_empty() {
            let is_unset = self.resource_version == ResourceVersion::Unset;
            forbid(is_unset, "resourceVersionMatch is forbidden unless resourceVersion is provided");
            let continues = self.continue_token.is_some();
            forbid(continues, "resourceVersionMatch is forbidden when continue is provided");
            if self.version_match.is_none() {
                errors.push(FieldError::not_supported(path(), wanted_match, &["Exact", "NotOlderThan", ""]));
            }
            if (self.resource_version, self.version_match) == (ResourceVersion::Any, Some(VersionMatch::Exact)) {
                let why = "resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\"";
                errors.push(FieldError::forbidden(path(), why));
            }
        }
        if self.send_initial_events.is_some() {
            let detail = "sendInitialEvents is forbidden for list";
            errors.push(FieldError::forbidden(Path::new("sendInitialEvents"), detail));
        }
    }

    fn check_watch(&self, wanted_match: &str, errors: &mut Vec<FieldError>) {
        let path = || Path::new("resourceVersionMatch");
        let is_other = self.version_match != Some(VersionMatch::NotOlderThan);
        if self.send_initial_events.is_some() && is_other {
            let detail = "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan";
            errors.push(FieldError::forbidden(path(), detail));
        }
        if wanted_match.is_empty() {
            return;
        }
        if self.send_initial_events.is_none() {
            let detail = "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided";
            errors.push(FieldError::forbidden(path(), detail));
        }
        if is_other {
            errors.push(FieldError::not_supported(path(), wanted_match, &["NotOlderThan"]));
        }
        if self.continue_token.is_some() {
            let detail = "resourceVersionMatch is forbidden when continue is provided";
            errors.push(FieldError::forbidden(path(), detail));
        }
    }
}

fn resource_version(query: &Query) -> Result<ResourceVersion, StatusError> {
    let text = query.get("resourceVersion").unwrap_or_default();
    match parse_decimal(text) {
        _ if text.is_empty() => Ok(ResourceVersion::Unset),
        Some(0) => Ok(ResourceVersion::Any),
        Some(revision) => Ok(ResourceVersion::At(revision)),
        None => Err(StatusError::bad_request(format!(
            "invalid resource version {text:?}: it must be a number returned by this server"
        ))),
    }
}

/// Zero and negative limits mean no limit, as in Kubernetes.
fn limit(query: &Query) -> Result<Option<usize>, StatusError> {
    let text = query.get("limit").unwrap_or_default();
    if text.strip_prefix('-').and_then(parse_decimal).is_some_and(|n| i64::try_from(n).is_ok()) {
        return Ok(None);
    }
    let limit = number(query, "limit")?.filter(|limit| *limit > 0);
    Ok(limit.map(|limit| usize::try_from(limit).unwrap_or(usize::MAX)))
}

fn number(query: &Query, name: &str) -> Result<Option<u64>, StatusError> {
    match query.get(name).unwrap_or_default() {
        "" => Ok(None),
        text => parse_decimal(text).filter(|n| i64::try_from(*n).is_ok()).map(Some).ok_or_else(|| {
            StatusError::bad_request(format!(
                "invalid query parameter {name}={text:?}: it must be a non-negative integer"
            ))
        }),
    }
}

/// Parses a decimal number without sign or blanks.
fn parse_decimal(text: &str) -> Option<u64> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

/// Parses the query parameter `timeout` of a request that is not a watch, a Go duration (`34s`, `1m30s`).
pub fn parse_timeout(query: &Query) -> Result<Option<Duration>, StatusError> {
    match query.get("timeout").unwrap_or_default() {
        "" => Ok(None),
        text => go_duration(text)
            .map(Some)
            .ok_or_else(|| StatusError::bad_request("invalid timeout specified in the request URL")),
    }
}

fn go_duration(text: &str) -> Option<Duration> {
    if text == "0" {
        return Some(Duration::ZERO);
    }
    let (mut total, mut rest) = (Duration::ZERO, text);
    while !rest.is_empty() {
        let number_end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, behind) = rest.split_at(number_end);
        let unit_end = behind.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(behind.len());
        let (unit, behind) = behind.split_at(unit_end);
        let seconds = match unit {
            "h" => 3600.0,
            "m" => 60.0,
            "s" => 1.0,
            "ms" => 1e-3,
            "us" | "\u{b5}s" | "\u{3bc}s" => 1e-6,
            "ns" => 1e-9,
            _ => return None,
        };
        let span = Duration::try_from_secs_f64(number.parse::<f64>().ok()? * seconds).ok()?;
        total = total.checked_add(span)?;
        rest = behind;
    }
    (!text.is_empty()).then_some(total)
}

#[cfg(test)]
mod tests;
