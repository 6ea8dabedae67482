//! P6: a plugin of 3.5 MB is replaced while 64 callers ask it, each again 50 ms after its answer.
//!
//! | | ours | baseline |
//! |---|---|---|
//! | cold | from the rename into the folder until the new version serves: read, checked, compiled in a process of its own, prepared, compiled again with its memory, tried | `precompile_component` of the same bytes in this process, which does none of that, under the same callers |
//! | cold, plain | the same of a plugin without `lifecycle.init`, which is compiled once (`cloud-emulated`) | the same |
//! | cached | the same for a version that the cache has | |
//!
//! Meanwhile the old version serves, and no call may be lost: one that is fails the bench.
#![allow(clippy::expect_used, reason = "a bench that cannot measure has nothing to say")]

mod asked;
mod callers;
mod figures;
mod rego;
mod site;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use archipel_runtime::Compiler;
use archipel_runtime::bench::BareEngine;
use serde_json::json;

use crate::callers::{Callers, Phase};
use crate::figures::{percentile, row};
use crate::site::{Place, Result, Setup, Site, component};

/// As the daemon's.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Who ask.
const CALLERS: usize = 64;
/// A plugin without `lifecycle.init`.
const PLAIN: &str = "cloud-emulated";
/// Versions that were never seen.
const COLD: usize = 3;
/// Swaps between versions that the cache has.
const CACHED: usize = 12;
/// Asked undisturbed, for comparison, and between swaps.
const QUIET: Duration = Duration::from_secs(2);
const PAUSE: Duration = Duration::from_millis(300);
/// Longer than any swap.
const PATIENCE: Duration = Duration::from_secs(240);
/// How often it is looked whether the new version serves.
const LOOK: Duration = Duration::from_millis(1);

fn main() -> Result<ExitCode> {
    site::as_the_daemon(run())
}

async fn run() -> Result<()> {
    let versions = versions(&rego::wasm()?);
    let (first, others) = versions.split_first().ok_or("no version")?;
    let place = Arc::new(Place::new()?);
    place.write(&rego::policies()?)?;
    place.drop_plugin(rego::PLUGIN, first)?;
    let setup = Setup {
        policies: vec![rego::policy(rego::PLUGIN)],
        watch: true,
        compiler: Compiler::Child { exe: std::env::current_exe()? },
        ..Setup::default()
    };
    let site = Arc::new(Site::start_in(&place, setup).await?);
    let engine = Arc::new(BareEngine::new()?);
    let init_ms = init_ms(&site, &engine, first).await?;

    let callers = Callers::start(&site, CALLERS);
    let start = Instant::now();
    tokio::time::sleep(QUIET).await;
    let quiet = Phase { began: start, ended: Instant::now(), of: generation(&site) };
    let large = cold(&place, &site, &engine, rego::PLUGIN, others).await?;
    let plain = cold_plain(&place, &site, &engine).await?;
    let mut cached = Vec::new();
    for number in 0..CACHED {
        let known = versions.get(number % 2).ok_or("too few versions")?;
        cached.push(swap(&place, &site, rego::PLUGIN, known).await?.took().as_secs_f64() * 1e3);
        tokio::time::sleep(PAUSE).await;
    }
    let calls = callers.stop().await?;
    site.runtime.shutdown().await;

    row(&json!({
        "id": "P6-cold", "what": "a plugin of 3.5 MB swapped cold under 64 callers, without its init, over precompiling it; \
            it is compiled twice, because every call starts from its snapshot",
        "ours": median(&large.ours), "baseline": median(&large.bare), "unit": "s", "goal": "<=2",
        "ratio": (median(&large.ours) - init_ms / 1e3) / median(&large.bare), "init_ms": init_ms, "swaps": COLD,
    }));
    row(&json!({
        "id": "P6-cold-plain", "what": "a plugin without init (cloud-emulated) swapped cold under them, over precompiling it",
        "ours": median(&plain.ours), "baseline": median(&plain.bare), "unit": "s", "goal": "<=1.2", "swaps": COLD,
    }));
    row(&json!({
        "id": "P6-cached", "what": "the plugin of 3.5 MB swapped for a version in the cache, in ms",
        "ours": median(&cached), "baseline": null, "ratio": median(&cached), "unit": "ms", "goal": "<=50",
        "worst": percentile(&cached, 100), "swaps": CACHED,
    }));
    let served: Vec<usize> = large.phases.iter().map(|phase| calls.of(phase).len()).collect();
    let during: Vec<f64> = large.phases.iter().flat_map(|phase| calls.of(phase)).collect();
    let before = calls.of(&quiet);
    row(&json!({
        "id": "P6-calls", "what": "an AAA call of the old version while the new one is made, over one before; in ms",
        "ours": percentile(&during, 50), "baseline": percentile(&before, 50), "unit": "ms", "goal": null,
        "p99_ours": percentile(&during, 99), "p99_baseline": percentile(&before, 99),
        "worst": percentile(&during, 100), "calls": calls.count(), "lost": calls.lost.len(),
    }));
    assert!(served.iter().all(|count| *count > 0), "the old version serves meanwhile: {served:?}");
    let lost = calls.lost.iter().map(|(at, why)| format!("{:.1} s: {why}", (*at - start).as_secs_f64()));
    let lost: Vec<String> = lost.take(20).collect();
    assert!(
        lost.is_empty(),
        "{} of {} calls were lost: {}",
        calls.lost.len(),
        calls.count(),
        lost.join("; ")
    );
    Ok(())
}

