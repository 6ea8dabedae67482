//! From bytes to a plugin, and from a plugin to a binding. No code of a plugin runs before all of this has passed.
//!
//! | step | of | where | refuses |
//! |---|---|---|---|
//! | check | bytes | [`compile`](crate::compile) process | what is no plugin ([`explain`](crate::explain)) |
//! | compile | bytes | the same | what the compiler refuses, or what takes too much |
//! | link | component | [`image`](crate::image) | imports of another type than ours |
//! | signature, grants, configuration | binding | here | what is not signed or granted, or does not fit the schema |
//! | prepare | binding | compile process | an `init` that fails ([`snapshot`](crate::snapshot)) |
//! | trial | binding | here | exports of another type than ours, an `init` that fails |

use std::path::Path;
use std::sync::Arc;

use serde_json::Value;
use tokio::sync::Semaphore;

use crate::call::{Binding, Plugin};
use crate::config::PluginConfig;
use crate::folder::granted_files;
use crate::grants::{CapabilityDiff, EffectiveGrants, GrantConfig, Pin};
use crate::host::{BindingContext, Services};
use crate::image::{Loader, blocking};
use crate::job::Preparation;
use crate::refusal::Refusal;
use crate::signatures::SignaturePolicy;
use crate::threads::Pace;
use crate::warm::WarmPool;
use crate::widening::{self, Served};

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
    /// Of a candidate: the binding in whose shadow it stands, whose storage and keys it sees.
    pub(crate) shadow_of: Option<String>,
}

impl Want {
    /// Whether its calls are those of AAA: a fresh instance each, in slots that no driver takes.
    pub(crate) fn is_aaa(&self) -> bool {
        self.needs.iter().any(|need| need.starts_with("archipel:aaa/"))
    }
}

/// What the site file says of a plugin, wherever it is used.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terms<'a> {
    /// `[grants.NAME]`.
    pub(crate) grant: &'a GrantConfig,
    /// `[signatures]`.
    pub(crate) signatures: &'a SignaturePolicy,
    /// What served under its name before.
    pub(crate) served: &'a Result<Option<Served>, Refusal>,
}

/// What came of a place.
pub(crate) struct Place {
    /// Who serves there.
    pub(crate) binding: Arc<Binding>,
    /// Why it serves as before, where only the files of granted folders are new and cannot be used.
    pub(crate) kept_because: Option<Refusal>,
}

/// Makes a binding, or keeps the one there is where nothing changed, or where nothing changed but files that it cannot use.
pub(crate) async fn admit(
    loader: &Loader,
    services: &Services,
    folders_root: &Path,
    want: &Want,
    plugin: &Arc<Plugin>,
    terms: Terms<'_>,
    previous: Option<&Arc<Binding>>,
) -> Result<Place, Refusal> {
    for interface in &want.needs {
        if !plugin.interfaces.iter().any(|exported| exported == interface) {
            return Err(Refusal::MissingInterface {
                binding: want.place.clone(),
                interface: (*interface).to_owned(),
                exports: plugin.interfaces.clone(),
            });
        }
    }
    // Of the same name in the same place: what an upgrade would change.
    let older = previous.map(|binding| &*binding.plugin).filter(|older| older.digest != plugin.digest);
    terms.signatures.admits(&plugin.name, &plugin.interfaces, &plugin.signed.load())?;
    let config = Value::Object(want.config.clone());
    check_config(plugin, &want.place, &config)?;
    let mut grants = check_grants(plugin, older, &want.place, terms, &config)?;
    if let Some(ca) = &terms.grant.ca {
        let ca = folders_root.join(ca);
        let trust = blocking(move || archipel_egress::Trust::only(&ca)).await?;
        grants.egress.trust =
            Some(trust.map_err(|error| Refusal::Trial(format!("`ca` of its grant: {error}")))?);
    }
    let root = folders_root.to_owned();
    let folders = grants.folders.clone();
    let files = blocking(move || granted_files(&root, &folders)).await?.map_err(Refusal::Trial);

    let config_json = config.to_string();
    let gate = want.concurrency.clamp(1, Semaphore::MAX_PERMITS);
    let same = previous.filter(|known| {
        known.plugin.digest == plugin.digest
            && known.context.config_json == config_json
            && known.context.grants == grants
            && known.concurrency == gate
    });
    let kept = |known: &Arc<Binding>, kept_because| Place { binding: Arc::clone(known), kept_because };
    if let (Some(same), Ok(files)) = (same, &files)
        && files_equal(&same.files, files)
    {
        return Ok(kept(same, None));
    }
    let made = async {
        let new = New { want, plugin, older, previous, config_json, grants, files: files?, gate };
        make(loader, services, new).await
    };
    match (made.await, same) {
        (Ok(binding), _) => Ok(Place { binding, kept_because: None }),
        (Err(refusal), Some(same)) => Ok(kept(same, Some(Refusal::Folders(refusal.to_string())))),
        (Err(refusal), None) => Err(refusal),
    }
}

