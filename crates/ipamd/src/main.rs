//! The `ipam` program.

use std::process::ExitCode;

use clap::Parser;
use ipamd::{
    config::{Command, CommandLine},
    logging, serve, store_commands,
};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Parses and runs the command line.
pub fn main() -> ExitCode {
    run().unwrap_or_else(|error| {
        logging::print_error(&error);
        ExitCode::FAILURE
    })
}

fn run() -> anyhow::Result<ExitCode> {
    let line = CommandLine::parse();
    if rustls::crypto::aws_lc_rs::default_provider().install_default().is_err() {
        anyhow::bail!("another TLS provider is installed already");
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    match line.command {
        Command::Serve(options) => {
            let log = logging::start(options.logging.format, &options.logging.level)?;
            runtime.block_on(serve::serve(*options, log.lost.clone()))?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Store(command) => runtime.block_on(store_commands::run(command, &mut std::io::stdout())),
        Command::Client(command) => {
            runtime.block_on(cli::run(&line.connection, command, &mut std::io::stdout(), &mut std::io::stderr()))
        }
    }
}
