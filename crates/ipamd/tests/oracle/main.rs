//! The same requests to our server and to a real kube-apiserver, and what the answers differ in.
//!
//! It runs only when it is told where the two programs are, in `ORACLE_KUBE_APISERVER` and `ORACLE_ETCD`; `make oracle`
//! builds and names them. Three things are looked at: the generic part, which every kind has in common, through two kinds
//! without rules of their own; IPPool, whose CRD says its rules in CEL; and roles and bindings, with what they allow.

mod access;
mod compare;
mod crd;
mod creates;
mod dice;
mod explained;
mod generate;
mod generic;
mod kinds;
mod normal;
mod oddities;
mod ours;
mod pki;
mod pools;
mod request;
mod run;
mod subject;
mod theirs;
mod watch;
mod wire;

use std::{env, process::ExitCode};

use anyhow::Context as _;
use clap::{Parser, ValueEnum};

use crate::{
    access::{Access, Draw, Settler},
    generate::Generator,
    generic::Generic,
    kinds::Nothing,
    normal::Rules,
    pki::Pki,
    pools::Pools,
    request::Request,
    run::{Report, Run, Side},
    subject::{Specs, Subject},
    theirs::{Programs, Theirs},
    wire::Client,
};

/// Compares our server with a kube-apiserver.
#[derive(Debug, Parser)]
struct Options {
    /// Whence the requests come.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How many requests for each of the kinds.
    #[arg(long, default_value_t = 10_000)]
    operations: usize,
    /// What is compared.
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = [Kinds::Generic, Kinds::Pools, Kinds::Access])]
    kinds: Vec<Kinds>,
    /// Whether server-side apply is among them, and managedFields are compared.
    #[arg(long, default_value_t = true, action = clap::ArgAction::Set)]
    apply: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Kinds {
    /// Two kinds without rules of their own.
    Generic,
    /// IPPool.
    Pools,
    /// Roles and bindings.
    Access,
}

impl Kinds {
    fn subject(self) -> &'static dyn Subject {
        match self {
            Self::Generic => &Generic,
            Self::Pools => &Pools,
            Self::Access => &Access,
        }
    }

    /// The same of those that kube-apiserver has only as CRDs.
    fn specs(self) -> Option<&'static dyn Specs> {
        match self {
            Self::Generic => Some(&Generic),
            Self::Pools => Some(&Pools),
            Self::Access => None,
        }
    }

    fn requests(self, seed: u64, apply: bool) -> Box<dyn Iterator<Item = Request>> {
        match self.specs() {
            Some(specs) => {
                let mut generator = Generator::new(specs, seed, apply);
                Box::new(std::iter::from_fn(move || Some(generator.next())))
            }
            None => Box::new(Draw::new(seed, apply)),
        }
    }

    async fn served_by_us(self, pki: &Pki) -> anyhow::Result<Client> {
        match self {
            Self::Generic => ours::start(pki, kinds::registry(), Nothing).await,
            Self::Pools => ours::start(pki, ipam::registry(), ipam::World::default()).await,
            Self::Access => ours::start_alone(pki, kinds::registry(), Nothing).await,
        }
    }
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
    theirs.client.create_namespace("attic").await?;
    let mut reports = Vec::new();
    for kinds in &options.kinds {
        let report = compare_kinds(*kinds, &options, &pki, &theirs).await?;
        report.print();
        reports.push((*kinds, report));
    }
    for (name, reason) in explained::reasons() {
        if !reports.iter().any(|(_, report)| report.needed(name)) {
            println!("not needed: {name}: {reason}");
        }
    }
    for (kinds, report) in &reports {
        println!("{kinds:?}: {}", report.summary());
    }
    let same = reports.iter().all(|(_, report)| report.unexplained.is_empty());
    Ok(if same { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn compare_kinds(kinds: Kinds, options: &Options, pki: &Pki, theirs: &Theirs) -> anyhow::Result<Report> {
    let subject = kinds.subject();
    let (ours, mut theirs_side) = (kinds.served_by_us(pki).await?, Side::new(theirs.client.clone()));
    if let Some(specs) = kinds.specs() {
        for resource in subject.resources() {
            let crd = crd::crd(resource, specs.crd_schema(resource));
            theirs.install(&crd, &subject.path(resource.plural)).await?;
        }
    } else {
        ours.create_namespace("attic").await?;
        theirs_side = theirs_side.settling(Settler::new(theirs.client.clone()).await?);
    }
    let Options { seed, operations, apply, .. } = *options;
    let requests = kinds.requests(seed, apply).take(operations);
    let rules = Rules { subject, managed_fields: apply };
    Run::new(Side::new(ours), theirs_side, rules).run(seed, requests).await
}
