//! What the tests of this crate share: services in memory, components made of WebAssembly text, and a started runtime.
#![allow(dead_code, unreachable_pub, reason = "each test binary uses its own part")]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use archipel_egress::{Egress, EgressLimits, RingLedger};
use archipel_model::audit::{AuditRecord, AuditSink};
use archipel_model::plugin::{Context, Operation, Resource};
use archipel_model::plugin_admin::{PluginState, PluginStatus};
use archipel_model::plugin_storage::PluginStorage;
use archipel_model::{Clock, Error, FederationUser, LocalToken, SiteId, SystemClock, Timestamp};
use archipel_runtime::{HostCrypto, Randomness, Runtime, RuntimeConfig, RuntimeOptions, Services};
use archipel_vault::{KeySource, Keys, Vault};
use async_trait::async_trait;

/// A store in memory.
#[derive(Default)]
pub struct Memory(Mutex<BTreeMap<(String, String), Vec<u8>>>);

#[async_trait]
impl PluginStorage for Memory {
    async fn get(&self, binding: &str, key: &str) -> Result<Option<Vec<u8>>, Error> {
        Ok(self.0.lock().unwrap().get(&(binding.to_owned(), key.to_owned())).cloned())
    }
    async fn set(&self, binding: &str, key: &str, value: Option<Vec<u8>>, _: u64) -> Result<(), Error> {
        let key = (binding.to_owned(), key.to_owned());
        let mut all = self.0.lock().unwrap();
        match value {
            Some(value) => all.insert(key, value),
            None => all.remove(&key),
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
        _: usize,
    ) -> Result<(Vec<String>, Option<String>), Error> {
        let all = self.0.lock().unwrap();
        Ok((
            all.keys()
                .filter(|(of, key)| of == binding && key.starts_with(prefix))
                .map(|(_, key)| key.clone())
                .collect(),
            None,
        ))
    }
    async fn flush(&self) -> Result<(), Error> {
        Ok(())
    }
}

pub fn site() -> SiteId {
    "site-a.test".parse().unwrap()
}

pub fn services() -> Services {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let tls = archipel_egress::tls::client_config(None).unwrap();
    Services {
        storage: Arc::new(Memory::default()),
        vault: Arc::new(
            Vault::load(&BTreeMap::new(), Path::new("/"), &KeySource::File("/none".into())).unwrap(),
        ),
        egress: Arc::new(Egress::new(tls, RingLedger::new(16), Arc::clone(&clock), EgressLimits::default())),
        crypto: Arc::new(HostCrypto::new(Arc::new(Keys::from_master([7; 32])))),
        audit: Arc::new(Unheard),
        clock,
        randomness: Randomness::default(),
        site: site(),
    }
}

/// These plugins reveal nothing.
struct Unheard;

#[async_trait::async_trait]
impl AuditSink for Unheard {
    async fn tell(&self, record: &AuditRecord) -> Result<(), Error> {
        panic!("nothing is told here: {record:?}")
    }
}

pub fn user() -> FederationUser {
    FederationUser {
        issuer: "https://site-a.test".into(),
        subject: "alice".into(),
        name: "Alice".into(),
        email: None,
        groups: vec!["physics".into()],
        entitlements: vec![],
        attributes: vec![],
        home_site: None,
        assurance: String::new(),
        authenticated_at: Timestamp::from_millis(1),
        expires_at: None,
    }
}

pub fn resource() -> Resource {
    Resource {
        kind: "compute".into(),
        id: None,
        cloud: None,
        site: site(),
        owner: Some(user().owner()),
        group: None,
        state: None,
        labels: vec![],
        spec: None,
        owner_usage: None,
        group_usage: None,
    }
}

pub fn context() -> Context {
    Context {
        request_id: "request-1".into(),
        now: Timestamp::from_millis(1_795_300_000_000),
        operation: Operation::Read,
        this_site: site(),
        requesting_site: None,
        client_address: None,
        group: None,
    }
}

pub fn token() -> LocalToken {
    LocalToken {
        account: "one".into(),
        secret: None,
        expires_at: None,
        attributes: "{}".into(),
        made_by: "test".into(),
    }
}

/// A component of `world`, from a core module as text, with a manifest.
pub fn component(world: &str, core: &str, manifest: &serde_json::Value) -> Vec<u8> {
    let mut resolve = wit_parser::Resolve::default();
    let (package, _) = resolve.push_path(concat!(env!("CARGO_MANIFEST_DIR"), "/../../wit")).unwrap();
    let world = resolve.select_world(&[package], Some(world)).unwrap();
    encoded(&resolve, world, core, manifest)
}

/// The same with a world `w` that is written here, of whatever is in `wit/`.
pub fn component_of(items: &str, core: &str, manifest: &serde_json::Value) -> Vec<u8> {
    let mut resolve = wit_parser::Resolve::default();
    resolve.push_path(concat!(env!("CARGO_MANIFEST_DIR"), "/../../wit")).unwrap();
    let text = format!("package test:mine; world w {{ {items} }}");
    let package = resolve.push_str("own.wit", &text).unwrap();
    let world = resolve.select_world(&[package], Some("w")).unwrap();
    encoded(&resolve, world, core, manifest)
}

fn encoded(
    resolve: &wit_parser::Resolve,
    world: wit_parser::WorldId,
    core: &str,
    manifest: &serde_json::Value,
) -> Vec<u8> {
    let mut module = wat::parse_str(core).unwrap();
    wit_component::embed_component_metadata(&mut module, resolve, world, wit_component::StringEncoding::UTF8)
        .unwrap();
    let bytes =
        wit_component::ComponentEncoder::default().validate(true).module(&module).unwrap().encode().unwrap();
    with_section(bytes, "archipel:manifest", manifest.to_string().as_bytes())
}

/// Appends a custom section.
pub fn with_section(mut bytes: Vec<u8>, name: &str, data: &[u8]) -> Vec<u8> {
    fn leb(mut value: usize, into: &mut Vec<u8>) {
        while value >= 0x80 {
            into.push((value & 0x7f) as u8 | 0x80);
            value >>= 7;
        }
        into.push(value as u8);
    }
    let mut body = Vec::new();
    leb(name.len(), &mut body);
    body.extend_from_slice(name.as_bytes());
    body.extend_from_slice(data);
    bytes.push(0);
    leb(body.len(), &mut bytes);
    bytes.extend(body);
    bytes
}

pub fn manifest(interfaces: &[&str]) -> serde_json::Value {
    serde_json::json!({"name": "test", "version": "1.0.0", "sdk": "none", "wit": "0.1.0", "interfaces": interfaces})
}

pub const AUTHORIZATION: &str = "archipel:aaa/authorization@0.1.0";
pub const QUOTA: &str = "archipel:cloud/quota@0.1.0";

/// Instructions that answer `allow` with this reach: what a zeroed answer means, and one byte.
pub const ALLOW: &str = "(i32.const 64)";

/// An authorization plugin whose `is-authorized` runs `body` (which leaves the answer's address); its own answer lies at 64.
pub fn authorization(reach: u8, body: &str) -> Vec<u8> {
    let core = format!(
        r#"(module
            (memory (export "memory") 2)
            (data (i32.const 76) "\{reach:02x}")
            (global $top (mut i32) (i32.const 65536))
            (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
                (global.set $top (i32.and (i32.add (global.get $top) (i32.const 7)) (i32.const -8)))
                (global.get $top)
                (global.set $top (i32.add (global.get $top) (local.get 3))))
            (func $recurse (param i32) (result i32) (i32.add (call $recurse (local.get 0)) (i32.const 1)))
            (func (export "archipel:aaa/authorization@0.1.0#is-authorized") (param i32) (result i32) (local $n i32) {body})
            (func (export "archipel:aaa/authorization@0.1.0#are-authorized") (param i32) (result i32) (i32.const 1024)))"#
    );
    component("authorization-plugin", &core, &manifest(&[AUTHORIZATION]))
}

