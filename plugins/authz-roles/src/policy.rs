//! Roles, who has them, and the decision.

use crate::rules::{Question, Rule};
use archipel_sdk::prelude::*;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::time::Duration;

/// What nobody owns: the owner's right to read, list and delete says nothing about it.
const OWNERLESS: [&str; 6] = ["cloud", "spec", "image", "quota", "admin", "audit"];

/// See the head of `lib.rs`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Policy {
    roles: BTreeMap<String, Role>,
    #[serde(default)]
    assignments: Vec<Assignment>,
    #[serde(default)]
    default_role: Option<String>,
    #[serde(default)]
    valid_for_ms: u32,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Role {
    allow: Vec<Rule>,
}

/// Gives a role to whoever one of the lists names.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Assignment {
    role: String,
    #[serde(default)]
    issuer: Option<String>,
    #[serde(default)]
    subjects: Vec<String>,
    #[serde(default)]
    names: Vec<String>,
    #[serde(default)]
    groups: Vec<String>,
    #[serde(default)]
    entitlements: Vec<String>,
}

impl Assignment {
    fn is_for(&self, user: &FederationUser) -> bool {
        let has_one_of = |wanted: &[String], has: &[String]| wanted.iter().any(|name| has.contains(name));
        // Subjects and names mean something within an issuer only: elsewhere anybody may be called `root`.
        let is_named = self.issuer.is_some()
            && (self.subjects.contains(&user.subject) || self.names.contains(&user.name));
        let is_of_issuer = self.issuer.as_ref().is_none_or(|issuer| *issuer == user.issuer);
        is_of_issuer
            && (is_named
                || has_one_of(&self.groups, &user.groups)
                || has_one_of(&self.entitlements, &user.entitlements))
    }
}

impl Policy {
    /// What the schema cannot say.
    pub(crate) fn check(&self) -> Result<()> {
        let assigned = self.assignments.iter().map(|assignment| &assignment.role);
        if let Some(role) = assigned.chain(&self.default_role).find(|role| !self.roles.contains_key(*role)) {
            return Err(Error::invalid(format!(
                "role {role:?} is assigned, but not described under `roles`"
            )));
        }
        let by_name =
            |assignment: &&Assignment| !(assignment.subjects.is_empty() && assignment.names.is_empty());
        if let Some(lax) =
            self.assignments.iter().filter(by_name).find(|assignment| assignment.issuer.is_none())
        {
            let role = &lax.role;
            return Err(Error::invalid(format!(
                "the assignment of role {role:?} names users without an `issuer`; say who vouches for them"
            )));
        }
        Ok(())
    }

    /// The decision; see the head of `lib.rs` for the order.
    pub(crate) fn decide(&self, user: &FederationUser, resource: &Resource, context: &Context) -> Decision {
        let question = Question {
            operation: &context.operation,
            kind: &resource.kind,
            cloud: resource.cloud.as_deref(),
        };
        let own = is_ones_own(user, resource, &context.operation).then_some(Reach::Own);
        let by_roles = self.roles_of(user).filter_map(|role| role.widest(&question));
        match own.into_iter().chain(by_roles).max_by_key(|reach| width(*reach)) {
            Some(reach) if self.valid_for_ms == 0 => Decision::allow(reach),
            Some(reach) => {
                Decision::allow(reach).valid_for(Duration::from_millis(u64::from(self.valid_for_ms)))
            }
            None => Decision::deny(self.reason(&question)),
        }
    }

    /// The roles that a user has.
    fn roles_of<'p>(&'p self, user: &'p FederationUser) -> impl Iterator<Item = &'p Role> {
        self.assignments
            .iter()
            .filter(|assignment| assignment.is_for(user))
            .map(|assignment| &assignment.role)
            .chain(&self.default_role)
            .filter_map(|name| self.roles.get(name))
    }

    /// Why not, and which role would do.
    fn reason(&self, question: &Question<'_>) -> String {
        let Question { operation, kind, cloud } = question;
        let place = cloud.map(|cloud| format!(" at cloud {cloud:?}")).unwrap_or_default();
        let roles: Vec<&str> = self
            .roles
            .iter()
            .filter(|(_, role)| role.widest(question).is_some())
            .map(|(name, _)| name.as_str())
            .collect();
        let what = format!("operation {operation} on {kind}{place}");
        match roles.as_slice() {
            [] => format!("{what} is allowed by no role of this site"),
            roles => {
                format!("{what} needs role {}; ask the site's administrator for it", roles.join(" or "))
            }
        }
    }
}

impl Role {
    fn widest(&self, question: &Question<'_>) -> Option<Reach> {
        self.allow.iter().filter_map(|rule| rule.allows(question)).max_by_key(|reach| width(*reach))
    }
}

/// Orders the reaches.
fn width(reach: Reach) -> u8 {
    match reach {
        Reach::Own => 0,
        Reach::Group => 1,
        Reach::Any => 2,
    }
}

