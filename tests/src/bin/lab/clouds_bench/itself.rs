//! The least that the cloud can be asked for as many machines: what is left is its own time.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use archipel_tests::openstack::cloud::Cloud;
use archipel_tests::openstack::counter::Counter;
use http::Method;
use serde_json::json;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// Creates at a time: as many as a site asks of a cloud at a time.
const AT_ONCE: usize = 16;

/// Between two lists.
const LOOK: Duration = Duration::from_millis(500);

/// Makes them, waits until all are ACTIVE, and deletes them.
pub(super) async fn swarm(counter: &Counter, count: usize) -> Result<Duration> {
    let peer = &counter.peer;
    let cloud = Arc::new(Cloud::of_project(peer, "physics").await?);
    let places = Arc::new(Semaphore::new(AT_ONCE));
    let mut creates = JoinSet::new();
    let began = Instant::now();
    for n in 0..count {
        let (cloud, places) = (cloud.clone(), places.clone());
        let body = json!({"server": {
            "name": format!("m{n}"),
            "imageRef": peer.image(),
            "flavorRef": peer.id_of("flavors", "m1.tiny"),
            "networks": [{"uuid": peer.id_of("networks", "common")}],
        }});
        creates.spawn(async move {
            let _place = places.acquire().await?;
            cloud
                .ask(Method::POST, "compute", "/v2.1/servers", Some(&body))
                .await?
                .success()
                .context("a create")
        });
    }
    while let Some(created) = creates.join_next().await {
        created??;
    }
    loop {
        let servers = cloud.servers().await?;
        ensure!(servers.iter().all(|server| server["status"] != "ERROR"), "a machine is broken: {servers:?}");
        if servers.iter().filter(|server| server["status"] == "ACTIVE").count() >= count {
            break;
        }
        tokio::time::sleep(LOOK).await;
    }
    let took = began.elapsed();
    clear(&cloud).await?;
    counter.take();
    Ok(took)
}

/// Deletes all machines of a project, and waits until they are gone.
pub(super) async fn clear(cloud: &Cloud) -> Result<()> {
    for server in cloud.servers().await? {
        let path = format!("/v2.1/servers/{}", server["id"].as_str().context("an id")?);
        cloud.ask(Method::DELETE, "compute", &path, None).await?;
    }
    while !cloud.servers().await?.is_empty() {
        tokio::time::sleep(LOOK).await;
    }
    Ok(())
}