pub const LIFECYCLE: &str = "archipel:plugin/lifecycle@0.1.0";

/// An authorization plugin with a life cycle. `init` runs when it is prepared (its parameters are the address and the
/// number of its files), `call` in `is-authorized`; both are instructions that leave nothing and a number, and the number
/// is told by [`Started::told`]. Memory from 200 to 400 is theirs. It asks for the folder `policies` where it uses files.
pub fn prepared(init: &str, call: &str) -> Vec<u8> {
    let core = format!(
        r#"(module
            (import "wasi:random/insecure-seed@0.2.12" "insecure-seed" (func $seed (param i32)))
            (import "wasi:random/random@0.2.12" "get-random-u64" (func $random (result i64)))
            (import "wasi:cli/stderr@0.2.12" "get-stderr" (func $stderr (result i32)))
            (import "wasi:clocks/wall-clock@0.2.12" "now" (func $now (param i32)))
            (memory (export "memory") 2)
            (global $top (mut i32) (i32.const 65536))
            (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
                (global.set $top (i32.and (i32.add (global.get $top) (i32.const 7)) (i32.const -8)))
                (global.get $top)
                (global.set $top (i32.add (global.get $top) (local.get 3))))
            (func $tell (param $number i64) (result i32) (local $at i32)
                (i32.store8 (i32.const 72) (i32.const 1))
                (i32.store (i32.const 76) (i32.const 3000))
                (i32.store (i32.const 80) (i32.const 16))
                (loop $l
                    (i32.store8 (i32.add (i32.const 3000) (local.get $at))
                        (i32.add (i32.const 97) (i32.wrap_i64 (i64.and (local.get $number) (i64.const 15)))))
                    (local.set $number (i64.shr_u (local.get $number) (i64.const 4)))
                    (local.set $at (i32.add (local.get $at) (i32.const 1)))
                    (br_if $l (i32.lt_u (local.get $at) (i32.const 16))))
                (i32.const 64))
            (func (export "archipel:plugin/lifecycle@0.1.0#init") (param $files i32) (param $count i32) (result i32)
                (i32.store (i32.const 200) (i32.add (i32.load (i32.const 200)) (i32.const 1)))
                {init}
                (i32.const 1600))
            (func (export "archipel:plugin/lifecycle@0.1.0#refresh") (param i32 i32 i32) (result i32) (i32.const 1600))
            (func (export "archipel:aaa/authorization@0.1.0#is-authorized") (param i32) (result i32)
                (call $tell {call}))
            (func (export "archipel:aaa/authorization@0.1.0#are-authorized") (param i32) (result i32) (i32.const 1024)))"#
    );
    let items = "include archipel:plugin/authorization-plugin@0.1.0; include archipel:plugin/lifecycle-plugin@0.1.0; \
        import wasi:random/insecure-seed@0.2.12; import wasi:random/random@0.2.12; import wasi:cli/stderr@0.2.12; \
        import wasi:clocks/wall-clock@0.2.12;";
    let mut manifest = manifest(&[AUTHORIZATION, LIFECYCLE]);
    if init.contains("$files") {
        manifest["capabilities"] = serde_json::json!({"folders": [{"name": "policies", "reason": "r"}]});
    }
    manifest["config_schema"] = serde_json::json!({"type": "object"});
    component_of(items, &core, &manifest)
}

