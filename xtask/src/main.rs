//! `cargo xtask`: maintenance commands of this repository.
//!
//! `tidy` checks the tree and fails if it finds a fault; `cargo test` runs the same checks. `compatibility` and `limits` generate
//! pages. `sizes` prints a report. Building, formatting, linting and testing are done by cargo and the Makefile.

mod compatibility;
mod limits;
mod sizes;
mod tidy;
mod tree;

use std::{fs, process::ExitCode};

use tree::Tree;

const USAGE: &str = "\
Usage: cargo xtask <COMMAND>

Commands:
  tidy           Check the tree: dependencies between crates and modules, pure crates, links, module documentation, text, limits and
                 the compatibility list
  compatibility  Write docs/compatibility.md from docs/compatibility.toml
  limits         Write docs/limits.md from the limits.rs files of the crates
  sizes          Report the sizes of files and functions; never fails
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let command = match arguments.as_slice() {
        [command] => command.as_str(),
        _ => "",
    };
    let tree = match Tree::of_this_repository() {
        Ok(tree) => tree,
        Err(error) => {
            eprintln!("the tree cannot be read: {error}");
            return ExitCode::FAILURE;
        }
    };
    match command {
        "tidy" => report(&tidy::faults(&tree)),
        "compatibility" => match write_compatibility(&tree) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("{}: {error}", compatibility::LIST);
                ExitCode::FAILURE
            }
        },
        "limits" => match fs::write(tree::root().join(limits::PAGE), limits::page(&tree)) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("{}: {error}", limits::PAGE);
                ExitCode::FAILURE
            }
        },
        "sizes" => {
            print!("{}", sizes::report(&tree));
            ExitCode::SUCCESS
        }
        _ => {
            eprint!("{USAGE}");
            ExitCode::FAILURE
        }
    }
}

fn report(faults: &[tidy::Fault]) -> ExitCode {
    for fault in faults {
        eprintln!("{fault}");
    }
    if faults.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Writes the compatibility page. Checks only the form of the list; `tidy` checks its contents.
fn write_compatibility(tree: &Tree) -> Result<(), String> {
    let list = tree.text(compatibility::LIST).ok_or("is missing")?;
    let page = compatibility::page(&compatibility::parse(list)?, tree);
    fs::write(tree::root().join(compatibility::PAGE), page).map_err(|error| error.to_string())
}
