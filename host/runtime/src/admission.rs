//! From bytes to a plugin, and from a plugin to a binding. No code of a plugin runs before all of this has passed.
//!
//! | step | of | refuses |
//! |---|---|---|
//! | check | bytes | what is no plugin ([`explain`](crate::explain)) |
//! | compile | bytes | what the compiler refuses, or what takes too much |
//! | link | component | imports of another type than ours |
//! | grants, configuration | binding | what is not granted, or does not fit the schema |
//! | trial | binding | exports of another type than ours, an `init` that fails |

use std::path::Path;
use std::sync::Arc;

use serde_json::Value;
use tokio::sync::Semaphore;

use crate::aot::{AotCache, Trusted};
use crate::call::{Binding, Plugin};
use crate::compile::Compiler;
use crate::config::PluginConfig;
use crate::explain::{Checked, check};
use crate::exports::Exports;
use crate::figures::Figures;
use crate::folder::granted_files;
use crate::grants::{EffectiveGrants, GrantConfig};
use crate::host::{BindingContext, Services};
use crate::machine::Machine;
use crate::refusal::Refusal;
use crate::supervise::Supervisor;
use crate::threads::Pace;
use crate::warm::WarmPool;

/// Makes a plugin of the bytes of a file.
pub(crate) async fn load(
    machine: &Machine,
    cache: &AotCache,
    compiler: &Compiler,
    name: &str,
    bytes: Vec<u8>,
    figures: Arc<Figures>,
) -> Result<Plugin, Refusal> {
    let checked = check(&bytes, &machine.limits)?;
    let cached = {
        let (cache, digest) = (cache.clone(), checked.digest.clone());
        blocking(move || cache.get(&digest)).await?
    };
    if let Some(artefact) = cached {
        match link(machine, name, &checked, &artefact, true, Arc::clone(&figures)) {
            Err(Refusal::Compile(reason)) => {
                tracing::warn!(plugin = name, reason, "cached machine code does not load; compiling again")
            }
            other => return other,
        }
    }
    let artefact = Trusted::from_own_compiler(compiler.compile(bytes, &machine.limits).await?);
    let plugin = link(machine, name, &checked, &artefact, false, figures)?;
    let (cache, digest) = (cache.clone(), checked.digest);
    blocking(move || cache.put(&digest, &artefact)).await?;
    Ok(plugin)
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Refusal> {
    tokio::task::spawn_blocking(work).await.map_err(|error| Refusal::Unreadable(error.to_string()))
}

fn link(
    machine: &Machine,
    name: &str,
    checked: &Checked,
    artefact: &Trusted,
    from_cache: bool,
    figures: Arc<Figures>,
) -> Result<Plugin, Refusal> {
    let component = artefact.load(&machine.engine)?;
    let pre = machine
        .linker
        .instantiate_pre(&component)
        .map_err(|error| Refusal::Contract(format!("{error:#}")))?;
    let exports = Exports::find(&pre, checked)?;
    Ok(Plugin {
        name: name.to_owned(),
        digest: checked.digest.clone(),
        manifest: checked.manifest.clone(),
        interfaces: checked.interfaces(),
        exports,
        pre,
        from_cache,
        supervisor: Supervisor::new(&machine.limits),
        figures,
    })
}

/// What the site file wants of one plugin in one place.
#[derive(Clone, Debug)]
pub(crate) struct Want {
    /// Whose storage and keys: never depends on the digest, so that a swap keeps them.
    pub(crate) binding: String,
    /// For people, e.g. `cloud/emulated`.
    pub(crate) place: String,
    /// The plugin.
    pub(crate) plugin: String,
    /// Interfaces, of which it must export all.
    pub(crate) needs: Vec<&'static str>,
    /// Handed to it.
    pub(crate) config: PluginConfig,
    /// Calls at a time.
    pub(crate) concurrency: usize,
}

/// Makes a binding, or keeps the one there is where nothing changed.
pub(crate) async fn admit(
    machine: &Arc<Machine>,
    services: &Services,
    folders_root: &Path,
    want: &Want,
    plugin: &Arc<Plugin>,
    grant: &GrantConfig,
    previous: Option<&Arc<Binding>>,
) -> Result<Arc<Binding>, Refusal> {
    for interface in &want.needs {
        if !plugin.interfaces.iter().any(|exported| exported == interface) {
            return Err(Refusal::MissingInterface {
                binding: want.place.clone(),
                interface: (*interface).to_owned(),
                exports: plugin.interfaces.clone(),
            });
        }
    }
    let config = Value::Object(want.config.clone());
    check_config(plugin, &want.place, &config)?;
    let mut grants = check_grants(plugin, &want.place, grant, &config)?;
    if let Some(ca) = &grant.ca {
        let ca = folders_root.join(ca);
        let trust = blocking(move || archipel_egress::Trust::only(&ca)).await?;
        grants.egress.trust =
            Some(trust.map_err(|error| Refusal::Trial(format!("`ca` of its grant: {error}")))?);
    }
    let root = folders_root.to_owned();
    let folders = grants.folders.clone();
    let files = blocking(move || granted_files(&root, &folders)).await?.map_err(Refusal::Trial)?;

    let config_json = config.to_string();
    let gate = want.concurrency.clamp(1, Semaphore::MAX_PERMITS);
    if let Some(same) = previous.filter(|known| {
        known.plugin.digest == plugin.digest
            && known.context.config_json == config_json
            && known.context.grants == grants
            && known.concurrency == gate
            && files_equal(&known.files, &files)
    }) {
        return Ok(Arc::clone(same));
    }
    let context = BindingContext::new(
        &want.binding,
        &plugin.name,
        &plugin.digest,
        config_json,
        grants,
        services.clone(),
    );
    // What the last refresh of an older version left serves until the first of this one.
    if let Some(previous) = previous {
        context.state.store(previous.context.state.load_full());
    }
    let binding = Arc::new(Binding {
        context: Arc::new(context),
        plugin: Arc::clone(plugin),
        machine: Arc::clone(machine),
        files,
        concurrency: gate,
        gate: Arc::new(Semaphore::new(gate)),
        pace: Pace::default(),
        warm: WarmPool::new(&machine.limits),
    });
    binding.trial().await?;
    Ok(binding)
}

type Files = Vec<archipel_bindings::latest::exports::archipel::plugin::lifecycle::File>;

fn files_equal(a: &Files, b: &Files) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.path == b.path && a.contents == b.contents)
}

