//! The story of a site over a real OpenStack, over REST alone, with the cloud's own services as witnesses. Each sentence
//! that is printed was checked before.
//!
//! | part | what it shows |
//! |---|---|
//! | [`arrive`] | who gets in, who does not, and what they see |
//! | [`order`] | a network, a machine on it and a disk in it, in one request; the cloud shows them with the orders' ids |
//! | [`refused`] | what a policy, a mapper and the cloud's own quota refuse, each in its words |
//! | [`moved`] | another mapper while orders are in flight, then `kill -9`: nothing fails, nothing is doubled |
//! | [`outage`] | Nova away for a minute: fulfilled stays fulfilled |
//! | [`leave`] | everything is deleted, the projects are as they were, and no secret was written anywhere, nor in any plugin's memory |

mod arrive;
mod leave;
mod moved;
mod order;
mod outage;
mod refused;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use archipel_client::Client;
use archipel_tests::daemon::Daemon;
use archipel_tests::memory_watch::MemoryWatch;
use archipel_tests::openstack::cloud::{Cloud, Held};
use archipel_tests::openstack::peer::Peer;
use archipel_tests::openstack::site;
use archipel_tests::openstack::tee::Tee;
use archipel_tests::orders;
use archipel_tests::site::Site;
use serde_json::{Value, json};

use crate::say::line;

/// Where the cloud is.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// The folder with `up` and `down`.
    #[arg(long)]
    peer: PathBuf,
    /// The state folder that `up` was given.
    #[arg(long)]
    state: PathBuf,
    /// How long Nova is away, in seconds.
    #[arg(long, default_value_t = 60)]
    outage: u64,
}

/// What every part of the story has at hand.
struct Story {
    peer: Peer,
    site: Site,
    daemon: Daemon,
    /// Looks for secrets in the plugins' memories after each of their calls.
    watch: MemoryWatch,
    /// Clients go through it.
    tee: Tee,
    /// Everything secret that the test knows, with a name: more with each login.
    secrets: Vec<(String, String)>,
    /// The two projects between which users move.
    physics: Cloud,
    biology: Cloud,
}

/// Tells it.
pub(crate) async fn run(options: Options) -> Result<bool> {
    let began = Instant::now();
    let mut story = begin(&options).await?;
    let before = story.held().await?;

    let people = arrive::walk(&mut story).await?;
    let machine = order::walk(&story, &people.alice).await?;
    refused::walk(&story, &people, &machine).await?;
    let mut story = moved::walk(story, &people).await?;
    outage::walk(&story, &people.alice, Duration::from_secs(options.outage)).await?;
    let orders = leave::walk(&mut story, &people, &before).await?;

    let status = story.daemon.stop().await?;
    println!(
        "\npeer: openstack: {orders} orders over a real cloud, all as it must be, in {:.0} s",
        began.elapsed().as_secs_f64()
    );
    Ok(status.success())
}

async fn begin(options: &Options) -> Result<Story> {
    heading("A site over OpenStack");
    let peer = Peer::read(&options.peer, &options.state)?;
    let physics = Cloud::of_project(&peer, "physics").await?;
    let biology = Cloud::of_project(&peer, "biology").await?;
    let site = site::site(&peer)?;
    let listens: SocketAddr = site.config["site"]["listen"].as_str().context("an address")?.parse()?;
    let tee = Tee::before(listens).await?;
    let watch = MemoryWatch::new()?;
    let daemon = start(&site, &watch).await?;
    let secrets = peer.secrets();
    let story = Story { peer, site, daemon, watch, tee, secrets, physics, biology };
    let plugins = story.daemon.admin().get("/v1/admin/plugins").await?.success()?;
    for plugin in plugins["items"].as_array().context("the list of plugins")? {
        if plugin["state"] != "live" {
            bail!("a plugin is not live: {plugin}\n{}", story.daemon.log_tail());
        }
        line(&format!("{:<18} {}", text(plugin, "name"), text(plugin, "state")));
    }
    Ok(story)
}

/// Everything is logged, for the search at the end.
async fn start(site: &Site, watch: &MemoryWatch) -> Result<Daemon> {
    site.start_with(&["--fail-points"], &[("ARCHIPEL_LOG", "debug"), watch.variable()]).await
}

impl Story {
    /// A client that answers to nobody yet.
    fn client(&self) -> Result<Client> {
        Ok(Client::at_url(&self.tee.url(), None)?)
    }

    /// Logs somebody of the peer in.
    async fn log_in(&mut self, name: &str) -> Result<Client> {
        let client = self.client()?;
        let who = self.peer.user(name);
        let token =
            site::token(&client, who, who.password()).await.with_context(|| format!("logging {name} in"))?;
        self.secrets.push((format!("the site's token of {name}"), token.clone()));
        Ok(client.with_token(token))
    }

    /// What both projects hold.
    async fn held(&self) -> Result<Vec<Held>> {
        let mut held = self.physics.everything().await?;
        held.extend(self.biology.everything().await?);
        Ok(held)
    }
}

/// A part of the story begins, so long after its beginning.
fn heading(text: &str) {
    static BEGAN: LazyLock<Instant> = LazyLock::new(Instant::now);
    crate::say::heading(&format!("[{:>4.0} s] {text}", BEGAN.elapsed().as_secs_f64()));
}

/// Orders all of it in one request, and gives the orders.
async fn order_all(client: &Client, items: Vec<Value>) -> Result<Vec<Value>> {
    let answer = client.post("/v1/orders", &json!({ "orders": items })).await?.success()?;
    let results = answer["results"].as_array().context("results")?;
    let order = |result: &Value| match result["status"].as_u64() {
        Some(201) => Ok(result["order"].clone()),
        _ => bail!("refused: {result}"),
    };
    results.iter().map(order).collect()
}

/// Waits until all are fulfilled, and gives them as they are then.
async fn all_fulfilled(client: &Client, made: &[Value]) -> Result<Vec<Value>> {
    let mut done = Vec::new();
    for order in made {
        let order = orders::reaches(client, orders::id(order), "fulfilled").await?;
        if !order["unreachable"].is_null() {
            bail!("fulfilled but unreachable: {order}");
        }
        done.push(order);
    }
    Ok(done)
}

fn ids(made: &[Value]) -> BTreeSet<String> {
    made.iter().map(|order| orders::id(order).to_owned()).collect()
}

/// A member that is text.
fn text<'v>(value: &'v Value, key: &str) -> &'v str {
    value[key].as_str().unwrap_or_default()
}
