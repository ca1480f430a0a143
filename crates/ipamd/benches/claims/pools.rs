//! The pools of the claims.

use serde_json::json;

use crate::{load::Client, process::Process};

/// The name of the single pool.
pub const ONE: &str = "bench";
/// The number of pools that [`create_many`] creates.
pub const MANY: usize = 64;

/// Creates the single pool, 10.0.0.0/8.
pub async fn create_one(server: &Process) -> anyhow::Result<()> {
    create(&mut Client::connect(server).await?, ONE, "10.0.0.0/8").await
}

/// Creates [`MANY`] pools of the same size. Returns their names.
pub async fn create_many(server: &Process) -> anyhow::Result<Vec<String>> {
    let mut client = Client::connect(server).await?;
    let mut names = Vec::new();
    for number in 0..MANY {
        let name = format!("{ONE}-{number}");
        create(&mut client, &name, &format!("{}.0.0.0/8", MANY + number)).await?;
        names.push(name);
    }
    Ok(names)
}

async fn create(client: &mut Client, name: &str, cidr: &str) -> anyhow::Result<()> {
    let pool = json!({
        "apiVersion": "ipam.miloapis.com/v1alpha1",
        "kind": "IPPool",
        "metadata": {"name": name},
        "spec": {"cidr": cidr},
    });
    let code = client.post("/apis/ipam.miloapis.com/v1alpha1/ippools", pool.to_string()).await?;
    anyhow::ensure!(code == 201, "the create of the pool was answered with {code}");
    Ok(())
}
