//! What is published: the present generation, and plugins as an administrator sees them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use arc_swap::ArcSwap;
use archipel_model::plugin_admin::{PluginAdmin, PluginState, PluginStatus};
use archipel_model::plugin_evidence::{PluginEvidence, Quarantine};
use archipel_model::site::{Generation, Site};
use archipel_model::{Error, SiteId, Timestamp};
use async_trait::async_trait;
use serde_json::Value;
use tokio::sync::{mpsc, oneshot};

use crate::call::Plugin;
use crate::catalogue::{Candidate, Catalogue, Entry};
use crate::config::RuntimeConfig;
use crate::figures::Figures;
use crate::manager::Command;
use crate::refusal::Refusal;
use crate::site;

/// What everybody reads.
pub(crate) struct Published {
    generation: ArcSwap<Generation>,
    records: ArcSwap<BTreeMap<String, Record>>,
}

/// What is known of one name; figures and quarantine are read when asked for.
struct Record {
    name: String,
    plugin: Option<Arc<Plugin>>,
    serves: bool,
    dropped: bool,
    digest: Option<String>,
    signed_by: Option<String>,
    problem: Option<String>,
    bindings: Vec<String>,
    shadow_of: Option<String>,
    granted: Value,
    figures: Arc<Figures>,
    since: Timestamp,
}

impl Published {
    /// Before the first generation: nothing.
    pub(crate) fn new(site: &SiteId) -> Self {
        let empty = Generation {
            number: 0,
            site: site.clone(),
            identity: Vec::new(),
            authorization: Vec::new(),
            clouds: BTreeMap::new(),
            aaa_away: vec!["the site is starting".to_owned()],
        };
        Self { generation: ArcSwap::from_pointee(empty), records: ArcSwap::default() }
    }

    /// Swaps the pointer.
    pub(crate) fn generation(&self, generation: Generation) {
        self.generation.store(Arc::new(generation));
    }

    /// Publishes what the catalogue says now.
    pub(crate) fn statuses(&self, catalogue: &Catalogue, config: &RuntimeConfig) {
        let mut places: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for want in site::wants(config) {
            let words: Vec<&str> = want.needs.iter().filter_map(|need| short(need)).collect();
            let place =
                if words.is_empty() { want.place } else { format!("{} ({})", want.place, words.join(", ")) };
            places.entry(want.plugin).or_default().push(place);
        }
        let mut records: BTreeMap<String, Record> = catalogue
            .entries
            .iter()
            .map(|(name, entry)| (name.clone(), Record::new(name, entry, &mut places, config)))
            .collect();
        // Wanted, and not there.
        for (name, bindings) in places {
            records.insert(name.clone(), Record::absent(&name, bindings, config));
        }
        self.records.store(Arc::new(records));
    }
}

/// `authorization` of `archipel:aaa/authorization@0.1.0`.
fn short(interface: &str) -> Option<&str> {
    interface.split('/').nth(1)?.split('@').next()
}

fn granted(config: &RuntimeConfig, name: &str) -> Value {
    let granted = config.grants.get(config.shadow_of(name).unwrap_or(name));
    granted.and_then(|grant| serde_json::to_value(grant).ok()).unwrap_or(Value::Null)
}

fn signed_by(plugin: &Plugin, config: &RuntimeConfig) -> Option<String> {
    plugin.signed.load().by(&config.signatures).map(|key| key.name.clone())
}

impl Record {
    fn new(
        name: &str,
        entry: &Entry,
        places: &mut BTreeMap<String, Vec<String>>,
        config: &RuntimeConfig,
    ) -> Self {
        let (ready, problem, digest) = match &entry.candidate {
            Candidate::Dropped => (None, None, None),
            Candidate::Refused { refusal, digest } => (None, Some(refusal.to_string()), digest.clone()),
            Candidate::Ready(plugin) => (Some(Arc::clone(plugin)), None, Some(plugin.digest.clone())),
        };
        let problem = entry.refused.as_ref().map(ToString::to_string).or(problem);
        let problem = match (&entry.serving, problem) {
            (Some(serving), Some(problem)) if !matches!(entry.refused, Some(Refusal::Folders(_))) => {
                Some(format!("the newest file cannot serve, {} goes on: {problem}", serving.digest))
            }
            (_, problem) => problem,
        };
        let shown = entry.serving.clone().or(ready);
        Self {
            name: name.to_owned(),
            serves: entry.serving.is_some(),
            dropped: matches!(entry.candidate, Candidate::Dropped),
            digest: entry.serving.as_ref().map(|plugin| plugin.digest.clone()).or(digest),
            signed_by: shown.as_ref().and_then(|plugin| signed_by(plugin, config)),
            plugin: shown,
            problem,
            bindings: places.remove(name).unwrap_or_default(),
            shadow_of: config.shadow_of(name).map(str::to_owned),
            granted: granted(config, name),
            figures: Arc::clone(&entry.figures),
            since: entry.since,
        }
    }

