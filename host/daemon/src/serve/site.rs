//! A site that runs: every room made, in the order in which they rest on one another.

use std::sync::Arc;
use std::time::Duration;

use archipel_api::{ApiState, Audit, ReloadHook, Reloaded, SiteInfo};
use archipel_egress::{DurableLedger, Egress, LedgerWriter};
use archipel_events::{Publishers, Writer};
use archipel_identity::{Identity, SiteKeys};
use archipel_model::audit::Outcome;
use archipel_model::plugin_admin::PluginAdmin;
use archipel_model::{Clock, Error, SiteId, SystemClock};
use archipel_orders::{Orders, OrdersConfig};
use archipel_runtime::{Compiler, HostCrypto, Randomness, Runtime, RuntimeOptions, Services};
use archipel_store::{Engine as _, SledEngine, SledOptions, Store};
use archipel_telemetry::{Sender, Source, Traces};
use archipel_vault::{Keys, Vault};
use tokio::net::TcpListener;
use tokio::sync::Mutex;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::backups::StoreBackups;
use super::data_dir::DataDir;
use super::housekeeping::{self, Kept};
use super::plugins::Plugins;
use super::reload::Reload;
use super::tls::{self, Certificate};
use crate::config::Config;
use crate::output::Failure;

/// For the last spans, when the site stops.
const LAST_SPANS: Duration = Duration::from_secs(3);

/// Everything that runs.
pub(super) struct RunningSite {
    pub(super) id: SiteId,
    /// Where REST is served.
    pub(super) url: String,
    pub(super) reload: Arc<Reload>,
    /// For what happens without a request.
    pub(super) audit: Audit,
    data: DataDir,
    engine: Arc<SledEngine>,
    runtime: Arc<Runtime>,
    traces: Option<Traces>,
    stop: CancellationToken,
    tasks: Vec<JoinHandle<()>>,
    /// Ends after everything that sends requests.
    ledger: (CancellationToken, JoinHandle<()>),
}

