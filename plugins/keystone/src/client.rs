//! The requests.

use archipel_sdk::credentials::{Exchange, ExchangeAnswer, Secret};
use archipel_sdk::http::{self, Response};
use archipel_sdk::{Applied, Error, ErrorKind, Result};
use serde::Deserialize;

use crate::catalogue::Catalogue;
use crate::login::Login;
use crate::token::{Answer, Issued, Receipt, Step, Token};

/// The name under which a login captures the token.
const TOKEN: &str = "token";

/// Where Keystone hands out, and takes back, the receipt of a first step.
const RECEIPT: &str = "openstack-auth-receipt";

/// One Keystone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keystone {
    base: String,
}

impl Keystone {
    /// The Keystone at `auth_url`, with or without the version: `https://cloud.example:5000/v3`.
    #[must_use]
    pub fn at(auth_url: &str) -> Self {
        let url = auth_url.trim_end_matches('/');
        let base = if url.ends_with("/v3") { url.to_owned() } else { format!("{url}/v3") };
        Self { base }
    }

    /// Its address, with the version and without a slash at the end.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.base
    }

    /// Logs in. A connection that breaks is tried once more: a second token harms nobody.
    ///
    /// # Errors
    /// `unauthenticated` when Keystone does not accept user, secret or project, it does not say which; `invalid` and
    /// `forbidden` in its own words; `transient` when it cannot be asked or is busy; `permanent` when what answers is
    /// not Keystone, or when a grant is missing.
    pub fn login(&self, login: &Login<'_>, secret: &Secret) -> Result<Issued> {
        match self.step(login, secret, None)? {
            Step::Issued(issued) => Ok(issued),
            Step::More(receipt) => Err(Error::unauthenticated(format!(
                "keystone, a login: it asks for {} as well, which nobody is there to type",
                receipt.wanted()
            ))),
        }
    }

    /// One step of a login that may need several: of a user with `multi_factor_auth_rules`. `receipt` is of the step
    /// before.
    ///
    /// # Errors
    /// As [`Keystone::login`].
    pub fn step(&self, login: &Login<'_>, secret: &Secret, receipt: Option<&str>) -> Result<Step> {
        let url = format!("{}/auth/tokens?nocatalog", self.base);
        let (body, placeholder) = login.body_and_placeholder();
        let send = || -> Result<ExchangeAnswer> {
            let request = Exchange::post(&url).header("accept", "application/json");
            match receipt {
                Some(receipt) => request.header(RECEIPT, receipt),
                None => request,
            }
            .json(&body, &[(&placeholder, secret.into())])?
            .capture_header(TOKEN, "x-subject-token")
            .send()
        };
        let mut answer = send().or_else(|error| again(error, send)).map_err(denied_here)?;
        if let (401, Some(receipt)) = (answer.status(), answer.header(RECEIPT)) {
            return Receipt::read(receipt, answer.bytes()).map(Step::More);
        }
        let retry_after = answer.header("retry-after");
        judge("a login", answer.status(), retry_after, answer.bytes(), ErrorKind::Permanent)?;
        let Answer { token } = answer.json()?;
        Ok(Step::Issued(Issued { secret: answer.take(TOKEN)?, token }))
    }

    /// What a token says, asked with the token itself. Keystone says so only of one that is valid now.
    ///
    /// # Errors
    /// `unauthenticated` for a token that is unknown, ended or revoked; else as [`Keystone::login`].
    pub fn token(&self, token: &Secret) -> Result<Token> {
        let url = format!("{}/auth/tokens?nocatalog", self.base);
        // Keystone says 404 of a token that ended between its look at one header and at the other.
        let request = || http::get(&url).secret_header("x-subject-token", token);
        let answer = self.get(&url, request, token, ErrorKind::Unauthenticated)?;
        answer.json::<Answer>().map(|answer| answer.token)
    }

    /// The catalogue of a scoped token.
    ///
    /// # Errors
    /// As [`Keystone::token`].
    pub fn catalogue(&self, token: &Secret) -> Result<Catalogue> {
        let url = format!("{}/auth/catalog", self.base);
        self.get(&url, || http::get(&url), token, ErrorKind::Permanent)?.json()
    }

    /// Any other document, below the version: `users/ID/groups`.
    ///
    /// # Errors
    /// As [`Keystone::token`].
    pub fn document<T: serde::de::DeserializeOwned>(&self, path: &str, token: &Secret) -> Result<T> {
        let url = format!("{}/{path}", self.base);
        self.get(&url, || http::get(&url), token, ErrorKind::Permanent)?.json()
    }

    /// A GET with a token. One that broke off is tried once more.
    fn get<'t>(
        &self,
        url: &str,
        request: impl Fn() -> http::Request<'t>,
        token: &'t Secret,
        not_found: ErrorKind,
    ) -> Result<Response> {
        let send =
            || request().header("accept", "application/json").secret_header("x-auth-token", token).send();
        let answer = send().or_else(|error| again(error, send)).map_err(denied_here)?;
        let what = url.strip_prefix(self.base.as_str()).unwrap_or(url).split('?').next().unwrap_or_default();
        let (what, retry_after) = (format!("GET {what}"), answer.header("retry-after"));
        judge(&what, answer.status(), retry_after, answer.bytes(), not_found)?;
        Ok(answer)
    }
}

