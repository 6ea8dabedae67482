//! Authorization by policies in Rego (the language of the Open Policy Agent), evaluated in the plugin by
//! [regorus](https://github.com/microsoft/regorus): no server, no network.
//!
//! The policies are the files of the granted folder `policies`: `*.rego`, and `*.json` which become `data`. They are parsed
//! and prepared once, in [`Lifecycle::init`]; every call starts from the image that leaves. `README.md` beside this tells
//! what a policy is asked and what it may answer.

mod answer;
mod input;
mod policy;

use std::sync::OnceLock;

use archipel_sdk::lifecycle::File;
use archipel_sdk::prelude::*;
use serde::Deserialize;

use crate::policy::Policy;

/// The rule that decides, unless the configuration names another.
const RULE: &str = "data.archipel.decision";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    #[serde(default = "usual_rule")]
    rule: String,
}

fn usual_rule() -> String {
    RULE.to_owned()
}

/// Made by `init`, in the image or in this instance.
static POLICY: OnceLock<Policy> = OnceLock::new();

struct Rego;

impl Lifecycle for Rego {
    fn init(files: Vec<File>) -> Result<()> {
        let Config { rule } = config()?;
        let policy = Policy::new(&rule, &files)?;
        POLICY.get_or_init(|| policy);
        Ok(())
    }
}

impl Authorization for Rego {
    fn is_authorized(user: &FederationUser, resource: &Resource, context: &Context) -> Result<Decision> {
        let policy = POLICY.get().ok_or_else(|| Error::permanent("lifecycle.init did not run"))?;
        policy.decide(input::of(user, resource, context))
    }
}

archipel_sdk::export! {
    Rego: Authorization, Lifecycle;
    manifest = {
        "capabilities": {
            "folders": [{ "name": "policies", "reason": "the site's policies in Rego, and their data" }],
        },
        "config_schema": {
            "type": "object",
            "properties": {
                "rule": {
                    "type": "string",
                    "description": "The rule that decides; data.archipel.decision if absent",
                    "pattern": "^data\\.",
                },
            },
            "additionalProperties": false,
        },
    }
}
