//! The site file: what an administrator writes, checked as a whole before anything is done with it.
//!
//! ```toml
//! [site]
//! id = "site-a.example.org"
//! ```
//! is a whole one. Relative paths are relative to the file, so that a site can be moved as a folder. Every key can be
//! set from the environment as `ARCHIPEL__SECTION__KEY` (`ARCHIPEL__SITE__LISTEN`, `ARCHIPEL__CLOUD__0__CONCURRENCY`,
//! `ARCHIPEL__CLOUD__EMULATED__STATE`).

mod limits;
mod meaning;
mod site;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use archipel_api::AuditSettings;
use archipel_config::{Problem, Tree};
use archipel_events::EventsConfig;
use archipel_orders::LimitRule;
use archipel_runtime::config::RuntimeConfig;
use archipel_telemetry::TelemetryConfig;
use archipel_vault::{KeySource, SecretSource, Vault, VaultError, VaultKey};

pub(crate) use limits::Limits;
pub(crate) use site::{SiteSection, TlsSection};

/// Where the site file is when nobody says.
pub(crate) const DEFAULT_FILE: &str = "site.toml";

/// The prefix of overriding variables.
const PREFIX: &str = "ARCHIPEL";

/// A site file that holds together.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    /// The file.
    pub(crate) file: PathBuf,
    /// The file's folder, absolute.
    pub(crate) base: PathBuf,
    /// `[site]`.
    pub(crate) site: SiteSection,
    /// `[[identity]]`, `[[authorization]]`, `[[cloud]]`, `[grants.NAME]`, `[signatures]`, `[limits.plugins]`.
    pub(crate) runtime: RuntimeConfig,
    /// `[[limit]]`.
    pub(crate) limit: Vec<LimitRule>,
    /// `[secrets.NAME]`.
    pub(crate) secrets: BTreeMap<String, SecretSource>,
    /// `[vault]`.
    pub(crate) vault: VaultKey,
    /// `[limits.*]`.
    pub(crate) limits: Limits,
    /// `[[events.kafka]]`, `[[events.webhook]]`.
    pub(crate) events: EventsConfig,
    /// `[audit]`.
    pub(crate) audit: AuditSettings,
    /// `[telemetry]`.
    pub(crate) telemetry: TelemetryConfig,
}

/// Why a site file cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigError {
    /// It cannot be read.
    #[error("{}: cannot be read: {source}; name another with --config FILE or ARCHIPEL_CONFIG", file.display())]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It is wrong; all that is wrong, in the order of the file.
    #[error("{}", lines(.0))]
    Wrong(Vec<Problem>),
}

fn lines(problems: &[Problem]) -> String {
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

impl Config {
    /// Reads the file and the environment.
    ///
    /// # Errors
    /// Everything that is wrong, each with its place.
    pub(crate) fn load(file: &Path) -> Result<Self, ConfigError> {
        let unreadable = |source| ConfigError::Unreadable { file: file.to_owned(), source };
        let text = std::fs::read_to_string(file).map_err(unreadable)?;
        let file_path = std::path::absolute(file).map_err(unreadable)?;
        let variables = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
        Self::parse(&file_path, &text, variables)
    }

    /// Reads a text as if it were in that file.
    ///
    /// # Errors
    /// Everything that is wrong.
    pub(crate) fn parse(
        file: &Path,
        text: &str,
        variables: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, ConfigError> {
        let shown = file
            .file_name()
            .map_or_else(|| file.display().to_string(), |name| name.to_string_lossy().into_owned());
        let mut tree = Tree::parse(&shown, text).map_err(|problem| ConfigError::Wrong(vec![problem]))?;
        tree.override_from(variables, PREFIX);
        let base = file.parent().unwrap_or(Path::new("")).to_owned();
        let mut reader = tree.reader();
        let site: Option<SiteSection> = reader.section("site");
        let mut runtime = RuntimeConfig {
            identity: reader.array("identity"),
            authorization: reader.array("authorization"),
            cloud: reader.array("cloud"),
            shadow: reader.array("shadow"),
            grants: reader.entries("grants").into_iter().collect(),
            signatures: reader.section("signatures").unwrap_or_default(),
            ..RuntimeConfig::default()
        };
        let limit: Vec<LimitRule> = reader.array("limit");
        let secrets: BTreeMap<String, SecretSource> = reader.entries("secrets").into_iter().collect();
        let vault: Option<VaultKey> = reader.section("vault");
        let limits: Option<Limits> = reader.section("limits");
        let events: Option<EventsConfig> = reader.section("events");
        let audit: Option<AuditSettings> = reader.section("audit");
        let telemetry: Option<TelemetryConfig> = reader.section("telemetry");
        // What the sections mean together is only worth saying once each of them is right.
        if reader.is_clean() {
            if let Some(site) = &site {
                meaning::check_site(site, &mut reader);
            }
            meaning::check_runtime(&runtime, &mut reader);
            meaning::check_limit_rules(&limit, &runtime, &mut reader);
            if let Some(events) = &events {
                meaning::check_events(events, &secrets, &runtime, &mut reader);
            }
            if let Some(audit) = &audit {
                meaning::check_audit(audit, &mut reader);
            }
            if let Some(telemetry) = &telemetry {
                meaning::check_telemetry(telemetry, &secrets, &mut reader);
            }
        }
        reader.finish().map_err(ConfigError::Wrong)?;
        let (Some(mut site), Some(vault), Some(limits), Some(mut events), Some(audit), Some(telemetry)) =
            (site, vault, limits, events, audit, telemetry)
        else {
            return Err(ConfigError::Wrong(Vec::new()));
        };
        site.resolve(&base);
        events.resolve(&base);
        runtime.limits = limits.plugins.clone();
        Ok(Self {
            file: file.to_owned(),
            base,
            site,
            runtime,
            limit,
            secrets,
            vault,
            limits,
            events,
            audit,
            telemetry,
        })
    }

    /// Where the key lies that secrets are sealed with.
    pub(crate) fn vault_key(&self) -> KeySource {
        self.vault.source(&self.base, &self.site.data_dir)
    }

    /// The site's secrets, as their sources have them now.
    ///
    /// # Errors
    /// The first that cannot be read.
    pub(crate) fn load_vault(&self) -> Result<Vault, VaultError> {
        Vault::load(&self.secrets, &self.base, &self.vault_key())
    }

    /// The administrator's socket of this site.
    pub(crate) fn admin_socket(&self) -> PathBuf {
        archipel_client::admin_socket(&self.site.data_dir)
    }
}

#[cfg(test)]
mod tests;
