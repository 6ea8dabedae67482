//! Users, resources and decisions.

use std::time::Duration;

use archipel_bindings::latest::archipel::aaa::types as wit;
use archipel_bindings::latest::exports::archipel::aaa::{authentication, authorization, token_generator};
use archipel_model::plugin::{
    Challenge, Context, Decision, Field, Obligation, Reach, Resource, Usage, Verdict,
};
use archipel_model::{Error, FederationUser, Owner, SiteId, Timestamp};

use super::{SHORT, exact, list, message, unusable};

/// Groups, entitlements and attributes of one user, each.
const MEMBERSHIPS: usize = 10_000;
/// Obligations of one decision.
const OBLIGATIONS: usize = 64;
/// Fields of one login form.
const FIELDS: usize = 64;
/// Bytes of an opaque note of a login, and of an obligation's argument.
const NOTE: usize = 16 << 10;

/// An instant, from milliseconds.
pub(crate) fn instant(ms: u64) -> Timestamp {
    Timestamp::from_millis(i64::try_from(ms).unwrap_or(i64::MAX))
}

/// A user, for a plugin.
pub(crate) fn user_to_wit(user: &FederationUser) -> wit::FederationUser {
    wit::FederationUser {
        issuer: user.issuer.clone(),
        subject: user.subject.clone(),
        name: user.name.clone(),
        email: user.email.clone(),
        groups: user.groups.clone(),
        entitlements: user.entitlements.clone(),
        attributes: user.attributes.clone(),
        home_site: user.home_site.as_ref().map(ToString::to_string),
        assurance: user.assurance.clone(),
        authenticated_at: user.authenticated_at.as_unsigned_millis(),
        expires_at: user.expires_at.map(Timestamp::as_unsigned_millis),
    }
}

/// A user, from a plugin.
pub(crate) fn user_from_wit(user: wit::FederationUser) -> Result<FederationUser, Error> {
    let short = |field: &'static str| move |text: String| exact(field, text, SHORT);
    if user.issuer.is_empty() || user.subject.is_empty() {
        return Err(unusable("issuer or subject is empty"));
    }
    let home_site = match user.home_site {
        None => None,
        Some(site) => Some(SiteId::try_from(site).map_err(|error| unusable(format!("home-site: {error}")))?),
    };
    Ok(FederationUser {
        issuer: exact("issuer", user.issuer, SHORT)?,
        subject: exact("subject", user.subject, SHORT)?,
        name: message(&user.name, SHORT),
        email: user.email.map(short("email")).transpose()?,
        groups: list("groups", user.groups, MEMBERSHIPS, short("a group"))?,
        entitlements: list("entitlements", user.entitlements, MEMBERSHIPS, short("an entitlement"))?,
        attributes: list("attributes", user.attributes, MEMBERSHIPS, |(name, value)| {
            Ok((exact("an attribute's name", name, SHORT)?, exact("an attribute", value, 4 * SHORT)?))
        })?,
        home_site,
        assurance: exact("assurance", user.assurance, SHORT)?,
        authenticated_at: instant(user.authenticated_at),
        expires_at: user.expires_at.map(instant),
    })
}

/// The circumstances, for a plugin.
pub(crate) fn context_to_wit(context: &Context) -> wit::Context {
    wit::Context {
        request_id: context.request_id.clone(),
        now: context.now.as_unsigned_millis(),
        operation: context.operation.as_str().to_owned(),
        this_site: context.this_site.to_string(),
        requesting_site: context.requesting_site.as_ref().map(ToString::to_string),
        client_address: context.client_address.clone(),
        group: context.group.clone(),
    }
}

fn owner_to_wit(owner: &Owner) -> wit::Owner {
    wit::Owner { issuer: owner.issuer.clone(), subject: owner.subject.clone() }
}

fn usage_to_wit(usage: Usage) -> wit::Usage {
    wit::Usage {
        instances: usage.instances,
        vcpu: usage.vcpu,
        ram_mib: usage.ram_mib,
        disk_gib: usage.disk_gib,
    }
}

/// A resource, for a plugin.
pub(crate) fn resource_to_wit(resource: &Resource) -> wit::Resource {
    wit::Resource {
        kind: resource.kind.clone(),
        id: resource.id.map(|id| id.to_string()),
        cloud: resource.cloud.clone(),
        site: resource.site.to_string(),
        owner: resource.owner.as_ref().map(owner_to_wit),
        group: resource.group.clone(),
        state: resource.state.clone(),
        labels: resource.labels.clone(),
        spec: resource.spec.as_ref().map(ToString::to_string),
        owner_usage: resource.owner_usage.map(usage_to_wit),
        group_usage: resource.group_usage.map(usage_to_wit),
    }
}

/// Fields of a login form.
pub(crate) fn fields(fields: Vec<token_generator::Field>) -> Result<Vec<Field>, Error> {
    list("fields", fields, FIELDS, |field| {
        Ok(Field {
            name: exact("a field's name", field.name, SHORT)?,
            label: message(&field.label, SHORT),
            secret: field.secret,
            required: field.required,
        })
    })
}

/// A further question.
pub(crate) fn challenge(challenge: token_generator::Challenge) -> Result<Challenge, Error> {
    Ok(Challenge {
        prompt: message(&challenge.prompt, 4 * SHORT),
        fields: fields(challenge.fields)?,
        uri: challenge.uri.map(|uri| exact("uri", uri, 4 * SHORT)).transpose()?,
        interval_s: challenge.interval_s,
        state: super::bounded("state", challenge.state, NOTE)?,
    })
}

/// Whether a user is genuine.
pub(crate) fn verdict(verdict: authentication::Verdict) -> Verdict {
    match verdict {
        authentication::Verdict::Authentic(validity) => {
            Verdict::Authentic { until: validity.map(|validity| instant(validity.until)) }
        }
        authentication::Verdict::NotAuthentic(reason) => {
            Verdict::NotAuthentic { reason: message(&reason, SHORT) }
        }
    }
}

fn obligations(obligations: Vec<authorization::Obligation>) -> Result<Vec<Obligation>, Error> {
    list("obligations", obligations, OBLIGATIONS, |obligation| {
        Ok(Obligation {
            name: exact("an obligation's name", obligation.name, SHORT)?,
            value: super::bounded("an obligation's argument", obligation.value, NOTE)?,
        })
    })
}

/// Whether an operation is allowed.
pub(crate) fn decision(decision: authorization::Decision) -> Result<Decision, Error> {
    Ok(match decision {
        authorization::Decision::Allow(allow) => Decision::Allow {
            reach: match allow.reach {
                authorization::Reach::Own => Reach::Own,
                authorization::Reach::Group => Reach::Group,
                authorization::Reach::Any => Reach::Any,
            },
            obligations: obligations(allow.obligations)?,
            valid_for: allow.valid_for_ms.map(|ms| Duration::from_millis(u64::from(ms))),
        },
        authorization::Decision::Deny(deny) => Decision::Deny {
            reason: message(&deny.reason, SHORT),
            obligations: obligations(deny.obligations)?,
        },
    })
}
