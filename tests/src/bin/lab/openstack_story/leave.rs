//! Everything is deleted, and nothing is left: not in the cloud, and nothing secret anywhere.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use archipel_tests::openstack::cloud::{Cloud, Held};
use archipel_tests::openstack::secrets::Needles;
use archipel_tests::orders;

use super::arrive::People;
use super::{Story, heading, line};

/// Gives the number of orders that there were.
pub(super) async fn walk(story: &mut Story, people: &People, before: &[Held]) -> Result<usize> {
    heading("everything is deleted");
    for client in [&people.alice, &people.bob, &people.carol] {
        orders::delete_all(client).await?;
    }
    let orders = orders::all(&story.daemon.admin(), "&state=closed").await?.len();
    let left: Vec<Held> = story.held().await?.into_iter().filter(|held| !before.contains(held)).collect();
    ensure!(left.is_empty(), "left in the projects: {left:?}");
    let chemistry = Cloud::of_project(&story.peer, "chemistry").await?.everything().await?;
    ensure!(
        !chemistry.iter().any(|held| held.tag.starts_with("archipel:")),
        "left in chemistry: {chemistry:?}"
    );
    line(&format!("{orders} orders are closed; the projects hold nothing of ours"));
    nothing_secret(story)
        .context("a secret is where none may be; with ARCHIPEL_TEST_KEEP=1 the site stays to look into")?;
    let (calls, bytes) = story.watch.is_clean(&["aaa-keystone", "mapper-by-group", "cloud-openstack"])?;
    line(&format!(
        "none was in any plugin's memory after any of {calls} calls ({} MiB looked through)",
        bytes >> 20
    ));
    Ok(orders)
}

fn nothing_secret(story: &Story) -> Result<()> {
    let mut secrets = story.secrets.clone();
    // The host knows those too that no test ever saw: the tokens that the mapper's logins gave.
    secrets.extend(story.watch.secrets().into_iter().enumerate().map(|(number, secret)| {
        (format!("secret {number} that a plugin held"), String::from_utf8_lossy(&secret).into_owned())
    }));
    let needles = Needles::new(&secrets);
    let kept = story.site.folder().join("secrets");
    let is_excepted = |path: &Path| path == kept || path.extension().is_some_and(|name| name == "wasm");
    let found = needles.in_folder(story.site.folder(), &is_excepted)?;
    ensure!(found.is_empty(), "in the site's files: {found:#?}");
    let log = story.daemon.log();
    ensure!(log.contains("DEBUG"), "the log must be in full for this");

    // A login's answer holds the token that it gives: of the site, and only that.
    let mut of_others = secrets.clone();
    of_others.retain(|(name, _)| !name.starts_with("the site's token"));
    let (of_others, seen) = (Needles::new(&of_others), story.tee.seen());
    let found = of_others.in_bytes(&seen);
    ensure!(found.is_empty(), "in the answers: {found:#?}");
    line(&format!(
        "{} secrets and every token of Keystone were looked for, in {} forms: none in {} KiB of log, {} KiB of answers, nor in the \
         site's files",
        secrets.len(),
        needles.forms(),
        log.len() / 1024,
        seen.len() / 1024,
    ));
    Ok(())
}
