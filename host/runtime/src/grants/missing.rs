//! What a plugin asks for and is not given, and the exact lines of the site file that would give it.

use std::fmt::Write as _;

use archipel_egress::OriginPattern;
use archipel_vault::source::is_reserved;

use super::effective::EffectiveGrants;
use super::{ByteSize, GrantConfig, Requested};

/// Everything that is asked for and not given; empty = nothing is missing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Missing {
    /// Origins.
    pub hosts: Vec<OriginPattern>,
    /// Pointers into the configuration at which no URL stands.
    pub unset: Vec<String>,
    /// Secrets that no rule binds.
    pub secrets: Vec<String>,
    /// Secrets that it may not see.
    pub reveal: Vec<String>,
    /// Storage, where less is given than asked for.
    pub storage: Option<u64>,
    /// Purposes.
    pub crypto: Vec<String>,
    /// Folders.
    pub folders: Vec<String>,
}

impl Missing {
    pub(super) fn between(requested: &Requested, grant: &GrantConfig, config: &serde_json::Value) -> Self {
        let mut missing = Self::default();
        for request in &requested.hosts {
            let wanted = request.resolve(config);
            if let (Some([]), Some(pointer)) = (wanted.as_deref(), &request.config) {
                missing.unset.push(pointer.clone());
            }
            for origin in wanted.unwrap_or_default() {
                // A request for `*.x` is met by a grant for some hosts below x.
                let met = grant.hosts.iter().any(|given| given.covers(&origin) || origin.covers(given));
                if !met && !missing.hosts.contains(&origin) {
                    missing.hosts.push(origin);
                }
            }
        }
        let effective = EffectiveGrants::new(requested, grant, config);
        // A family is whatever the configuration names, none perhaps: only a single name can be missing.
        let single = |name: &str| !is_reserved(name) && !name.ends_with('*');
        for request in requested.secrets.iter().filter(|request| single(&request.name)) {
            if !effective
                .secrets
                .iter()
                .any(|rule| rule.name == request.name || effective.may_open(&request.name))
            {
                missing.secrets.push(request.name.clone());
            }
        }
        let seen = requested.reveal.iter().map(|request| &request.name);
        missing.reveal = seen.filter(|name| !effective.may_reveal(name)).cloned().collect();
        missing.storage =
            requested.storage.as_ref().map(|request| request.bytes).filter(|bytes| *bytes > grant.storage.0);
        for request in &requested.crypto {
            if effective.signing(&request.purpose).is_none() {
                missing.crypto.push(request.purpose.clone());
            }
        }
        for request in &requested.folders {
            if !effective.folders.contains(&request.name) {
                missing.folders.push(request.name.clone());
            }
        }
        missing
    }

