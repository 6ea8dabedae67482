//! The one task that changes anything: it reads the folder, admits plugins, builds generations and publishes them by
//! one pointer. Everybody else reads what it published.
//!
//! What always holds: a generation is published whole or not at all; a version that fails leaves the older one
//! serving; a change of configuration is taken whole or refused whole.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use archipel_model::Error;
use tokio::sync::{mpsc, oneshot};

use crate::attempt::Attempt;
use crate::call::Binding;
use crate::catalogue::{Candidate, Catalogue};
use crate::config::RuntimeConfig;
use crate::folder::{Dropped, PluginFolder};
use crate::host::Services;
use crate::image::Loader;
use crate::kept_evidence;
use crate::limits::to_usize;
use crate::machine::Machine;
use crate::refusal::Refusal;
use crate::runtime::Reread;
use crate::signatures::{SignaturePolicy, Signed};
use crate::site::{self, Admitted};
use crate::status::Published;
use crate::watch::Hint;

/// How often the folder is looked at where it cannot be watched, and in any case now and then.
const POLL: Duration = Duration::from_secs(5);

/// What can be asked of the manager.
pub(crate) enum Command {
    /// Read folder and configuration again, and wait for files that are being written.
    Reload { reply: oneshot::Sender<Result<(), Error>> },
    /// Take another configuration.
    Reconfigure { config: Box<RuntimeConfig>, reply: oneshot::Sender<Result<(), Vec<String>>> },
    /// Switch a plugin off (with a reason) or on again.
    Hold { name: String, reason: Option<String>, reply: oneshot::Sender<Result<(), Error>> },
}

/// The manager's own things.
pub(crate) struct Manager {
    pub(crate) machine: Arc<Machine>,
    pub(crate) services: Services,
    pub(crate) folder: Arc<PluginFolder>,
    pub(crate) folders_root: PathBuf,
    pub(crate) loader: Loader,
    pub(crate) config: RuntimeConfig,
    pub(crate) reread: Option<Reread>,
    pub(crate) published: Arc<Published>,
    pub(crate) catalogue: Catalogue,
    pub(crate) bindings: BTreeMap<String, Arc<Binding>>,
    pub(crate) away: BTreeSet<String>,
    pub(crate) held: BTreeSet<String>,
    pub(crate) number: u64,
}

impl Manager {
    /// Reads the folder for the first time and publishes the first generation.
    pub(crate) async fn begin(&mut self) {
        self.settle().await;
        let most = to_usize(self.machine.limits.evidence_failures);
        for (name, entry) in &self.catalogue.entries {
            kept_evidence::recall(&*self.services.storage, name, &entry.figures, most).await;
        }
        self.rebuild().await;
    }

    /// Serves until nobody is left to ask.
    pub(crate) async fn serve(
        mut self,
        mut commands: mpsc::Receiver<Command>,
        mut hints: mpsc::UnboundedReceiver<Hint>,
    ) {
        let mut again = Instant::now() + POLL;
        let mut watched = true;
        loop {
            let mut renamed = BTreeSet::new();
            tokio::select! {
                command = commands.recv() => match command {
                    None => return,
                    Some(command) => {
                        self.obey(command).await;
                        continue;
                    }
                },
                hint = hints.recv(), if watched => match hint {
                    Some(hint) => renamed.extend(hint),
                    None => {
                        // There is no watcher; the timer goes on.
                        watched = false;
                        continue;
                    }
                },
                () = self.machine.attention.notified() => {
                    self.publish_again();
                    for name in self.held_now() {
                        if let Some(entry) = self.catalogue.entries.get(&name) {
                            kept_evidence::keep(&*self.services.storage, &name, &entry.figures).await;
                        }
                    }
                    continue;
                }
                () = tokio::time::sleep_until(again.into()) => {}
            }
            while let Ok(hint) = hints.try_recv() {
                renamed.extend(hint);
            }
            let (changed, next) = self.scan(&renamed).await;
            if changed {
                self.rebuild().await;
            } else if self.held_now() != self.held {
                for plugin in self.held.difference(&self.held_now()) {
                    tracing::warn!(
                        plugin,
                        "its quarantine has ended; one more failure sends it back for twice as long"
                    );
                }
                // Health should say so.
                self.publish_again();
            }
            again = next.unwrap_or_else(|| Instant::now() + POLL).min(Instant::now() + POLL);
        }
    }

    /// Plugins that are quarantined now.
    fn held_now(&self) -> BTreeSet<String> {
        let now = Instant::now();
        let held =
            self.bindings.values().filter(|binding| binding.plugin.supervisor.quarantine(now).is_some());
        held.map(|binding| binding.plugin.name.clone()).collect()
    }

