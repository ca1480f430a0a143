//! A full disk: writes that do not fit fail, nothing is lost, and writes work again once there is space.

use super::{
    load::{Books, Known, audit},
    start_after_power_loss, start_with_pool,
};
use crate::support::{CLAIMS, TIMEOUT, assert_refused, failure};
use serde_json::json;
use testkit::{allocated_cidr, claim};

use super::POOL;

#[tokio::test]
async fn full_disk_rejects_writes_and_recovers() {
    let directory = tempfile::tempdir().unwrap();
    let (disk, mut front) = start_with_pool(&directory.path().join("data")).await;
    let mut books = Books::new();
    for number in 0..3 {
        let name = format!("before-{number}");
        let made = front.claim(claim(&name).pool(POOL).length(24)).await;
        books.insert(name, Known::Live(allocated_cidr(&made).to_owned()));
    }
    disk.set_full(true);
    for number in 0..3 {
        let name = format!("refused-{number}");
        let body = json!({ "metadata": { "name": name }, "spec": { "poolRef": { "name": POOL }, "prefixLength": 24 } });
        let refusal = failure(&front.post(CLAIMS, body).await);
        assert_refused(&refusal, 503, "ServiceUnavailable", &["disk", "full", "nothing was written"]);
        books.insert(name, Known::Gone);
    }
    assert_eq!(front.get("/readyz").await.status, 500);
    let commits = front.get("/readyz/commits").await;
    assert_eq!(commits.status, 500);
    assert!(commits.text().contains("disk is full"), "{}", commits.text());
    audit(&front, &books).await;
    disk.set_full(false);
    let ready = async {
        while front.get("/readyz").await.status != 200 {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(TIMEOUT, ready).await.expect("it is ready again without a write of a client");
    let made = front.claim(claim("after").pool(POOL).length(24)).await;
    books.insert("after".to_owned(), Known::Live(allocated_cidr(&made).to_owned()));
    front.server.kill();
    let (_disk, front) = start_after_power_loss(&disk, &directory.path().join("later")).await;
    audit(&front, &books).await;
}
