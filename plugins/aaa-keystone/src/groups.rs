//! What of Keystone becomes groups of the federation.
//!
//! | source | is | request |
//! |---|---|---|
//! | `groups` | the groups that the user belongs to | `GET /v3/users/ID/groups`, which users may ask for themselves |
//! | `projects` | every project that the user has a role in | `GET /v3/auth/projects` |
//! | `project` | the project that the user logged in to | none: the token says |
//! | `roles` | the user's roles in that project | none |
//!
//! Each has a prefix, so that a project cannot pass for a group of the same name: another administrator may make either.
//! For the same reason a name of any domain but the home one is written `NAME@DOMAIN_ID`.

use archipel_keystone::{Keystone, Token};
use archipel_sdk::credentials::Secret;
use archipel_sdk::{Error, Result};
use serde::Deserialize;

/// The sources, each with its prefix.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Sources {
    groups: Option<String>,
    projects: Option<String>,
    project: Option<String>,
    roles: Option<String>,
}

impl Default for Sources {
    /// The user's groups under their own names. Naming any source names them all.
    fn default() -> Self {
        Self { groups: Some(String::new()), ..Self::none() }
    }
}

/// A list as Keystone answers it.
#[derive(Debug, Deserialize)]
struct Listed {
    #[serde(alias = "projects")]
    groups: Vec<Member>,
    /// Set where Keystone's own limit cut the list.
    #[serde(default)]
    truncated: bool,
}

#[derive(Debug, Deserialize)]
struct Member {
    name: String,
    domain_id: String,
    #[serde(default = "is_enabled")]
    enabled: bool,
}

fn is_enabled() -> bool {
    true
}

impl Sources {
    const fn none() -> Self {
        Self { groups: None, projects: None, project: None, roles: None }
    }

    /// The groups of a token's user, in order and each once.
    pub(crate) fn read(
        &self,
        keystone: &Keystone,
        said: &Token,
        token: &Secret,
        home: &str,
    ) -> Result<Vec<String>> {
        let mut found = self.of_token(said, home);
        if let Some(prefix) = &self.groups {
            let path = format!("users/{}/groups", said.user.id);
            found.extend(names(keystone.document(&path, token)?, prefix, home)?);
        }
        if let Some(prefix) = &self.projects {
            found.extend(names(keystone.document("auth/projects", token)?, prefix, home)?);
        }
        found.sort();
        found.dedup();
        Ok(found)
    }

    /// Those that the token itself tells.
    fn of_token(&self, said: &Token, home: &str) -> Vec<String> {
        let mut found = Vec::new();
        if let (Some(prefix), Some(project)) = (&self.project, &said.project) {
            found.push(format!("{prefix}{}", name_in(&project.name, &project.domain.id, home)));
        }
        if let Some(prefix) = &self.roles {
            found.extend(said.roles.iter().map(|role| format!("{prefix}{}", role.name)));
        }
        found
    }
}

/// A list that was cut is refused: a group that is missing could be the one that a policy forbids something to.
fn names(listed: Listed, prefix: &str, home: &str) -> Result<Vec<String>> {
    if listed.truncated {
        return Err(Error::permanent(
            "keystone cut the list of this user's groups; raise its `list_limit` or name another source of groups",
        ));
    }
    let members = listed.groups.iter().filter(|member| member.enabled);
    Ok(members.map(|member| format!("{prefix}{}", name_in(&member.name, &member.domain_id, home))).collect())
}

fn name_in(name: &str, domain: &str, home: &str) -> String {
    if domain == home { name.to_owned() } else { format!("{name}@{domain}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn sources(value: serde_json::Value) -> Sources {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn a_group_of_another_domain_carries_it_in_its_name() {
        let listed: Listed = serde_json::from_value(json!({"links": {}, "groups": [
            {"id": "1", "name": "physics", "domain_id": "default"}, {"id": "2", "name": "physics", "domain_id": "d2"}]}))
        .unwrap();
        assert_eq!(names(listed, "", "default").unwrap(), ["physics", "physics@d2"]);
    }

    #[test]
    fn projects_come_with_their_prefix_and_disabled_ones_not_at_all() {
        let listed: Listed = serde_json::from_value(json!({"projects": [
            {"name": "east", "domain_id": "default", "enabled": true},
            {"name": "old", "domain_id": "default", "enabled": false}]}))
        .unwrap();
        assert_eq!(names(listed, "project:", "default").unwrap(), ["project:east"]);
    }

    #[test]
    fn a_list_that_was_cut_is_refused() {
        let listed: Listed = serde_json::from_value(json!({"groups": [], "truncated": true})).unwrap();
        assert!(names(listed, "", "default").unwrap_err().message().contains("list_limit"));
    }

    #[test]
    fn project_and_roles_are_those_of_the_token() {
        let token: Token = serde_json::from_value(json!({
            "user": {"domain": {"id": "d"}, "id": "u", "name": "n"},
            "project": {"domain": {"id": "d2"}, "id": "p", "name": "east"},
            "roles": [{"id": "r", "name": "member"}], "issued_at": "", "expires_at": ""
        }))
        .unwrap();
        let both = sources(json!({"project": "project:", "roles": "role:"}));
        assert_eq!(both.of_token(&token, "default"), ["project:east@d2", "role:member"]);
        assert!(both.groups.is_none(), "naming any source names them all");
        assert!(Sources::default().of_token(&token, "default").is_empty());
    }
}