    async fn obey(&mut self, command: Command) {
        match command {
            Command::Reload { reply } => {
                let taken = match self.reread.as_ref().map(|reread| reread()) {
                    None => Ok(()),
                    Some(Ok(config)) => self.reconfigure(config).await,
                    Some(Err(reason)) => Err(vec![reason]),
                };
                self.settle().await;
                // Also where no plugin changed: the files of granted folders may have.
                self.rebuild().await;
                // Nobody waiting any more is nothing to do about.
                let _ = reply.send(
                    taken.map_err(|problems| Error::invalid(problems.join("\n")).code("bad-configuration")),
                );
            }
            Command::Reconfigure { config, reply } => {
                let _ = reply.send(self.reconfigure(*config).await);
            }
            Command::Hold { name, reason, reply } => {
                let _ = reply.send(self.hold(&name, reason));
            }
        }
    }

    fn hold(&mut self, name: &str, reason: Option<String>) -> Result<(), Error> {
        let unknown = || Error::not_found(format!("there is no plugin {name:?}; see the list of plugins"));
        let entry = self.catalogue.entries.get_mut(name).ok_or_else(unknown)?;
        let candidate = match &entry.candidate {
            Candidate::Ready(plugin) => Some(plugin),
            _ => None,
        };
        let plugin = entry.serving.as_ref().or(candidate).ok_or_else(|| {
            Error::conflict(format!("plugin {name} does not serve; there is nothing to switch"))
        })?;
        match reason {
            Some(reason) => {
                plugin.supervisor.hold(self.services.clock.now(), &reason);
                plugin.figures.quarantined();
                tracing::warn!(plugin = name, digest = %plugin.digest, reason, "quarantined by hand, until it is released");
            }
            None => {
                plugin.supervisor.release();
                tracing::warn!(plugin = name, digest = %plugin.digest, "released by hand");
            }
        }
        entry.since = self.services.clock.now();
        for binding in self.bindings.values().filter(|binding| binding.plugin.name == name) {
            binding.warm.clear();
        }
        self.publish_again();
        Ok(())
    }

    /// Looks at the folder until no file is being written, at most some seconds; says whether anything changed.
    async fn settle(&mut self) -> bool {
        let most = Instant::now() + Duration::from_secs(5);
        let mut changed = false;
        loop {
            let (news, next) = self.scan(&BTreeSet::new()).await;
            changed |= news;
            match next {
                Some(next) if self.catalogue.is_waiting() && next < most => {
                    tokio::time::sleep_until(next.into()).await
                }
                _ => return changed,
            }
        }
    }

    /// One look at the folder; reads what is finished. Says whether anything changed, and when to look again.
    async fn scan(&mut self, renamed: &BTreeSet<String>) -> (bool, Option<Instant>) {
        let seen = match self.folder.list() {
            Ok(seen) => seen,
            Err(error) => {
                tracing::error!(folder = %self.folder.path().display(), %error, "cannot read the plugins' folder; what serves goes on");
                return (false, None);
            }
        };
        let settle = Duration::from_millis(self.machine.limits.settle_ms);
        let todo = self.catalogue.look(&seen, renamed, settle, Instant::now(), self.services.clock.now());
        let mut changed = todo.changed;
        for name in todo.read {
            changed |= self.read(&name).await;
        }
        (changed, todo.again)
    }

    /// Reads one file and makes of it what can be made; says whether that is news.
    async fn read(&mut self, name: &str) -> bool {
        let now = self.services.clock.now();
        let (folder, limits, of) = (Arc::clone(&self.folder), self.machine.limits.clone(), name.to_owned());
        let read = tokio::task::spawn_blocking(move || folder.read(&of, &limits)).await;
        let Dropped { bytes, signature, stamp } = match read
            .unwrap_or_else(|error| Err(Refusal::Unreadable(error.to_string())))
        {
            Ok(read) => read,
            Err(refusal) => {
                return self.catalogue.note(name, None, Candidate::Refused { refusal, digest: None }, now);
            }
        };
        let digest = crate::explain::digest(&bytes);
        let signed = Signed::judge(&bytes, signature.as_deref(), &self.config.signatures);
        if let Some(entry) = self.catalogue.entries.get(name)
            && let Candidate::Ready(known) = &entry.candidate
            && known.digest == digest
        {
            let same = Candidate::Ready(Arc::clone(known));
            let was_signed = known.signed.swap(Arc::new(signed.clone()));
            return self.catalogue.note(name, Some(stamp), same, now) || *was_signed != signed;
        }
        let figures =
            self.catalogue.entries.get(name).map(|entry| Arc::clone(&entry.figures)).unwrap_or_default();
        let started = Instant::now();
        let loaded = self.loader.load(name, bytes, figures).await;
        let candidate = match loaded {
            Ok(plugin) => {
                tracing::info!(plugin = name, %digest, took_ms = started.elapsed().as_millis(), "a plugin was read");
                plugin.signed.store(Arc::new(signed));
                Candidate::Ready(Arc::new(plugin))
            }
            Err(refusal) => {
                tracing::warn!(plugin = name, %digest, %refusal, "a plugin was refused");
                Candidate::Refused { refusal, digest: Some(digest) }
            }
        };
        self.catalogue.note(name, Some(stamp), candidate, now)
    }