    fn absent(name: &str, bindings: Vec<String>, config: &RuntimeConfig) -> Self {
        Self {
            name: name.to_owned(),
            plugin: None,
            signed_by: None,
            serves: false,
            dropped: false,
            digest: None,
            problem: Some(format!("there is no file {name}.wasm in the plugins' folder")),
            bindings,
            shadow_of: config.shadow_of(name).map(str::to_owned),
            granted: granted(config, name),
            figures: Arc::default(),
            since: Timestamp::default(),
        }
    }

    fn quarantine(&self) -> Option<Quarantine> {
        self.plugin.as_ref().and_then(|plugin| plugin.supervisor.quarantine(Instant::now()))
    }

    fn evidence(&self) -> PluginEvidence {
        let (failures, forgotten) = self.figures.failures();
        PluginEvidence { plugin: self.name.clone(), quarantine: self.quarantine(), failures, forgotten }
    }

    fn status(&self) -> PluginStatus {
        let quarantine = self.quarantine();
        let state = if quarantine.is_some() {
            PluginState::Quarantined
        } else if self.serves && self.shadow_of.is_some() {
            PluginState::Shadow
        } else if self.serves {
            PluginState::Live
        } else if self.problem.is_some() {
            PluginState::Rejected
        } else if self.dropped {
            PluginState::Dropped
        } else if self.plugin.as_ref().is_some_and(|plugin| plugin.plain.initialized()) {
            // In order, and no place in the site file wants it.
            PluginState::Compiled
        } else {
            // The same, and what it is compiled to depends on the configuration that it would get.
            PluginState::Checked
        };
        let last_error = quarantine
            .as_ref()
            .map(|quarantine| quarantine.reason.clone())
            .or_else(|| self.problem.clone())
            .or_else(|| self.plugin.as_ref().and_then(|plugin| plugin.supervisor.last_error()));
        let plugin = self.plugin.as_ref();
        PluginStatus {
            name: self.name.clone(),
            version: plugin.map(|plugin| plugin.manifest.version.clone()),
            digest: self.digest.clone(),
            signed_by: self.signed_by.clone(),
            state,
            exports: plugin.map(|plugin| plugin.interfaces.clone()).unwrap_or_default(),
            bindings: self.bindings.clone(),
            requested: plugin
                .and_then(|plugin| serde_json::to_value(&plugin.manifest.capabilities).ok())
                .unwrap_or(Value::Null),
            granted: self.granted.clone(),
            figures: self.figures.snapshot(),
            shadow: self.shadow_of.as_ref().zip(plugin).map(|(of, plugin)| plugin.shadow.status(of)),
            quarantine,
            quarantines: self.figures.quarantines(),
            last_error,
            since: self.since,
            start: plugin.map(|plugin| start(plugin)).unwrap_or_default(),
        }
    }
}

fn start(plugin: &Plugin) -> String {
    let drives = plugin.interfaces.iter().any(|interface| interface.starts_with("archipel:cloud/"));
    let how = if drives { "warm" } else { "fresh" };
    match plugin.starts.words() {
        none if none.is_empty() => how.to_owned(),
        words => format!("{how}, {words}"),
    }
}

/// Implements [`Site`] and [`PluginAdmin`].
pub(crate) struct Desk {
    pub(crate) published: Arc<Published>,
    pub(crate) commands: mpsc::Sender<Command>,
}

impl Desk {
    pub(crate) async fn ask<T>(
        &self,
        command: impl FnOnce(oneshot::Sender<T>) -> Command,
    ) -> Result<T, Error> {
        let gone = || Error::transient("the site is shutting down");
        let (reply, answer) = oneshot::channel();
        self.commands.send(command(reply)).await.map_err(|_| gone())?;
        answer.await.map_err(|_| gone())
    }

    fn found(&self, name: &str) -> Result<PluginStatus, Error> {
        self.get(name)
            .ok_or_else(|| Error::not_found(format!("there is no plugin {name:?}; see the list of plugins")))
    }
}

impl Site for Desk {
    fn current(&self) -> Arc<Generation> {
        self.published.generation.load_full()
    }
}

#[async_trait]
impl PluginAdmin for Desk {
    fn list(&self) -> Vec<PluginStatus> {
        self.published.records.load().values().map(Record::status).collect()
    }

    fn get(&self, name: &str) -> Option<PluginStatus> {
        self.published.records.load().get(name).map(Record::status)
    }

    fn evidence(&self, name: &str) -> Option<PluginEvidence> {
        self.published.records.load().get(name).map(Record::evidence)
    }

    async fn reload(&self, name: Option<&str>) -> Result<Vec<PluginStatus>, Error> {
        self.ask(|reply| Command::Reload { reply }).await??;
        match name {
            None => Ok(self.list()),
            Some(name) => Ok(vec![self.found(name)?]),
        }
    }

    async fn quarantine(&self, name: &str, reason: &str) -> Result<PluginStatus, Error> {
        let (plugin, reason) = (name.to_owned(), Some(reason.to_owned()));
        self.ask(|reply| Command::Hold { name: plugin, reason, reply }).await??;
        self.found(name)
    }

    async fn release(&self, name: &str) -> Result<PluginStatus, Error> {
        let plugin = name.to_owned();
        self.ask(|reply| Command::Hold { name: plugin, reason: None, reply }).await??;
        self.found(name)
    }
}
