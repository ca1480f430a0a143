//! Content negotiation by the `Accept` header.
//!
//! The header is parsed by hand: real clients send media types with `@`, parameters in any order, and clauses
//! (Protobuf, CBOR) that must be ignored instead of rejected.

mod indent;

use std::{cmp::Reverse, fmt};

use serde_json::Value;

pub use self::indent::{Indenter, indent};
use crate::{
    field::{FieldError, Path},
    limits::{LAYOUT_BYTES_MIN, LAYOUT_GROWTH_MAX, MEDIA_TYPES_MAX},
    options::Query,
    status_error::{StatusError, StatusReason},
};

/// Representation of an object, a list or the events of a watch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Representation {
    /// Objects in JSON.
    Json,
    /// Objects in YAML.
    Yaml,
    /// Table rows, in JSON.
    Table {
        /// `meta.k8s.io/v1beta1` instead of `v1`.
        v1beta1: bool,
        /// The object in a row besides the cells.
        include: IncludeObject,
    },
    /// Partial metadata, in JSON.
    Partial {
        /// `meta.k8s.io/v1beta1` instead of `v1`.
        v1beta1: bool,
    },
}

impl Representation {
    /// The `Content-Type` of the response. Tables have that of plain JSON; clients recognize them by `kind`.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Yaml => YAML,
            Self::Json | Self::Table { .. } | Self::Partial { .. } => JSON,
        }
    }
}

/// The object in a table row besides the cells (query parameter `includeObject`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum IncludeObject {
    /// Only metadata.
    #[default]
    Metadata,
    /// The whole object.
    Object,
    /// No object.
    None,
}

impl IncludeObject {
    fn parse(query: &Query) -> Result<Self, StatusError> {
        match query.get("includeObject") {
            None | Some("" | "Metadata") => Ok(Self::Metadata),
            Some("Object") => Ok(Self::Object),
            Some("None") => Ok(Self::None),
            Some(other) => {
                let detail = "must be 'Metadata', 'Object', 'None', or empty";
                let error = FieldError::invalid(Path::new("includeObject"), other, detail);
                Err(StatusError::bad_request(format!("Unable to convert to Table as requested: {error}")))
            }
        }
    }
}

/// Type of a response; not every type has every representation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResponseShape {
    /// One object.
    Object,
    /// A list of objects.
    List,
    /// A stream of watch events.
    Watch,
}

/// Selects the representation of a response: the client's first choice that can be served; 406 if there is none. The
/// default is JSON.
pub fn negotiate(accept: Option<&str>, shape: ResponseShape, query: &Query) -> Result<Representation, StatusError> {
    let media_ranges = media_ranges(accept);
    let picked = media_ranges.iter().find_map(|media_range| representation(media_range, shape));
    match picked.ok_or_else(not_acceptable)? {
        Representation::Table { v1beta1, .. } => {
            Ok(Representation::Table { v1beta1, include: IncludeObject::parse(query)? })
        }
        other => Ok(other),
    }
}

fn representation(media_range: &MediaRange<'_>, shape: ResponseShape) -> Option<Representation> {
    let json = media_range.matches(JSON);
    let Some(kind) = media_range.parameter("as") else {
        let yaml = media_range.matches(YAML) && shape != ResponseShape::Watch;
        return if json { Some(Representation::Json) } else { yaml.then_some(Representation::Yaml) };
    };
    let v1beta1 = match media_range.parameter("v") {
        Some("v1") => false,
        Some("v1beta1") => true,
        _ => return None,
    };
    if !json || media_range.parameter("g") != Some("meta.k8s.io") {
        return None;
    }
    match (kind, shape) {
        ("Table", _) => Some(Representation::Table { v1beta1, include: IncludeObject::default() }),
        ("PartialObjectMetadata", ResponseShape::Object | ResponseShape::Watch)
        | ("PartialObjectMetadataList", ResponseShape::List) => Some(Representation::Partial { v1beta1 }),
        _ => None,
    }
}

