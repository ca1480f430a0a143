//! A pooler between the replicas and their database that loses its connections to the database during commits.

use std::collections::BTreeMap;

use futures::future::join_all;
use kube::api::ListParams;
use serde_json::json;
use testkit::{pool, proxy::Fault};

use super::{
    Site, TIMES,
    support::{CLAIMS, assert_disjoint},
};

/// The total number of commits that fail.
const LOST_COMMITS: u32 = 40;
const CLIENTS: usize = 8;
const ROUNDS: usize = 10;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn claims_hold_when_pooler_connections_are_lost() {
    let (site, _pooler) = Site::through_a_pooler().await;
    let mut run = site.work().await;
    site.line.fail_commits(4, Fault::Cut);
    site.work_through_faults(&mut run, LOST_COMMITS).await;
    site.line.fail_commits(0, Fault::Cut);
    let name = &site.front.server.database().name;
    let kill = format!("SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = '{name}'");
    for _ in 0..TIMES {
        site.cluster.execute("postgres", &kill);
        run.let_work().await;
    }
    let lost = site.line.faults();
    run.end(&site.front, &format!("{lost} commits lost through a pooler, {TIMES} times all sessions killed")).await;
}

/// A client can repeat a create with `generateName` safely only if an answer that nothing was written is true.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn generated_names_through_pooler_take_one_block_each() {
    let (site, _pooler) = Site::through_a_pooler().await;
    site.front.pool(pool("root").cidr("10.0.0.0/16")).await;
    site.line.fail_commits(2, Fault::Cut);
    let client = async |client: usize| {
        let mut known = BTreeMap::new();
        for round in 0..ROUNDS {
            let label = format!("{client}-{round}");
            let body = json!({
                "apiVersion": "ipam.miloapis.com/v1alpha1", "kind": "IPClaim",
                "metadata": { "generateName": "g-", "labels": { "attempt": label } },
                "spec": { "poolRef": { "name": "root" }, "prefixLength": 28 },
            });
            let is_known = loop {
                let answer = site.front.post(CLAIMS, body.clone()).await;
                match answer.status.as_u16() {
                    201 => break true,
                    503 if answer.text().contains("nothing was written") => {}
                    500.. => break false,
                    _ => panic!("{}", answer.text()),
                }
            };
            known.insert(label, is_known);
        }
        known
    };
    let known: BTreeMap<String, bool> = join_all((0..CLIENTS).map(client)).await.into_iter().flatten().collect();
    site.line.fail_commits(0, Fault::Cut);
    let claims = site.front.claims.list(&ListParams::default()).await.unwrap().items;
    let mut made: BTreeMap<&str, usize> = BTreeMap::new();
    for claim in &claims {
        *made.entry(claim.metadata.labels.as_ref().unwrap()["attempt"].as_str()).or_default() += 1;
    }
    for (label, is_known) in &known {
        let made = made.get(label.as_str()).copied().unwrap_or_default();
        assert!(made == 1 || (made == 0 && !is_known), "{label}: {made} claims, acknowledged: {is_known}");
    }
    assert_disjoint("10.0.0.0/16", claims.iter().map(testkit::allocated_cidr));
    let certain = known.values().filter(|is_known| **is_known).count();
    println!("{certain} of {} creates acknowledged, {} commits lost", known.len(), site.line.faults());
    assert!(certain > known.len() / 2 && site.line.faults() > 10, "too few creates or faults to prove anything");
}