    /// Whether all that is asked for is given.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The lines to add to the site file, whole keys under `[grants.NAME]`, keeping what the grant has already.
    /// Where a secret may go is for the administrator to say: those lines come with a place to fill in.
    pub fn as_toml(&self, plugin: &str, grant: &GrantConfig) -> String {
        let mut out = format!("[grants.{plugin}]\n");
        let quoted = |items: &mut dyn Iterator<Item = String>| {
            items.map(|item| format!("{item:?}")).collect::<Vec<_>>().join(", ")
        };
        if !self.hosts.is_empty() {
            let all = quoted(&mut grant.hosts.iter().chain(&self.hosts).map(ToString::to_string));
            let _ = writeln!(out, "hosts = [{all}]");
        }
        if !self.reveal.is_empty() {
            let all = quoted(&mut grant.reveal.iter().chain(&self.reveal).cloned());
            let _ = writeln!(out, "reveal = [{all}]   # the plugin will see these secrets themselves");
        }
        if let Some(bytes) = self.storage {
            let _ = writeln!(out, "storage = \"{}\"", ByteSize(bytes));
        }
        if !self.crypto.is_empty() {
            let have = grant.crypto.iter().map(|given| (given.purpose.as_str(), given.lifetime_s_max));
            let all: Vec<String> = have
                .chain(self.crypto.iter().map(|purpose| (purpose.as_str(), 3600)))
                .map(|(purpose, life)| format!("{{ purpose = {purpose:?}, lifetime_s_max = {life} }}"))
                .collect();
            let _ = writeln!(out, "crypto = [{}]", all.join(", "));
        }
        if !self.folders.is_empty() {
            let all = quoted(&mut grant.folders.iter().chain(&self.folders).cloned());
            let _ = writeln!(out, "folders = [{all}]");
        }
        for name in &self.secrets {
            let _ = write!(
                out,
                "\n[[grants.{plugin}.secrets]]   # where may it go?\nname = {name:?}\norigin = \"https://...\"\nmethods = [\"POST\"]\npath = \"/...\"\nplacement = \"json\"   # header:NAME, bearer, basic, json, form, sigv4 or client-certificate\n"
            );
        }
        for pointer in &self.unset {
            let _ = writeln!(out, "# its configuration has no URL at {pointer}");
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn asked() -> Requested {
        serde_json::from_value(json!({
            "hosts": [{"origin": "https://a.test", "reason": "r"}, {"config": "/url", "reason": "r"}, {"config": "/none", "reason": "r"}],
            "secrets": [{"name": "admin", "reason": "r"}, {"name": "login.*", "reason": "r"}],
            "storage": {"bytes": 1_048_576, "reason": "r"},
            "crypto": [{"purpose": "session", "reason": "r"}],
            "folders": [{"name": "policies", "reason": "r"}]
        }))
        .unwrap()
    }

    #[test]
    fn the_lines_to_add_keep_what_is_there() {
        let grant: GrantConfig = toml::from_str("hosts = [\"https://b.test\"]").unwrap();
        let missing = EffectiveGrants::missing(&asked(), &grant, &json!({"url": "http://c.test:8774/v2"}));
        let expected = r#"[grants.driver]
hosts = ["https://b.test", "https://a.test", "http://c.test:8774"]
storage = "1 MiB"
crypto = [{ purpose = "session", lifetime_s_max = 3600 }]
folders = ["policies"]

[[grants.driver.secrets]]   # where may it go?
name = "admin"
origin = "https://..."
methods = ["POST"]
path = "/..."
placement = "json"   # header:NAME, bearer, basic, json, form, sigv4 or client-certificate
# its configuration has no URL at /none
"#;
        assert_eq!(missing.as_toml("driver", &grant), expected);
    }

    #[test]
    fn a_family_of_secrets_may_be_empty_and_is_given_by_name() {
        let asked: Requested =
            serde_json::from_value(json!({"secrets": [{"name": "*", "reason": "accounts"}]})).unwrap();
        assert!(EffectiveGrants::missing(&asked, &GrantConfig::default(), &json!({})).is_empty());
        let grant: GrantConfig = toml::from_str(
            r#"secrets = [{ name = "east", origin = "https://a.test", methods = ["POST"], path = "/login", placement = "json" }]"#,
        )
        .unwrap();
        let given = EffectiveGrants::new(&asked, &grant, &json!({}));
        assert!(given.may_open("east") && !given.may_open("west"));
    }

    #[test]
    fn nothing_is_missing_once_the_lines_are_there() {
        let grant: GrantConfig = toml::from_str(
            r#"
            hosts = ["https://a.test", "http://c.test:8774"]
            storage = "1 MiB"
            crypto = [{ purpose = "session", lifetime_s_max = 3600 }]
            folders = ["policies"]
            secrets = [{ name = "admin", origin = "https://a.test", methods = ["POST"], path = "/login", placement = "json" }]
            "#,
        )
        .unwrap();
        let config = json!({"url": "http://c.test:8774/v2", "none": ["https://a.test"]});
        let missing = EffectiveGrants::missing(&asked(), &grant, &config);
        assert!(missing.is_empty(), "{missing:?}");
    }
}
