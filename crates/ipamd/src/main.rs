//! The `ipam` program.

use std::process::ExitCode;

use clap::Parser;
use ipamd::{
    config::{Command, CommandLine},
    logging, serve, store_commands,
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
        Command::Store(command) => runtime.block_on(store_commands::run(command, &mut std::io::stdout())),
        Command::Client(command) => {
            runtime.block_on(cli::run(&line.connection, command, &mut std::io::stdout(), &mut std::io::stderr()))
        }
    }
}
