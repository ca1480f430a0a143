//! What a pool hands out.

use crate::types::pool::{AllocationPolicy, PoolStrategy};

/// The bounds and the strategy of a pool, as decisions need them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Policy {
    /// The shortest length handed out.
    pub(crate) min: Option<u8>,
    /// The longest length handed out.
    pub(crate) max: Option<u8>,
    /// The length of claims that give none.
    pub(crate) default: Option<u8>,
    /// How a block is chosen.
    pub(crate) strategy: PoolStrategy,
}

impl Policy {
    /// Of a policy that was validated.
    pub(crate) fn of(policy: Option<&AllocationPolicy>) -> Self {
        let length = |length: Option<i64>| length.and_then(|length| u8::try_from(length).ok());
        policy.map_or_else(Self::default, |policy| Self {
            min: length(policy.min_prefix_length),
            max: length(policy.max_prefix_length),
            default: length(policy.default_prefix_length),
            strategy: policy.strategy.unwrap_or_default(),
        })
    }

    /// The length of a claim that gives none: the default, or the only one there is.
    pub(crate) fn own_length(self) -> Option<u8> {
        self.default.or(self.min.filter(|min| self.max == Some(*min)))
    }
}
