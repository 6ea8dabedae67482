//! The runtime as the daemon holds it: start, read, reconfigure, shut down.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use archipel_model::plugin_admin::PluginAdmin;
use archipel_model::site::Site;
use tokio::sync::mpsc;

use crate::aot::AotCache;
use crate::catalogue::Catalogue;
use crate::compile::Compiler;
use crate::config::RuntimeConfig;
use crate::engine::EngineFacts;
use crate::folder::PluginFolder;
use crate::host::Services;
use crate::image::Loader;
use crate::machine::Machine;
use crate::manager::{Command, Manager};
use crate::slots::Slots;
use crate::status::{Desk, Published};
use crate::watch::Watch;

/// How long a shutdown waits for calls in flight.
const DRAIN: Duration = Duration::from_secs(5);

/// Reads the configuration again, for `plugin reload`.
pub type Reread = Arc<dyn Fn() -> Result<RuntimeConfig, String> + Send + Sync>;

/// Where things are.
#[derive(Clone)]
pub struct RuntimeOptions {
    /// The folder that `.wasm` files are dropped into.
    pub plugin_dir: PathBuf,
    /// The cache of machine code; only the daemon may write it.
    pub aot_dir: PathBuf,
    /// Key of the MAC over its entries, kept outside it.
    pub aot_key: [u8; 32],
    /// Folders of grants are relative to this one, the site file's.
    pub folders_root: PathBuf,
    /// Who compiles.
    pub compiler: Compiler,
    /// Whether the folder is watched; without, it is looked at every few seconds.
    pub watch: bool,
    /// Reads the configuration again when an administrator says reload.
    pub reread: Option<Reread>,
}

impl RuntimeOptions {
    /// Compiles in this process and watches.
    pub fn new(plugin_dir: impl Into<PathBuf>, aot_dir: impl Into<PathBuf>, aot_key: [u8; 32]) -> Self {
        let plugin_dir = plugin_dir.into();
        let folders_root = plugin_dir.parent().map(PathBuf::from).unwrap_or_default();
        Self {
            plugin_dir,
            aot_dir: aot_dir.into(),
            aot_key,
            folders_root,
            compiler: Compiler::InProcess,
            watch: true,
            reread: None,
        }
    }
}

/// Why a runtime does not start. A plugin is never a reason.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Names, doubles and the like.
    #[error("the configuration cannot be used: {}", .0.join("; "))]
    Config(Vec<String>),
    /// A folder cannot be used.
    #[error("cannot use {path}: {error}")]
    Folder {
        /// Which.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// Wasmtime does not start.
    #[error("the engine does not start: {0}")]
    Engine(String),
}

/// What a change of configuration came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reconfigured {
    /// Tables that count from the next start only.
    pub needs_restart: Vec<String>,
}

/// The running runtime.
pub struct Runtime {
    machine: Arc<Machine>,
    desk: Arc<Desk>,
    threads: Mutex<Option<tokio::runtime::Runtime>>,
    task: tokio::task::JoinHandle<()>,
    _watch: Option<Watch>,
}

impl Runtime {
    /// Starts: reads the folder, admits what can be admitted, publishes the first generation. Returns when it serves.
    ///
    /// # Errors
    /// Where there is no engine, no folder, or a configuration that contradicts itself. Never because of a plugin.
    pub async fn start(
        config: RuntimeConfig,
        services: Services,
        options: RuntimeOptions,
    ) -> Result<Arc<Self>, StartError> {
        config.check().map_err(StartError::Config)?;
        let folder_error = |path: &PathBuf| {
            let path = path.clone();
            move |error| StartError::Folder { path, error }
        };
        let folder = PluginFolder::open(&options.plugin_dir).map_err(folder_error(&options.plugin_dir))?;
        let threads =
            crate::threads::start(&config.limits).map_err(|error| StartError::Engine(error.to_string()))?;
        let handle = threads.handle().clone();
        let threads = Mutex::new(Some(threads));
        let machine = Machine::start(&config.limits, &Slots::of(&config), handle)
            .map_err(|error| StartError::Engine(format!("{error:#}")))?;
        let machine = Arc::new(machine);
        let cache = AotCache::open(
            options.aot_dir.clone(),
            options.aot_key,
            &machine.facts.compatibility,
            &config.limits,
        )
        .map_err(folder_error(&options.aot_dir))?;
        let published = Arc::new(Published::new(&services.site));

        let (hint, hints) = mpsc::unbounded_channel();
        let watch = if options.watch {
            let watch = Watch::start(&options.plugin_dir, hint);
            watch.inspect_err(|error| tracing::warn!(%error, "cannot watch the plugins' folder; looking at it every few seconds")).ok()
        } else {
            None
        };
        let mut manager = Manager {
            machine: Arc::clone(&machine),
            services,
            folder: Arc::new(folder),
            folders_root: options.folders_root,
            loader: Loader { machine: Arc::clone(&machine), cache, compiler: options.compiler },
            config,
            reread: options.reread,
            published: Arc::clone(&published),
            catalogue: Catalogue::default(),
            bindings: BTreeMap::new(),
            away: BTreeSet::new(),
            held: BTreeSet::new(),
            number: 0,
        };
        manager.begin().await;
        let (commands, orders) = mpsc::channel(16);
        let task = tokio::spawn(manager.serve(orders, hints));
        let desk = Arc::new(Desk { published, commands });
        Ok(Arc::new(Self { machine, desk, threads, task, _watch: watch }))
    }

    /// Where the present generation comes from.
    pub fn site(&self) -> Arc<dyn Site> {
        Arc::clone(&self.desk) as Arc<dyn Site>
    }

    /// What an administrator can do.
    pub fn admin(&self) -> Arc<dyn PluginAdmin> {
        Arc::clone(&self.desk) as Arc<dyn PluginAdmin>
    }

    /// What the engine turned out to be, for `doctor`.
    pub fn engine(&self) -> &EngineFacts {
        &self.machine.facts
    }

    /// Takes another configuration, whole or not at all. Calls in flight end under the old one.
    ///
    /// # Errors
    /// Every reason to keep the old one.
    pub async fn reconfigure(&self, config: RuntimeConfig) -> Result<Reconfigured, Vec<String>> {
        let mut needs_restart = Vec::new();
        if config.limits != self.machine.limits {
            needs_restart.push("limits.plugins".to_owned());
        }
        needs_restart.extend(self.machine.facts.slots.short_of(&Slots::of(&config)).map(str::to_owned));
        let config = Box::new(config);
        let taken = self.desk.ask(|reply| Command::Reconfigure { config, reply }).await;
        taken.map_err(|error| vec![error.to_string()])??;
        Ok(Reconfigured { needs_restart })
    }

    /// Stops: no further changes, calls in flight have some seconds to end.
    pub async fn shutdown(&self) {
        self.task.abort();
        let threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(threads) = threads {
            let stopped = tokio::task::spawn_blocking(move || threads.shutdown_timeout(DRAIN)).await;
            if let Err(error) = stopped {
                tracing::warn!(%error, "plugin threads did not stop");
            }
        }
    }
}

impl Drop for Runtime {
    fn drop(&mut self) {
        self.task.abort();
        // A tokio runtime must not be dropped where others run.
        if let Some(threads) = self.threads.lock().unwrap_or_else(PoisonError::into_inner).take() {
            threads.shutdown_background();
        }
    }
}

impl std::fmt::Debug for Runtime {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Runtime").field("engine", &self.machine.facts).finish_non_exhaustive()
    }
}