impl RunningSite {
    /// Starts everything. A plugin that cannot be loaded is no failure: the site starts without it, and shows why.
    pub(super) async fn start(
        config: Config,
        clock: Arc<dyn Clock>,
        traces: Option<Traces>,
    ) -> Result<Self, Failure> {
        let id = config.site.id.clone();
        let certificate = config.site.tls.as_ref().map(Certificate::load).transpose();
        let certificate = certificate.map_err(Failure::environment)?.map(Arc::new);
        let tls = certificate.clone().map(tls::server).transpose().map_err(Failure::environment)?;
        let vault = Arc::new(config.load_vault().map_err(Failure::environment)?);

        let data = DataDir::open(&config.site.data_dir)?;
        let keys = Arc::new(Keys::load_or_create(&data.keys()).map_err(Failure::environment)?);
        let older = keys.older_symmetric(&["identity"]);
        let site_keys = SiteKeys::from_master(&keys.symmetric(&["identity"]));
        let site_keys = Arc::new(site_keys.with_older(older.iter().map(|key| &**key)));

        let engine = open_engine(&data).await?;
        // From here on nobody else serves this data directory.
        data.forget_earlier();
        let store =
            Store::open(engine.clone(), &id, Arc::clone(&clock)).await.map_err(Failure::environment)?;

        // Before plugins are compiled, which can take a minute: a port that is taken is told at once.
        let listen = config.site.listen;
        let tcp = TcpListener::bind(listen).await.map_err(|error| {
            Failure::environment(format!(
                "site.listen: {listen}: {error}; stop what uses it, or choose another"
            ))
        })?;

        let (egress, ledger) = way_out(&config, &store, Arc::clone(&clock))?;
        let collector = Sender::new(&config.telemetry, &egress, Arc::clone(&vault));
        let collector = collector.map_err(Failure::environment)?;
        if let (Some(traces), Some(collector)) = (&traces, &collector) {
            traces.connect(Arc::clone(collector));
        }
        // Before anything can happen: a new publisher begins with this site's first event after its first start.
        let (publishers, publishing) =
            open_publishers(&config, &store, &site_keys, &vault, &egress, &clock).await?;
        let services = Services {
            storage: store.plugin_storage(),
            vault: Arc::clone(&vault),
            egress: Arc::clone(&egress),
            crypto: Arc::new(HostCrypto::new(Arc::clone(&keys))),
            audit: store.audit_sink(),
            // Plugins, and the clouds that they emulate, go by the machine's.
            clock: Arc::new(SystemClock),
            randomness: Randomness::default(),
            site: id.clone(),
        };
        let runtime = start_plugins(&config, &data, &keys, services).await?;

        let identity = Identity::new(
            runtime.site(),
            store.sessions(),
            Arc::clone(&site_keys),
            Arc::clone(&clock),
            config.limits.identity.config(id.clone()),
        );
        let orders = Orders::new(
            runtime.site(),
            store.orders(),
            Arc::clone(&clock),
            OrdersConfig {
                site: id.clone(),
                // One daemon per store today: after a restart its queues are its own at once.
                daemon: "only".to_owned(),
                limits: config.limit.clone(),
                settings: config.limits.orders.clone(),
            },
        );
        let reload = Arc::new(Reload {
            file: config.file.clone(),
            secrets: vault,
            runtime: Arc::clone(&runtime),
            identity: Arc::clone(&identity),
            orders: Arc::clone(&orders),
            certificate,
            current: Mutex::new(config.clone()),
        });
        let plugins: Arc<dyn PluginAdmin> =
            Arc::new(Plugins { runtime: runtime.admin(), reload: Arc::clone(&reload) });
        let audit = Audit::new(store.audit(), Arc::clone(&clock), config.audit.clone());
        let state = ApiState {
            identity: Arc::clone(&identity),
            orders: Arc::clone(&orders),
            site: runtime.site(),
            plugins,
            publishers,
            usage: store.usage(),
            egress: store.egress(),
            audit: audit.clone(),
            clock: Arc::clone(&clock),
            keys: site_keys,
            info: SiteInfo { id: id.clone(), version: env!("CARGO_PKG_VERSION").to_owned() },
            limits: config.limits.api.clone(),
            reload: Some(reload.clone()),
            metrics: archipel_api::Metrics::default(),
        };

        let scheme = if tls.is_some() { "https" } else { "http" };
        let url = format!("{scheme}://{}", tcp.local_addr()?);
        let socket = data.listen()?;

        let stop = CancellationToken::new();
        let limits = config.limits.api.clone();
        let public = archipel_api::router(state.clone());
        let kept = Kept {
            identity,
            usage: store.usage(),
            audit: store.audit(),
            clock,
            retention: Duration::from_secs(config.audit.retention_s),
        };
        let figures = collector.map(|collector| push_figures(&config, &state, collector, stop.clone()));
        let admin = archipel_api::admin_router_with(state, Arc::new(StoreBackups::new(store)));
        let mut tasks = vec![
            tokio::spawn(archipel_api::serve::serve_tcp(tcp, public, tls, limits.clone(), stop.clone())),
            tokio::spawn(archipel_api::serve::serve_unix(socket, admin, limits, stop.clone())),
            tokio::spawn(orders.run(stop.clone())),
            tokio::spawn(publishing.run(stop.clone())),
            tokio::spawn(housekeeping::run(kept, stop.clone())),
            tokio::spawn(audit.clone().run(stop.clone())),
        ];
        tasks.extend(figures.map(tokio::spawn));
        let ended = CancellationToken::new();
        let told = ended.clone();
        let ledger = (ended, tokio::spawn(async move { ledger.run(told.cancelled()).await }));
        data.announce(&url)?;
        Ok(Self { id, url, reload, audit, data, engine, runtime, traces, stop, tasks, ledger })
    }

    /// Reads the site file again, because a signal says so; the audit is told.
    ///
    /// # Errors
    /// What is wrong with the file; the old configuration still serves.
    pub(super) async fn reload_on_signal(&self) -> Result<Reloaded, Error> {
        self.audit.daemon("reload-config", Outcome::Allowed, Some("SIGHUP".to_owned())).await?;
        let done = self.reload.reload().await;
        if let Err(error) = &done {
            self.audit.daemon("reload-config", Outcome::Refused, Some(error.message.clone())).await?;
        }
        done
    }

