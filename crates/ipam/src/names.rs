//! The names of the kinds.

/// The kind IPPool.
pub const POOL: &str = "IPPool";
/// Its plural resource.
pub const POOLS: &str = "ippools";
/// The kind IPClaim.
pub const CLAIM: &str = "IPClaim";
/// Its plural resource.
pub const CLAIMS: &str = "ipclaims";
/// The kind IPAllocation.
pub const ALLOCATION: &str = "IPAllocation";
/// Its plural resource.
pub const ALLOCATIONS: &str = "ipallocations";
/// The plural resource of a kind that a newer version might add.
#[cfg(feature = "newer")]
pub const HOLDS: &str = "ipholds";
