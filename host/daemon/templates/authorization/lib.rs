//! Says what users may do: members of one group work with what is theirs, everybody else may look.

use archipel_sdk::prelude::*;
use serde::Deserialize;

/// The table `config` of the site file, as the schema below allows it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    /// Who may order, change and delete.
    group: String,
}

struct Plugin;

impl Authorization for Plugin {
    fn is_authorized(user: &FederationUser, _: &Resource, context: &Context) -> Result<Decision> {
        Ok(judge(&config()?, user, context))
    }
}

/// Pure, so that it is tested without a sandbox.
fn judge(config: &Config, user: &FederationUser, context: &Context) -> Decision {
    match context.operation.as_str() {
        "login" | "read" | "list" => Decision::allow(Reach::Own),
        "admin" => Decision::deny("nobody manages the site by REST; use the administrator's socket"),
        _ if user.is_in(&config.group) => Decision::allow(Reach::Own),
        _ => Decision::deny(format!("join the group {} first", config.group)),
    }
}

archipel_sdk::export! {
    Plugin: Authorization;
    manifest = {
        "config_schema": {
            "type": "object",
            "properties": { "group": { "type": "string", "minLength": 1 } },
            "required": ["group"],
            "additionalProperties": false,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asks(group: &str, operation: &str) -> Decision {
        let config = archipel_sdk::config::parse(r#"{"group": "physics"}"#).unwrap();
        let user = FederationUser {
            groups: vec![group.to_owned()],
            ..FederationUser::new("https://site-a.example.org", "ada", "Ada")
        };
        judge(&config, &user, &Context::new(operation, 0))
    }

    #[test]
    fn members_order_and_others_look() {
        assert!(matches!(asks("physics", "create"), Decision::Allow(_)));
        assert!(matches!(asks("biology", "create"), Decision::Deny(_)));
        assert!(matches!(asks("biology", "list"), Decision::Allow(_)));
    }
}
