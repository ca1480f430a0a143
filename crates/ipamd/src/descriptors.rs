//! The limit of open files of this process, which bounds its connections.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::limits::DESCRIPTORS_RESERVED;

/// Raises the soft limit of open files to the hard limit, and returns how many of `wanted` connections fit into it.
///
/// The usual soft limit is 1,024, which processes that do not use `select(2)` may raise.
pub fn for_connections(wanted: usize) -> usize {
    let limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        // On failure the limit is unchanged.
        let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
    }
    let open_max =
        getrlimit(Resource::Nofile).current.map_or(usize::MAX, |most| usize::try_from(most).unwrap_or(usize::MAX));
    let connections = enough(open_max, wanted);
    if connections < wanted {
        tracing::warn!(
            open_max,
            connections,
            wanted,
            "fewer connections than wanted: the process may not open more files"
        );
    }
    connections
}

/// Returns the number of connections: `open_max` less `DESCRIPTORS_RESERVED`, but at least half of `open_max`, and at most
/// `wanted`.
fn enough(open_max: usize, wanted: usize) -> usize {
    wanted.min(open_max.saturating_sub(DESCRIPTORS_RESERVED).max(open_max / 2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connection_limit_leaves_reserved_descriptors() {
        for (open_max, wanted, expected) in [
            (usize::MAX, 16_384, 16_384),
            (20_000, 16_384, 16_384),
            (16_384, 16_384, 16_384 - DESCRIPTORS_RESERVED),
            (1_024, 16_384, 1_024 - DESCRIPTORS_RESERVED),
            (1_024, 100, 100),
            (100, 16_384, 50),
        ] {
            assert_eq!(enough(open_max, wanted), expected, "{open_max} {wanted}");
        }
    }
}
