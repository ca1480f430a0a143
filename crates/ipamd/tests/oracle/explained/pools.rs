//! The differences that are meant in pools: what a CRD does not know.

use super::{Case, Explanation};
use crate::{pools::ABSENT, request::Body};

pub(super) const EXPLANATIONS: &[Explanation] = &[
    Explanation {
        name: "pools-apart",
        reason: "two root pools never overlap, and a child pool needs its parent; a CRD knows nothing of other objects",
        applies: |case| match case.codes() {
            (422, 201) => case.we_say("overlaps with IPPool"),
            (400, 201) => case.we_say(&format!("IPPool \"{ABSENT}\" not found")),
            _ => false,
        },
    },
    Explanation {
        name: "dry-run-without-a-parent",
        reason: "the dry run of a child pool whose parent does not exist warns of that, and fills in nothing that the parent decides",
        applies: |case| case.codes() == (201, 201) && case.is_dry() && case.is_orphan(),
    },
];

impl Case<'_> {
    /// Whether this writes a child of a pool that does not exist.
    fn is_orphan(&self) -> bool {
        let body = self.request.map(|request| &request.body);
        matches!(body, Some(Body::Json(body)) if body["spec"]["parentPoolRef"]["name"] == ABSENT)
    }
}
