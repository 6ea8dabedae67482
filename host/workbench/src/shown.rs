//! What plugins answer, as JSON for tests.

use archipel_model::plugin::{Decision, InstanceView, LoginOutcome, Observed, Tagged, TaggedPage, Verdict};
use archipel_model::{Clock, Error};
use serde_json::{Value, json};

/// A decision.
pub(crate) fn decision(decision: &Decision) -> Value {
    let conditions = |obligations: &[archipel_model::plugin::Obligation]| {
        obligations.iter().map(|given| json!({"name": given.name, "value": given.value})).collect::<Vec<_>>()
    };
    match decision {
        Decision::Allow { reach, obligations, valid_for } => json!({
            "allow": true, "reach": reach, "obligations": conditions(obligations),
            "valid_for_ms": valid_for.map(|time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX)),
        }),
        Decision::Deny { reason, obligations } => {
            json!({"allow": false, "reason": reason, "obligations": conditions(obligations)})
        }
    }
}

/// How a login went on, but for the token.
pub(crate) fn login(outcome: &LoginOutcome, token: Option<&str>) -> Value {
    match outcome {
        LoginOutcome::Issued { expires_at, .. } => json!({"token": token, "expires_at": expires_at}),
        LoginOutcome::Challenge(challenge) => {
            json!({"prompt": challenge.prompt, "fields": challenge.fields, "state": challenge.state})
        }
    }
}

/// Whether somebody is genuine.
pub(crate) fn verdict(verdict: &Verdict) -> Value {
    match verdict {
        Verdict::Authentic { until } => json!({"authentic": true, "until": until}),
        Verdict::NotAuthentic { reason } => json!({"authentic": false, "reason": reason}),
    }
}

/// What a look found.
pub(crate) fn observed(observed: &Observed) -> Value {
    match observed {
        Observed::Gone => json!({"gone": true}),
        Observed::Present(view) => instance(view),
    }
}

fn instance(view: &InstanceView) -> Value {
    json!({
        "id": view.id, "status": view.status, "cloud_state": view.cloud_state, "fault": view.fault,
        "allocation": view.allocation, "addresses": view.addresses,
        "poll_after_ms": view.poll_after.map(|time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX)),
    })
}

/// A tagged instance.
pub(crate) fn tagged(tagged: &Tagged) -> Value {
    json!({
        "tag": tagged.tag, "instance": instance(&tagged.instance), "created_at": tagged.created_at,
        "driver_state": tagged.driver_state,
    })
}

/// A page of them.
pub(crate) fn page(page: &TaggedPage) -> Value {
    json!({"items": page.items.iter().map(tagged).collect::<Vec<_>>(), "next": page.next})
}

/// A typed error.
pub(crate) fn error(error: &Error) -> Value {
    json!({
        "kind": error.kind, "message": error.message, "code": error.code, "applied": error.applied,
        "retry_after_ms": error.retry_after.map(|time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX)),
    })
}

/// The time.
pub(crate) fn now(clock: &dyn Clock) -> Value {
    json!(clock.now())
}
