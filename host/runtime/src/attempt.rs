//! An attempt at a generation: every place of a configuration with the version that would serve it, or why none does.
//! Nothing is published here, so an attempt costs nobody anything.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::admission::{self, Place, Terms, Want};
use crate::call::Plugin;
use crate::catalogue::Candidate;
use crate::config::RuntimeConfig;
use crate::manager::Manager;
use crate::refusal::Refusal;
use crate::site::{self, Admitted};
use crate::widening;

/// What an attempt at a generation came to.
pub(crate) struct Attempt {
    /// By binding name.
    pub(crate) admitted: Admitted,
    /// The version that would serve, by plugin.
    pub(crate) serving: BTreeMap<String, Arc<Plugin>>,
    /// Why the newest version would not, by plugin.
    pub(crate) refused: BTreeMap<String, Refusal>,
}

impl Manager {
    /// Admits every place of a configuration. Per plugin either the newest version serves everywhere, or the older one.
    pub(crate) async fn attempt(&self, config: &RuntimeConfig) -> Attempt {
        let mut by_plugin: BTreeMap<String, Vec<Want>> = BTreeMap::new();
        for want in site::wants(config) {
            by_plugin.entry(want.plugin.clone()).or_default().push(want);
        }
        let mut attempt =
            Attempt { admitted: BTreeMap::new(), serving: BTreeMap::new(), refused: BTreeMap::new() };
        for (name, wants) in by_plugin {
            self.attempt_plugin(config, &name, &wants, &mut attempt).await;
        }
        attempt
    }

    async fn attempt_plugin(
        &self,
        config: &RuntimeConfig,
        name: &str,
        wants: &[Want],
        attempt: &mut Attempt,
    ) {
        let Some(entry) = self.catalogue.entries.get(name) else {
            let reason = format!("there is no file {name}.wasm in {}", self.folder.path().display());
            attempt.admitted.extend(wants.iter().map(|want| (want.binding.clone(), Err(reason.clone()))));
            return;
        };
        let newest = match &entry.candidate {
            Candidate::Ready(plugin) => Some(plugin),
            _ => None,
        };
        let older =
            entry.serving.as_ref().filter(|older| newest.is_none_or(|newest| newest.digest != older.digest));
        let grant = config.grant_of(name);
        let storage = &*self.services.storage;
        let served = widening::served(storage, config.shadow_of(name).unwrap_or(name)).await;
        let terms = Terms { grant: &grant, signatures: &config.signatures, served: &served };
        let mut last: Option<Refusal> = match &entry.candidate {
            Candidate::Refused { refusal, .. } => Some(refusal.clone()),
            _ => None,
        };
        let mut first: Option<Refusal> = last.clone();
        for version in newest.into_iter().chain(older) {
            match self.admit_all(wants, version, terms).await {
                Ok(places) => {
                    for (binding, place) in places {
                        if let Some(refusal) = place.kept_because {
                            tracing::warn!(plugin = name, binding, %refusal, "it serves on as it was prepared before");
                            first.get_or_insert(refusal);
                        }
                        attempt.admitted.insert(binding, Ok(place.binding));
                    }
                    attempt.serving.insert(name.to_owned(), Arc::clone(version));
                    if config.shadow_of(name).is_none()
                        && let Ok(before) = &served
                        && let Err(error) = widening::note(storage, before.as_ref(), version).await
                    {
                        tracing::warn!(plugin = name, %error, "that it serves is not remembered, and asked again at the next start");
                    }
                    if let Some(refusal) = first {
                        attempt.refused.insert(name.to_owned(), refusal);
                    }
                    return;
                }
                Err(refusal) => {
                    tracing::warn!(plugin = name, digest = %version.digest, %refusal, "a version cannot serve");
                    first.get_or_insert_with(|| refusal.clone());
                    last = Some(refusal);
                }
            }
        }
        let reason = first
            .as_ref()
            .or(last.as_ref())
            .map_or_else(|| "the file is not finished".to_owned(), ToString::to_string);
        attempt
            .admitted
            .extend(wants.iter().map(|want| (want.binding.clone(), Err(format!("{name}: {reason}")))));
        if let Some(refusal) = first {
            attempt.refused.insert(name.to_owned(), refusal);
        }
    }

    async fn admit_all(
        &self,
        wants: &[Want],
        version: &Arc<Plugin>,
        terms: Terms<'_>,
    ) -> Result<Vec<(String, Place)>, Refusal> {
        let mut places = Vec::with_capacity(wants.len());
        for want in wants {
            let previous = self.bindings.get(&want.binding);
            let place = admission::admit(
                &self.loader,
                &self.services,
                &self.folders_root,
                want,
                version,
                terms,
                previous,
            )
            .await?;
            places.push((want.binding.clone(), place));
        }
        Ok(places)
    }
}
