//! A request under construction.

use super::{Response, send};
use crate::credentials::{Placement, Sigv4Scope, Source};
use crate::error::{Error, Result};
use serde::Serialize;
use std::time::Duration;

/// How large an answer is read, unless [`Request::max_body`] says otherwise.
const MAX_BODY: usize = 16 * 1024 * 1024;

/// A request. Mistakes made while building it are kept and returned by [`Request::send`].
#[derive(Debug)]
#[must_use = "nothing is sent before `send`"]
pub struct Request<'a> {
    pub(super) method: String,
    pub(super) url: String,
    pub(super) headers: Vec<(String, Vec<u8>)>,
    pub(super) body: Option<Vec<u8>>,
    pub(super) credentials: Vec<(Source<'a>, Placement)>,
    pub(super) timeout: Option<Duration>,
    pub(super) max_body: usize,
    pub(super) mistake: Option<Error>,
}

impl<'a> Request<'a> {
    /// A request of any method to an absolute URL.
    pub fn new(method: &str, url: &str) -> Self {
        Self {
            method: method.to_owned(),
            url: url.to_owned(),
            headers: Vec::new(),
            body: None,
            credentials: Vec::new(),
            timeout: None,
            max_body: MAX_BODY,
            mistake: None,
        }
    }

    /// Adds a header.
    pub fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.headers.push((name.to_owned(), value.as_ref().to_vec()));
        self
    }

    /// Adds pairs to the query, percent-encoded.
    pub fn query(mut self, pairs: &[(&str, &str)]) -> Self {
        for (name, value) in pairs {
            self.url.push(if self.url.contains('?') { '&' } else { '?' });
            self.url.push_str(&crate::credentials::percent_encoded(name));
            self.url.push('=');
            self.url.push_str(&crate::credentials::percent_encoded(value));
        }
        self
    }

    /// Sets a JSON body, with its content type.
    pub fn json(mut self, body: &impl Serialize) -> Self {
        match serde_json::to_vec(body) {
            Ok(body) => self.body = Some(body),
            Err(error) => self.mistake = Some(error.into()),
        }
        self.header("content-type", "application/json")
    }

    /// Sets a form body, with its content type.
    pub fn form(mut self, pairs: &[(&str, &str)]) -> Self {
        let encode = crate::credentials::percent_encoded;
        let pairs: Vec<String> =
            pairs.iter().map(|(name, value)| format!("{}={}", encode(name), encode(value))).collect();
        self.body = Some(pairs.join("&").into_bytes());
        self.header("content-type", "application/x-www-form-urlencoded")
    }

    /// Sets the body.
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = Some(body.into());
        self
    }

    /// `Authorization: Bearer ...`, of a secret or a local token.
    pub fn bearer(self, credential: impl Into<Source<'a>>) -> Self {
        self.credential(credential, Placement::Bearer)
    }

    /// `Authorization: Basic ...` with this user name; the credential is the password.
    pub fn basic(self, user: &str, password: impl Into<Source<'a>>) -> Self {
        self.credential(password, Placement::Basic(user.to_owned()))
    }

    /// A header whose value is the credential: `.secret_header("x-auth-token", token)`.
    pub fn secret_header(self, name: &str, credential: impl Into<Source<'a>>) -> Self {
        self.credential(credential, Placement::Header(name.to_owned()))
    }

    /// Signed after AWS's Signature Version 4, body and all: `.sigv4("us-east-1", "ec2", token)`. The credential is a key
    /// pair, `ACCESS-KEY-ID:SECRET` or `ACCESS-KEY-ID:SECRET:SESSION-TOKEN`; the body has at most 1 MiB.
    pub fn sigv4(self, region: &str, service: &str, credential: impl Into<Source<'a>>) -> Self {
        let scope = Sigv4Scope { region: region.to_owned(), service: service.to_owned() };
        self.credential(credential, Placement::Sigv4(scope))
    }

    /// Sent over a connection that shows this client certificate: PEM with the certificate, the chain above it and its
    /// private key.
    pub fn client_certificate(self, credential: impl Into<Source<'a>>) -> Self {
        self.credential(credential, Placement::ClientCertificate)
    }

    fn credential(mut self, credential: impl Into<Source<'a>>, placement: Placement) -> Self {
        self.credentials.push((credential.into(), placement));
        self
    }

    /// How long to wait for the connection, for the answer's first byte, and between two bytes; each. The host's own
    /// deadline for the whole call stands beside it.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// How large an answer is read (16 MiB); a larger one is an error.
    pub fn max_body(mut self, bytes: usize) -> Self {
        self.max_body = bytes;
        self
    }

    /// Sends it and waits for the whole answer. A status is no error, see [`Response::error_for_status`].
    ///
    /// # Errors
    /// `invalid` for a malformed URL, `forbidden` for an origin or a use of a credential that no grant names,
    /// `transient` when there is no answer; [`Error::applied_state`] says whether the request may have arrived.
    pub fn send(self) -> Result<Response> {
        send::send(self)
    }
}

/// The pieces of an absolute URL.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Target<'u> {
    pub(super) https: bool,
    pub(super) authority: &'u str,
    pub(super) path_with_query: String,
}

/// Takes an absolute URL apart; the fragment is dropped. The host parses it again, strictly, for its allow-list.
pub(super) fn target(url: &str) -> Result<Target<'_>> {
    let wrong = |what: &str| Error::invalid(format!("{}: {what}", super::without_query(url)));
    let (scheme, rest) = url.split_once("://").ok_or_else(|| wrong("no absolute url"))?;
    let https = match scheme {
        "https" => true,
        "http" => false,
        _ => return Err(wrong("neither http nor https")),
    };
    let rest = rest.split('#').next().unwrap_or(rest);
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    if authority.is_empty() {
        return Err(wrong("no host in the url"));
    }
    if authority.contains('@') {
        return Err(wrong("credentials in the url; use `basic`"));
    }
    let slash = if path.starts_with('/') { "" } else { "/" };
    Ok(Target { https, authority, path_with_query: format!("{slash}{path}") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_taken_apart() {
        let target = target("https://a.example:8774?limit=1#top").unwrap();
        let expected =
            Target { https: true, authority: "a.example:8774", path_with_query: "/?limit=1".into() };
        assert_eq!(target, expected);
    }

    #[test]
    fn a_url_that_cannot_be_sent_is_refused_without_its_query() {
        let error = target("ftp://a.example/?token=x").unwrap_err();
        assert_eq!(error.message(), "ftp://a.example/: neither http nor https");
        assert!(target("/v3").is_err());
        assert!(target("https:///v3").is_err());
        assert!(target("https://u:p@a.example").is_err());
    }

    #[test]
    fn a_query_is_added_to_what_is_there() {
        let request = super::super::get("https://a.example/x?a=1").query(&[("b", "2 3")]);
        assert_eq!(request.url, "https://a.example/x?a=1&b=2%203");
    }
}
