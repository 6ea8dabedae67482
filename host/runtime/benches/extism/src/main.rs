//! Calls the authorization plugin under Extism, as often and in the way that its standard input says, and tells how long
//! each call took. `../../plugins-extism.rs` drives it, in turns with our own side.
//!
//! ```text
//! extism-host GUEST.wasm
//! {"policy":"{...}"}                                                   the configuration of authz-roles, once
//! {"way":"fresh","calls":100,"question":{...}}  →  {"us":[41.2,...],"decision":{"allow":{...}}}
//! ```
//! Extism gets the best that its interface offers: compiled once, the plugin's file named rather than copied into each
//! plugin, a pool of instances set up as ours. A call is bounded as ours, in time and memory. What is timed starts and ends
//! with typed values, as on our side: JSON is how Extism carries them.

use std::io::{BufRead, Write};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use extism::convert::Json;
use extism::{CompiledPlugin, Manifest, Plugin, PluginBuilder, Wasm};
use serde::{Deserialize, Serialize};
use wasmtime::{Enabled, InstanceAllocationStrategy, PoolingAllocationConfig};

#[allow(missing_docs, reason = "the records of the WIT")]
#[path = "../guest/src/types.rs"]
mod types;

use types::{Decision, Question};

/// As the daemon's.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The deadline of an AAA call without network.
const DEADLINE: Duration = Duration::from_millis(250);
/// 64 MiB in pages of memory.
const PAGES: u32 = 1024;
/// Instances in the pool.
const SLOTS: u32 = 64;

#[derive(Deserialize)]
struct Setup {
    policy: String,
}

#[derive(Deserialize)]
struct Round {
    way: Way,
    calls: u32,
    question: Question,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Way {
    /// A new plugin for every call, from the pool.
    Fresh,
    /// The same with the engine as Extism configures it by itself.
    FreshUsual,
    /// The plugin of the last such call.
    Warm,
}

#[derive(Serialize)]
struct Told {
    us: Vec<f64>,
    decision: Decision,
}

/// The plugin, compiled both ways, and the one that is kept.
struct Host {
    pooled: CompiledPlugin,
    usual: CompiledPlugin,
    warm: Plugin,
}

fn main() -> Result<()> {
    let guest = std::env::args().nth(1).context("usage: extism-host GUEST.wasm < questions > answers")?;
    let mut lines = std::io::stdin().lock().lines();
    let setup: Setup = serde_json::from_str(&lines.next().context("there is no setup")??)?;
    let mut host = Host::new(&guest, &setup.policy)?;
    let mut out = std::io::stdout().lock();
    for line in lines {
        let told = host.round(&serde_json::from_str(&line?)?)?;
        serde_json::to_writer(&mut out, &told)?;
        writeln!(out)?;
        out.flush()?;
    }
    Ok(())
}

impl Host {
    fn new(guest: &str, policy: &str) -> Result<Self> {
        let manifest = Manifest::new([Wasm::file(guest)])
            .with_config_key("policy", policy)
            .with_timeout(DEADLINE)
            .with_memory_max(PAGES);
        let pooled = PluginBuilder::new(manifest.clone()).with_cache_disabled().with_wasmtime_config(pool());
        let pooled = pooled.compile()?;
        let usual = PluginBuilder::new(manifest).with_cache_disabled().compile()?;
        let warm = Plugin::new_from_compiled(&pooled)?;
        Ok(Self { pooled, usual, warm })
    }

    fn round(&mut self, round: &Round) -> Result<Told> {
        let mut us = Vec::new();
        let mut decision = None;
        for _ in 0..round.calls {
            let began = Instant::now();
            let answer = self.ask(round.way, &round.question)?;
            us.push(began.elapsed().as_secs_f64() * 1e6);
            if decision.get_or_insert_with(|| answer.clone()) != &answer {
                bail!("the same question, another decision");
            }
        }
        Ok(Told { us, decision: decision.context("a round of no calls")? })
    }

    fn ask(&mut self, way: Way, question: &Question) -> Result<Decision> {
        let compiled = match way {
            Way::Warm => return ask(&mut self.warm, question),
            Way::Fresh => &self.pooled,
            Way::FreshUsual => &self.usual,
        };
        // Dropped within the time: so is our instance.
        ask(&mut Plugin::new_from_compiled(compiled)?, question)
    }
}

fn ask(plugin: &mut Plugin, question: &Question) -> Result<Decision> {
    let Json(decision) = plugin.call::<_, Json<Decision>>("is_authorized", Json(question))?;
    Ok(decision)
}

/// As `host/runtime/src/engine.rs` sets its pool up.
fn pool() -> wasmtime::Config {
    let mut pool = PoolingAllocationConfig::new();
    pool.total_core_instances(SLOTS * 4)
        .total_memories(SLOTS * 2)
        .total_tables(SLOTS * 2)
        .max_unused_warm_slots(SLOTS)
        .linear_memory_keep_resident(256 << 10)
        .table_keep_resident(16 << 10)
        .pagemap_scan(Enabled::Auto);
    let mut config = wasmtime::Config::new();
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    config
}
