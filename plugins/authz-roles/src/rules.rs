//! One rule of a role: which operations on what, and whose.

use archipel_sdk::aaa::Reach;
use serde::Deserialize;

/// Anything, save administration and the audit.
const ANY: &str = "*";

/// The words that only stand for themselves: managing the site, and reading who did what on it.
const ADMIN: &str = "admin";
const AUDIT: &str = "audit";

/// See the head of `lib.rs`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Rule {
    operations: Vec<String>,
    #[serde(default = "any")]
    kinds: Vec<String>,
    #[serde(default = "any")]
    clouds: Vec<String>,
    #[serde(default)]
    reach: ReachText,
}

/// A reach as it is written, narrowest first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum ReachText {
    #[default]
    Own,
    Group,
    Any,
}

fn any() -> Vec<String> {
    vec![ANY.to_owned()]
}

/// What is asked.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Question<'q> {
    pub(crate) operation: &'q str,
    pub(crate) kind: &'q str,
    pub(crate) cloud: Option<&'q str>,
}

impl Rule {
    /// How far this rule allows it; none = not at all.
    pub(crate) fn allows(&self, question: &Question<'_>) -> Option<Reach> {
        let fits = names(&self.operations, question.operation) && names(&self.kinds, question.kind);
        let is_everybodys = question.operation == ADMIN || [ADMIN, AUDIT].contains(&question.kind);
        if !fits || (is_everybodys && self.reach != ReachText::Any) {
            return None;
        }
        let every_cloud = self.clouds.iter().any(|cloud| cloud == ANY);
        match question.cloud {
            _ if every_cloud => Some(self.reach()),
            Some(cloud) => self.clouds.iter().any(|name| name == cloud).then(|| self.reach()),
            None => Some(Reach::Own),
        }
    }

    fn reach(&self) -> Reach {
        match self.reach {
            ReachText::Own => Reach::Own,
            ReachText::Group => Reach::Group,
            ReachText::Any => Reach::Any,
        }
    }
}

/// Whether a list names a word: itself, or by `*` unless it only stands for itself.
fn names(list: &[String], word: &str) -> bool {
    list.iter().any(|entry| entry == word || (entry == ANY && ![ADMIN, AUDIT].contains(&word)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(json: &str) -> Rule {
        serde_json::from_str(json).unwrap()
    }

    fn question<'q>(operation: &'q str, kind: &'q str, cloud: Option<&'q str>) -> Question<'q> {
        Question { operation, kind, cloud }
    }

    #[test]
    fn a_rule_without_more_means_every_kind_and_cloud_and_ones_own() {
        let rule = rule(r#"{"operations":["create"]}"#);
        assert_eq!(rule.allows(&question("create", "volume", Some("east"))), Some(Reach::Own));
        assert_eq!(rule.allows(&question("act", "volume", Some("east"))), None);
    }

    #[test]
    fn administration_is_written_out_and_reaches_any_or_is_not_meant() {
        let admin_kind = question("read", "admin", None);
        let admin_operation = question("admin", "compute", None);
        let both = question("admin", "admin", None);
        let star = rule(r#"{"operations":["*"],"kinds":["*"],"reach":"any"}"#);
        let own = rule(r#"{"operations":["admin","read"],"kinds":["admin"],"reach":"own"}"#);
        for question in [admin_kind, admin_operation, both] {
            assert_eq!(star.allows(&question), None);
            assert_eq!(own.allows(&question), None);
        }
        let written = rule(r#"{"operations":["*","admin"],"kinds":["*","admin"],"reach":"any"}"#);
        for question in [admin_kind, admin_operation, both] {
            assert_eq!(written.allows(&question), Some(Reach::Any));
        }
    }

    #[test]
    fn the_audit_is_written_out_and_reaches_any_or_is_not_meant() {
        let audit = question("list", "audit", None);
        for other in [
            r#"{"operations":["*"],"kinds":["*"],"reach":"any"}"#,
            r#"{"operations":["*","admin"],"kinds":["*","admin"],"reach":"any"}"#,
            r#"{"operations":["read","list"],"kinds":["audit"],"reach":"group"}"#,
        ] {
            assert_eq!(rule(other).allows(&audit), None, "{other}");
        }
        let auditor = rule(r#"{"operations":["read","list"],"kinds":["audit"],"reach":"any"}"#);
        assert_eq!(auditor.allows(&audit), Some(Reach::Any));
        for question in [question("list", "order", None), question("admin", "admin", None)] {
            assert_eq!(auditor.allows(&question), None);
        }
    }

    #[test]
    fn a_rule_for_one_cloud_reaches_no_other_and_only_ones_own_across_all() {
        let rule = rule(r#"{"operations":["list"],"clouds":["east"],"reach":"any"}"#);
        assert_eq!(rule.allows(&question("list", "compute", Some("east"))), Some(Reach::Any));
        assert_eq!(rule.allows(&question("list", "compute", Some("west"))), None);
        assert_eq!(rule.allows(&question("list", "compute", None)), Some(Reach::Own));
    }
}
