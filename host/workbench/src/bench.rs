//! A plugin, admitted and bound wherever its interfaces fit.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use archipel_model::plugin_admin::PluginState;
use archipel_model::site::{CloudBinding, Generation};
use archipel_model::{Clock, SiteId, SystemClock};
use archipel_runtime::config::is_plugin_name;
use archipel_runtime::grants::{ByteSize, EffectiveGrants, GrantConfig, Pin, Requested, SigningGrant};
use archipel_runtime::{
    AuthorizationConfig, CloudConfig, Compiler, IdentityConfig, Randomness, Runtime, RuntimeConfig,
    RuntimeLimits, RuntimeOptions, explain,
};
use archipel_vault::SecretSource;
use serde_json::{Value, json};

use crate::case::{CLOUD, Case};
use crate::clock::TurnedClock;
use crate::services::{egress, services};
use crate::tape::{Live, Tape};

/// The name of a plugin that is not there, where a site file must name one.
const NOBODY: &str = "nobody";

/// The far side of the network.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Http {
    /// The case's recording, or nobody where it has none.
    #[default]
    Replay,
    /// The real one.
    Live,
    /// The real one; what is said is written into this file at the end.
    Record(PathBuf),
}

/// How a plugin is tested.
#[derive(Clone, Debug)]
pub struct Options {
    /// What it is tested with.
    pub case: Case,
    /// The far side.
    pub http: Http,
    /// Who compiles it.
    pub compiler: Compiler,
}

/// Why there is nothing to test.
#[derive(Debug, thiserror::Error)]
pub enum WorkbenchError {
    /// The file cannot be read.
    #[error("{path}: {error}")]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// It is no plugin, or cannot serve with this configuration.
    #[error("{0}")]
    Refused(String),
    /// The case is of no use.
    #[error("the case: {0}")]
    Case(String),
    /// The machine refused.
    #[error("{0}")]
    Machine(String),
}

/// One plugin in the real runtime.
pub struct Workbench {
    pub(crate) name: String,
    pub(crate) case: Case,
    pub(crate) interfaces: Vec<String>,
    pub(crate) clock: Arc<TurnedClock>,
    pub(crate) tape: Arc<Tape>,
    pub(crate) site: SiteId,
    pub(crate) component: Vec<u8>,
    pub(crate) compiler: Compiler,
    pub(crate) limits: RuntimeLimits,
    runtime: Arc<Runtime>,
    record: Option<PathBuf>,
    _folder: tempfile::TempDir,
}

impl std::fmt::Debug for Workbench {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Workbench").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Workbench {
    /// Admits a component, as a site would, with everything granted that it asks for.
    ///
    /// # Errors
    /// Why it cannot be tested; a refusal in the words that an administrator sees.
    pub async fn start(component: &Path, options: Options) -> Result<Self, WorkbenchError> {
        let machine = |error: &dyn std::fmt::Display| WorkbenchError::Machine(error.to_string());
        let Options { case, http, compiler } = options;
        let bytes = std::fs::read(component)
            .map_err(|error| WorkbenchError::Unreadable { path: component.to_owned(), error })?;
        let limits = limits();
        let explained = explain(&compiler, bytes.clone(), &limits).await;
        if let Some(problem) = explained.problem {
            return Err(WorkbenchError::Refused(problem));
        }
        let Some(manifest) = explained.manifest else {
            return Err(WorkbenchError::Refused("it has no manifest".to_owned()));
        };
        let name = plugin_name(component);
        let folder = tempfile::Builder::new()
            .prefix("archipel-workbench-")
            .tempdir()
            .map_err(|error| machine(&error))?;
        let plugins = folder.path().join("plugins");
        let dropped = plugins.join(format!("{name}.wasm"));
        std::fs::create_dir(&plugins)
            .and_then(|()| std::fs::write(&dropped, &bytes))
            .map_err(|error| machine(&error))?;

        let grant = granted(&manifest.capabilities, &case);
        let config = configuration(&name, &explained.interfaces, &case, grant.clone(), limits.clone());
        let clock = Arc::new(TurnedClock::at(case.now));
        let tape = Arc::new(far_side(&case, &http, &grant)?);
        let told = Arc::clone(&clock) as Arc<dyn Clock>;
        let outgoing = egress(&told)?.with_dialer(Arc::clone(&tape) as _);
        let services = services(told, outgoing, &secrets(&case), Randomness::seeded(case.seed)).await?;
        let site = services.site.clone();
        let usual = RuntimeOptions::new(&plugins, folder.path().join("compiled"), [0x77; 32]);
        let options = RuntimeOptions {
            compiler: compiler.clone(),
            watch: false,
            folders_root: case.folders.clone().unwrap_or_else(|| usual.folders_root.clone()),
            ..usual
        };
        let runtime = Runtime::start(config, services, options).await.map_err(|error| machine(&error))?;
        let status = runtime.admin().get(&name);
        let refusal = status.as_ref().and_then(|status| status.last_error.clone());
        // A scenario serves nobody: it is run.
        let is_scenario =
            explained.interfaces.iter().any(|exported| is_interface(exported, "benchmark/scenario"));
        let wanted =
            |state| if is_scenario { state != PluginState::Rejected } else { state == PluginState::Live };
        if !status.is_some_and(|status| wanted(status.state)) {
            runtime.shutdown().await;
            return Err(WorkbenchError::Refused(refusal.unwrap_or_else(|| "it does not serve".to_owned())));
        }
        let record = match http {
            Http::Record(file) => Some(file),
            Http::Replay | Http::Live => None,
        };
        Ok(Self {
            name,
            case,
            interfaces: explained.interfaces,
            clock,
            tape,
            site,
            component: bytes,
            compiler,
            limits,
            runtime,
            record,
            _folder: folder,
        })
    }

