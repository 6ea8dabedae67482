//! The third ledger: what the emulated cloud holds, read from its own storage while no daemon runs, so that neither the
//! daemon nor the driver under test can colour it.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result};
use archipel_model::{Clock, SiteId, SystemClock};
use archipel_store::{Engine, SledEngine, Store};
use serde_json::Value;
use sha2::{Digest, Sha256};

/// One machine, disk, network or attachment that exists.
#[derive(Clone, Debug)]
pub struct Held {
    /// What the cloud calls it.
    pub id: String,
    /// `archipel:SITE:ORDER`.
    pub tag: String,
    /// Which attempt made it.
    pub attempt: u64,
    /// The account that holds it, as [`account_key`] gives it.
    pub account: String,
}

/// What the emulated cloud calls an account in its keys: names are opaque and may be long.
pub fn account_key(name: &str) -> String {
    Sha256::digest(name.as_bytes()).iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

/// Everything that exists in all accounts, by tag. `binding` is the driver's storage namespace.
///
/// # Errors
/// When the store cannot be opened, e.g. because a daemon still holds it.
pub async fn held(data_dir: &Path, site: &SiteId, binding: &str) -> Result<BTreeMap<String, Vec<Held>>> {
    let engine =
        SledEngine::open(&data_dir.join("store"), Default::default()).context("opening the store")?;
    let store = Store::open(engine.clone(), site, Arc::new(SystemClock)).await?;
    let storage = store.plugin_storage();
    let now = SystemClock.now().as_unsigned_millis();
    let mut found: BTreeMap<String, Vec<Held>> = BTreeMap::new();
    let mut cursor = None;
    loop {
        let (keys, next) = storage.list_keys(binding, "i/", cursor.as_deref(), 1000).await?;
        for key in keys {
            let Some(bytes) = storage.get(binding, &key).await? else { continue };
            let slot: Value = serde_json::from_slice(&bytes).with_context(|| format!("reading {key}"))?;
            let Some(instance) = slot.get("instance") else { continue };
            if instance["gone_at"].as_u64().is_some_and(|gone| gone <= now) {
                continue;
            }
            let tag = instance["tag"].as_str().context("an instance without a tag")?.to_owned();
            found.entry(tag.clone()).or_default().push(Held {
                id: instance["id"].as_str().unwrap_or_default().to_owned(),
                tag,
                attempt: instance["attempt"].as_u64().unwrap_or_default(),
                account: key.split('/').nth(1).unwrap_or_default().to_owned(),
            });
        }
        match next {
            Some(next) => cursor = Some(next),
            None => break,
        }
    }
    drop((storage, store));
    engine.close().await;
    Ok(found)
}
