//! What granting a request means, in words for the administrator who decides, with the plugin's own reason.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{ByteSize, Requested};

/// One thing that a plugin would be able to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ability {
    /// What.
    pub what: String,
    /// Why, as the plugin says.
    pub because: String,
}

impl fmt::Display for Ability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\n      because: {}", self.what, self.because)
    }
}

impl Requested {
    /// What the plugin would be able to do if all of it were granted, with these configurations of its bindings.
    pub fn abilities(&self, configurations: &[Value]) -> Vec<Ability> {
        let mut all = Vec::new();
        let mut may = |what: String, reason: &str| {
            // A reason is the plugin's text, shown on the administrator's terminal.
            let because: String = reason.chars().filter(|c| !c.is_control()).take(300).collect();
            let because = if because.is_empty() { "no reason given".to_owned() } else { because };
            all.push(Ability { what, because });
        };
        for host in &self.hosts {
            let target = match (&host.origin, &host.config, &host.discovered) {
                (Some(origin), _, _) => origin.to_string(),
                (_, Some(pointer), _) => {
                    let resolved = configurations.iter().filter_map(|config| host.resolve(config)).flatten();
                    let mut origins: Vec<String> = resolved.map(|origin| origin.to_string()).collect();
                    origins.sort();
                    origins.dedup();
                    let by = format!("the URL at {pointer} of its configuration");
                    if origins.is_empty() { by } else { format!("{} ({by})", origins.join(", ")) }
                }
                (_, _, found) => format!(
                    "the hosts that you grant, as it finds them ({})",
                    found.as_deref().unwrap_or("it does not say how")
                ),
            };
            may(format!("sends requests to {target}, and reads the answers"), &host.reason);
        }
        for secret in &self.secrets {
            may(
                format!("uses the secret {}, without ever seeing it, where you bind it", secret.name),
                &secret.reason,
            );
        }
        for secret in &self.reveal {
            let what = format!(
                "SEES the secret {} itself, if you list it in `reveal`; each time is in the audit",
                secret.name
            );
            may(what, &secret.reason);
        }
        if let Some(storage) = &self.storage {
            may(format!("keeps up to {} in this site's store", ByteSize(storage.bytes)), &storage.reason);
        }
        for purpose in &self.crypto {
            let what = format!(
                "has the host sign tokens for the purpose {:?}, without ever seeing the key",
                purpose.purpose
            );
            may(what, &purpose.reason);
        }
        for folder in &self.folders {
            may(format!("reads the files of the folder {}", folder.name), &folder.reason);
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_is_told_with_its_reason_and_no_control_characters() {
        let asked: Requested = serde_json::from_value(serde_json::json!({
            "hosts": [{"discovered": "catalogue", "reason": "endpoints\u{1b}[2J of the cloud"}],
            "storage": {"bytes": 1_048_576, "reason": ""},
        }))
        .unwrap();
        let told: Vec<String> = asked.abilities(&[]).iter().map(ToString::to_string).collect();
        assert_eq!(
            told,
            [
                "sends requests to the hosts that you grant, as it finds them (catalogue), and reads the answers\n      because: endpoints[2J of the cloud",
                "keeps up to 1 MiB in this site's store\n      because: no reason given",
            ]
        );
        let asked: Requested =
            serde_json::from_value(serde_json::json!({"hosts": [{"config": "/url", "reason": "r"}]}))
                .unwrap();
        let with = asked.abilities(&[serde_json::json!({"url": "https://keystone.test:5000/v3"})]);
        assert_eq!(
            with[0].what,
            "sends requests to https://keystone.test:5000 (the URL at /url of its configuration), and reads the answers"
        );
    }
}
