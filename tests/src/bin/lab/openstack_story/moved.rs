//! Another mapper is dropped in while orders are in flight, and the daemon is killed: what had been begun stays where it
//! is, what comes later lands in the other project, and no machine is made twice.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use archipel_client::Client;
use archipel_tests::{built, orders};
use serde_json::{Value, json};

use super::arrive::People;
use super::{Story, all_fulfilled, heading, ids, line, order_all, start};

/// The live one, and what is dropped over it.
const MAPPER: &str = "mapper-by-group";
const NEXT: &str = "moved-keystone-mapper";

pub(super) async fn walk(story: Story, people: &People) -> Result<Story> {
    swap(&story, &people.alice).await?;
    kill(story, &people.alice, &people.bob).await
}

async fn swap(story: &Story, alice: &Client) -> Result<()> {
    heading("another mapper is dropped in while 20 orders are in flight");
    let old = story.daemon.plugin_state(MAPPER, "live", None).await?;
    let before = order_all(alice, swarm("before", 20)).await?;
    story.site.drop_plugin(MAPPER, &built::plugin(NEXT)?)?;
    let in_flight = unsettled(alice, &ids(&before)).await?;
    ensure!(in_flight > 0, "all 20 were there before the mapper was dropped; this shows nothing");
    line(&format!("{in_flight} of 20 are in flight as {NEXT}.wasm is dropped over {MAPPER}.wasm"));

    // Somebody goes on ordering all the while.
    let dropped = Instant::now();
    let mut meanwhile = Vec::new();
    let is_new = |status: &Value| status["state"] == "live" && status["digest"] != old["digest"];
    while !is_new(&story.daemon.admin().get(&format!("/v1/admin/plugins/{MAPPER}")).await?.success()?) {
        ensure!(dropped.elapsed() < Duration::from_secs(60), "the new mapper is not live after a minute");
        meanwhile.extend(order_all(alice, swarm("meanwhile", 1)).await?);
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    line(&format!("live {:.1} s later", dropped.elapsed().as_secs_f64()));
    let after = order_all(alice, swarm("after", 6)).await?;
    for made in [&before, &meanwhile, &after] {
        all_fulfilled(alice, made).await?;
    }
    let (physics, biology) = machines(story).await?;
    let all: BTreeSet<String> =
        [&before, &meanwhile, &after].into_iter().flat_map(|made| ids(made)).collect();
    let moved = all.iter().filter(|id| biology.contains_key(*id)).count();
    ensure!(
        ids(&after).iter().all(|id| biology.contains_key(id)),
        "what was ordered afterwards is in biology"
    );
    ensure!(
        ids(&before).iter().any(|id| physics.contains_key(id)),
        "what had been begun before is in physics"
    );
    once_each(story, &[&before, &meanwhile, &after]).await?;
    line(&format!(
        "none of {} failed; {} are in the old project, {moved} in the new one, the later ones among these",
        all.len(),
        all.len() - moved,
    ));
    Ok(())
}

async fn kill(story: Story, alice: &Client, bob: &Client) -> Result<Story> {
    heading("the daemon is killed in the middle of creates and deletes");
    let old = orders::all(alice, "&state=fulfilled").await?;
    let going: Vec<Value> = old
        .into_iter()
        .filter(|order| order["name"].as_str().is_some_and(|name| name.starts_with("before")))
        .collect();
    let going = going.get(..4).context("four orders to delete")?.to_vec();
    let of_alice = order_all(alice, swarm("killed", 12)).await?;
    let of_bob = order_all(bob, swarm("killed", 4)).await?;
    for order in &going {
        orders::delete(alice, orders::id(order)).await?.success()?;
    }
    // The first has reached the cloud: the others stand in every state before and after.
    orders::follow(alice, orders::id(&of_alice[0]), |order| !order["instance"].is_null()).await?;
    let in_flight = unsettled(alice, &ids(&of_alice)).await?;
    let Story { peer, site, daemon, watch, tee, secrets, physics, biology } = story;
    let status = daemon.kill()?;
    let daemon = start(&site, &watch).await?;
    let story = Story { peer, site, daemon, watch, tee, secrets, physics, biology };
    line(&format!("{status}, with {in_flight} creates in flight; it is up again"));

    all_fulfilled(alice, &of_alice).await?;
    all_fulfilled(bob, &of_bob).await?;
    for order in &going {
        orders::reaches(alice, orders::id(order), "closed").await?;
    }
    once_each(&story, &[&of_alice, &of_bob]).await?;
    let held = machines(&story).await?;
    let gone = ids(&going);
    ensure!(
        !held.0.keys().chain(held.1.keys()).any(|id| gone.contains(id)),
        "what was deleted is still there"
    );
    line("every order ended as it should: 16 machines and disks once each, 4 gone");
    Ok(story)
}

/// Small computes and volumes, two of three computes. They rest on nothing that is in one project alone.
fn swarm(name: &str, count: usize) -> Vec<Value> {
    let one = |n: usize| match n % 3 {
        2 => json!({"kind": "volume", "name": format!("{name}-{n}"), "size_gib": 1}),
        _ => {
            json!({"kind": "compute", "name": format!("{name}-{n}"), "image": "@cirros", "vcpu": 1, "ram_mib": 256})
        }
    };
    (0..count).map(one).collect()
}

async fn unsettled(client: &Client, ids: &BTreeSet<String>) -> Result<usize> {
    let is_settled = |order: &Value| {
        order["state"].as_str().is_some_and(|state| state == "fulfilled" || state.starts_with("failed"))
    };
    let all = orders::all(client, "").await?;
    Ok(all.iter().filter(|order| ids.contains(orders::id(order)) && !is_settled(order)).count())
}

/// Servers and volumes by order, in either project.
async fn machines(story: &Story) -> Result<(BTreeMap<String, usize>, BTreeMap<String, usize>)> {
    Ok((story.physics.machines(story.site.id()).await?, story.biology.machines(story.site.id()).await?))
}

/// What the daemon removed because it was made twice goes in the cloud's own time.
const REMOVED_WITHIN: Duration = Duration::from_secs(60);

async fn once_each(story: &Story, made: &[&Vec<Value>]) -> Result<()> {
    let all: BTreeSet<String> = made.iter().flat_map(|made| ids(made)).collect();
    let began = Instant::now();
    loop {
        let (physics, biology) = machines(story).await?;
        let count = |id: &String| physics.get(id).unwrap_or(&0) + biology.get(id).unwrap_or(&0);
        match all.iter().find(|id| count(id) != 1) {
            None => return Ok(()),
            Some(id) if count(id) == 0 || began.elapsed() > REMOVED_WITHIN => {
                bail!("order {id} has {} instances in the cloud", count(id))
            }
            Some(_) => tokio::time::sleep(Duration::from_secs(1)).await,
        }
    }
}