/// Formats of discovery at `/apis` and `/api`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiscoveryFormat {
    /// One document per group and version.
    Legacy,
    /// One document, as `apidiscovery.k8s.io/v2`.
    AggregatedV2,
    /// One document, as `apidiscovery.k8s.io/v2beta1`.
    AggregatedV2Beta1,
}

impl DiscoveryFormat {
    /// The `Content-Type` of the response. Must be exactly this text, because clients compare it as text.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Legacy => JSON,
            Self::AggregatedV2 => "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList",
            Self::AggregatedV2Beta1 => "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList",
        }
    }
}

/// Selects the format of discovery: the client's first choice that can be served; 406 if there is none.
pub fn negotiate_discovery(accept: Option<&str>) -> Result<DiscoveryFormat, StatusError> {
    media_ranges(accept).iter().find_map(discovery_format).ok_or_else(not_acceptable)
}

fn discovery_format(media_range: &MediaRange<'_>) -> Option<DiscoveryFormat> {
    if !media_range.matches(JSON) {
        return None;
    }
    match (media_range.parameter("as"), media_range.parameter("g"), media_range.parameter("v")) {
        (None, _, _) => Some(DiscoveryFormat::Legacy),
        (Some("APIGroupDiscoveryList"), Some("apidiscovery.k8s.io"), Some("v2")) => Some(DiscoveryFormat::AggregatedV2),
        (Some("APIGroupDiscoveryList"), Some("apidiscovery.k8s.io"), Some("v2beta1")) => {
            Some(DiscoveryFormat::AggregatedV2Beta1)
        }
        _ => None,
    }
}

/// Returns the index of the client's first choice among the media types; 406 if there is none. Parameters are ignored;
/// without a header, and for a wildcard, the first media type that matches is used.
pub fn accepts(accept: Option<&str>, media: &[&str]) -> Result<usize, StatusError> {
    let picked =
        media_ranges(accept).iter().find_map(|media_range| media.iter().position(|media| media_range.matches(media)));
    picked.ok_or_else(|| accepted_types_error(media))
}

/// True if the client accepts gzip (`Accept-Encoding`) with at least the quality of `identity`.
pub fn accepts_gzip(accept_encoding: Option<&str>) -> bool {
    let media_ranges: Vec<MediaRange<'_>> =
        accept_encoding.unwrap_or_default().split(',').take(MEDIA_TYPES_MAX).filter_map(MediaRange::read).collect();
    let quality = |names: &[&str]| {
        let named =
            |name: &&str| media_ranges.iter().find(|media_range| media_range.media_type.eq_ignore_ascii_case(name));
        names.iter().find_map(named).map_or(0, |media_range| media_range.quality)
    };
    let gzip = quality(&["gzip", "x-gzip", "*"]);
    gzip > 0 && gzip >= quality(&["identity"])
}

/// True if JSON should be indented: the query parameter `pretty` decides; without it, true for browsers, curl and Wget.
pub fn pretty(query: &Query, user_agent: Option<&str>) -> bool {
    match query.get("pretty") {
        Some(value) if !value.is_empty() => matches!(value, "1" | "t" | "T" | "TRUE" | "true" | "True"),
        _ => user_agent.is_some_and(|agent| ["curl", "Wget", "Mozilla/5.0"].iter().any(|it| agent.starts_with(it))),
    }
}

/// Encodes a value as YAML. A value whose YAML exceeds the limits of layout is encoded as JSON, which is valid YAML.
pub fn to_yaml(value: &Value) -> Result<String, StatusError> {
    let json = value.to_string();
    let mut yaml = Layout::of(json.len());
    match serde_saphyr::to_fmt_writer(&mut yaml, value) {
        Ok(()) => Ok(yaml.text),
        Err(_) if yaml.is_full => Ok(json),
        Err(error) => {
            let message = format!("the response cannot be encoded as YAML: {error}");
            Err(StatusError::new(StatusReason::InternalError, message))
        }
    }
}

