//! What the identity binding's plugins say of a token: `federation-identity` reads the user, `authentication` judges
//! both, and the host checks what it must not leave to them: the issuer, the sizes, the end.

use archipel_model::plugin::{Context, Verdict};
use archipel_model::site::IdentityBinding;
use archipel_model::{Error, ErrorKind, FederationUser, SecretBytes, Timestamp};

use crate::cache::KeyHasher;
use crate::config::{MAX_NAME_BYTES, MAX_USER_BYTES};
use crate::identity::{away, refused};
use crate::{BUILT_IN_ISSUER, RequestInfo};

/// A user whom the plugins called genuine.
pub(crate) struct Judged {
    pub(crate) user: FederationUser,
    /// Of everything that the plugins said of the user.
    pub(crate) digest: [u8; 32],
    /// The judgement may be reused until then; `None` = the plugin made no statement, the site's bound holds alone.
    pub(crate) until: Option<Timestamp>,
}

/// Asks the binding's plugins.
///
/// # Errors
/// `unauthenticated` (one sentence for all reasons), or `transient` with the code `aaa-unavailable` where a plugin
/// could not judge.
pub(crate) async fn judge(
    binding: &IdentityBinding,
    token: &SecretBytes,
    context: &Context,
    request: &RequestInfo,
) -> Result<Judged, Error> {
    let user = binding
        .identity
        .get_federation_user(token)
        .await
        .map_err(|error| judgement(request, &binding.name, "federation-identity", &error))?;
    let digest = check(binding, &user, context.now).map_err(|why| {
        tracing::warn!(
            request = %request.request_id, binding = binding.name, issuer = shown(&user.issuer),
            subject = shown(&user.subject), why, "user refused"
        );
        refused(request, why)
    })?;
    let verdict = binding
        .authentication
        .is_authentic(&user, token, context)
        .await
        .map_err(|error| judgement(request, &binding.name, "authentication", &error))?;
    match verdict {
        Verdict::Authentic { until } => Ok(Judged { user, digest, until }),
        Verdict::NotAuthentic { reason } => {
            Err(refused(request, &format!("binding {} says not authentic: {}", binding.name, shown(&reason))))
        }
    }
}

/// What the host checks itself; the digest of the user, or why it is refused.
fn check(binding: &IdentityBinding, user: &FederationUser, now: Timestamp) -> Result<[u8; 32], &'static str> {
    if user.issuer == BUILT_IN_ISSUER {
        return Err("no plugin may speak for the built-in principal");
    }
    if !binding.issuers.contains(&user.issuer) {
        return Err(
            "the binding may not speak for this issuer; list it in the binding's issuers if it should",
        );
    }
    if user.subject.is_empty() || user.subject.len() > MAX_NAME_BYTES || user.issuer.len() > MAX_NAME_BYTES {
        return Err("its issuer or subject is empty or too long");
    }
    if user.expires_at.is_some_and(|end| end <= now) {
        return Err("the statement about the user has ended");
    }
    let written = serde_json::to_vec(user).map_err(|_| "the user cannot be written as JSON")?;
    if written.len() > MAX_USER_BYTES {
        return Err("the plugin says too much about the user");
    }
    let mut hasher = KeyHasher::new("user");
    hasher.bytes(&written);
    Ok(hasher.finish())
}

/// A plugin's error as the client sees it: a judgement on the token is a refusal, everything else is an absence.
pub(crate) fn judgement(request: &RequestInfo, binding: &str, interface: &str, error: &Error) -> Error {
    match error.kind {
        ErrorKind::Unauthenticated | ErrorKind::Invalid | ErrorKind::Forbidden | ErrorKind::NotFound => {
            let why = format!("{interface} of binding {binding} refused it: {}", shown(&error.message));
            refused(request, &why)
        }
        _ => away(request, &format!("{interface} of binding {binding} did not judge"), Some(error)),
    }
}

/// Text from a plugin, fit for one line of the log.
pub(crate) fn shown(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(256).collect()
}
