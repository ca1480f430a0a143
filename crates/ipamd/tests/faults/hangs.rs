//! Connections that hang: nothing is closed, and nothing is answered any more.

use std::time::Instant;

use kube::{Error, api::PostParams};
use testkit::{
    claim, claims,
    proxy::{Fault, Hang},
};

use super::{HANG_NOTICED, Site, TIMES};

/// Commits that hang in all, before the database has them and after, by turns.
const HUNG_COMMITS: u32 = 6;

/// Each costs its replica the time that a commit may take, and is looked for then.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_hang_in_a_commit() {
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

/// A client that asks meanwhile is answered by the server, and not by a time-out of its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_hangs() {
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
        site.line.mend();
        run.let_work().await;
    }
    for _ in 0..TIMES {
        run.let_work().await;
    }
    for (name, is_denied) in answers {
        let was_made = is_removed(&site, &name).await;
        assert!(!was_made || !is_denied, "{name}: it was said that nothing was written");
    }
    run.end(&site.front, "the database hung twice").await;
}

/// The machine of the primary is lost: packets are dropped, and after a while the address leads to the standby.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_primary_that_is_gone_without_a_word() {
    let site = Site::usual().await;
    let standby = site.cluster.standby().await.unwrap();
    let mut run = site.work().await;
    site.line.hang(Hang::Both);
    site.cluster.crash().await.unwrap();
    run.let_work().await;
    standby.promote().unwrap();
    site.line.lead_to(standby.port());
    site.line.mend();
    let begun = Instant::now();
    // A create that was not answered may be made late, so each has another name.
    let mut tries = Vec::new();
    loop {
        let name = format!("zy-again-{}", tries.len());
        let again = claim(&name).pool("six").length(128).into();
        tries.push(name);
        if site.front.claims.create(&PostParams::default(), &again).await.is_ok() {
            break;
        }
        assert!(begun.elapsed() < HANG_NOTICED, "after {} tries", tries.len());
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

/// Deletes a claim, if it is there; says whether it was.
async fn is_removed(site: &Site, name: &str) -> bool {
    let found = site.front.claims.get_opt(name).await.unwrap().is_some();
    if found {
        site.front.delete_claim(name).await;
    }
    found
}
