//! Connections that hang: they stay open, but no answers arrive.

use std::time::Instant;

use kube::{Error, api::PostParams};
use testkit::{
    claim, claims,
    proxy::{Fault, Hang},
};

use super::{HANG_NOTICED, Site, TIMES};

/// The total number of commits that hang, alternately before and after the database has received them.
const HUNG_COMMITS: u32 = 6;

/// A hanging commit blocks its replica until the commit times out. The replica then resolves the outcome from the log.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn claims_hold_when_connections_hang_in_commit() {
    let site = Site::usual().await;
    let mut run = site.work().await;
    site.line.fail_commits(20, Fault::Hang);
    site.work_through_faults(&mut run, HUNG_COMMITS).await;
    site.line.fail_commits(0, Fault::Hang);
    for _ in 0..TIMES {
        run.let_work().await;
    }
    run.end(&site.front, &format!("{} commits hung", site.line.faults())).await;
}

/// The server answers a request during the hang, before the client's own timeout.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn claims_hold_when_database_hangs() {
    let site = Site::usual().await;
    let mut run = site.work().await;
    let claims = claims(&site.front.server.server(0).client(), "default");
    let mut answers = Vec::new();
    for hang in [Hang::Both, Hang::Answers] {
        site.line.hang(hang);
        let begun = Instant::now();
        let name = format!("zy-{hang:?}").to_lowercase();
        let wanted = claim(&name).pool("six").length(128).into();
        let answered = tokio::time::timeout(HANG_NOTICED, claims.create(&PostParams::default(), &wanted)).await;
        let Ok(Err(Error::Api(status))) = answered else { panic!("{hang:?}: {answered:?}") };
        println!("a create beside a database that hangs ({hang:?}): {} after {:?}", status.code, begun.elapsed());
        assert!(status.code >= 500, "{status:?}");
        answers.push((name, status.message.contains("nothing was written")));
        site.line.restore();
        run.let_work().await;
    }
    for _ in 0..TIMES {
        run.let_work().await;
    }
    for (name, is_denied) in answers {
        let was_made = is_removed(&site, &name).await;
        assert!(!was_made || !is_denied, "{name}: it was created after the answer that nothing was written");
    }
    run.end(&site.front, "the database hung twice").await;
}

/// The machine of the primary is lost: packets are dropped until the address leads to the standby.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn claims_hold_when_primary_vanishes_silently() {
    let site = Site::usual().await;
    let standby = site.cluster.standby().await.unwrap();
    let mut run = site.work().await;
    site.line.hang(Hang::Both);
    site.cluster.crash().await.unwrap();
    run.let_work().await;
    standby.promote().unwrap();
    site.line.retarget(standby.port());
    site.line.restore();
    let begun = Instant::now();
    // A create without an answer may still be executed later, so each has another name.
    let mut tries = Vec::new();
    loop {
        let name = format!("zy-again-{}", tries.len());
        let again = claim(&name).pool("six").length(128).into();
        tries.push(name);
        if site.front.claims.create(&PostParams::default(), &again).await.is_ok() {
            break;
        }
        assert!(begun.elapsed() < HANG_NOTICED, "no create has succeeded in {} attempts", tries.len());
    }
    println!("the service works again {:?} after its database does", begun.elapsed());
    for _ in 0..TIMES {
        run.let_work().await;
    }
    for name in tries {
        is_removed(&site, &name).await;
    }
    run.end(&site.front, "a standby took over without a word").await;
}

/// Deletes a claim if it exists. Returns true if it existed.
async fn is_removed(site: &Site, name: &str) -> bool {
    let found = site.front.claims.get_opt(name).await.unwrap().is_some();
    if found {
        site.front.delete_claim(name).await;
    }
    found
}