/// Everything that a new binding is made of.
struct New<'a> {
    want: &'a Want,
    plugin: &'a Arc<Plugin>,
    older: Option<&'a Plugin>,
    previous: Option<&'a Arc<Binding>>,
    config_json: String,
    grants: EffectiveGrants,
    files: Files,
    gate: usize,
}

/// Prepares, and tries.
async fn make(loader: &Loader, services: &Services, new: New<'_>) -> Result<Arc<Binding>, Refusal> {
    let New { want, plugin, older, previous, config_json, grants, files, gate } = new;
    // Drivers stay warm and prepare themselves once in many calls; an AAA call is a fresh instance.
    let preparation = want.is_aaa().then(|| Preparation {
        binding: want.binding.clone(),
        config: config_json.clone(),
        files: files.iter().map(|file| (file.path.clone(), file.contents.clone())).collect(),
    });
    let image = loader.image(plugin, preparation).await?;
    plugin.starts.note(&want.binding, &image);
    let machine = &loader.machine;
    if let Some(older) = older {
        let diff = CapabilityDiff::between(&older.manifest.capabilities, &plugin.manifest.capabilities);
        tracing::info!(plugin = %plugin.name, binding = %want.binding, from = %older.digest, to = %plugin.digest, "an upgrade is admitted: {diff}");
    }
    let context = BindingContext::new(
        want.shadow_of.as_ref().unwrap_or(&want.binding),
        &plugin.name,
        &plugin.digest,
        config_json,
        grants,
        services.clone(),
    );
    let context = if want.shadow_of.is_some() { context.in_shadow() } else { context };
    // What the last refresh of an older version left serves until the first of this one.
    if let Some(previous) = previous {
        context.state.store(previous.context.state.load_full());
    }
    let binding = Arc::new(Binding {
        context: Arc::new(context),
        plugin: Arc::clone(plugin),
        image,
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
    older: Option<&Plugin>,
    place: &str,
    Terms { grant, signatures, served }: Terms<'_>,
    config: &Value,
) -> Result<EffectiveGrants, Refusal> {
    let requested = &plugin.manifest.capabilities;
    let missing = EffectiveGrants::missing(requested, grant, config);
    if !missing.is_empty() {
        let lines = missing.as_toml(&plugin.name, grant);
        let beside = older
            .map(|older| CapabilityDiff::between(&older.manifest.capabilities, requested))
            .filter(|diff| !diff.is_empty())
            .map(|diff| diff.to_string());
        return Err(Refusal::NotGranted { binding: place.to_owned(), beside, lines });
    }
    match grant.effective_pin() {
        Pin::Key(id) => {
            let pinned = signatures.pinned(&id, &plugin.interfaces, &plugin.signed.load());
            pinned.map_err(|how| Refusal::PinnedKey { plugin: plugin.name.clone(), id, how })?;
        }
        _ if grant.accepts_digest(&plugin.digest) => {}
        _ => return Err(Refusal::Pinned { plugin: plugin.name.clone(), digest: plugin.digest.clone() }),
    }
    widening::check(served.as_ref().map_err(Clone::clone)?.as_ref(), plugin, grant)?;
    Ok(EffectiveGrants::new(requested, grant, config))
}
