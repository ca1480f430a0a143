//! The `ipam` program built with a simulated later version of the API, for tests of two versions on one database.

use std::process::ExitCode;

#[path = "main.rs"]
mod program;

fn main() -> ExitCode {
    program::main()
}
