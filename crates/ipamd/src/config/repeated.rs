//! Tests, for every flag of every command, that the last value of a repeated flag is used, as in Kubernetes.

use clap::{Arg, ArgAction, Command, CommandFactory as _, Parser as _};

use super::CommandLine;

/// The required arguments of each command. Each test uses the first alternative that the tested flag can be combined with.
const COMPLETE: [(&str, &[&str]); 14] = [
    (
        "serve",
        &[
            "--data-dir d",
            "--data-dir d --postgres-dsn host=h",
            "--data-dir d --tls-private-key-file k",
            "--data-dir d --tls-cert-file c",
        ],
    ),
    ("store export", &["f --data-dir d", "f"]),
    ("store import", &["f --data-dir d", "f"]),
    ("store migrate up", &["--postgres-dsn host=h"]),
    ("store migrate status", &["--postgres-dsn host=h"]),
    ("store bump-revision", &["--data-dir d", ""]),
    ("store backup", &["f --data-dir d", "f"]),
    ("store check", &["--data-dir d", ""]),
    ("get", &["ippools"]),
    ("create", &["-f f"]),
    ("apply", &["-f f"]),
    ("delete", &["ippools name"]),
    ("store", &[]),
    ("store migrate", &[]),
];

/// Candidate values. Every flag with a value accepts at least two of them.
const VALUES: [&str; 14] =
    ["1", "2", "127.0.0.1", "::1", "1s", "2s", "1Mi", "2Mi", "info", "debug", "server", "a", "b", "host=h"];

/// Returns the parsed command line as debug text, or `None` if it is invalid.
fn meaning(words: &str) -> Option<String> {
    let line = CommandLine::try_parse_from(["ipam"].into_iter().chain(words.split_whitespace())).ok()?;
    Some(format!("{line:?}"))
}

fn check(path: &str, complete: &[&str], flag: &str, argument: &Arg) {
    let named: Vec<String> = argument.get_possible_values().iter().map(|value| value.get_name().to_owned()).collect();
    let takes_values = argument.get_action().takes_values();
    let values: Vec<&str> = match (takes_values, named.is_empty()) {
        (false, _) => vec![""],
        (true, false) => named.iter().map(String::as_str).collect(),
        (true, true) => VALUES.to_vec(),
    };
    let line = |value: &str| {
        let candidates = complete.iter().map(|rest| format!("{path} {rest} {flag} {value}"));
        candidates.into_iter().find_map(|line| meaning(&line).map(|meaning| (line, meaning)))
    };
    let fitting: Vec<_> = values.iter().filter_map(|value| Some((value, line(value)?))).collect();
    let ((first, _), (last, _)) = (&fitting.first().expect(flag), &fitting.last().expect(flag));
    let base = line(first).map(|(line, _)| line).unwrap();
    let twice = meaning(&format!("{base} {flag} {last}"));
    if matches!(argument.get_action(), ArgAction::Append) {
        assert!(twice.is_some(), "{base} {flag} {last}");
        return;
    }
    assert_eq!(twice, line(last).map(|(_, meaning)| meaning), "{base} {flag} {last}");
}

fn walk(command: &Command, path: &str) {
    for child in command.get_subcommands().filter(|child| child.get_name() != "help") {
        let path = format!("{path} {}", child.get_name()).trim().to_owned();
        let complete = COMPLETE.iter().find(|(known, _)| *known == path).map(|(_, complete)| *complete);
        let complete = complete.unwrap_or_else(|| panic!("`{path}` is missing in the table of this test"));
        for argument in child.get_arguments().filter(|_| !complete.is_empty()) {
            let is_for_all =
                matches!(argument.get_action(), ArgAction::Help | ArgAction::HelpLong | ArgAction::HelpShort);
            if let Some(long) = argument.get_long().filter(|_| !is_for_all) {
                check(&path, complete, &format!("--{long}"), argument);
            }
        }
        walk(child, &path);
    }
}

#[test]
fn repeated_flag_uses_last_value() {
    let mut command = CommandLine::command();
    command.build();
    walk(&command, "");
}

#[test]
fn repeated_list_flag_keeps_all_values() {
    let twice = meaning("create -f one -f two").unwrap();
    assert!(twice.contains("one") && twice.contains("two"), "{twice}");
}

#[test]
fn global_flag_after_command_overrides_flag_before_it() {
    let line = CommandLine::try_parse_from(["ipam", "--context", "a", "get", "ippools", "--context", "b"]).unwrap();
    assert_eq!(line.connection.context.as_deref(), Some("b"));
}
