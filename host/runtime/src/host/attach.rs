//! `credentials.attach`: marks a request, so that the host puts the bytes in when it leaves.
//!
//! The mark is an internal header with a number; plugins can neither set nor remove headers of that name, because
//! every change of theirs goes through `is_forbidden_header`. A copy of a marked header list carries the mark too: so
//! a mark is good for one request, and a second one with it is refused. The number says nothing by itself; the check
//! against the grant is made on the final request.

use std::collections::HashMap;

use archipel_bindings::latest::archipel::host::credentials::Placement as WitPlacement;
use archipel_egress::Identity;
use archipel_model::{Error, SecretBytes};
use archipel_vault::rule::matches_name;
use archipel_vault::sigv4::{AccessKey, Scope};
use archipel_vault::{Masker, Placement};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use wasmtime::component::Resource;
use wasmtime_wasi_http::p2::types::HostOutgoingRequest;
use zeroize::Zeroizing;

use super::credentials::Credential;
use super::state::{CallState, MAX_HEADER_BYTES};

/// The internal header.
pub(crate) const MARK: &str = "archipel-attached";

/// Credentials that one call may have attached and not yet sent.
const MAX_PENDING: usize = 64;

/// A credential that waits for its request.
pub(crate) struct Attached {
    pub(crate) name: String,
    pub(crate) placement: Placement,
    pub(crate) bytes: SecretBytes,
    pub(crate) with: With,
}

/// What a placement needs besides the secret.
#[derive(Clone, Debug)]
pub(crate) enum With {
    /// Nothing.
    Nothing,
    /// The user's name, for `basic`.
    User(String),
    /// For where the signature counts.
    Scope(Scope),
}

/// What was attached in this call and not yet sent.
#[derive(Default)]
pub(crate) struct Marks {
    pending: HashMap<u64, Attached>,
    next: u64,
}

impl Marks {
    pub(crate) fn clear(&mut self) {
        // Numbers go on, so that a mark from an earlier call means nothing.
        self.pending.clear();
    }

    fn add(&mut self, attached: Attached) -> Result<u64, Error> {
        if self.pending.len() >= MAX_PENDING {
            return Err(Error::invalid(
                "too many requests with credentials wait to be sent; send or drop them first",
            ));
        }
        self.next += 1;
        self.pending.insert(self.next, attached);
        Ok(self.next)
    }

    /// Takes all marks off a request; `None` if one of them is not known (any more).
    pub(crate) fn take(&mut self, headers: &mut HeaderMap) -> Option<Vec<Attached>> {
        let numbers: Vec<Option<u64>> =
            headers.get_all(MARK).iter().map(|value| value.to_str().ok()?.parse().ok()).collect();
        headers.remove(MARK);
        numbers.into_iter().map(|number| self.pending.remove(&number?)).collect()
    }
}

impl Attached {
    /// Puts the bytes in, in place of what the plugin may have written there.
    pub(crate) fn put_in(self, headers: &mut HeaderMap, masker: &mut Masker) -> Result<(), ()> {
        let secret = self.bytes.reveal();
        masker.add(secret);
        let (name, text) = match &self.placement {
            Placement::Header(name) => {
                (name.parse::<HeaderName>().map_err(|_| ())?, Zeroizing::new(secret.to_vec()))
            }
            Placement::Bearer => (AUTHORIZATION, Zeroizing::new([b"Bearer ", secret].concat())),
            Placement::Basic => {
                let user = if let With::User(user) = &self.with { user.as_str() } else { "" };
                let pair = Zeroizing::new([user.as_bytes(), b":", secret].concat());
                let encoded = Zeroizing::new(STANDARD.encode(pair.as_slice()));
                masker.add(encoded.as_bytes());
                (AUTHORIZATION, Zeroizing::new([b"Basic ", encoded.as_bytes()].concat()))
            }
            Placement::Json | Placement::Form | Placement::SigV4 | Placement::ClientCertificate => {
                return Err(());
            }
        };
        let mut value = HeaderValue::from_bytes(&text).map_err(|_| ())?;
        value.set_sensitive(true);
        headers.insert(name, value);
        Ok(())
    }
}