/// Maximum size of indented JSON or YAML for JSON of this length.
fn layout_bytes_max(json_bytes: usize) -> usize {
    LAYOUT_BYTES_MIN.max(json_bytes.saturating_mul(LAYOUT_GROWTH_MAX))
}

/// A text with a size limit.
struct Layout {
    text: String,
    bytes_max: usize,
    is_full: bool,
}

impl Layout {
    fn of(json_bytes: usize) -> Self {
        Self { text: String::new(), bytes_max: layout_bytes_max(json_bytes), is_full: false }
    }
}

impl fmt::Write for Layout {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.is_full |= self.text.len() + text.len() > self.bytes_max;
        if self.is_full {
            return Err(fmt::Error);
        }
        self.text.push_str(text);
        Ok(())
    }
}

const JSON: &str = "application/json";
const YAML: &str = "application/yaml";

fn not_acceptable() -> StatusError {
    accepted_types_error(&[JSON, YAML])
}

fn accepted_types_error(media: &[&str]) -> StatusError {
    StatusError::new(
        StatusReason::NotAcceptable,
        format!("only the following media types are accepted: {}", media.join(", ")),
    )
}

/// A clause of an `Accept` header.
#[derive(Debug)]
struct MediaRange<'a> {
    media_type: &'a str,
    parameters: Vec<(&'a str, &'a str)>,
    /// In thousandths.
    quality: u32,
}

/// Parses an `Accept` header, highest quality first. Clauses of equal quality keep their order, except that wildcards
/// follow specific types. An empty header accepts everything.
fn media_ranges(accept: Option<&str>) -> Vec<MediaRange<'_>> {
    let accept = accept.map(str::trim).filter(|accept| !accept.is_empty()).unwrap_or("*/*");
    let mut media_ranges: Vec<MediaRange<'_>> =
        accept.split(',').take(MEDIA_TYPES_MAX).filter_map(MediaRange::parse).collect();
    media_ranges.sort_by_key(|media_range| (Reverse(media_range.quality), media_range.media_type.matches('*').count()));
    media_ranges
}

impl<'a> MediaRange<'a> {
    /// Parses a clause; `None` if it is empty or excludes its media type (`q=0`).
    fn parse(text: &'a str) -> Option<Self> {
        Self::read(text).filter(|media_range| media_range.quality > 0)
    }

    /// Parses a clause; `None` if it is empty.
    fn read(text: &'a str) -> Option<Self> {
        let mut parts = text.split(';').map(str::trim);
        let media_type = parts.next().filter(|media_type| !media_type.is_empty())?;
        let parameters: Vec<(&str, &str)> = parts
            .filter_map(|parameter| parameter.split_once('='))
            .map(|(name, value)| (name.trim(), value.trim().trim_matches('"')))
            .collect();
        let quality = parameters.iter().find(|(name, _)| name.eq_ignore_ascii_case("q"));
        let quality = quality.map_or(1000, |(_, value)| parse_q(value));
        Some(Self { media_type, parameters, quality })
    }

    fn matches(&self, media_type: &str) -> bool {
        match self.media_type {
            "*" | "*/*" => true,
            range => match range.strip_suffix("/*") {
                Some(family) => media_type.split_once('/').is_some_and(|(it, _)| it.eq_ignore_ascii_case(family)),
                None => range.eq_ignore_ascii_case(media_type),
            },
        }
    }

    fn parameter(&self, name: &str) -> Option<&'a str> {
        self.parameters.iter().find(|(it, _)| *it == name).map(|(_, value)| *value)
    }
}

/// Parses a quality in thousandths; a malformed one counts as 1000, as if absent.
fn parse_q(quality: &str) -> u32 {
    let Some((whole, fraction)) = quality.split_once('.').or(Some((quality, ""))) else {
        return 1000;
    };
    let digits = fraction.len() <= 3 && fraction.bytes().all(|byte| byte.is_ascii_digit());
    let fraction: u32 = format!("{fraction:0<3}").parse().unwrap_or(0);
    match (whole, digits) {
        ("0" | "", true) => fraction,
        _ => 1000,
    }
}

#[cfg(test)]
mod tests;