/// Once more, where the request was sent and the connection broke: often one that the far side had closed while it stood
/// in the pool.
fn again<T>(error: Error, send: impl FnOnce() -> Result<T>) -> Result<T> {
    if error.kind() == ErrorKind::Transient && error.applied_state() == Applied::Unknown {
        send()
    } else {
        Err(error)
    }
}

/// What was not sent because a grant is missing is the site's mistake, not the user's, as Keystone's 403 would be.
fn denied_here(error: Error) -> Error {
    if error.kind() == ErrorKind::Forbidden { Error::permanent(error.message()) } else { error }
}

/// Keystone's error body.
#[derive(Deserialize)]
struct Refusal {
    error: Reason,
}

#[derive(Deserialize)]
struct Reason {
    #[serde(default)]
    message: String,
}

/// What a status means. An answer without Keystone's own words is of something else at that address.
fn judge(
    what: &str,
    status: u16,
    retry_after: Option<&str>,
    body: &[u8],
    not_found: ErrorKind,
) -> Result<()> {
    let words = serde_json::from_slice::<Refusal>(body).ok().map(|refusal| refusal.error.message);
    let said = match &words {
        Some(words) if !words.is_empty() => format!(": {words}"),
        _ => String::new(),
    };
    let kind = match status {
        200..=299 => return Ok(()),
        401 => ErrorKind::Unauthenticated,
        404 if words.is_some() && not_found != ErrorKind::Permanent => not_found,
        403 if words.is_some() => ErrorKind::Forbidden,
        400 if words.is_some() => ErrorKind::Invalid,
        408 | 413 | 425 | 429 | 500..=599 => ErrorKind::Transient,
        _ => {
            return Err(Error::permanent(format!(
                "keystone, {what}: status {status}; is auth_url right?{said}"
            )));
        }
    };
    let error = Error::new(kind, format!("keystone, {what}: status {status}{said}"));
    Err(match retry_after.and_then(|text| text.trim().parse().ok()) {
        Some(seconds) => error.retry_after(std::time::Duration::from_secs(seconds)),
        None => error,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const WORDS: &[u8] = br#"{"error":{"code":401,"message":"The request you have made requires authentication.","title":"Unauthorized"}}"#;

    fn kind(status: u16, body: &[u8]) -> ErrorKind {
        judge("a login", status, None, body, ErrorKind::Permanent).unwrap_err().kind()
    }

    #[test]
    fn the_version_may_be_left_out_of_the_address() {
        for url in ["http://h:5000", "http://h:5000/", "http://h:5000/v3", "http://h:5000/v3/"] {
            assert_eq!(Keystone::at(url).url(), "http://h:5000/v3");
        }
        assert_eq!(Keystone::at("https://h/identity").url(), "https://h/identity/v3");
    }

    #[test]
    fn a_refusal_is_told_from_an_absence_and_from_a_wrong_address() {
        assert!(judge("a login", 201, None, b"", ErrorKind::Permanent).is_ok());
        assert_eq!(kind(401, WORDS), ErrorKind::Unauthenticated);
        assert_eq!(kind(401, b""), ErrorKind::Unauthenticated);
        assert_eq!(kind(404, WORDS), ErrorKind::Permanent);
        let gone = judge("GET /auth/tokens", 404, None, WORDS, ErrorKind::Unauthenticated).unwrap_err();
        assert_eq!(gone.kind(), ErrorKind::Unauthenticated);
        assert_eq!(kind(404, b"<html>"), ErrorKind::Permanent);
        assert_eq!(kind(300, WORDS), ErrorKind::Permanent);
        assert_eq!(kind(503, b"<html>"), ErrorKind::Transient);
        assert_eq!(kind(400, WORDS), ErrorKind::Invalid);
        assert_eq!(kind(403, b"<html>"), ErrorKind::Permanent);
    }

    #[test]
    fn keystones_words_and_its_wait_are_kept() {
        let error = judge("a login", 429, Some("7"), WORDS, ErrorKind::Permanent).unwrap_err();
        assert_eq!(
            error.message(),
            "keystone, a login: status 429: The request you have made requires authentication."
        );
        assert_eq!(error.retry_after_time(), Some(std::time::Duration::from_secs(7)));
    }
}
