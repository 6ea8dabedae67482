//! `cargo xtask demo`: a whole site at work, over REST alone. Every sentence it prints is checked before it is printed.

mod hints;
mod order;
mod plug;
mod swap;

use std::net::TcpListener;
use std::time::Instant;

use anyhow::{Context, Result};
use archipel_client::Client;
use archipel_tests::daemon::Daemon;
use archipel_tests::site::Site;
use serde_json::json;

use crate::say::{heading, line};

/// What to do.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Stop after the walk.
    #[arg(long)]
    once: bool,
    /// 0 = a free one.
    #[arg(long, default_value_t = 0)]
    port: u16,
}

/// The walk; then the site serves on, unless told otherwise.
pub(crate) async fn run(options: Options) -> Result<bool> {
    let began = Instant::now();
    let mut site = prepare(options.port)?;
    heading("A site");
    let daemon = site.start().await?;
    introduce(&site, &daemon).await?;

    let alice = look_around(&daemon).await?;
    let web = order::walk(&alice).await?;
    let moved = swap::walk(&mut site, &daemon, &alice, &web).await?;
    let daemon = plug::walk(&site, daemon, &alice).await?;
    order::end(&alice, &web, &moved).await?;

    println!("\ndemo: all went as it must, in {:.1} s", began.elapsed().as_secs_f64());
    if !options.once {
        hints::tell(&site, &daemon).await?;
        tokio::signal::ctrl_c().await.context("waiting for Ctrl-C")?;
    }
    let status = daemon.stop().await?;
    Ok(status.success())
}

/// The emulated cloud takes its time, so that states can be seen.
fn prepare(port: u16) -> Result<Site> {
    let mut site = Site::temporary()?;
    let port = match port {
        0 => TcpListener::bind("127.0.0.1:0")?.local_addr()?.port(),
        port => port,
    };
    site.config["site"]["listen"] = format!("127.0.0.1:{port}").into();
    site.config["cloud"][0]["config"] = json!({
        "latency_ms": 20,
        "boot_ms": {"compute": 1500, "volume": 700, "network": 400, "attachment": 500},
        "delete_ms": {"compute": 500, "volume": 200, "network": 100, "attachment": 200},
    });
    Ok(site)
}

async fn introduce(site: &Site, daemon: &Daemon) -> Result<()> {
    line(&format!("{} serves at {}", site.config["site"]["id"].as_str().unwrap_or_default(), daemon.url()));
    let plugins = daemon.admin().get("/v1/admin/plugins").await?.success()?;
    for plugin in plugins["items"].as_array().context("the list of plugins")? {
        let bindings: Vec<&str> =
            plugin["bindings"].as_array().into_iter().flatten().filter_map(|one| one.as_str()).collect();
        line(&format!("{:<18} {:<10} {}", text(plugin, "name"), text(plugin, "state"), bindings.join(", ")));
    }
    for user in &site.users {
        line(&format!("user {:<6} password {}  groups {:?}", user.name, user.password, user.groups));
    }
    Ok(())
}

async fn look_around(daemon: &Daemon) -> Result<Client> {
    heading("alice logs in and looks around");
    let alice = daemon.login("alice").await?;
    let me = alice.get("/v1/me").await?.success()?;
    line(&format!("she is {} of {}", text(&me, "subject"), text(&me, "issuer")));
    for list in ["specs", "images"] {
        let answer = alice.get(&format!("/v1/clouds/emulated/{list}")).await?.success()?;
        let items = answer["items"].as_array().context("a list")?;
        let names: Vec<&str> = items.iter().map(|item| text(item, "id")).collect();
        line(&format!("{list}: {}", names.join(", ")));
    }
    Ok(alice)
}

/// A member that is text.
fn text<'v>(value: &'v serde_json::Value, key: &str) -> &'v str {
    value[key].as_str().unwrap_or_default()
}
