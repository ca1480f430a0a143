//! Messages to the user, and the exit code.

use std::{io::Write, process::ExitCode};

use kube::core::{
    Status,
    response::{StatusCause, StatusDetails},
};

/// Error of a command.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The server returned an error.
    Refused(Box<Status>),
    /// No response, or one that cannot be decoded.
    Unreachable(String),
    /// Invalid arguments or file. No object of the command was sent.
    InvalidInput(String),
    /// Output cannot be written.
    Output(std::io::Error),
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::Output(error)
    }
}

/// The two output streams, and the worst outcome so far.
pub(crate) struct Report<'a> {
    pub(crate) out: &'a mut dyn Write,
    err: &'a mut dyn Write,
    outcome: Outcome,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Outcome {
    Done = 0,
    Failed = 1,
    UsageError = 2,
}

impl<'a> Report<'a> {
    pub(crate) fn new(out: &'a mut dyn Write, err: &'a mut dyn Write) -> Self {
        Self { out, err, outcome: Outcome::Done }
    }

    /// Prints an informational message.
    pub(crate) fn note(&mut self, text: &str) -> Result<(), Failure> {
        Ok(writeln!(self.err, "{text}")?)
    }

    /// Prints an error of one item of the command and returns `Ok`, so that the command continues with the other items.
    /// An error that affects all items, such as a failed connection, is returned instead. `place` is the file of the
    /// item; it may be empty.
    pub(crate) fn item_failed(&mut self, place: &str, failure: Failure) -> Result<(), Failure> {
        match failure {
            Failure::Refused(_) | Failure::InvalidInput(_) => self.print_error(place, failure),
            Failure::Unreachable(_) | Failure::Output(_) => Err(failure),
        }
    }

    /// Reports an error of the whole command.
    pub(crate) fn failed(&mut self, failure: Failure) -> Result<(), Failure> {
        self.print_error("", failure)
    }

    fn print_error(&mut self, place: &str, failure: Failure) -> Result<(), Failure> {
        let outcome = match &failure {
            Failure::Refused(_) | Failure::Unreachable(_) => Outcome::Failed,
            Failure::InvalidInput(_) => Outcome::UsageError,
            Failure::Output(_) => return Err(failure),
        };
        self.outcome = self.outcome.max(outcome);
        let place = if place.is_empty() { String::new() } else { format!("{place}: ") };
        Ok(writeln!(self.err, "{place}{}", describe(&failure))?)
    }

    pub(crate) fn exit_code(&self) -> ExitCode {
        ExitCode::from(self.outcome as u8)
    }
}

fn describe(failure: &Failure) -> String {
    match failure {
        Failure::Refused(status) => describe_status(status),
        Failure::Unreachable(message) | Failure::InvalidInput(message) => {
            format!("Error: {}", printable(message))
        }
        Failure::Output(error) => format!("Error: {error}"),
    }
}

/// The message, followed by the causes that are not part of it.
fn describe_status(status: &Status) -> String {
    let reason = if status.reason.is_empty() { status.code.to_string() } else { status.reason.clone() };
    let message = if status.message.is_empty() { "no message" } else { &status.message };
    let mut text = format!("Error from server ({}): {}", printable(&reason), printable(message));
    let details = status.details.as_ref();
    for cause in details.iter().flat_map(|details: &&StatusDetails| &details.causes) {
        if !mentioned(cause, message) {
            text += &format!("\n  {}", describe_cause(cause));
        }
    }
    text
}

fn mentioned(cause: &StatusCause, message: &str) -> bool {
    message.contains(&cause.field) && message.contains(&cause.message)
}

fn describe_cause(cause: &StatusCause) -> String {
    let parts = [&cause.field, &cause.reason, &cause.message];
    let parts: Vec<String> = parts.into_iter().filter(|part| !part.is_empty()).map(|part| printable(part)).collect();
    parts.join(": ")
}

/// Text from the server as one line. Control characters are escaped, because terminals interpret them.
pub(crate) fn printable(text: &str) -> String {
    if !text.contains(char::is_control) {
        return text.to_owned();
    }
    text.chars()
        .flat_map(
            |character| {
                if character.is_control() { character.escape_default().collect() } else { vec![character] }
            },
        )
        .collect()
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};
    use serde_json::{Value, json};

    use super::*;

    fn check(status: Value, expected: &Expect) {
        let status: Status = serde_json::from_value(status).unwrap();
        expected.assert_eq(&describe_status(&status));
    }

    #[test]
    fn causes_in_the_message_are_not_repeated() {
        check(
            json!({ "code": 401, "reason": "Unauthorized", "message": "Unauthorized" }),
            &expect!["Error from server (Unauthorized): Unauthorized"],
        );
        check(json!({ "code": 500 }), &expect!["Error from server (500): no message"]);
        check(
            json!({
                "code": 507, "reason": "InsufficientStorage", "message": "IPPool \"edge\" is exhausted",
                "details": { "causes": [{ "reason": "PoolExhausted", "field": "spec.prefixLength", "message": "no free /24" }] },
            }),
            &expect![[r#"
                Error from server (InsufficientStorage): IPPool "edge" is exhausted
                  spec.prefixLength: PoolExhausted: no free /24"#]],
        );
        check(
            json!({
                "code": 422, "reason": "Invalid", "message": "IPClaim \"a\" is invalid: spec.prefixLength: Invalid value: 0: must be greater than 0",
                "details": { "causes": [{ "reason": "FieldValueInvalid", "field": "spec.prefixLength", "message": "Invalid value: 0: must be greater than 0" }] },
            }),
            &expect![[
                r#"Error from server (Invalid): IPClaim "a" is invalid: spec.prefixLength: Invalid value: 0: must be greater than 0"#
            ]],
        );
    }

    #[test]
    fn control_characters_are_escaped() {
        check(
            json!({ "reason": "X", "message": "a\u{1b}[31m\nb" }),
            &expect![[r"Error from server (X): a\u{1b}[31m\nb"]],
        );
    }

    #[test]
    fn exit_code_is_that_of_the_worst_outcome() {
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let mut report = Report::new(&mut out, &mut err);
        assert_eq!(report.exit_code(), ExitCode::SUCCESS);
        report.failed(Failure::InvalidInput("what?".to_owned())).unwrap();
        report.item_failed("a.yaml", Failure::Refused(Status::failure("taken", "Conflict").boxed())).unwrap();
        assert_eq!(report.exit_code(), ExitCode::from(2));
        assert_eq!(String::from_utf8(err).unwrap(), "Error: what?\na.yaml: Error from server (Conflict): taken\n");
    }
}
