//! What fifty plugins cost a site: a start without and with the cache, and memory. They are fifty components by their digests,
//! most of them `authz-roles` under another name.
//!
//! | | ours | baseline |
//! |---|---|---|
//! | start-cold | `Runtime::start`: all fifty checked, compiled in processes of their own, prepared, tried | `precompile_component` of their bytes, one after the other |
//! | start-cached | the same start again | |
//! | memory-plugin | what a site with fifty holds more than one with a few, per plugin more | the file of such a plugin |
//! | memory-rego | the same of a plugin of 3.5 MB | its file |
//!
//! Memory is the process's proportional share of what it has in memory (`Pss` of `/proc/self/smaps_rollup`), of sites that
//! stand beside each other: what the allocator keeps of one that was stopped would blur it.
#![allow(clippy::expect_used, reason = "a bench that cannot measure has nothing to say")]

mod asked;
mod figures;
mod rego;
mod site;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use archipel_runtime::Compiler;
use archipel_runtime::bench::BareEngine;
use serde_json::{Value, json};

use crate::figures::{percentile, row};
use crate::site::{Place, Policy, Result, Setup, Site, component};

/// As the daemon's.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Plugins of the large site; four of them every site has.
const PLUGINS: usize = 50;
const MORE: usize = PLUGINS - 4;
/// Starts from the cache.
const STARTS: usize = 7;
/// Large plugins whose memory is looked at.
const LARGE: usize = 3;
/// The allocator gives pages back some time after they were freed.
const SETTLE: Duration = Duration::from_millis(500);

fn main() -> Result<ExitCode> {
    site::as_the_daemon(run())
}

async fn run() -> Result<()> {
    let place = Arc::new(Place::new()?);
    let roles = component("authz-roles")?;
    for number in 1..=MORE {
        place.drop_plugin(&name(number), &rego::version(&roles, number))?;
    }
    let cold = Site::start_in(&place, setup(MORE)?).await?;
    let (cold_s, bare_s) = (cold.took.as_secs_f64(), precompiled(&roles)?);
    cold.stop().await;
    row(&json!({
        "id": "start-cold", "what": format!("a start of a site with {PLUGINS} plugins and no cache, over precompiling them"),
        "ours": cold_s, "baseline": bare_s, "unit": "s", "goal": null,
    }));
    let mut cached = Vec::new();
    for _ in 0..STARTS {
        let site = Site::start_in(&place, setup(MORE)?).await?;
        cached.push(site.took.as_secs_f64());
        site.stop().await;
    }
    let median = percentile(&cached, 50);
    row(&json!({
        "id": "start-cached", "what": "the same start from the cache, in seconds",
        "ours": median, "baseline": null, "ratio": median, "unit": "s", "goal": "<=1", "worst": percentile(&cached, 100),
        "starts": STARTS,
    }));
    memory_of_plugins(&place, roles.len()).await?;
    memory_of_large_ones().await
}

/// Sites beside each other: the first tells what a site takes, the others what more plugins do.
async fn memory_of_plugins(place: &Arc<Place>, file: usize) -> Result<()> {
    let small = Site::start_in(place, setup(0)?).await?;
    let before = pss_kib().await?;
    let again = Site::start_in(place, setup(0)?).await?;
    let between = pss_kib().await?;
    let large = Site::start_in(place, setup(MORE)?).await?;
    let after = pss_kib().await?;
    let each = per((after - between) - (between - before), MORE);
    row(&json!({
        "id": "memory-plugin", "what": "memory per loaded plugin (authz-roles), over its file",
        "ours": each, "baseline": kib(file), "unit": "KiB", "goal": null, "site": between - before,
    }));
    for site in [small, again, large] {
        site.stop().await;
    }
    Ok(())
}

async fn memory_of_large_ones() -> Result<()> {
    let wasm = rego::wasm()?;
    let place = Arc::new(Place::new()?);
    place.write(&rego::policies()?)?;
    let names: Vec<String> = (1..=LARGE).map(|number| format!("{}-{number}", rego::PLUGIN)).collect();
    for (number, name) in names.iter().enumerate() {
        place.drop_plugin(name, &rego::version(&wasm, number))?;
    }
    let setup = |policies: &[String]| {
        let policies = policies.iter().map(|name| rego::policy(name)).collect();
        Result::Ok(Setup { policies, ..setup(0)? })
    };
    // Compiled, and gone again.
    Site::start_in(&place, setup(&names)?).await?.stop().await;
    let before = pss_kib().await?;
    let none = Site::start_in(&place, setup(&[])?).await?;
    let between = pss_kib().await?;
    let all = Site::start_in(&place, setup(&names)?).await?;
    let after = pss_kib().await?;
    row(&json!({
        "id": "memory-rego", "what": "memory per loaded plugin of 3.5 MB, over its file",
        "ours": per((after - between) - (between - before), LARGE), "baseline": kib(wasm.len()), "unit": "KiB",
        "goal": null,
    }));
    none.stop().await;
    all.stop().await;
    Ok(())
}

fn name(number: usize) -> String {
    format!("authz-roles-{number}")
}

/// With so many more plugins, each a link of the chain, configured as the first.
fn setup(more: usize) -> Result<Setup> {
    let config = || json!({"roles": {"member": {"allow": [{"operations": ["login", "create"]}]}}, "default_role": "member"});
    let policy =
        |number| Policy { plugin: name(number), config: config(), grant: Value::Object(Default::default()) };
    Ok(Setup {
        policies: (1..=more).map(policy).collect(),
        compiler: Compiler::Child { exe: std::env::current_exe()? },
        ..Setup::default()
    })
}

/// Seconds for the bytes of all.
fn precompiled(roles: &[u8]) -> Result<f64> {
    let engine = BareEngine::new()?;
    let began = Instant::now();
    for name in site::PLUGINS {
        engine.precompile(&component(name)?)?;
    }
    for number in 1..=MORE {
        engine.precompile(&rego::version(roles, number))?;
    }
    Ok(began.elapsed().as_secs_f64())
}

/// What this process holds, in KiB, when the allocator has given back what it will.
async fn pss_kib() -> Result<f64> {
    tokio::time::sleep(SETTLE).await;
    let rollup = std::fs::read_to_string("/proc/self/smaps_rollup")?;
    let pss = rollup.lines().find_map(|line| line.strip_prefix("Pss:")).ok_or("the kernel tells no Pss")?;
    Ok(pss.trim().trim_end_matches("kB").trim().parse()?)
}

#[allow(clippy::cast_precision_loss, reason = "sizes of files, numbers of plugins")]
fn kib(bytes: usize) -> f64 {
    (bytes / 1024) as f64
}

#[allow(clippy::cast_precision_loss, reason = "numbers of plugins")]
fn per(kib: f64, count: usize) -> f64 {
    (kib / count as f64).round()
}
