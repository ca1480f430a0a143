//! Sends the same requests to our server and to a real kube-apiserver, and compares the answers.
//!
//! It runs only if `ORACLE_KUBE_APISERVER` and `ORACLE_ETCD` contain the paths of the two programs; `make oracle` builds them and
//! sets the variables. Three subjects are compared: the generic part of the API, through two kinds without rules; IPPool, whose CRD
//! has its rules in CEL; and RBAC roles and bindings, with the permissions that they grant.

mod access;
mod compare;
mod compared_kind;
mod crd;
mod creates;
mod generate;
mod generic;
mod ipam_server;
mod kinds;
mod known_differences;
mod kube_apiserver;
mod mutations;
mod normalize;
mod pki;
mod pools;
mod request;
mod rng;
mod run;
mod watch;
mod wire;

use std::{env, process::ExitCode};

use anyhow::Context as _;
use clap::{Parser, ValueEnum};

use crate::{
    access::{Access, Draw, Settler},
    compared_kind::{ComparedKind, Specs},
    generate::Generator,
    generic::Generic,
    kinds::Nothing,
    kube_apiserver::{KubeApiserver, Programs},
    normalize::Rules,
    pki::Pki,
    pools::Pools,
    request::Request,
    run::{Report, Run, Side},
    wire::Client,
};

/// Compares our server with a kube-apiserver.
#[derive(Debug, Parser)]
struct Options {
    /// The seed of the generated requests.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The number of requests for each subject.
    #[arg(long, default_value_t = 10_000)]
    operations: usize,
    /// The subjects to compare.
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = [Kinds::Generic, Kinds::Pools, Kinds::Access])]
    kinds: Vec<Kinds>,
    /// Generate server-side apply requests, and compare managedFields.
    #[arg(long, default_value_t = true, action = clap::ArgAction::Set)]
    apply: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Kinds {
    /// Two kinds without rules.
    Generic,
    /// IPPool.
    Pools,
    /// Roles and bindings.
    Access,
}

impl Kinds {
    fn subject(self) -> &'static dyn ComparedKind {
        match self {
            Self::Generic => &Generic,
            Self::Pools => &Pools,
            Self::Access => &Access,
        }
    }

    /// The subject, if kube-apiserver serves its kinds as CRDs.
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
            Self::Generic => ipam_server::start(pki, kinds::registry(), Nothing).await,
            Self::Pools => ipam_server::start(pki, ipam::registry(), ipam::AllocatorState::default()).await,
            Self::Access => ipam_server::start_alone(pki, kinds::registry(), Nothing).await,
        }
    }
}

fn main() -> anyhow::Result<ExitCode> {
    let (Some(server), Some(store)) = (env::var_os("ORACLE_KUBE_APISERVER"), env::var_os("ORACLE_ETCD")) else {
        println!("skipped: ORACLE_KUBE_APISERVER and ORACLE_ETCD are not set; see make oracle");
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
    let theirs = KubeApiserver::start(&programs, &pki).await.context("kube-apiserver does not start")?;
    theirs.client.create_namespace("attic").await?;
    let mut reports = Vec::new();
    for kinds in &options.kinds {
        let report = compare_kinds(*kinds, &options, &pki, &theirs).await?;
        report.print();
        reports.push((*kinds, report));
    }
    for (name, reason) in known_differences::reasons() {
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

async fn compare_kinds(kinds: Kinds, options: &Options, pki: &Pki, theirs: &KubeApiserver) -> anyhow::Result<Report> {
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
