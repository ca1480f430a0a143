//! The same requests to our server and to a real kube-apiserver, and what the answers differ in.
//!
//! It runs only when it is told where the two programs are, in `ORACLE_KUBE_APISERVER` and `ORACLE_ETCD`; `make oracle`
//! builds and names them. The kinds that are compared have no rules of their own: what is looked at here is the generic
//! part, which every kind has in common.

mod compare;
mod explained;
mod generate;
mod kinds;
mod normal;
mod ours;
mod pki;
mod request;
mod run;
mod theirs;
mod watch;
mod wire;

use std::{env, process::ExitCode};

use anyhow::Context as _;
use clap::Parser;

use crate::{
    generate::Generator,
    normal::Rules,
    pki::Pki,
    run::{Run, Side},
    theirs::{Programs, Theirs},
};

/// Compares our server with a kube-apiserver.
#[derive(Debug, Parser)]
struct Options {
    /// Whence the requests come.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How many requests.
    #[arg(long, default_value_t = 10_000)]
    operations: usize,
    /// Whether server-side apply is among them, and managedFields are compared.
    #[arg(long, default_value_t = true, action = clap::ArgAction::Set)]
    apply: bool,
}

fn main() -> anyhow::Result<ExitCode> {
    let (Some(server), Some(store)) = (env::var_os("ORACLE_KUBE_APISERVER"), env::var_os("ORACLE_ETCD")) else {
        println!("the oracle is not asked: ORACLE_KUBE_APISERVER and ORACLE_ETCD name no programs; see make oracle");
        return Ok(ExitCode::SUCCESS);
    };
    let options = Options::parse();
    let programs = Programs { server: server.into(), store: store.into() };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(Box::pin(compare_servers(options, programs)))
}

async fn compare_servers(options: Options, programs: Programs) -> anyhow::Result<ExitCode> {
    testkit::install_crypto();
    let pki = Pki::new()?;
    let theirs = Theirs::start(&programs, &pki).await.context("kube-apiserver does not start")?;
    theirs.create_namespace("attic").await?;
    for (crd, collection) in kinds::crds() {
        theirs.install(&crd, &collection).await?;
    }
    let ours = ours::start(&pki).await?;
    let Options { seed, operations, apply } = options;
    let rules = Rules { managed_fields: apply };
    let mut generator = Generator::new(seed, apply);
    let requests = std::iter::from_fn(|| Some(generator.next())).take(operations);
    let run = Run::new(Side::new(ours), Side::new(theirs.client.clone()), rules, generate::collections());
    let report = run.run(seed, requests).await?;
    let same = report.print(&explained::reasons());
    println!("{}", report.summary());
    Ok(if same { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