/// Reading, listing and deleting what one owns. A list names no owner: it is cut to the reach by the host.
fn is_ones_own(user: &FederationUser, resource: &Resource, operation: &str) -> bool {
    if OWNERLESS.contains(&resource.kind.as_str()) {
        return false;
    }
    match (operation, &resource.owner) {
        ("read" | "list" | "delete", Some(owner)) => user.is_owner(owner),
        ("list", None) => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use archipel_sdk::aaa::{Allow, Deny};

    const POLICY: &str = r#"{
        "roles": {
            "member": {"allow": [{"operations": ["login", "create"], "kinds": ["session", "compute"]}]},
            "leader": {"allow": [{"operations": ["*"], "reach": "group"}]},
            "operator": {"allow": [{"operations": ["*", "admin"], "kinds": ["*", "admin"], "reach": "any"}]}
        },
        "assignments": [
            {"role": "operator", "issuer": "https://s", "subjects": ["root"], "names": ["Rita"]},
            {"role": "leader", "groups": ["leads"]},
            {"role": "operator", "entitlements": ["urn:ops"]}
        ],
        "default_role": "member"
    }"#;

    fn policy() -> Policy {
        let policy: Policy = archipel_sdk::config::parse(POLICY).unwrap();
        policy.check().unwrap();
        policy
    }

    fn user(subject: &str) -> FederationUser {
        FederationUser::new("https://s", subject, subject)
    }

    fn reach(user: &FederationUser, operation: &str, resource: &Resource) -> Option<Reach> {
        match policy().decide(user, resource, &Context::new(operation, 0)) {
            Decision::Allow(Allow { reach, .. }) => Some(reach),
            Decision::Deny(_) => None,
        }
    }

    fn owned_by(user: &FederationUser) -> Resource {
        let owner = Owner { issuer: user.issuer.clone(), subject: user.subject.clone() };
        Resource { owner: Some(owner), ..Resource::new("volume", "s") }
    }

    #[test]
    fn the_default_role_allows_what_it_names_and_nothing_else() {
        let ada = user("ada");
        assert_eq!(reach(&ada, "create", &Resource::new("compute", "s")), Some(Reach::Own));
        assert_eq!(reach(&ada, "create", &Resource::new("volume", "s")), None);
        assert_eq!(reach(&ada, "list", &Resource::new("image", "s")), None);
    }

    #[test]
    fn owners_read_list_and_delete_their_own_without_any_role() {
        let (ada, eve) = (user("ada"), user("eve"));
        for operation in ["read", "list", "delete"] {
            assert_eq!(reach(&ada, operation, &owned_by(&ada)), Some(Reach::Own), "{operation}");
            assert_eq!(reach(&ada, operation, &owned_by(&eve)), None, "{operation}");
        }
        assert_eq!(reach(&ada, "list", &Resource::new("order", "s")), Some(Reach::Own));
        assert_eq!(reach(&ada, "update", &owned_by(&ada)), None);
    }

    #[test]
    fn roles_add_up_and_the_widest_reach_decides() {
        let lead = FederationUser { groups: vec!["leads".into()], ..user("ada") };
        assert_eq!(reach(&lead, "read", &owned_by(&lead)), Some(Reach::Group));
        let both = FederationUser { entitlements: vec!["urn:ops".into()], ..lead };
        assert_eq!(reach(&both, "read", &owned_by(&both)), Some(Reach::Any));
    }

    #[test]
    fn administration_needs_the_role_that_writes_it_out() {
        let admin = Resource::new("admin", "s");
        let lead = FederationUser { groups: vec!["leads".into()], ..user("ada") };
        assert_eq!(reach(&lead, "admin", &admin), None);
        assert_eq!(reach(&lead, "read", &admin), None);
        assert_eq!(reach(&user("root"), "admin", &admin), Some(Reach::Any));
    }

    #[test]
    fn a_name_is_worth_nothing_at_another_issuer() {
        let admin = Resource::new("admin", "s");
        let rita = FederationUser::new("https://s", "r1", "Rita");
        assert_eq!(reach(&rita, "admin", &admin), Some(Reach::Any));
        for stranger in
            [FederationUser::new("https://x", "root", "r"), FederationUser::new("https://x", "r1", "Rita")]
        {
            assert_eq!(reach(&stranger, "admin", &admin), None);
        }
    }

    #[test]
    fn a_refusal_names_the_roles_that_would_do() {
        let resource = Resource { cloud: Some("east".into()), ..Resource::new("volume", "s") };
        let decision = policy().decide(&user("ada"), &resource, &Context::new("create", 0));
        let Decision::Deny(Deny { reason, .. }) = decision else { panic!("allowed") };
        assert_eq!(
            reason,
            "operation create on volume at cloud \"east\" needs role leader or operator; \
             ask the site's administrator for it"
        );
    }

    #[test]
    fn a_yes_is_reusable_only_where_the_configuration_says_so() {
        let ask = |policy: &Policy| {
            policy.decide(&user("root"), &Resource::new("volume", "s"), &Context::new("act", 0))
        };
        let Decision::Allow(allow) = ask(&policy()) else { panic!("refused") };
        assert_eq!(allow.valid_for_ms, None);
        let Decision::Allow(allow) = ask(&Policy { valid_for_ms: 5000, ..policy() }) else {
            panic!("refused")
        };
        assert_eq!(allow.valid_for_ms, Some(5000));
    }

    #[test]
    fn what_the_schema_cannot_say_is_checked_before_the_first_call() {
        let unknown = r#"{"roles": {}, "default_role": "member"}"#;
        let error = archipel_sdk::config::parse::<Policy>(unknown).unwrap().check().unwrap_err();
        assert_eq!(error.message(), "role \"member\" is assigned, but not described under `roles`");
        let lax = r#"{"roles": {"r": {"allow": []}}, "assignments": [{"role": "r", "names": ["root"]}]}"#;
        assert!(archipel_sdk::config::parse::<Policy>(lax).unwrap().check().is_err());
    }
}
