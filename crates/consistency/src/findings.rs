//! The results of the checks, and their output formats.

use std::{
    fmt::{self, Write as _},
    time::Duration,
};

use serde::Serialize;

use crate::limits::PROBLEMS_PER_CHECK_MAX;

/// The width of a check's title in the text output.
const TITLE_WIDTH: usize = 69;

/// A consistency check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Check {
    /// Allocations and child pools of one pool do not overlap.
    Overlap,
    /// Allocations and child pools are inside their pool.
    Containment,
    /// Root pools do not overlap.
    Roots,
    /// Capacities are correct.
    Capacity,
    /// Claims have their allocations.
    Claims,
    /// Allocations have their claims.
    Allocations,
    /// Names of allocations are derived from their claims.
    Names,
    /// Namespaces exist.
    Namespaces,
    /// Lengths are within the bounds of the pool. Reports notes.
    Lengths,
    /// Largest free blocks are correct.
    LargestFree,
    /// The data file passes SQLite's integrity check.
    File,
    /// The spans of the store match the objects.
    Spans,
}

impl Check {
    /// All checks in the order of the output. The last two need a store.
    pub const ALL: [Self; 12] = [
        Self::Overlap,
        Self::Containment,
        Self::Roots,
        Self::Capacity,
        Self::Claims,
        Self::Allocations,
        Self::Names,
        Self::Namespaces,
        Self::Lengths,
        Self::LargestFree,
        Self::File,
        Self::Spans,
    ];

    /// Returns the id of the check, which is stable.
    pub fn id(self) -> &'static str {
        match self {
            Self::Overlap => "C1",
            Self::Containment => "C2",
            Self::Roots => "C3",
            Self::Capacity => "C4",
            Self::Claims => "C5",
            Self::Allocations => "C6",
            Self::Names => "C7",
            Self::Namespaces => "C8",
            Self::Lengths => "C9",
            Self::LargestFree => "C10",
            Self::File => "S1",
            Self::Spans => "S2",
        }
    }

    /// Returns the condition that the check verifies.
    pub fn title(self) -> &'static str {
        match self {
            Self::Overlap => "no two allocations or child pools of one pool overlap",
            Self::Containment => "every allocation and child pool lies inside its pool",
            Self::Roots => "root pools do not overlap",
            Self::Capacity => "capacity = sum of what is taken, for every pool, exactly",
            Self::Claims => "every Bound claim has its allocation, with the same block and pool",
            Self::Allocations => "every allocation has its claim, or is Retained",
            Self::Names => "allocation names follow from their claims",
            Self::Namespaces => "every namespace in use exists",
            Self::Lengths => {
                "lengths within the pool's bounds (a later change of bounds may break this; a note, no fault)"
            }
            Self::LargestFree => "largestFreePrefix is right",
            Self::File => "the data file passes SQLite's integrity check",
            Self::Spans => "the store's spans are those that the objects hold",
        }
    }

    /// True if the check needs a store.
    fn needs_store(self) -> bool {
        matches!(self, Self::File | Self::Spans)
    }
}

/// A fault or a note.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The object: a pool by its name, any other by kind, namespace and name.
    pub object: String,
    /// The problem, with the actual and the expected value.
    pub message: String,
}

/// The result of one check.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// The first problems, at most [`PROBLEMS_PER_CHECK_MAX`].
    pub problems: Vec<Problem>,
    /// The total number of problems.
    pub count: u64,
    /// The reason why the check was not run, or not to the end.
    pub skipped: Option<String>,
}

/// The numbers of checked objects.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// IPPools.
    pub pools: u64,
    /// IPClaims.
    pub claims: u64,
    /// IPAllocations.
    pub allocations: u64,
    /// Namespaces with claims or allocations.
    pub namespaces: u64,
}

/// The results of all checks.
#[derive(Clone, Debug)]
pub struct Findings {
    outcomes: [Outcome; Check::ALL.len()],
    /// True if the checks of a store are included.
    of_store: bool,
    /// The numbers of checked objects.
    pub counts: Counts,
}

/// A line of the JSON output.
#[derive(Serialize)]
struct Line<'l> {
    check: &'static str,
    severity: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    object: Option<&'l str>,
    message: &'l str,
    /// The number of problems that are not shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    more: Option<u64>,
}

impl Findings {
    /// Creates empty results. `of_store` includes the checks of a store.
    pub fn new(of_store: bool) -> Self {
        Self { outcomes: Default::default(), of_store, counts: Counts::default() }
    }

    /// Adds a problem to a check.
    pub fn add(&mut self, check: Check, object: impl fmt::Display, message: impl fmt::Display) {
        let outcome = &mut self.outcomes[check as usize];
        outcome.count += 1;
        if outcome.problems.len() < PROBLEMS_PER_CHECK_MAX {
            outcome.problems.push(Problem { object: object.to_string(), message: message.to_string() });
        }
    }

    /// Marks a check as not run. Problems that it has already found stay.
    pub fn skip(&mut self, check: Check, reason: &str) {
        self.outcomes[check as usize].skipped = Some(reason.to_owned());
    }

