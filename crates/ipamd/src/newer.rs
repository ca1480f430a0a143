//! The `ipam` program with what a newer version might add, for tests of two versions on one database.

use std::process::ExitCode;

#[path = "main.rs"]
mod program;

fn main() -> ExitCode {
    program::main()
}
