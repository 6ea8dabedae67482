//! A site on real parts in a temporary folder: sled, the runtime and the shipped plugins, as the daemon puts them
//! together; and the same components on bare wasmtime beside it.
#![allow(dead_code, reason = "each bench uses its own part")]

use std::collections::BTreeMap;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use archipel_egress::{Egress, EgressLimits, RingLedger};
use archipel_model::plugin::{Authorization, Context, Operation};
use archipel_model::{Clock, SiteId, SystemClock};
use archipel_runtime::bench::{Bare, BareEngine};
use archipel_runtime::{
    CHILD_ARG, Compiler, HostCrypto, Randomness, Runtime, RuntimeConfig, RuntimeOptions, Services,
};
use archipel_store::{SledEngine, SledOptions, Store};
use archipel_vault::{KeySource, Keys, Vault};
use argon2::password_hash::{PasswordHasher, SaltString};
use argon2::{Algorithm, Argon2, Params, Version};
use serde_json::{Value, json};
use tempfile::TempDir;

/// What goes wrong while a bench is set up.
pub(crate) type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

const ISSUER: &str = "https://site-a.example.org";
pub(crate) const PLUGINS: [&str; 4] = ["aaa-local", "authz-roles", "mapper-all-to-one", "cloud-emulated"];
/// The only user's name, and her password too.
pub(crate) const ALICE: &str = "alice";

/// The folders of a site: what was dropped, what its grants name, and the cache. Several starts may share it.
pub(crate) struct Place(TempDir);

impl Place {
    /// With the plugins that every bench needs.
    pub(crate) fn new() -> Result<Self> {
        let place = Self(tempfile::Builder::new().prefix("archipel-bench-").tempdir()?);
        std::fs::create_dir(place.0.path().join("plugins"))?;
        for name in PLUGINS {
            place.drop_plugin(name, &component(name)?)?;
        }
        Ok(place)
    }

    /// Drops a plugin as one should: whole, by a rename.
    pub(crate) fn drop_plugin(&self, name: &str, bytes: &[u8]) -> Result<()> {
        let (part, whole) = (format!(".{name}.part"), format!("plugins/{name}.wasm"));
        let (part, whole) = (self.0.path().join(part), self.0.path().join(whole));
        std::fs::write(&part, bytes)?;
        Ok(std::fs::rename(part, whole)?)
    }

    /// Writes files of a granted folder, named from the site's.
    pub(crate) fn write(&self, files: &[(String, Vec<u8>)]) -> Result<()> {
        for (path, contents) in files {
            let path = self.0.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap_or(&path))?;
            std::fs::write(path, contents)?;
        }
        Ok(())
    }
}

/// One link of the chain of authorization.
pub(crate) struct Policy {
    pub(crate) plugin: String,
    pub(crate) config: Value,
    pub(crate) grant: Value,
}

/// What a site has beside what every bench needs.
pub(crate) struct Setup {
    /// How long a yes of `authz-roles` may be reused.
    pub(crate) valid_for_ms: u32,
    /// More of the chain of authorization.
    pub(crate) policies: Vec<Policy>,
    /// Whether it sees by itself what is dropped.
    pub(crate) watch: bool,
    /// Who compiles.
    pub(crate) compiler: Compiler,
}

impl Default for Setup {
    fn default() -> Self {
        let compiler = Compiler::InProcess;
        Self { valid_for_ms: 0, policies: Vec::new(), watch: false, compiler }
    }
}

/// A site without REST.
pub(crate) struct Site {
    pub(crate) id: SiteId,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) store: Arc<Store>,
    pub(crate) runtime: Arc<Runtime>,
    /// How long the runtime took to start.
    pub(crate) took: Duration,
    services: Services,
    config: RuntimeConfig,
    _place: Arc<Place>,
    _store: TempDir,
}

impl Site {
    /// Starts one in folders of its own.
    pub(crate) async fn start(valid_for_ms: u32) -> Result<Self> {
        Self::start_in(&Arc::new(Place::new()?), Setup { valid_for_ms, ..Setup::default() }).await
    }

