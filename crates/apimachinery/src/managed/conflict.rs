//! Fields that an applier wants to change and that others own, in the words that tools look for.

use std::fmt;

use super::{
    element::Path,
    entries::{Manager, Operation},
    set::FieldSet,
    value::quote,
};
use crate::refusal::Cause;

/// One field that another manager owns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// Who owns it.
    pub manager: Manager,
    /// Where it is.
    pub path: Path,
}

/// All fields that others own, by their owners; not empty. It prints as the message of the 409 response.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Conflicts(pub Vec<Conflict>);

impl Conflicts {
    pub(super) fn add(&mut self, manager: &Manager, paths: &FieldSet) {
        let conflicts = paths.paths().into_iter().map(|path| Conflict { manager: manager.clone(), path });
        self.0.extend(conflicts);
    }

    /// One cause for each, in the order of the fields.
    pub fn causes(&self) -> Vec<Cause> {
        let cause = |conflict: &Conflict| Cause {
            reason: "FieldManagerConflict".to_owned(),
            message: format!("conflict with {}", conflict.manager),
            field: conflict.path.to_string(),
        };
        let mut causes: Vec<Cause> = self.0.iter().map(cause).collect();
        causes.sort_by(|left, right| left.field.cmp(&right.field));
        causes
    }
}

impl fmt::Display for Conflicts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let [Conflict { manager, path }] = self.0.as_slice() {
            return write!(f, "Apply failed with 1 conflict: conflict with {manager}: {path}");
        }
        let lines = self.0.chunk_by(|left, right| left.manager == right.manager).flat_map(|of_one| {
            let heading = of_one.first().map(|conflict| format!("conflicts with {}:", conflict.manager));
            heading.into_iter().chain(of_one.iter().map(|conflict| format!("- {}", conflict.path)))
        });
        write!(f, "Apply failed with {} conflicts: {}", self.0.len(), lines.collect::<Vec<_>>().join("\n"))
    }
}

/// As in messages: `"name"`, and what tells it apart from others of the name.
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
