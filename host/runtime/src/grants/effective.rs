//! What one binding may do: immutable, made when its generation is made.

use archipel_egress::{EgressPolicy, OriginPattern};
use archipel_vault::rule::matches_name;
use archipel_vault::source::is_reserved;
use archipel_vault::{Placement, SecretRule, may_use};

use super::{GrantConfig, Missing, Requested, SigningGrant};

/// What the binding may do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EffectiveGrants {
    /// Where its requests may go.
    pub egress: EgressPolicy,
    /// Where its secrets may go.
    pub secrets: Vec<SecretRule>,
    /// Secrets whose bytes it may see.
    pub reveal: Vec<String>,
    /// Bytes of durable storage.
    pub storage: u64,
    /// What it may sign for.
    pub crypto: Vec<SigningGrant>,
    /// Folders whose files it gets.
    pub folders: Vec<String>,
}

impl EffectiveGrants {
    /// The meeting of both sides, for a binding with this configuration.
    pub fn new(requested: &Requested, grant: &GrantConfig, config: &serde_json::Value) -> Self {
        let mut hosts: Vec<OriginPattern> = Vec::new();
        for request in &requested.hosts {
            match request.resolve(config) {
                // Found by the plugin: all that is granted.
                None => hosts.extend(grant.hosts.iter().cloned()),
                Some(wanted) => hosts.extend(wanted.iter().flat_map(|wanted| meet(wanted, &grant.hosts))),
            }
        }
        hosts.sort_by_key(ToString::to_string);
        hosts.dedup();
        // `*` asks for whatever the grant names; a grant that says `*` binds nothing (`matches_name`).
        let asked = |name: &str| {
            requested.secrets.iter().any(|request| request.name == "*" || names_meet(&request.name, name))
        };
        let storage = requested.storage.as_ref().map_or(0, |request| request.bytes.min(grant.storage.0));
        Self {
            egress: EgressPolicy { hosts, private: grant.private.clone(), trust: None },
            secrets: grant
                .secrets
                .iter()
                .filter(|rule| is_reserved(&rule.name) || asked(&rule.name))
                .cloned()
                .collect(),
            reveal: grant
                .reveal
                .iter()
                .filter(|name| !is_reserved(name))
                .filter(|name| requested.reveal.iter().any(|request| request.name == **name))
                .cloned()
                .collect(),
            storage,
            crypto: grant
                .crypto
                .iter()
                .filter(|given| requested.crypto.iter().any(|request| request.purpose == given.purpose))
                .cloned()
                .collect(),
            folders: grant
                .folders
                .iter()
                .filter(|given| requested.folders.iter().any(|request| request.name == **given))
                .cloned()
                .collect(),
        }
    }

    /// What is asked for and not given, with the lines that would give it.
    pub fn missing(requested: &Requested, grant: &GrantConfig, config: &serde_json::Value) -> Missing {
        Missing::between(requested, grant, config)
    }

    /// Whether a secret of the site may be opened at all: some rule binds it, or it may be seen.
    pub fn may_open(&self, name: &str) -> bool {
        !is_reserved(name)
            && (self.secrets.iter().any(|rule| matches_name(&rule.name, name)) || self.may_reveal(name))
    }

    /// Whether the plugin may see a secret's bytes: never of a family, each has a line of its own.
    pub fn may_reveal(&self, name: &str) -> bool {
        self.reveal.iter().any(|granted| granted == name)
    }

    /// Whether a secret may go there.
    pub fn may_use(
        &self,
        secret: &str,
        origin: &str,
        method: &str,
        path: &str,
        placement: &Placement,
    ) -> bool {
        may_use(&self.secrets, secret, origin, method, path, placement)
    }

    /// The longest life of a token of this purpose.
    pub fn signing(&self, purpose: &str) -> Option<u32> {
        self.crypto.iter().find(|given| given.purpose == purpose).map(|given| given.lifetime_s_max)
    }
}

/// What both a request and the granted patterns allow: the narrower of each pair that overlaps.
fn meet(wanted: &OriginPattern, granted: &[OriginPattern]) -> Vec<OriginPattern> {
    granted
        .iter()
        .filter_map(|given| {
            if given.covers(wanted) {
                Some(wanted.clone())
            } else if wanted.covers(given) {
                Some(given.clone())
            } else {
                None
            }
        })
        .collect()
}