    /// Takes it apart, gently.
    pub(super) async fn stop(self) {
        self.data.withdraw();
        self.stop.cancel();
        for task in self.tasks {
            if let Err(error) = task.await {
                tracing::error!(%error, "a part of the site ended badly");
            }
        }
        self.runtime.shutdown().await;
        let (ended, ledger) = self.ledger;
        ended.cancel();
        if let Err(error) = ledger.await {
            tracing::error!(%error, "the ledger of requests ended badly");
        }
        self.engine.close().await;
        if let Some(traces) = self.traces {
            traces.stop(LAST_SPANS).await;
        }
    }
}

/// Sends what `/metrics` shows.
fn push_figures(
    config: &Config,
    state: &ApiState,
    collector: Arc<Sender>,
    stop: CancellationToken,
) -> impl Future<Output = ()> + Send + 'static {
    let state = state.clone();
    let source: Source =
        Box::new(move || archipel_api::metrics_text(&state).map_err(|error| error.to_string()));
    let from = (config.site.id.to_string(), env!("CARGO_PKG_VERSION"));
    archipel_telemetry::push(config.telemetry.clone(), from, collector, source, stop)
}

/// Opening reads the whole log: not on a thread that serves.
async fn open_engine(data: &DataDir) -> Result<Arc<SledEngine>, Failure> {
    let folder = data.store();
    tokio::task::spawn_blocking(move || SledEngine::open(&folder, SledOptions::default()))
        .await
        .map_err(Failure::environment)?
        .map_err(Failure::environment)
}

/// The way out for plugins that ask clouds.
fn way_out(
    config: &Config,
    store: &Store,
    clock: Arc<dyn Clock>,
) -> Result<(Arc<Egress>, LedgerWriter), Failure> {
    let trusted = archipel_egress::tls::client_config(config.site.outgoing_ca.as_deref())
        .map_err(Failure::environment)?;
    let limits = &config.limits.egress;
    let many = |number: u32| usize::try_from(number).unwrap_or(usize::MAX);
    let (ledger, writer) =
        DurableLedger::new(store.egress(), many(limits.ledger_per_order), many(limits.ledger_waiting));
    Ok((Arc::new(Egress::new(trusted, ledger, clock, limits.egress())), writer))
}

async fn open_publishers(
    config: &Config,
    store: &Store,
    keys: &Arc<SiteKeys>,
    vault: &Arc<Vault>,
    egress: &Arc<Egress>,
    clock: &Arc<dyn Clock>,
) -> Result<(Arc<Publishers>, archipel_events::Running), Failure> {
    let (site, keys) = (config.site.id.clone(), Arc::clone(keys));
    let services = archipel_events::Services {
        log: store.orders(),
        positions: store.positions(),
        egress: Arc::clone(egress),
        vault: Arc::clone(vault),
        clock: Arc::clone(clock),
        writer: Writer::new(site.clone(), move |sequence| archipel_api::event_id(&keys, sequence)),
        site,
    };
    Publishers::open(&config.events, &services).await.map_err(Failure::environment)
}

async fn start_plugins(
    config: &Config,
    data: &DataDir,
    keys: &Keys,
    services: Services,
) -> Result<Arc<Runtime>, Failure> {
    let exe = std::env::current_exe().map_err(Failure::environment)?;
    let key = *keys.symmetric(&["compiled code"]);
    let options = RuntimeOptions {
        compiler: Compiler::Child { exe },
        folders_root: config.base.clone(),
        ..RuntimeOptions::new(&config.site.plugin_dir, data.compiled(), key)
    };
    let runtime =
        Runtime::start(config.runtime.clone(), services, options).await.map_err(Failure::environment)?;
    let facts = runtime.engine();
    tracing::info!(wasmtime = %facts.wasmtime, pooling = facts.pooling, instances = facts.instances, "plugins run");
    Ok(runtime)
}