    /// Other keys may count: looks at the signatures of the files that lie in the folder again. What counts is decided
    /// when a version is admitted, by the configuration that it is admitted under.
    async fn judge_signatures(&self, policy: &SignaturePolicy) {
        for (name, entry) in &self.catalogue.entries {
            let Candidate::Ready(plugin) = &entry.candidate else { continue };
            let (folder, limits, of) = (Arc::clone(&self.folder), self.machine.limits.clone(), name.clone());
            let read = tokio::task::spawn_blocking(move || folder.read(&of, &limits)).await;
            if let Ok(Ok(dropped)) = read
                && crate::explain::digest(&dropped.bytes) == plugin.digest
            {
                let signed = Signed::judge(&dropped.bytes, dropped.signature.as_deref(), policy);
                plugin.signed.store(Arc::new(signed));
            }
        }
    }

    /// Takes another configuration, whole or not at all.
    async fn reconfigure(&mut self, config: RuntimeConfig) -> Result<(), Vec<String>> {
        config.check()?;
        if config == self.config {
            return Ok(());
        }
        if config.signatures.key != self.config.signatures.key {
            self.judge_signatures(&config.signatures).await;
        }
        let attempt = self.attempt(&config).await;
        // What could not serve before need not serve now; anything else is a reason to keep the old.
        let problems: Vec<String> = attempt
            .admitted
            .iter()
            .filter(|(name, _)| !self.away.contains(*name))
            .filter_map(|(_, admitted)| admitted.as_ref().err().cloned())
            .collect();
        let newly: BTreeSet<String> = problems.into_iter().collect();
        if !newly.is_empty() {
            return Err(newly.into_iter().collect());
        }
        self.config = config;
        self.publish(attempt);
        Ok(())
    }

    async fn rebuild(&mut self) {
        let config = self.config.clone();
        let attempt = self.attempt(&config).await;
        self.publish(attempt);
    }

    /// Swaps the pointer. Calls in flight end on the bindings they hold.
    fn publish(&mut self, attempt: Attempt) {
        let now = self.services.clock.now();
        for (name, entry) in &mut self.catalogue.entries {
            let serving = attempt.serving.get(name).cloned();
            let swapped = serving.as_ref().map(|plugin| &plugin.digest)
                != entry.serving.as_ref().map(|plugin| &plugin.digest);
            if swapped {
                entry.since = now;
            }
            entry.serving = serving;
            entry.refused = attempt.refused.get(name).cloned();
        }
        let bindings: BTreeMap<String, Arc<Binding>> = attempt
            .admitted
            .iter()
            .filter_map(|(name, admitted)| Some((name.clone(), Arc::clone(admitted.as_ref().ok()?))))
            .collect();
        self.away = attempt
            .admitted
            .iter()
            .filter(|(_, admitted)| admitted.is_err())
            .map(|(name, _)| name.clone())
            .collect();
        self.number = self.number.saturating_add(1);
        let generation = site::generation(self.number, &self.services.site, &self.config, &attempt.admitted);
        for reason in &generation.aaa_away {
            tracing::warn!(reason, "AAA is closed");
        }
        self.published.generation(generation);
        let old = std::mem::replace(&mut self.bindings, bindings);
        for (name, binding) in &self.bindings {
            if !old.get(name).is_some_and(|known| Arc::ptr_eq(known, binding)) {
                crate::refresh::start(binding);
            }
        }
        for (name, binding) in old {
            if !self.bindings.get(&name).is_some_and(|known| Arc::ptr_eq(known, &binding)) {
                binding.warm.close();
            }
        }
        self.held = self.held_now();
        self.published.statuses(&self.catalogue, &self.config);
    }

    /// The same bindings in a new generation: caches keyed by its number are emptied, quarantine is seen.
    fn publish_again(&mut self) {
        let mut admitted: Admitted =
            self.bindings.iter().map(|(name, binding)| (name.clone(), Ok(Arc::clone(binding)))).collect();
        for want in site::wants(&self.config) {
            let refusal = self.catalogue.entries.get(&want.plugin).and_then(|entry| {
                match (&entry.refused, &entry.candidate) {
                    (Some(refusal), _) | (None, Candidate::Refused { refusal, .. }) => {
                        Some(refusal.to_string())
                    }
                    _ => None,
                }
            });
            let reason = refusal.unwrap_or_else(|| format!("there is no file {}.wasm", want.plugin));
            admitted.entry(want.binding).or_insert(Err(reason));
        }
        self.held = self.held_now();
        self.number = self.number.saturating_add(1);
        self.published.generation(site::generation(
            self.number,
            &self.services.site,
            &self.config,
            &admitted,
        ));
        self.published.statuses(&self.catalogue, &self.config);
    }
}