/// A quota plugin that says in `used` how many calls its instance has served, and traps at the call `trap_at`.
pub fn counting_quota(trap_at: u32) -> Vec<u8> {
    let core = format!(
        r#"(module
            (import "archipel:host/credentials@0.1.0" "[resource-drop]local-token" (func $drop (param i32)))
            (memory (export "memory") 1)
            (data (i32.const 512) "calls")
            (global $calls (mut i32) (i32.const 0))
            (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (i32.const 1024))
            (func (export "archipel:cloud/quota@0.1.0#get-user-quota") (param i32) (result i32)
                (call $drop (local.get 0))
                (global.set $calls (i32.add (global.get $calls) (i32.const 1)))
                (if (i32.eq (global.get $calls) (i32.const {trap_at})) (then unreachable))
                (i32.store (i32.const 72) (i32.const 128))
                (i32.store (i32.const 76) (i32.const 1))
                (i32.store (i32.const 128) (i32.const 512))
                (i32.store (i32.const 132) (i32.const 5))
                (i32.store (i32.const 152) (global.get $calls))
                (i32.const 64)))"#
    );
    component("quota-plugin", &core, &manifest(&[QUOTA]))
}

/// A runtime over a temporary folder.
pub struct Started {
    pub folder: tempfile::TempDir,
    pub runtime: Arc<Runtime>,
    services: Services,
}

