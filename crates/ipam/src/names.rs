//! Names of the kinds and resources.

/// The kind IPPool.
pub const POOL: &str = "IPPool";
/// The plural resource name of IPPool.
pub const POOLS: &str = "ippools";
/// The kind IPClaim.
pub const CLAIM: &str = "IPClaim";
/// The plural resource name of IPClaim.
pub const CLAIMS: &str = "ipclaims";
/// The kind IPAllocation.
pub const ALLOCATION: &str = "IPAllocation";
/// The plural resource name of IPAllocation.
pub const ALLOCATIONS: &str = "ipallocations";
/// The plural resource name of the kind of the feature `newer`.
#[cfg(feature = "newer")]
pub const HOLDS: &str = "ipholds";