    /// The plugin wherever it is bound.
    pub(crate) fn generation(&self) -> Arc<Generation> {
        self.runtime.site().current()
    }

    /// The cloud of mappers and drivers.
    pub(crate) fn cloud(&self) -> Option<Arc<CloudBinding>> {
        self.generation().cloud(CLOUD).ok().cloned()
    }

    /// Whether it exports this interface, e.g. `aaa/authorization`.
    pub(crate) fn has(&self, interface: &str) -> bool {
        self.interfaces.iter().any(|exported| is_interface(exported, interface))
    }

    /// Ends it; writes the recording where one was made.
    ///
    /// # Errors
    /// When the disk refuses.
    pub async fn stop(self) -> Result<(), WorkbenchError> {
        self.runtime.shutdown().await;
        let Some(file) = self.record else { return Ok(()) };
        let text = serde_json::to_string_pretty(&json!({"exchanges": self.tape.recorded()}))
            .map_err(|error| WorkbenchError::Machine(error.to_string()))?;
        std::fs::write(&file, text + "\n")
            .map_err(|error| WorkbenchError::Unreadable { path: file.clone(), error })
    }
}

/// Room for one plugin's tests; everything else is as in a site.
fn limits() -> RuntimeLimits {
    RuntimeLimits { aaa_slots: 8, driver_slots: 8, settle_ms: 0, ..RuntimeLimits::default() }
}

/// The file's name as a plugin's: cargo writes underscores.
fn plugin_name(component: &Path) -> String {
    let stem = component.file_stem().map(|stem| stem.to_string_lossy().to_lowercase().replace('_', "-"));
    stem.filter(|name| is_plugin_name(name) && name != NOBODY).unwrap_or_else(|| "plugin".to_owned())
}

fn is_interface(exported: &str, interface: &str) -> bool {
    exported
        .strip_prefix("archipel:")
        .and_then(|rest| rest.split('@').next())
        .is_some_and(|known| known == interface)
}

/// Everything that it asks for, and what the case adds: an author is her own administrator.
fn granted(requested: &Requested, case: &Case) -> GrantConfig {
    let mut grant = case.grants.clone();
    let missing = EffectiveGrants::missing(requested, &grant, &Value::Object(case.config.clone()));
    grant.hosts.extend(missing.hosts);
    grant.storage = missing.storage.map_or(grant.storage, ByteSize);
    let purpose = |purpose| SigningGrant { purpose, lifetime_s_max: 12 * 3600 };
    grant.crypto.extend(missing.crypto.into_iter().map(purpose));
    grant.folders.extend(missing.folders);
    grant.pin = Some(Pin::Capabilities);
    grant
}

/// A site file that uses it for everything it can do.
fn configuration(
    name: &str,
    interfaces: &[String],
    case: &Case,
    grant: GrantConfig,
    limits: RuntimeLimits,
) -> RuntimeConfig {
    let has = |interface: &str| interfaces.iter().any(|exported| is_interface(exported, interface));
    let or_nobody = |interface: &str| Some(if has(interface) { name.to_owned() } else { NOBODY.to_owned() });
    let mut config = RuntimeConfig { limits, ..RuntimeConfig::default() };
    if ["aaa/token-generator", "aaa/federation-identity", "aaa/authentication"].into_iter().any(has) {
        config.identity.push(IdentityConfig {
            name: "test".to_owned(),
            plugin: None,
            generator: has("aaa/token-generator").then(|| name.to_owned()),
            identity: or_nobody("aaa/federation-identity"),
            authentication: or_nobody("aaa/authentication"),
            issuers: vec![case.user.issuer.clone()],
            config: case.config.clone(),
        });
    }
    if has("aaa/authorization") {
        config
            .authorization
            .push(AuthorizationConfig { plugin: name.to_owned(), config: case.config.clone() });
    }
    let drives = interfaces.iter().any(|exported| exported.starts_with("archipel:cloud/"));
    let maps = has("aaa/federation-to-local-mapper");
    if drives || maps {
        let of = |is_it: bool| if is_it { name.to_owned() } else { NOBODY.to_owned() };
        let cloud = json!({"name": CLOUD, "driver": of(drives), "mapper": of(maps)});
        if let Ok(cloud) = serde_json::from_value::<CloudConfig>(cloud) {
            let given = |is_it: bool| if is_it { case.config.clone() } else { Default::default() };
            config.cloud.push(CloudConfig { mapper_config: given(maps), config: given(drives), ..cloud });
        }
    }
    config.grants.insert(name.to_owned(), grant);
    config
}

fn far_side(case: &Case, http: &Http, grant: &GrantConfig) -> Result<Tape, WorkbenchError> {
    match (http, &case.http) {
        (Http::Replay, None) => Ok(Tape::closed()),
        (Http::Replay, Some(file)) => Tape::replay(file, case.secret_values()).map_err(WorkbenchError::Case),
        (Http::Live | Http::Record(_), _) => {
            let clock: Arc<dyn Clock> = Arc::new(SystemClock);
            let egress = Arc::new(egress(&clock)?);
            Ok(Tape::live(Live::new(egress, grant.private.clone()), case.secret_values()))
        }
    }
}

fn secrets(case: &Case) -> BTreeMap<String, SecretSource> {
    let plain = |(name, value): (&String, &String)| {
        (name.clone(), SecretSource { value: Some(value.clone()), ..SecretSource::default() })
    };
    case.secrets.iter().map(plain).collect()
}
