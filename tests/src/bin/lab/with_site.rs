//! A site for another program. It finds in its environment:
//!
//! | variable | is |
//! |---|---|
//! | `ARCHIPEL_URL` | where REST is served |
//! | `ARCHIPEL_TOKEN_ALICE`, `_BOB`, `_ADMIN` | tokens of the site's users |
//! | `ARCHIPEL_SOCKET` | the administrator's socket |
//! | `ARCHIPEL_SITE` | the site's folder |
//!
//! The site has a plugin `spare` that nothing uses. Afterwards the site must still be there, and its log must know of no panic and no answer 500.

use std::ffi::OsString;

use anyhow::{Context, Result};
use archipel_tests::built;
use archipel_tests::site::Site;
use serde_json::json;

pub(crate) async fn run(command: &[OsString]) -> Result<bool> {
    let mut site = Site::temporary()?;
    site.config["limits"] = json!({"identity": {"logins_per_second": 1000.0, "login_burst": 1000}});
    // A plugin that nobody uses: it can be switched off without harm.
    site.drop_plugin("spare", &built::plugin("mapper-by-group")?)?;
    let mut daemon = site.start().await?;
    let mut child = tokio::process::Command::new(&command[0]);
    child.args(&command[1..]).env("ARCHIPEL_URL", daemon.url());
    child.env("ARCHIPEL_SOCKET", daemon.socket()).env("ARCHIPEL_SITE", site.folder());
    for user in &site.users {
        let token = daemon.token(user.name, &user.password).await?;
        child.env(format!("ARCHIPEL_TOKEN_{}", user.name.to_uppercase()), token);
    }
    let status =
        child.status().await.with_context(|| format!("starting {}", command[0].to_string_lossy()))?;
    let mut went_well = status.success();
    if daemon.has_ended() {
        println!("peer: the daemon has ended\n{}", daemon.log_tail());
        return Ok(false);
    }
    let log = daemon.log();
    for line in log.lines().filter(|line| line.contains("panicked") || line.contains("status=500")).take(20) {
        println!("peer: in the daemon's log: {line}");
        went_well = false;
    }
    let end = daemon.stop().await?;
    println!("peer: {} ended with {status}, the site with {end}", command[0].to_string_lossy());
    Ok(went_well && end.success())
}
