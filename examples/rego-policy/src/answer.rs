//! What the deciding rule may answer.
//!
//! | Rego | meaning |
//! |---|---|
//! | `true` | allowed, for what is the user's own |
//! | `false`, undefined | refused |
//! | an object | `allow`, and then `reach`, `valid_for_ms`; else `reason`; `obligations` with both |
//!
//! Anything else is an error, and so a refusal: a policy that cannot be understood allows nothing.

use std::collections::BTreeMap;
use std::time::Duration;

use archipel_sdk::prelude::*;
use regorus::Value;
use serde::Deserialize;

/// A refusal without a reason of the policy's own.
const REFUSED: &str = "the policy of this site does not allow it; ask the site's administrator";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Answer {
    allow: bool,
    #[serde(default)]
    reach: ReachText,
    reason: Option<String>,
    valid_for_ms: Option<u32>,
    #[serde(default)]
    obligations: BTreeMap<String, String>,
}

/// A reach as it is written.
#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum ReachText {
    #[default]
    Own,
    Group,
    Any,
}

/// The decision that a rule's value stands for.
pub(crate) fn decision(value: &Value) -> Result<Decision> {
    match value {
        Value::Bool(true) => Ok(Decision::allow(Reach::Own)),
        Value::Bool(false) | Value::Undefined => Ok(Decision::deny(REFUSED)),
        Value::Object(_) => {
            let json = value.to_json_str().map_err(|error| unclear(&error))?;
            serde_json::from_str::<Answer>(&json).map(Answer::decision).map_err(|error| unclear(&error))
        }
        _ => Err(unclear(&"neither true nor false nor an object")),
    }
}

fn unclear(why: &dyn std::fmt::Display) -> Error {
    Error::invalid(format!("the policy's decision is not understood: {why}"))
}

impl Answer {
    fn decision(self) -> Decision {
        let reach = match self.reach {
            ReachText::Own => Reach::Own,
            ReachText::Group => Reach::Group,
            ReachText::Any => Reach::Any,
        };
        let decision = match (self.allow, self.valid_for_ms) {
            (false, _) => Decision::deny(self.reason.unwrap_or_else(|| REFUSED.to_owned())),
            (true, None) => Decision::allow(reach),
            (true, Some(ms)) => Decision::allow(reach).valid_for(Duration::from_millis(ms.into())),
        };
        self.obligations.into_iter().fold(decision, |decision, (name, value)| decision.with(name, value))
    }
}
