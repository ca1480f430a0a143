//! Conflicts of an apply with other managers, worded as Kubernetes does, because tools match the text.

use std::fmt;

use super::{
    element::Path,
    entries::{Manager, Operation},
    set::FieldSet,
    value::quote,
};
use crate::{limits::CAUSES_MAX, status_error::Cause};

/// A field that another manager owns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// The owner.
    pub manager: Manager,
    /// The field.
    pub path: Path,
}

/// The fields of an apply that other managers own, by manager.
#[derive(Clone, Debug, Default)]
pub(super) struct ConflictingSets(Vec<(Manager, FieldSet)>);

impl ConflictingSets {
    pub(super) fn add(&mut self, manager: &Manager, paths: FieldSet) {
        if !paths.is_empty() {
            self.0.push((manager.clone(), paths));
        }
    }

    /// Returns the conflicts without these paths.
    pub(super) fn without(self, paths: &FieldSet) -> Self {
        let mut rest = Self::default();
        for (manager, conflicting) in self.0 {
            rest.add(&manager, conflicting.difference(paths));
        }
        rest
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Conflicts by owner; not empty. Formats as the message of the 409 response.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Conflicts {
    /// The first [`CAUSES_MAX`] conflicts.
    pub first: Vec<Conflict>,
    /// The number of all conflicts.
    pub count: usize,
}

impl From<ConflictingSets> for Conflicts {
    fn from(conflicting: ConflictingSets) -> Self {
        let mut first = Vec::new();
        for (manager, paths) in &conflicting.0 {
            let paths = paths.first_paths(CAUSES_MAX - first.len());
            first.extend(paths.into_iter().map(|path| Conflict { manager: manager.clone(), path }));
        }
        Self { first, count: conflicting.0.iter().map(|(_, paths)| paths.len()).sum() }
    }
}

impl Conflicts {
    /// One cause per conflict, in the order of the fields.
    pub fn causes(&self) -> Vec<Cause> {
        let cause = |conflict: &Conflict| Cause {
            reason: "FieldManagerConflict".to_owned(),
            message: format!("conflict with {}", conflict.manager),
            field: conflict.path.to_string(),
        };
        let mut causes: Vec<Cause> = self.first.iter().map(cause).collect();
        causes.sort_by(|left, right| left.field.cmp(&right.field));
        causes
    }
}

impl fmt::Display for Conflicts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let [Conflict { manager, path }] = self.first.as_slice() {
            return write!(f, "Apply failed with 1 conflict: conflict with {manager}: {path}");
        }
        let lines = self.first.chunk_by(|left, right| left.manager == right.manager).flat_map(|of_one| {
            let heading = of_one.first().map(|conflict| format!("conflicts with {}:", conflict.manager));
            heading.into_iter().chain(of_one.iter().map(|conflict| format!("- {}", conflict.path)))
        });
        let more = self.count - self.first.len();
        let lines = lines.chain((more > 0).then(|| format!("and {more} more")));
        write!(f, "Apply failed with {} conflicts: {}", self.count, lines.collect::<Vec<_>>().join("\n"))
    }
}

/// As in messages: `"name"`, with subresource and version where these distinguish managers.
impl fmt::Display for Manager {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&quote(&self.name))?;
        if !self.subresource.is_empty() {
            write!(f, " with subresource {}", quote(&self.subresource))?;
        }
        match self.operation {
            Operation::Apply => Ok(()),
            Operation::Update => write!(f, " using {}", self.api_version),
        }
    }
}