fn check_config(plugin: &Plugin, place: &str, config: &Value) -> Result<(), Refusal> {
    let wrong = |problems: Vec<String>| Err(Refusal::Config { binding: place.to_owned(), problems });
    let Some(schema) = &plugin.manifest.config_schema else {
        return match config.as_object() {
            Some(table) if !table.is_empty() => {
                wrong(vec!["it takes no configuration; remove the table".to_owned()])
            }
            _ => Ok(()),
        };
    };
    let validator = match jsonschema::validator_for(&Value::Object(schema.clone())) {
        Ok(validator) => validator,
        Err(error) => return Err(Refusal::Manifest(format!("config_schema: {error}"))),
    };
    let problems: Vec<String> = validator
        .iter_errors(config)
        .take(20)
        .map(|error| {
            let path = error.instance_path().to_string();
            let place = if path.is_empty() {
                "config".to_owned()
            } else {
                format!("config{}", path.replace('/', "."))
            };
            // Values may be long; the path says enough. They are never secret: secrets are not configuration.
            let text: String = error.to_string().chars().filter(|c| !c.is_control()).take(300).collect();
            format!("{place}: {text}")
        })
        .collect();
    if problems.is_empty() { Ok(()) } else { wrong(problems) }
}

fn check_grants(
    plugin: &Plugin,
    place: &str,
    grant: &GrantConfig,
    config: &Value,
) -> Result<EffectiveGrants, Refusal> {
    let requested = &plugin.manifest.capabilities;
    let missing = EffectiveGrants::missing(requested, grant, config);
    if !missing.is_empty() {
        let lines = missing.as_toml(&plugin.name, grant);
        return Err(Refusal::NotGranted { binding: place.to_owned(), lines });
    }
    if !grant.accepts_digest(&plugin.digest) {
        return Err(Refusal::Pinned { plugin: plugin.name.clone(), digest: plugin.digest.clone() });
    }
    Ok(EffectiveGrants::new(requested, grant, config))
}
