//! `cargo xtask`: chores of this repository that are written in Rust.
//!
//! `tidy` checks the tree and fails on a fault; `cargo test` runs the same checks, so nobody has to remember it.
//! `compatibility` and `limits` generate pages. `sizes` only reports. Building, formatting, linting and testing stay with cargo and the Makefile.

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
  tidy           Check the tree: arrows between crates, purity, links, openings, text, limits and what the list of compatibility says
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

/// Writes the page of compatibility; what is wrong with the list beyond its form, `tidy` says.
fn write_compatibility(tree: &Tree) -> Result<(), String> {
    let list = tree.text(compatibility::LIST).ok_or("is missing")?;
    let page = compatibility::page(&compatibility::parse(list)?, tree);
    fs::write(tree::root().join(compatibility::PAGE), page).map_err(|error| error.to_string())
}
