//! No two blocks of one pool and no two root pools overlap with any number of concurrent clients.

use std::sync::Arc;

use futures::future::join_all;
use kube::{
    Client, Error,
    api::{DeleteParams, ListParams, PostParams},
    core::DynamicObject,
};
use serde_json::json;
use testkit::{allocated_cidr, claim, claims, pool, pools, refusal};
use tokio::sync::Barrier;

use super::support::{ServerFixture, assert_causes, assert_disjoint, assert_refused, text};

const CLIENTS: usize = 64;

/// Runs one task per client, each with its own connection; all start at the same time.
async fn all_at_once<T, F>(front: &ServerFixture, clients: usize, act: impl Fn(usize, Client) -> F) -> Vec<T>
where
    T: Send + 'static,
    F: Future<Output = T> + Send + 'static,
{
    let barrier = Arc::new(Barrier::new(clients));
    let tasks = (0..clients).map(|index| {
        let (client, barrier) = (front.another_client(), Arc::clone(&barrier));
        let connected = client.clone();
        let work = act(index, client);
        tokio::spawn(async move {
            connected.apiserver_version().await.unwrap();
            barrier.wait().await;
            work.await
        })
    });
    join_all(tasks).await.into_iter().map(Result::unwrap).collect()
}

#[tokio::test]
async fn blocks_of_mixed_lengths_are_disjoint() {
    let front = ServerFixture::open().await;
    front.pool(pool("root").cidr("10.0.0.0/20")).await;
    let mut blocks = Vec::new();
    for (index, length) in [32, 24, 28, 30, 26, 32, 25, 31, 27, 24, 32, 29].into_iter().enumerate() {
        blocks.push(front.block(claim(&format!("c{index}")).pool("root").length(length)).await);
        if index % 4 == 3 {
            let gone = index - 2;
            front.delete_claim(&format!("c{gone}")).await;
            blocks[gone] = String::new();
        }
    }
    let live = blocks.iter().map(String::as_str).filter(|block| !block.is_empty());
    let held = assert_disjoint("10.0.0.0/20", live);
    assert_eq!(i128::from(front.addresses("root").await.1), i128::try_from(held).unwrap());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_claims_fill_pool_without_overlap() {
    const BLOCKS: usize = 256;
    let front = ServerFixture::open().await;
    front.pool(pool("root").cidr("10.0.0.0/20")).await;
    let answers = all_at_once(&front, CLIENTS, |index, client| async move {
        let api = claims(&client, "default");
        let mut answers = Vec::new();
        for round in 0..5 {
            answers.push(
                api.create(&PostParams::default(), &claim(&format!("c{index}-{round}")).pool("root").length(28).into())
                    .await,
            );
        }
        answers
    })
    .await;
    let (granted, refused): (Vec<_>, Vec<_>) = answers.into_iter().flatten().partition(Result::is_ok);
    let granted: Vec<DynamicObject> = granted.into_iter().map(Result::unwrap).collect();
    assert_eq!(granted.len(), BLOCKS, "every block is handed out, and none twice");
    assert_eq!(assert_disjoint("10.0.0.0/20", granted.iter().map(allocated_cidr)), 4096);
    for refusal in refused.into_iter().map(refusal) {
        assert_refused(&refusal, 507, "InsufficientStorage", &["exhausted", "root", "/28"]);
    }
    let listed = front.claims.list(&ListParams::default()).await.unwrap().items;
    assert_eq!(assert_disjoint("10.0.0.0/20", listed.iter().map(allocated_cidr)), 4096);
    assert_eq!(front.addresses("root").await, (4096, 4096, 0));
    assert_eq!(text(&front.status("root").await, "/phase"), "Exhausted");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_claims_of_one_address_have_one_winner() {
    let front = ServerFixture::open().await;
    front.pool(pool("root").cidr("10.0.0.0/24")).await;
    let answers = all_at_once(&front, CLIENTS, |index, client| async move {
        let wanted = claim(&format!("c{index}")).pool("root").address("10.0.0.77");
        claims(&client, "default").create(&PostParams::default(), &wanted.into()).await
    })
    .await;
    let (granted, refused): (Vec<_>, Vec<_>) = answers.into_iter().partition(Result::is_ok);
    assert_eq!(granted.len(), 1);
    let holder = granted[0].as_ref().unwrap().metadata.name.as_deref().unwrap();
    for refusal in refused.into_iter().map(refusal) {
        assert_refused(&refusal, 422, "Invalid", &["10.0.0.77", &format!("held by IPClaim default/{holder}")]);
    }
    assert_eq!(front.addresses("root").await, (256, 1, 255));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_creates_of_one_name_have_one_winner() {
    let front = ServerFixture::open().await;
    front.pool(pool("root").cidr("10.0.0.0/16")).await;
    let answers = all_at_once(&front, CLIENTS, |_, client| async move {
        claims(&client, "default").create(&PostParams::default(), &claim("same").pool("root").length(28).into()).await
    })
    .await;
    let (granted, refused): (Vec<_>, Vec<_>) = answers.into_iter().partition(Result::is_ok);
    assert_eq!(granted.len(), 1);
    for refusal in refused.into_iter().map(refusal) {
        assert_refused(&refusal, 409, "AlreadyExists", &[]);
    }
    assert_eq!(front.addresses("root").await.1, 16, "rejected claims consume nothing");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_child_pools_and_claims_do_not_overlap() {
    let front = ServerFixture::open().await;
    front.pool(pool("root").cidr("10.0.0.0/18")).await;
    let blocks = all_at_once(&front, 32, |index, client| async move {
        let name = format!("n{index}");
        let granted = if index % 2 == 0 {
            pools(&client).create(&PostParams::default(), &pool(&name).parent("root").length(23).into()).await
        } else {
            claims(&client, "default")
                .create(&PostParams::default(), &claim(&name).pool("root").length(23).into())
                .await
        };
        allocated_cidr(&granted.unwrap()).to_owned()
    })
    .await;
    assert_eq!(assert_disjoint("10.0.0.0/18", blocks.iter().map(String::as_str)), 1 << 14);
    assert_eq!(front.addresses("root").await, (1 << 14, 1 << 14, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_overlapping_root_pools_have_one_winner() {
    const ROUNDS: usize = 60;
    let front = ServerFixture::open().await;
    let (left, right) = (pools(&front.another_client()), pools(&front.another_client()));
    for round in 0..ROUNDS {
        let create = PostParams::default();
        let (wide, narrow) = (pool("wide").cidr("10.0.0.0/8").into(), pool("narrow").cidr("10.200.0.0/16").into());
        let made = futures::join!(left.create(&create, &wide), right.create(&create, &narrow));
        let (winner, loser) = winner(round, made);
        assert_refused(&loser, 422, "Invalid", &[winner, "10.0.0.0/8", "10.200.0.0/16"]);
        assert_causes(&loser, &[("PoolOverlap", "spec.cidr")]);
        let left_over = front.pools.list(&ListParams::default()).await.unwrap().items;
        assert_eq!(left_over.len(), 1, "round {round}");
        front.pools.delete(winner, &DeleteParams::default()).await.unwrap();
    }
    assert_eq!(front.everything().await, json!([[], [], []]));
}

type Made = Result<DynamicObject, Error>;

fn winner(round: usize, made: (Made, Made)) -> (&'static str, kube::core::Status) {
    match made {
        (Ok(_), lost @ Err(_)) => ("wide", refusal(lost)),
        (lost @ Err(_), Ok(_)) => ("narrow", refusal(lost)),
        other => panic!("round {round}: exactly one should win: {other:?}"),
    }
}