/// What swaps of versions that were never seen took, in seconds, and how long the old one was to serve.
#[derive(Default)]
struct Cold {
    ours: Vec<f64>,
    bare: Vec<f64>,
    phases: Vec<Phase>,
}

/// In turns: each version is precompiled, and then dropped.
async fn cold(
    place: &Place,
    site: &Site,
    engine: &Arc<BareEngine>,
    plugin: &str,
    versions: &[Vec<u8>],
) -> Result<Cold> {
    let mut cold = Cold::default();
    for version in versions {
        let (engine, bytes) = (Arc::clone(engine), version.clone());
        let began = Instant::now();
        tokio::task::spawn_blocking(move || engine.precompile(&bytes)).await??;
        cold.bare.push(began.elapsed().as_secs_f64());
        let phase = swap(place, site, plugin, version).await?;
        cold.ours.push(phase.took().as_secs_f64());
        cold.phases.push(phase);
    }
    Ok(cold)
}

/// The same of a plugin that is compiled once.
async fn cold_plain(place: &Place, site: &Site, engine: &Arc<BareEngine>) -> Result<Cold> {
    let versions = versions(&component(PLAIN)?);
    cold(place, site, engine, PLAIN, versions.get(1..).unwrap_or_default()).await
}

/// One to begin with, and those that are swapped in cold.
fn versions(wasm: &[u8]) -> Vec<Vec<u8>> {
    (0..=COLD).map(|number| rego::version(wasm, number)).collect()
}

/// Drops a version and waits until it serves.
async fn swap(place: &Place, site: &Site, plugin: &str, version: &[u8]) -> Result<Phase> {
    let (old, of) = (serving(site, plugin), generation(site));
    let began = Instant::now();
    place.drop_plugin(plugin, version)?;
    loop {
        let new = serving(site, plugin);
        if new.is_some() && new != old {
            return Ok(Phase { began, ended: Instant::now(), of });
        }
        if began.elapsed() > PATIENCE {
            let refused: Vec<String> =
                site.runtime.admin().list().into_iter().filter_map(|plugin| plugin.last_error).collect();
            return Err(
                format!("the new version does not serve after {PATIENCE:?}: {}", refused.join("; ")).into()
            );
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// The digest of the version that serves.
fn serving(site: &Site, plugin: &str) -> Option<String> {
    site.runtime.admin().get(plugin)?.digest
}

fn generation(site: &Site) -> u64 {
    site.runtime.site().current().number
}

/// How long its `lifecycle.init` takes on bare wasmtime.
async fn init_ms(site: &Site, engine: &BareEngine, wasm: &[u8]) -> Result<f64> {
    let config = rego::policy(rego::PLUGIN).config;
    let bare = site.bare_of(engine, wasm, rego::PLUGIN, "authorization/rego-policy", &config)?;
    let files = rego::policies()?;
    let (took, made) = figures::timed(bare.prepared(&files)).await;
    made?;
    Ok(took.as_secs_f64() * 1e3)
}

fn median(samples: &[f64]) -> f64 {
    percentile(samples, 50)
}