    /// Starts one in these folders.
    pub(crate) async fn start_in(place: &Arc<Place>, setup: Setup) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("archipel-bench-store-").tempdir()?;
        let id: SiteId = "site-a.example.org".parse()?;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let engine = SledEngine::open(folder.path(), SledOptions::default())?;
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
        let config: RuntimeConfig = serde_json::from_value(configuration(&setup)?)?;
        let root = place.0.path();
        let options = RuntimeOptions {
            watch: setup.watch,
            compiler: setup.compiler,
            ..RuntimeOptions::new(root.join("plugins"), root.join("compiled"), [7; 32])
        };
        let began = Instant::now();
        let runtime = Runtime::start(config.clone(), services.clone(), options).await?;
        let took = began.elapsed();
        let refused: Vec<String> =
            runtime.admin().list().into_iter().filter_map(|plugin| plugin.last_error).collect();
        if !refused.is_empty() {
            return Err(refused.join("; ").into());
        }
        let _place = Arc::clone(place);
        Ok(Self { id, clock, store, runtime, took, services, config, _place, _store: folder })
    }

    /// A policy of the chain, by its plugin's name.
    pub(crate) fn policy(&self, plugin: &str) -> Result<Arc<dyn Authorization>> {
        let generation = self.runtime.site().current();
        let found = generation.authorization.iter().find(|policy| policy.name == plugin);
        Ok(Arc::clone(&found.ok_or_else(|| format!("{plugin} is not in the chain"))?.plugin))
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
        self.bare(engine, "authz-roles", "authorization/authz-roles", self.roles())
    }

    /// The configuration of that policy.
    pub(crate) fn roles(&self) -> Value {
        self.config.authorization.first().map(|link| link.config.clone()).unwrap_or_default().into()
    }

    fn bare(&self, engine: &BareEngine, plugin: &str, binding: &str, config: Value) -> Result<Bare> {
        self.bare_of(engine, &component(plugin)?, plugin, binding, &config)
    }

    /// Any component on bare wasmtime, with what this site grants a plugin of that name.
    pub(crate) fn bare_of(
        &self,
        engine: &BareEngine,
        bytes: &[u8],
        plugin: &str,
        binding: &str,
        config: &Value,
    ) -> Result<Bare> {
        let grant = self.config.grants.get(plugin).cloned().unwrap_or_default();
        Ok(engine.component(bytes, binding, config, &grant, self.services.clone())?)
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

/// Runs a bench whose executable is its own compile process, as the daemon's is.
pub(crate) fn as_the_daemon(work: impl Future<Output = Result<()>>) -> Result<ExitCode> {
    if std::env::args().any(|arg| arg == CHILD_ARG) {
        return Ok(archipel_runtime::compile_child_main());
    }
    let tokio = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    tokio.block_on(work)?;
    Ok(ExitCode::SUCCESS)
}

/// A component as `cargo xtask plugins` left it, in the target folder that this bench was built in.
pub(crate) fn component(name: &str) -> Result<Vec<u8>> {
    let executable = std::env::current_exe()?;
    let target: PathBuf = executable.ancestors().nth(3).ok_or("the bench lies in no target folder")?.into();
    let file = target.join("plugins").join("dist").join(format!("{name}.wasm"));
    let missing = |error| {
        format!("{}: {error}; `cargo xtask bench` and `cargo xtask plugins` build it", file.display())
    };
    Ok(std::fs::read(&file).map_err(missing)?)
}

#[allow(clippy::indexing_slicing, reason = "JSON: what is not there is made")]
fn configuration(setup: &Setup) -> Result<Value> {
    let policies = setup.policies.iter();
    let links = policies.clone().map(|policy| json!({"plugin": policy.plugin, "config": policy.config}));
    let mut configuration = usual(setup.valid_for_ms)?;
    if let Some(chain) = configuration["authorization"].as_array_mut() {
        chain.extend(links);
    }
    for policy in policies {
        configuration["grants"][&policy.plugin] = policy.grant.clone();
    }
    Ok(configuration)
}

/// Who logs in, and what they may do.
fn usual(valid_for_ms: u32) -> Result<Value> {
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
