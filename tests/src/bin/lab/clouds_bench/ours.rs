//! Machines through a site.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use archipel_client::Client;
use archipel_tests::daemon::Daemon;
use archipel_tests::openstack::counter::Counter;
use archipel_tests::openstack::peer::Peer;
use archipel_tests::openstack::site;
use archipel_tests::orders;
use archipel_tests::site::Site;
use serde_json::{Value, json};

use super::{Singles, WARM_UP};

/// A site whose users log in past the ports, and whose driver and accounts go through them.
pub(super) struct Ours {
    /// Its folder goes with it.
    _site: Site,
    daemon: Daemon,
    alice: Client,
}

impl Ours {
    pub(super) async fn start(peer: &Peer, counter: &Counter) -> Result<Self> {
        let mut site = site::site_between(peer, &counter.peer)?;
        // As a site has them by itself.
        site.config["limits"] = json!({});
        let daemon = site.start().await?;
        let who = peer.user("alice");
        let anonymous = daemon.anonymous();
        let token = site::token(&anonymous, who, who.password()).await?;
        Ok(Self { _site: site, daemon, alice: anonymous.with_token(token) })
    }

    pub(super) async fn singles(&self, counter: &Counter, count: usize) -> Result<Singles> {
        let mut took = Vec::new();
        for n in 0..WARM_UP + count {
            if n == WARM_UP {
                counter.take();
            }
            let began = Instant::now();
            let order = orders::create(&self.alice, "computes", &machine(n)).await?;
            orders::reaches(&self.alice, orders::id(&order), "fulfilled").await?;
            took.push(began.elapsed());
        }
        let calls = counter.take();
        orders::delete_all(&self.alice).await?;
        counter.take();
        Ok(Singles { took: took.split_off(WARM_UP), calls })
    }

    pub(super) async fn swarm(&self, count: usize) -> Result<Duration> {
        let items: Vec<Value> = (0..count)
            .map(|n| {
                let mut item = machine(n);
                item["kind"] = "compute".into();
                item
            })
            .collect();
        let began = Instant::now();
        let answer = self.alice.post("/v1/orders", &json!({ "orders": items })).await?.success()?;
        let results = answer["results"].as_array().context("results")?;
        for result in results {
            ensure!(result["status"] == 201, "refused: {result}");
        }
        for result in results {
            orders::reaches(&self.alice, orders::id(&result["order"]), "fulfilled").await?;
        }
        let took = began.elapsed();
        // The cloud's quota has room for two swarms.
        orders::delete_all(&self.alice).await?;
        Ok(took)
    }

    pub(super) async fn stop(self) -> Result<()> {
        orders::delete_all(&self.alice).await?;
        self.daemon.stop().await.map(drop)
    }
}

fn machine(n: usize) -> Value {
    json!({"name": format!("m{n}"), "image": "@cirros", "vcpu": 1, "ram_mib": 256, "networks": [{"cloud_id": "common"}]})
}
