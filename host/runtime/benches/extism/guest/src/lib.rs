//! `plugins/authz-roles` as a plugin of Extism: the very files of its policy, with JSON in and out as Extism's authors
//! write it, and the configuration as a value of the manifest. What Extism has no counterpart of is a start from a
//! snapshot: a fresh instance reads its configuration again, one that is used again keeps it.

#![no_main]

#[path = "../../../../../../plugins/authz-roles/src/policy.rs"]
mod policy;
#[path = "../../../../../../plugins/authz-roles/src/rules.rs"]
mod rules;
mod sdk;
mod types;

/// The policy's files name these by the SDK's paths.
extern crate self as archipel_sdk;
pub mod prelude {
    pub use crate::sdk::{Error, Result};
    pub use crate::types::{Context, Decision, FederationUser, Reach, Resource};
}
pub mod aaa {
    pub use crate::types::Reach;
}

use std::sync::OnceLock;

use extism_pdk::{FnResult, Json, WithReturnCode, config, plugin_fn};

use crate::policy::Policy;
use crate::types::{Decision, Question};

static POLICY: OnceLock<Policy> = OnceLock::new();

/// Reads and checks the configuration, unless this instance did.
fn policy() -> Result<&'static Policy, String> {
    if let Some(policy) = POLICY.get() {
        return Ok(policy);
    }
    let text = config::get("policy").map_err(|error| error.to_string())?.ok_or("there is no `policy`")?;
    let policy: Policy = serde_json::from_str(&text).map_err(|error| error.to_string())?;
    policy.check().map_err(|error| error.0)?;
    Ok(POLICY.get_or_init(|| policy))
}

#[plugin_fn]
pub fn is_authorized(Json(question): Json<Question>) -> FnResult<Json<Decision>> {
    let Question { user, resource, context } = question;
    let policy = policy().map_err(|error| WithReturnCode::new(extism_pdk::Error::msg(error), 1))?;
    Ok(Json(policy.decide(&user, &resource, &context)))
}
