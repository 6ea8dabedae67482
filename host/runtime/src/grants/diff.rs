//! What one version of a plugin asks for beside another: on an upgrade, widening waits for the administrator where the
//! grant does not cover it, and narrowing does not wait.

use std::collections::BTreeSet;
use std::fmt;

use super::{ByteSize, Requested};

/// What a version asks for beyond an earlier one, and what it no longer asks for; in the words of a grant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CapabilityDiff {
    /// What is new.
    pub wider: Vec<String>,
    /// What is gone.
    pub narrower: Vec<String>,
}

impl CapabilityDiff {
    /// From one version to the next.
    pub fn between(old: &Requested, new: &Requested) -> Self {
        let (before, after) = (words(old), words(new));
        let mut diff = Self {
            wider: after.difference(&before).cloned().collect(),
            narrower: before.difference(&after).cloned().collect(),
        };
        let bytes = |requested: &Requested| requested.storage.as_ref().map_or(0, |storage| storage.bytes);
        let (had, wants) = (bytes(old), bytes(new));
        if had != wants {
            let text = format!("storage {} instead of {}", ByteSize(wants), ByteSize(had));
            if wants > had { diff.wider.push(text) } else { diff.narrower.push(text) }
        }
        diff
    }

    /// Whether both ask for the same.
    pub fn is_empty(&self) -> bool {
        self.wider.is_empty() && self.narrower.is_empty()
    }
}

impl fmt::Display for CapabilityDiff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.wider.is_empty(), self.narrower.is_empty()) {
            (true, true) => f.write_str("it asks for the same"),
            (false, true) => write!(f, "it asks besides for {}", self.wider.join(", ")),
            (true, false) => write!(f, "it no longer asks for {}", self.narrower.join(", ")),
            (false, false) => write!(
                f,
                "it asks besides for {}, and no longer for {}",
                self.wider.join(", "),
                self.narrower.join(", ")
            ),
        }
    }
}

/// Everything but the amount of storage, one text each.
fn words(of: &Requested) -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    for host in &of.hosts {
        all.insert(match (&host.origin, &host.config, &host.discovered) {
            (Some(origin), _, _) => format!("the host {origin}"),
            (_, Some(pointer), _) => format!("the host at {pointer} of its configuration"),
            _ => "hosts that it finds".to_owned(),
        });
    }
    all.extend(of.secrets.iter().map(|secret| format!("the secret {}", secret.name)));
    all.extend(of.reveal.iter().map(|secret| format!("seeing the secret {} itself", secret.name)));
    all.extend(of.crypto.iter().map(|purpose| format!("signing for {}", purpose.purpose)));
    all.extend(of.folders.iter().map(|folder| format!("the folder {}", folder.name)));
    all
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_new_and_what_is_gone_is_told_apart() {
        let of = |value| serde_json::from_value::<Requested>(value).unwrap();
        let old = of(json!({
            "hosts": [{"origin": "https://a.test", "reason": "r"}],
            "secrets": [{"name": "admin", "reason": "r"}],
            "storage": {"bytes": 1024, "reason": "r"},
        }));
        let new = of(json!({
            "hosts": [{"origin": "https://a.test", "reason": "another reason"}, {"discovered": "catalogue", "reason": "r"}],
            "storage": {"bytes": 2048, "reason": "r"},
            "crypto": [{"purpose": "session", "reason": "r"}],
        }));
        let diff = CapabilityDiff::between(&old, &new);
        assert_eq!(
            diff.to_string(),
            "it asks besides for hosts that it finds, signing for session, storage 2 KiB instead of 1 KiB, and no longer for the secret admin"
        );
        assert!(CapabilityDiff::between(&new, &new).is_empty());
        assert_eq!(CapabilityDiff::between(&new, &old).wider, ["the secret admin"]);
    }
}