impl Started {
    pub async fn new(files: &[(&str, &[u8])], config: &str) -> Self {
        Self::with(files, config, |_| {}).await
    }

    pub async fn with(
        files: &[(&str, &[u8])],
        config: &str,
        change: impl FnOnce(&mut RuntimeOptions),
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let plugins = folder.path().join("plugins");
        std::fs::create_dir(&plugins).unwrap();
        for (name, bytes) in files {
            std::fs::write(plugins.join(name), bytes).unwrap();
        }
        let config: RuntimeConfig = toml::from_str(config).unwrap();
        let mut options = RuntimeOptions::new(plugins, folder.path().join("aot"), [9; 32]);
        change(&mut options);
        let services = services();
        let runtime = Runtime::start(config, services.clone(), options).await.unwrap();
        Self { folder, runtime, services }
    }

    /// The same folder and the same store, after a restart.
    pub async fn again(self, config: &str) -> Self {
        let Self { folder, runtime, services } = self;
        drop(runtime);
        let options = RuntimeOptions::new(folder.path().join("plugins"), folder.path().join("aot"), [9; 32]);
        let config = toml::from_str(config).unwrap();
        let runtime = Runtime::start(config, services.clone(), options).await.unwrap();
        Self { folder, runtime, services }
    }

    /// Drops a file as one should: written beside, renamed in.
    pub fn drop_file(&self, name: &str, bytes: &[u8]) {
        let temporary = self.folder.path().join("incoming");
        std::fs::write(&temporary, bytes).unwrap();
        std::fs::rename(temporary, self.folder.path().join("plugins").join(name)).unwrap();
    }

    pub fn status(&self, name: &str) -> PluginStatus {
        self.runtime
            .admin()
            .get(name)
            .unwrap_or_else(|| panic!("no plugin {name}: {:?}", self.runtime.admin().list()))
    }

    pub fn error(&self, name: &str) -> String {
        let status = self.status(name);
        assert_eq!(status.state, PluginState::Rejected, "{status:?}");
        status.last_error.unwrap()
    }

    pub async fn authorize(&self) -> Result<archipel_model::plugin::Decision, Error> {
        let generation = self.runtime.site().current();
        generation.authorization[0].plugin.is_authorized(&user(), &resource(), &context()).await
    }

    /// The number that a plugin of [`prepared`] tells.
    pub async fn told(&self) -> u64 {
        match self.authorize().await.unwrap() {
            archipel_model::plugin::Decision::Deny { reason, .. } => {
                reason.bytes().rev().fold(0, |number, letter| number << 4 | u64::from(letter - b'a'))
            }
            other => panic!("{other:?}"),
        }
    }

    /// Waits until the plugin's status is as wanted.
    pub async fn until(&self, name: &str, wanted: impl Fn(&PluginStatus) -> bool) -> PluginStatus {
        for _ in 0..2_000 {
            if let Some(status) = self.runtime.admin().get(name).filter(&wanted) {
                return status;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("never: {:?}", self.runtime.admin().get(name));
    }
}

pub const AUTHZ: &str = "[[authorization]]\nplugin = \"authz\"\n";
