//! The `ipam` program.

use std::process::ExitCode;

use clap::Parser;
use ipamd::{
    bump,
    config::{Command, CommandLine},
    logging, migrate, serve, transfer,
};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Runs the command line of the process.
pub fn main() -> anyhow::Result<ExitCode> {
    let line = CommandLine::parse();
    if rustls::crypto::aws_lc_rs::default_provider().install_default().is_err() {
        anyhow::bail!("another TLS provider is installed already");
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    match line.command {
        Command::Serve(options) => {
            logging::start(options.logging.format, &options.logging.level)?;
            runtime.block_on(serve::serve(*options))?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Migrate(command) => runtime.block_on(migrate::run(command, &mut std::io::stdout())),
        Command::Export(options) => {
            logging::start(options.logging.format, &options.logging.level)?;
            runtime.block_on(transfer::export(options))?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Import(options) => {
            logging::start(options.logging.format, &options.logging.level)?;
            runtime.block_on(transfer::import(options))?;
            Ok(ExitCode::SUCCESS)
        }
        Command::BumpRevision(options) => {
            runtime.block_on(bump::run(options, &mut std::io::stdout()))?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Client(command) => {
            runtime.block_on(cli::run(&line.connection, command, &mut std::io::stdout(), &mut std::io::stderr()))
        }
    }
}
