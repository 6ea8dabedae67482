//! The imports as a plugin would call them, against a server on loopback. No component is needed: a store's state is
//! driven directly.

mod cloud;
mod crypto;
mod handles;
mod placements;
mod requests;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use archipel_egress::{Egress, EgressLimits, RingLedger};
use archipel_model::audit::{AuditRecord, AuditSink};
use archipel_model::plugin_storage::PluginStorage;
use archipel_model::{Error, SystemClock};
use archipel_vault::{Keys, SecretSource, Vault};
use async_trait::async_trait;

use super::*;
use crate::grants::{EffectiveGrants, GrantConfig, Requested};
use crate::limiter::StoreBounds;

/// A store in memory, without quota.
#[derive(Default)]
struct Memory(Mutex<BTreeMap<(String, String), Vec<u8>>>);

#[async_trait]
impl PluginStorage for Memory {
    async fn get(&self, binding: &str, key: &str) -> Result<Option<Vec<u8>>, Error> {
        Ok(self.0.lock().unwrap().get(&(binding.into(), key.into())).cloned())
    }

    async fn set(&self, binding: &str, key: &str, value: Option<Vec<u8>>, _: u64) -> Result<(), Error> {
        let mut map = self.0.lock().unwrap();
        match value {
            Some(value) => map.insert((binding.into(), key.into()), value),
            None => map.remove(&(binding.into(), key.into())),
        };
        Ok(())
    }

    async fn compare_and_swap(
        &self,
        binding: &str,
        key: &str,
        expected: Option<Vec<u8>>,
        new: Option<Vec<u8>>,
        quota: u64,
    ) -> Result<bool, Error> {
        if self.get(binding, key).await? != expected {
            return Ok(false);
        }
        self.set(binding, key, new, quota).await.map(|()| true)
    }

    async fn list_keys(
        &self,
        binding: &str,
        prefix: &str,
        _: Option<&str>,
        limit: usize,
    ) -> Result<(Vec<String>, Option<String>), Error> {
        let map = self.0.lock().unwrap();
        let keys = map
            .keys()
            .filter(|(of, key)| of == binding && key.starts_with(prefix))
            .map(|(_, key)| key.clone());
        Ok((keys.take(limit).collect(), None))
    }

    async fn flush(&self) -> Result<(), Error> {
        Ok(())
    }
}

/// What the audit was told.
#[derive(Default)]
struct Told(Mutex<Vec<AuditRecord>>);

#[async_trait]
impl AuditSink for Told {
    async fn tell(&self, record: &AuditRecord) -> Result<(), Error> {
        self.0.lock().unwrap().push(record.clone());
        Ok(())
    }
}

/// A site whose one secret is `admin` = `opensesame`.
pub(super) fn services() -> Services {
    let admin = SecretSource { value: Some("opensesame".into()), ..SecretSource::default() };
    let none = archipel_vault::KeySource::File("/none".into());
    let vault = Vault::load(&BTreeMap::from([("admin".to_owned(), admin)]), std::path::Path::new("."), &none)
        .unwrap();
    let tls = archipel_egress::tls::client_config(None).unwrap();
    let egress = Egress::new(tls, RingLedger::new(100), Arc::new(SystemClock), EgressLimits::default());
    Services {
        storage: Arc::new(Memory::default()),
        vault: Arc::new(vault),
        egress: Arc::new(egress),
        crypto: Arc::new(HostCrypto::new(Arc::new(Keys::from_master([1; 32])))),
        audit: Arc::new(Told::default()),
        clock: Arc::new(SystemClock),
        randomness: Randomness::default(),
        site: "site-a.test".parse().unwrap(),
    }
}

/// A state of the binding `name` with this grant, whose manifest asks for all that the grant names.
pub(super) fn state(services: &Services, name: &str, class: CallClass, grant: &str) -> CallState {
    let grant: GrantConfig = toml::from_str(grant).unwrap();
    let requested: Requested = serde_json::from_value(serde_json::json!({
        "hosts": [{"discovered": "all", "reason": "r"}],
        "secrets": [{"name": "admin", "reason": "r"}],
        "reveal": [{"name": "admin", "reason": "r"}],
        "storage": {"bytes": 1_000_000, "reason": "r"},
        "crypto": [{"purpose": "session", "reason": "r"}, {"purpose": "reset", "reason": "r"}]
    }))
    .unwrap();
    let grants = EffectiveGrants::new(&requested, &grant, &serde_json::json!({}));
    let binding = BindingContext::new(name, "plugin", "sha256:00", "{}", grants, services.clone());
    let bounds =
        StoreBounds { memory_bytes: 1 << 20, table_elements: 100, handles: 100, hostcall_bytes: 1 << 20 };
    CallState::new(Arc::new(binding), call(class), bounds)
}

pub(super) fn call(class: CallClass) -> CallInfo {
    CallInfo {
        class,
        function: "test.function",
        request_id: "r-1".into(),
        order: None,
        deadline: Instant::now() + Duration::from_secs(20),
    }
}