impl CallState {
    pub(crate) fn attach_to(
        &mut self,
        request: &Resource<HostOutgoingRequest>,
        what: Credential,
        how: WitPlacement,
    ) -> Result<(), Error> {
        let (placement, with) = match how {
            WitPlacement::Header(name) => (header_placement(&name)?, With::Nothing),
            WitPlacement::Bearer => (Placement::Bearer, With::Nothing),
            WitPlacement::Basic(user)
                if user.len() > 256 || user.contains(':') || user.chars().any(char::is_control) =>
            {
                return Err(Error::invalid(
                    "a user name for basic authentication has at most 256 characters, no colon and no control characters",
                ));
            }
            WitPlacement::Basic(user) => (Placement::Basic, With::User(user)),
            WitPlacement::Sigv4(scope) => {
                let scope = Scope::new(scope.region, scope.service)
                    .map_err(|error| Error::invalid(error.to_string()))?;
                (Placement::SigV4, With::Scope(scope))
            }
            WitPlacement::ClientCertificate => (Placement::ClientCertificate, With::Nothing),
        };
        let Credential { name, bytes } = what;
        fits(&name, &bytes, &placement)?;
        // The whole check is made when the request leaves; this one gives a better message.
        let bound = |rule: &archipel_vault::SecretRule| {
            matches_name(&rule.name, &name) && rule.placement == placement
        };
        if !self.binding.grants.secrets.iter().any(bound) {
            return Err(Error::forbidden(format!(
                "no rule of this plugin's grant lets secret {name:?} go anywhere as {placement}; the administrator may add one to `secrets`"
            )));
        }
        let gone = |_| Error::invalid("the request is gone");
        self.table.get(request).map_err(gone)?;
        let mark = self.hooks.marks.add(Attached { name, placement, bytes, with })?;
        let headers = &mut self.table.get_mut(request).map_err(gone)?.headers;
        headers.set_mutable(MAX_HEADER_BYTES + 1024);
        let marked = headers.append_raw(HeaderName::from_static(MARK), HeaderValue::from(mark));
        headers.set_immutable();
        marked.map(|_| ()).map_err(|_| Error::invalid("the request's headers are too large"))
    }
}

/// Whether a secret is of the form that its placement wants. Says what is wrong without a byte of it.
fn fits(name: &str, bytes: &SecretBytes, placement: &Placement) -> Result<(), Error> {
    let wrong = |why: String| Error::invalid(format!("secret {name:?}: {why}"));
    match placement {
        Placement::Header(_) | Placement::Bearer if HeaderValue::from_bytes(bytes.reveal()).is_err() => {
            Err(wrong("it has bytes that no header can carry".to_owned()))
        }
        Placement::SigV4 => {
            AccessKey::parse(bytes.reveal()).map(drop).map_err(|error| wrong(error.to_string()))
        }
        Placement::ClientCertificate => {
            Identity::from_pem(bytes.reveal()).map(drop).map_err(|error| wrong(error.to_string()))
        }
        _ => Ok(()),
    }
}

/// A header that a secret may be put into: none that frames or routes the request.
pub(crate) fn header_placement(name: &str) -> Result<Placement, Error> {
    let refused = || Error::invalid(format!("{name:?} is not a header that a secret can be put into"));
    let parsed: HeaderName = name.parse().map_err(|_| refused())?;
    if archipel_egress::headers::is_of_one_hop(&parsed)
        || parsed == http::header::CONTENT_LENGTH
        || parsed.as_str() == MARK
    {
        return Err(refused());
    }
    Ok(Placement::Header(parsed.as_str().to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attached(placement: Placement) -> Attached {
        Attached {
            name: "s".into(),
            placement,
            with: With::User("alice".into()),
            bytes: SecretBytes::new(*b"opensesame"),
        }
    }

    #[test]
    fn bytes_go_where_the_placement_says_and_replace_what_was_there() {
        for (placement, name, value) in [
            (Placement::Bearer, "authorization", "Bearer opensesame"),
            (Placement::Basic, "authorization", "Basic YWxpY2U6b3BlbnNlc2FtZQ=="),
            (Placement::Header("x-auth-token".into()), "x-auth-token", "opensesame"),
        ] {
            let mut headers = HeaderMap::new();
            headers.append(HeaderName::from_static(name), HeaderValue::from_static("mine"));
            let mut masker = Masker::new();
            attached(placement).put_in(&mut headers, &mut masker).unwrap();
            assert_eq!(headers.get_all(name).iter().collect::<Vec<_>>(), [value]);
            assert!(masker.finds(value.as_bytes()));
            assert!(headers[name].is_sensitive());
        }
    }

    #[test]
    fn a_mark_is_good_for_one_request() {
        let mut marks = Marks::default();
        let mark = marks.add(attached(Placement::Bearer)).unwrap();
        let mut headers = HeaderMap::new();
        headers.append(MARK, HeaderValue::from(mark));
        let mut copy = headers.clone();
        assert_eq!(marks.take(&mut headers).unwrap().len(), 1);
        assert!(headers.is_empty());
        assert!(marks.take(&mut copy).is_none());
        assert!(marks.take(&mut HeaderMap::new()).unwrap().is_empty());
    }

    #[test]
    fn a_mark_of_an_earlier_call_means_nothing() {
        let mut marks = Marks::default();
        let mark = marks.add(attached(Placement::Bearer)).unwrap();
        marks.clear();
        marks.add(attached(Placement::Bearer)).unwrap();
        let mut headers = HeaderMap::new();
        headers.append(MARK, HeaderValue::from(mark));
        assert!(marks.take(&mut headers).is_none());
    }

    #[test]
    fn secrets_cannot_be_put_into_headers_that_frame_the_request() {
        for name in ["host", "Content-Length", "transfer-encoding", "connection", MARK, "bad name", ""] {
            assert!(header_placement(name).is_err(), "{name}");
        }
        assert_eq!(header_placement("X-Auth-Token").unwrap(), Placement::Header("x-auth-token".into()));
    }
}
