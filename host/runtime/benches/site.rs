//! A site on real parts in a temporary folder: sled, the runtime and the shipped plugins, as the daemon puts them
//! together; and the same components on bare wasmtime beside it.

use std::collections::BTreeMap;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use archipel_egress::{Egress, EgressLimits, RingLedger};
use archipel_model::plugin::{Context, Operation};
use archipel_model::{Clock, SiteId, SystemClock};
use archipel_runtime::bench::{Bare, BareEngine};
use archipel_runtime::{HostCrypto, Randomness, Runtime, RuntimeConfig, RuntimeOptions, Services};
use archipel_store::{SledEngine, SledOptions, Store};
use archipel_vault::{KeySource, Keys, Vault};
use argon2::password_hash::{PasswordHasher, SaltString};
use argon2::{Algorithm, Argon2, Params, Version};
use serde_json::{Value, json};
use tempfile::TempDir;

/// What goes wrong while a bench is set up.
pub(crate) type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

const ISSUER: &str = "https://site-a.example.org";
const PLUGINS: [&str; 4] = ["aaa-local", "authz-roles", "mapper-all-to-one", "cloud-emulated"];
/// The only user's name, and her password too.
pub(crate) const ALICE: &str = "alice";

/// A site without REST.
pub(crate) struct Site {
    pub(crate) id: SiteId,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) store: Arc<Store>,
    pub(crate) runtime: Arc<Runtime>,
    services: Services,
    config: RuntimeConfig,
    _folder: TempDir,
}

impl Site {
    /// Starts it. `valid_for_ms`: how long a yes of the policy may be reused.
    pub(crate) async fn start(valid_for_ms: u32) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("archipel-bench-").tempdir()?;
        let plugins = folder.path().join("plugins");
        std::fs::create_dir(&plugins)?;
        for name in PLUGINS {
            std::fs::write(plugins.join(format!("{name}.wasm")), component(name)?)?;
        }
        let id: SiteId = "site-a.example.org".parse()?;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let engine = SledEngine::open(&folder.path().join("store"), SledOptions::default())?;
        let store = Store::open(engine, &id, Arc::clone(&clock)).await?;
        let trusted = archipel_egress::tls::client_config(None)?;
        let egress = Egress::new(trusted, RingLedger::new(16), Arc::clone(&clock), EgressLimits::default());
        let services = Services {
            storage: store.plugin_storage(),
            vault: Arc::new(Vault::load(&BTreeMap::new(), Path::new("/"), &KeySource::File("/none".into()))?),
            egress: Arc::new(egress),
            crypto: Arc::new(HostCrypto::new(Arc::new(Keys::from_master([7; 32])))),
            audit: store.audit_sink(),
            clock: Arc::clone(&clock),
            randomness: Randomness::default(),
            site: id.clone(),
        };
        let config: RuntimeConfig = serde_json::from_value(configuration(valid_for_ms)?)?;
        let options = RuntimeOptions {
            watch: false,
            ..RuntimeOptions::new(plugins, folder.path().join("compiled"), [7; 32])
        };
        let runtime = Runtime::start(config.clone(), services.clone(), options).await?;
        let refused: Vec<String> =
            runtime.admin().list().into_iter().filter_map(|plugin| plugin.last_error).collect();
        if !refused.is_empty() {
            return Err(refused.join("; ").into());
        }
        Ok(Self { id, clock, store, runtime, services, config, _folder: folder })
    }

    /// Stops it.
    pub(crate) async fn stop(self) {
        self.runtime.shutdown().await;
        self.store.close().await;
    }

    /// The site's identity plugin on bare wasmtime.
    pub(crate) fn bare_aaa_local(&self, engine: &BareEngine) -> Result<Bare> {
        let config = self.config.identity.first().map(|binding| binding.config.clone()).unwrap_or_default();
        self.bare(engine, "aaa-local", "identity/local/aaa-local", config.into())
    }

    /// The site's policy on bare wasmtime.
    pub(crate) fn bare_authz_roles(&self, engine: &BareEngine) -> Result<Bare> {
        let config = self.config.authorization.first().map(|link| link.config.clone()).unwrap_or_default();
        self.bare(engine, "authz-roles", "authorization/authz-roles", config.into())
    }

    fn bare(&self, engine: &BareEngine, plugin: &str, binding: &str, config: Value) -> Result<Bare> {
        let grant = self.config.grants.get(plugin).cloned().unwrap_or_default();
        Ok(engine.component(&component(plugin)?, binding, &config, &grant, self.services.clone())?)
    }

    /// What a plugin is told of a request.
    pub(crate) fn context(&self, operation: Operation) -> Context {
        Context {
            request_id: "01940000-0000-7000-8000-000000000000".to_owned(),
            now: self.clock.now(),
            operation,
            this_site: self.id.clone(),
            requesting_site: None,
            client_address: Some("127.0.0.1".to_owned()),
            group: Some("physics".to_owned()),
        }
    }
}

/// A component as `cargo xtask plugins` left it, in the target folder that this bench was built in.
fn component(name: &str) -> Result<Vec<u8>> {
    let executable = std::env::current_exe()?;
    let target: PathBuf = executable.ancestors().nth(3).ok_or("the bench lies in no target folder")?.into();
    let file = target.join("plugins").join("dist").join(format!("{name}.wasm"));
    let missing = |error| format!("{}: {error}; run `cargo xtask plugins` first", file.display());
    Ok(std::fs::read(&file).map_err(missing)?)
}

fn configuration(valid_for_ms: u32) -> Result<Value> {
    Ok(json!({
        "identity": [{
            "name": "local",
            "plugin": "aaa-local",
            "issuers": [ISSUER],
            "config": {"issuer": ISSUER, "users": [
                {"name": ALICE, "password": hash(ALICE)?, "display_name": "Alice", "groups": ["physics"]},
            ]},
        }],
        "authorization": [{
            "plugin": "authz-roles",
            "config": {
                "roles": {
                    "member": {"allow": [
                        {"operations": ["login", "create", "update", "act"]},
                        {"operations": ["read", "list"], "kinds": ["cloud", "spec", "image", "quota"], "reach": "any"},
                    ]},
                    "operator": {"allow": [
                        {"operations": ["*"], "reach": "any"},
                        {"operations": ["*", "admin"], "kinds": ["admin"], "reach": "any"},
                    ]},
                },
                "assignments": [{"role": "operator", "issuer": ISSUER, "subjects": ["admin"]}],
                "default_role": "member",
                "valid_for_ms": valid_for_ms,
            },
        }],
        "cloud": [{
            "name": "emulated",
            "driver": "cloud-emulated",
            "mapper": "mapper-all-to-one",
            "mapper_config": {"default": {"account": "shared"}},
            "config": {"latency_ms": 1, "boot_ms": 10, "delete_ms": 10},
        }],
        "grants": {
            "aaa-local": {"crypto": [{"purpose": "session", "lifetime_s_max": 28800}], "pin": "capabilities"},
            "cloud-emulated": {"storage": "256 MiB"},
        },
    }))
}

/// Cheap (1 MiB): nobody attacks a bench.
fn hash(password: &str) -> Result<String> {
    let params = Params::new(1024, 1, 1, None).map_err(|error| error.to_string())?;
    let salt = SaltString::from_b64("YXJjaGlwZWwtYmVuY2g").map_err(|error| error.to_string())?;
    let hash =
        Argon2::new(Algorithm::Argon2id, Version::V0x13, params).hash_password(password.as_bytes(), &salt);
    Ok(hash.map_err(|error| error.to_string())?.to_string())
}
