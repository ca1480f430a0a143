//! The kinds on the wire, a module each, and what they share: families, references, selectors.
//!
//! Types here are as lenient as JSON needs them to be (any `i64`, empty strings): what a value may be is said by the
//! kinds, which can name the field in their refusal. Their comments are what `kubectl explain` prints.

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

/// The name of another object.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NameRef {
    /// The name of the object referred to.
    #[serde(default)]
    pub name: String,
}

impl NameRef {
    /// A reference to the object of this name.
    pub fn new(name: &str) -> Self {
        Self { name: name.to_owned() }
    }
}

/// A pool, in the caller's own project or in another.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PoolRef {
    /// The name of the IPPool.
    #[serde(default)]
    pub name: String,
    /// The project that owns the pool. Left out: the caller's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project_ref: Option<NameRef>,
}

/// A label selector over pools, in the caller's own project or in another. It must have at least one label or
/// requirement.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PoolSelector {
    /// Labels that a pool must have, with these values. All of them must match.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = SELECTOR_LABELS_MAX))]
    pub match_labels: BTreeMap<String, String>,
    /// Requirements on labels. All of them must be met.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("maxItems" = SELECTOR_EXPRESSIONS_MAX, "x-kubernetes-list-type" = "atomic"))]
    pub match_expressions: Vec<LabelRequirement>,
    /// The project whose pools are meant. Left out: the caller's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project_ref: Option<NameRef>,
}

/// One requirement on a label.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LabelRequirement {
    /// The label's key.
    #[serde(default)]
    pub key: String,
    /// How the label relates to the values: In, NotIn, Exists or DoesNotExist.
    #[serde(default)]
    pub operator: String,
    /// The values; needed for In and NotIn, forbidden for Exists and DoesNotExist.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("maxItems" = SELECTOR_VALUES_MAX, "x-kubernetes-list-type" = "atomic"))]
    pub values: Vec<String>,
}

/// Go clients send a string that was never set as `""`; both mean that the field is absent.
pub(crate) fn unless_empty<'de, D: Deserializer<'de>>(de: D) -> Result<Option<String>, D::Error> {
    Ok(Option::<String>::deserialize(de)?.filter(|text| !text.is_empty()))
}
