//! The intended differences for pools: checks that a CRD cannot make.

use super::{Case, KnownDifference};
use crate::{pools::ABSENT, request::Body};

pub(super) const KNOWN_DIFFERENCES: &[KnownDifference] = &[
    KnownDifference {
        name: "pools-apart",
        reason: "two root pools must not overlap, and the parent of a child pool must exist; a CRD cannot check other objects",
        applies: |case| match case.codes() {
            (422, 201) => case.we_say("overlaps with IPPool"),
            (400, 201) => case.we_say(&format!("IPPool \"{ABSENT}\" not found")),
            _ => false,
        },
    },
    KnownDifference {
        name: "dry-run-without-a-parent",
        reason: "the dry run of the create of a child pool whose parent does not exist returns a warning, and sets no values that depend on the parent",
        applies: |case| case.codes() == (201, 201) && case.is_dry() && case.is_orphan(),
    },
];

impl Case<'_> {
    /// True if the request writes a child of a pool that does not exist.
    fn is_orphan(&self) -> bool {
        let body = self.request.map(|request| &request.body);
        matches!(body, Some(Body::Json(body)) if body["spec"]["parentPoolRef"]["name"] == ABSENT)
    }
}