/// Whether two names or families overlap.
fn names_meet(one: &str, other: &str) -> bool {
    matches_name(one, other) || matches_name(other, one)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn requested(value: serde_json::Value) -> Requested {
        serde_json::from_value(value).unwrap()
    }

    fn grant(text: &str) -> GrantConfig {
        toml::from_str(text).unwrap()
    }

    fn hosts(grants: &EffectiveGrants) -> Vec<String> {
        grants.egress.hosts.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn both_sides_must_name_a_host_and_the_narrower_one_counts() {
        let asked = requested(json!({"hosts": [
            {"origin": "https://*.cloud.test", "reason": "r"},
            {"origin": "https://one.test", "reason": "r"},
            {"config": "/auth_url", "reason": "r"}
        ]}));
        let given = grant(
            "hosts = [\"https://a.cloud.test\", \"https://*.one.test\", \"https://keystone.test:5000\", \"https://never-asked.test\"]",
        );
        let config = json!({"auth_url": "https://keystone.test:5000/v3"});
        assert_eq!(
            hosts(&EffectiveGrants::new(&asked, &given, &config)),
            ["https://a.cloud.test", "https://keystone.test:5000"]
        );
        assert!(hosts(&EffectiveGrants::new(&Requested::default(), &given, &config)).is_empty());
        assert!(hosts(&EffectiveGrants::new(&asked, &GrantConfig::default(), &config)).is_empty());
    }

    #[test]
    fn a_discovered_host_is_any_that_is_granted() {
        let asked = requested(json!({"hosts": [{"discovered": "catalogue", "reason": "r"}]}));
        let given = grant("hosts = [\"https://*.cloud.test\"]");
        assert_eq!(hosts(&EffectiveGrants::new(&asked, &given, &json!({}))), ["https://*.cloud.test"]);
    }

    #[test]
    fn secrets_of_the_site_must_be_asked_for_and_handles_of_the_host_only_bound() {
        let given = grant(
            r#"secrets = [
                { name = "admin", origin = "https://k.test", methods = ["POST"], path = "/v3", placement = "json" },
                { name = "other", origin = "https://k.test", methods = ["POST"], path = "/v3", placement = "json" },
                { name = "captured.*", origin = "https://k.test", methods = ["GET"], path = "/*", placement = "header:X-Auth-Token" },
            ]"#,
        );
        let asked = requested(json!({"secrets": [{"name": "admin", "reason": "r"}]}));
        let grants = EffectiveGrants::new(&asked, &given, &json!({}));
        assert!(grants.may_open("admin"));
        assert!(!grants.may_open("other"));
        assert!(!grants.may_open("captured.token"), "handles of the host are never opened by name");
        let header = Placement::Header("x-auth-token".into());
        assert!(grants.may_use("captured.token", "https://k.test", "GET", "/v3/projects", &header));
        assert!(!grants.may_use("other", "https://k.test", "POST", "/v3", &Placement::Json));
    }

    #[test]
    fn a_secret_is_seen_only_where_both_sides_name_it_in_so_many_words() {
        let given = grant("reveal = [\"db\", \"other\", \"captured.token\", \"login.*\"]");
        let asked = requested(json!({
            "secrets": [{"name": "*", "reason": "r"}],
            "reveal": [{"name": "db", "reason": "r"}, {"name": "captured.token", "reason": "r"}, {"name": "login.*", "reason": "r"}]
        }));
        let grants = EffectiveGrants::new(&asked, &given, &json!({}));
        assert!(grants.may_reveal("db") && grants.may_open("db"));
        for no in ["other", "captured.token", "login.password", "login.*"] {
            assert!(!grants.may_reveal(no), "{no}");
        }
        assert!(!EffectiveGrants::new(&Requested::default(), &given, &json!({})).may_reveal("db"));
        assert!(!grants.may_use("db", "https://k.test", "GET", "/", &Placement::Bearer), "seen is not used");
    }

    #[test]
    fn storage_is_the_smaller_of_both_and_purposes_are_those_of_both() {
        let asked = requested(json!({
            "storage": {"bytes": 1_000_000, "reason": "r"},
            "crypto": [{"purpose": "session", "reason": "r"}]
        }));
        let given = grant(
            "storage = \"512 KiB\"\ncrypto = [{ purpose = \"session\", lifetime_s_max = 60 }, { purpose = \"x\", lifetime_s_max = 60 }]",
        );
        let grants = EffectiveGrants::new(&asked, &given, &json!({}));
        assert_eq!(grants.storage, 512 << 10);
        assert_eq!(grants.signing("session"), Some(60));
        assert_eq!(grants.signing("x"), None);
        assert_eq!(EffectiveGrants::new(&Requested::default(), &given, &json!({})).storage, 0);
    }
}
