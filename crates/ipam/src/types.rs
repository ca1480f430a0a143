//! Wire types: one module per kind, and the types they share (families, references, selectors).
//!
//! The types accept any `i64` and empty strings; validation, which can name the field in its error, is done by the
//! kinds. `kubectl explain` prints the doc comments.

pub mod allocation;
pub mod claim;
pub mod pool;

use std::collections::BTreeMap;

use address::Family;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};

use crate::limits::{SELECTOR_EXPRESSIONS_MAX, SELECTOR_LABELS_MAX, SELECTOR_VALUES_MAX};

/// An address family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum IpFamily {
    /// 32-bit addresses.
    IPv4,
    /// 128-bit addresses.
    IPv6,
}

impl From<Family> for IpFamily {
    fn from(family: Family) -> Self {
        match family {
            Family::V4 => Self::IPv4,
            Family::V6 => Self::IPv6,
        }
    }
}

impl From<IpFamily> for Family {
    fn from(family: IpFamily) -> Self {
        match family {
            IpFamily::IPv4 => Self::V4,
            IpFamily::IPv6 => Self::V6,
        }
    }
}

/// A reference to another object by name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NameRef {
    /// The name of the referenced object.
    #[serde(default)]
    pub name: String,
}

impl NameRef {
    /// Returns a reference to `name`.
    pub fn new(name: &str) -> Self {
        Self { name: name.to_owned() }
    }
}

/// A reference to an IPPool.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PoolRef {
    /// The name of the IPPool.
    #[serde(default)]
    pub name: String,
    /// The project that owns the pool. Defaults to the caller's own project.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project_ref: Option<NameRef>,
}

/// A label selector for IPPools. At least one of matchLabels and matchExpressions must be set.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PoolSelector {
    /// Labels and values that a pool must have. All entries must match.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = SELECTOR_LABELS_MAX))]
    pub match_labels: BTreeMap<String, String>,
    /// Label requirements. All requirements must match.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("maxItems" = SELECTOR_EXPRESSIONS_MAX, "x-kubernetes-list-type" = "atomic"))]
    pub match_expressions: Vec<LabelRequirement>,
    /// The project whose pools are selected. Defaults to the caller's own project.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project_ref: Option<NameRef>,
}

/// A label requirement.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LabelRequirement {
    /// The label key.
    #[serde(default)]
    pub key: String,
    /// The relation of the label to the values: In, NotIn, Exists or DoesNotExist.
    #[serde(default)]
    pub operator: String,
    /// The values. Required for In and NotIn, forbidden for Exists and DoesNotExist.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("maxItems" = SELECTOR_VALUES_MAX, "x-kubernetes-list-type" = "atomic"))]
    pub values: Vec<String>,
}

/// Deserializes an optional string; `""` is absent, because Go clients send `""` for unset strings.
pub(crate) fn empty_as_none<'de, D: Deserializer<'de>>(de: D) -> Result<Option<String>, D::Error> {
    Ok(Option::<String>::deserialize(de)?.filter(|text| !text.is_empty()))
}
