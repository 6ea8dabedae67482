//! What a plugin is tested with: `case.json` beside its tests. Everything has a default, so `{}` is a case.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use archipel_model::order::Kind;
use archipel_model::{FederationUser, LocalToken, SecretBytes, Timestamp};
use archipel_runtime::GrantConfig;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

/// The site in which plugins are tested.
pub(crate) const SITE: &str = "workbench.example.org";

/// The cloud of mappers and drivers.
pub(crate) const CLOUD: &str = "test";

/// What a plugin is tested with.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Case {
    /// The plugin's configuration.
    pub config: Map<String, Value>,
    /// Grants beside what it asks for: where secrets may go, which private addresses.
    pub grants: GrantConfig,
    /// The site's secrets, by name. Test values: they stand here for all to read.
    pub secrets: BTreeMap<String, String>,
    /// Who asks. Left out fields are a member of the group `physics`.
    pub user: Asker,
    /// Fields of a login that is right; without them logins are only tried with wrong ones.
    pub login: BTreeMap<String, String>,
    /// What drivers are lent.
    pub token: Token,
    /// What is ordered, by kind, as in the REST API.
    pub specs: BTreeMap<String, Value>,
    /// A recording of HTTP exchanges, relative to the case's file.
    pub http: Option<PathBuf>,
    /// Where the folders lie that the plugin asks for: the folder of the case's file.
    #[serde(skip)]
    pub folders: Option<PathBuf>,
    /// What the clock shows at the start.
    pub now: Timestamp,
    /// Of random numbers.
    pub seed: u64,
}

/// Who asks.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Asker {
    /// Who vouches for the subject; identity plugins may speak for this issuer alone.
    pub issuer: String,
    /// Stable within the issuer.
    pub subject: String,
    /// For people.
    pub name: String,
    /// Groups.
    pub groups: Vec<String>,
    /// Entitlements.
    pub entitlements: Vec<String>,
    /// Anything else.
    pub attributes: BTreeMap<String, String>,
}

/// What drivers are lent in place of a mapper's token.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Token {
    /// The account.
    pub account: String,
    /// The credential, if the cloud asks for one. A test value.
    pub secret: Option<String>,
    /// What the mapper tells.
    pub attributes: Map<String, Value>,
}

impl Default for Case {
    fn default() -> Self {
        Self {
            config: Map::new(),
            grants: GrantConfig::default(),
            secrets: BTreeMap::new(),
            user: Asker::default(),
            login: BTreeMap::new(),
            token: Token::default(),
            specs: BTreeMap::new(),
            http: None,
            folders: None,
            now: Timestamp::from_millis(1_795_305_600_000),
            seed: 1,
        }
    }
}

impl Default for Asker {
    fn default() -> Self {
        Self {
            issuer: format!("https://{SITE}"),
            subject: "alice".to_owned(),
            name: "Alice".to_owned(),
            groups: vec!["physics".to_owned()],
            entitlements: Vec::new(),
            attributes: BTreeMap::new(),
        }
    }
}

impl Default for Token {
    fn default() -> Self {
        Self { account: "test-account".to_owned(), secret: None, attributes: Map::new() }
    }
}

impl Asker {
    /// As a user who proved it at `now`.
    pub(crate) fn user(self, now: Timestamp) -> FederationUser {
        FederationUser {
            issuer: self.issuer,
            subject: self.subject,
            name: self.name,
            email: None,
            groups: self.groups,
            entitlements: self.entitlements,
            attributes: self.attributes.into_iter().collect(),
            home_site: None,
            assurance: String::new(),
            authenticated_at: now,
            expires_at: None,
        }
    }
}

impl Case {
    /// Reads a case; what it names is looked for in its own folder.
    ///
    /// # Errors
    /// In words.
    pub fn read(file: &Path) -> Result<Self, String> {
        let in_words = |error: &dyn std::fmt::Display| format!("{}: {error}", file.display());
        let text = std::fs::read_to_string(file).map_err(|error| in_words(&error))?;
        let mut case: Self = serde_json::from_str(&text).map_err(|error| in_words(&error))?;
        let folder = match file.parent() {
            Some(folder) if folder != Path::new("") => folder,
            _ => Path::new("."),
        };
        case.http = case.http.map(|http| folder.join(http));
        case.folders = Some(folder.to_owned());
        Ok(case)
    }

    /// The user who asks.
    pub(crate) fn user(&self) -> FederationUser {
        self.user.clone().user(self.now)
    }

    /// The token that drivers are lent.
    pub(crate) fn token(&self) -> LocalToken {
        LocalToken {
            account: self.token.account.clone(),
            secret: self.token.secret.as_deref().map(SecretBytes::new),
            expires_at: None,
            attributes: Value::Object(self.token.attributes.clone()).to_string(),
            made_by: "workbench".to_owned(),
        }
    }

    /// What is ordered of a kind.
    pub(crate) fn spec(&self, kind: Kind) -> Value {
        let usual = || match kind {
            Kind::Compute => json!({"image": "@debian", "vcpu": 1, "ram_mib": 512}),
            Kind::Volume => json!({"size_gib": 1}),
            Kind::Network => json!({"cidr": "10.77.0.0/24"}),
            _ => json!({}),
        };
        self.specs.get(kind.as_str()).cloned().unwrap_or_else(usual)
    }

    /// Everything that must not stand in a recording.
    pub(crate) fn secret_values(&self) -> Vec<String> {
        let named = self.secrets.values().chain(&self.token.secret).chain(self.login.values());
        named.filter(|value| value.len() >= 8).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_need_be_said_and_nothing_unknown_may() {
        let case: Case = serde_json::from_str("{}").unwrap();
        assert_eq!(case.user().subject, "alice");
        assert!(serde_json::from_str::<Case>(r#"{"confg": {}}"#).is_err());
    }

    #[test]
    fn recordings_and_folders_are_looked_for_beside_their_case() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("case.json");
        std::fs::write(&file, r#"{"http": "exchanges.json", "user": {"subject": "bob"}}"#).unwrap();
        let case = Case::read(&file).unwrap();
        assert_eq!(case.http.unwrap(), folder.path().join("exchanges.json"));
        assert_eq!(case.folders.unwrap(), folder.path());
        assert_eq!((case.user.subject.as_str(), case.user.name.as_str()), ("bob", "Alice"));
    }
}