    /// Returns the result of one check.
    pub fn of(&self, check: Check) -> &Outcome {
        &self.outcomes[check as usize]
    }

    /// Returns the number of faults.
    pub fn faults(&self) -> u64 {
        self.made().filter(|check| *check != Check::Lengths).map(|check| self.of(check).count).sum()
    }

    /// Returns the number of notes.
    pub fn notes(&self) -> u64 {
        self.of(Check::Lengths).count
    }

    /// Returns the checks that apply.
    fn made(&self) -> impl Iterator<Item = Check> {
        Check::ALL.into_iter().filter(|check| self.of_store || !check.needs_store())
    }

    /// Formats the results as text. `revision` is `None` if the store could not be read.
    pub fn to_text(&self, revision: Option<u64>, took: Duration) -> String {
        let Counts { pools, claims, allocations, namespaces } = self.counts;
        let mut text = match revision {
            Some(revision) => format!(
                "checked at revision {revision}: {}, {}, {}, {}\n\n",
                counted(pools, "pool"),
                counted(claims, "claim"),
                counted(allocations, "allocation"),
                counted(namespaces, "namespace")
            ),
            None => "checked nothing: the store cannot be read\n\n".to_owned(),
        };
        for check in self.made() {
            self.write_check(check, &mut text);
        }
        let (faults, notes) = (counted(self.faults(), "fault"), counted(self.notes(), "note"));
        let _ = writeln!(text, "\n{faults}, {notes}, {:.1} s", took.as_secs_f64());
        text
    }

    fn write_check(&self, check: Check, text: &mut String) {
        let outcome = self.of(check);
        let state = match (outcome.count, &outcome.skipped) {
            (0, Some(reason)) => format!("not checked: {reason}"),
            (0, None) => "ok".to_owned(),
            (count, _) if check == Check::Lengths => counted(count, "note"),
            (1, _) => "1 FAULT".to_owned(),
            (count, _) => format!("{} FAULTS", grouped(count)),
        };
        // A title that is too long is followed by three spaces.
        let gap = if check.title().len() > TITLE_WIDTH { "   " } else { "" };
        let _ = writeln!(text, "  {:<4}{:<TITLE_WIDTH$}{gap}{state}", check.id(), check.title());
        if check == Check::Lengths {
            return;
        }
        for Problem { object, message } in &outcome.problems {
            let _ = writeln!(text, "      {}  {}", printable(object), printable(message));
        }
        if let Some(more) = outcome.more() {
            let _ = writeln!(text, "      and {} more", grouped(more));
        }
        if let Some(reason) = outcome.skipped.as_ref().filter(|_| outcome.count > 0) {
            let _ = writeln!(text, "      not checked to the end: {reason}");
        }
    }

    /// Formats the results as JSON lines, one per problem.
    pub fn to_jsonl(&self) -> String {
        let mut text = String::new();
        for check in self.made() {
            let outcome = self.of(check);
            let severity = if check == Check::Lengths { "note" } else { "fault" };
            let line = |severity, object, message, more| Line { check: check.id(), severity, object, message, more };
            let mut lines: Vec<Line<'_>> = Vec::new();
            let problems = outcome.problems.iter();
            lines.extend(problems.map(|problem| line(severity, Some(&*problem.object), &*problem.message, None)));
            lines.extend(outcome.more().map(|more| line(severity, None, "further ones are not shown", Some(more))));
            lines.extend(outcome.skipped.as_deref().map(|reason| line("skipped", None, reason, None)));
            for line in lines {
                text += &serde_json::to_string(&line).expect("texts and numbers are JSON");
                text.push('\n');
            }
        }
        text
    }
}

impl Outcome {
    /// Returns the number of problems that were counted but not kept.
    fn more(&self) -> Option<u64> {
        self.count.checked_sub(self.problems.len() as u64).filter(|more| *more > 0)
    }
}

/// Formats a number with its noun, in the plural unless the number is 1.
fn counted(count: u64, word: &str) -> String {
    format!("{} {word}{}", grouped(count), if count == 1 { "" } else { "s" })
}

/// Formats a number with commas between the thousands.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Escapes control characters, because the text of a damaged store must not reach a terminal unescaped.
fn printable(text: &str) -> String {
    text.chars()
        .flat_map(|character| {
            let escaped = character.is_control().then(|| character.escape_default());
            let plain = escaped.is_none().then_some(character);
            escaped.into_iter().flatten().chain(plain)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_thousands_separators() {
        for (number, text) in [(0, "0"), (999, "999"), (1_000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(grouped(number), text);
        }
    }

    #[test]
    fn ids_follow_the_order_of_the_checks() {
        let ids: Vec<&str> = Check::ALL.iter().map(|check| check.id()).collect();
        assert_eq!(ids, ["C1", "C2", "C3", "C4", "C5", "C6", "C7", "C8", "C9", "C10", "S1", "S2"]);
        assert!(Check::ALL.iter().enumerate().all(|(place, check)| *check as usize == place));
    }

    #[test]
    fn control_characters_are_escaped() {
        assert_eq!(printable("a\u{1b}[31mb\nä"), "a\\u{1b}[31mb\\nä");
    }
}
