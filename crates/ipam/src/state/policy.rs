//! The allocation policy of a pool.

use crate::types::pool::{AllocationPolicy, PoolStrategy};

/// The length bounds and the strategy of a pool.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Policy {
    /// The shortest length that may be allocated.
    pub(crate) min: Option<u8>,
    /// The longest length that may be allocated.
    pub(crate) max: Option<u8>,
    /// The length of claims that request none.
    pub(crate) default: Option<u8>,
    /// The strategy for choosing a block.
    pub(crate) strategy: PoolStrategy,
}

impl Policy {
    /// Converts a validated policy.
    pub(crate) fn of(policy: Option<&AllocationPolicy>) -> Self {
        let length = |length: Option<i64>| length.and_then(|length| u8::try_from(length).ok());
        policy.map_or_else(Self::default, |policy| Self {
            min: length(policy.min_prefix_length),
            max: length(policy.max_prefix_length),
            default: length(policy.default_prefix_length),
            strategy: policy.strategy.unwrap_or_default(),
        })
    }

    /// Returns the length of claims that request none: the default, or the only length within the bounds.
    pub(crate) fn own_length(self) -> Option<u8> {
        self.default.or(self.min.filter(|min| self.max == Some(*min)))
    }
}
