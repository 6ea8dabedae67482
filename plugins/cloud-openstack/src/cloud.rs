//! One account's way to the services: every call of the driver passes here.
//!
//! Reads that got no answer are tried once more, because services close idle connections without a word; writes never.

use crate::account::Account;
use crate::config::Config;
use crate::microversion::{self, Document};
use crate::refusal;
use crate::wire::{Answer, Call, Service, World};
use archipel_sdk::http::percent_encoded;
use archipel_sdk::{Applied, Error, ErrorKind, Result};
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::time::Duration;

/// How long a read waits.
const READ: Duration = Duration::from_secs(20);

/// How long a write waits: longer, since a lost answer costs a search. The host's deadline for the call is 60 s.
const WRITE: Duration = Duration::from_secs(45);

/// A status that asks for another version of the API.
const NOT_ACCEPTABLE: u16 = 406;

/// The cloud as one account sees it.
pub(crate) struct Cloud<'a> {
    pub(crate) world: &'a dyn World,
    pub(crate) config: &'a Config,
    pub(crate) account: Account,
    /// Nothing that is remembered counts: an answer has shown that it was old.
    pub(crate) is_afresh: bool,
}

impl Cloud<'_> {
    /// Under what a project's view of a service is remembered.
    pub(crate) fn cache_key(&self, what: &str, service: Service) -> Result<String> {
        Ok(format!("{what} {} {}", self.account.project, self.account.endpoint(service)?))
    }

    /// How old such a view may be.
    pub(crate) fn cache_ms(&self) -> u64 {
        if self.is_afresh { 0 } else { self.config.cache_s.saturating_mul(1000) }
    }

    /// The same cloud, seen afresh.
    pub(crate) fn afresh(&self) -> Cloud<'_> {
        Cloud { world: self.world, config: self.config, account: self.account.clone(), is_afresh: true }
    }

    /// Reads.
    pub(crate) fn get<T: DeserializeOwned>(
        &self,
        service: Service,
        path: &str,
        query: &[(&str, &str)],
    ) -> Result<T> {
        let (call, answer) = self.ask(service, "GET", path, query, None)?;
        read(&call, answer)
    }

    /// Reads what may not be there. None = the service says of `id` that it is not there.
    pub(crate) fn look<T: DeserializeOwned>(
        &self,
        service: Service,
        path: &str,
        id: &str,
    ) -> Result<Option<T>> {
        let (call, answer) = self.ask(service, "GET", path, &[], None)?;
        if refusal::says_gone(&answer, id) { Ok(None) } else { read(&call, answer).map(Some) }
    }

    /// Creates.
    pub(crate) fn post<T: DeserializeOwned>(&self, service: Service, path: &str, body: &Value) -> Result<T> {
        let (call, answer) = self.ask(service, "POST", path, &[], Some(body))?;
        read(&call, answer)
    }

    /// Asks for something that is accepted or refused without a word.
    pub(crate) fn tell(&self, service: Service, path: &str, body: &Value) -> Result<()> {
        let (call, answer) = self.ask(service, "POST", path, &[], Some(body))?;
        refusal::of(&call, &answer).map_or(Ok(()), Err)
    }

    /// Deletes; what is not there is no error.
    pub(crate) fn delete(&self, service: Service, path: &str, ids: &[&str]) -> Result<()> {
        let (call, answer) = self.ask(service, "DELETE", path, &[], None)?;
        if ids.iter().any(|id| refusal::says_gone(&answer, id)) {
            return Ok(());
        }
        refusal::of(&call, &answer).map_or(Ok(()), Err)
    }

    /// Sends, whatever the answer's status.
    pub(crate) fn ask(
        &self,
        service: Service,
        method: &'static str,
        path: &str,
        query: &[(&str, &str)],
        body: Option<&Value>,
    ) -> Result<(Call, Answer)> {
        let endpoint = self.account.endpoint(service)?;
        let mut call = Call {
            service,
            method,
            url: with_query(format!("{endpoint}{path}"), query),
            headers: headers(service, endpoint),
            body: body.map(Value::to_string),
            timeout: if method == "GET" { READ } else { WRITE },
        };
        let mut answer = self.send(&call)?;
        if answer.status == NOT_ACCEPTABLE && service == Service::Compute {
            self.negotiate(endpoint)?;
            call.headers = headers(service, endpoint);
            answer = self.send(&call)?;
        }
        Ok((call, answer))
    }

    fn negotiate(&self, endpoint: &str) -> Result<()> {
        let call = Call {
            service: Service::Compute,
            method: "GET",
            url: microversion::document_of(endpoint),
            headers: vec![("accept", "application/json".to_owned())],
            body: None,
            timeout: READ,
        };
        let document: Document = read(&call, self.send(&call)?)?;
        microversion::remember(endpoint, document.choose()?);
        Ok(())
    }

    fn send(&self, call: &Call) -> Result<Answer> {
        match self.world.send(call) {
            Err(error) if call.method == "GET" && error.kind() == ErrorKind::Transient => {
                self.world.send(call)
            }
            answer => answer,
        }
        .map_err(|error| error.context(call.service.name()))
    }
}

/// The answer's body, or the refusal. What cannot be read is no answer of the service: later there may be one, and what
/// was asked for may have been done.
pub(crate) fn read<T: DeserializeOwned>(call: &Call, answer: Answer) -> Result<T> {
    if let Some(refusal) = refusal::of(call, &answer) {
        return Err(refusal);
    }
    serde_json::from_slice(&answer.body).map_err(|error| {
        let name = call.service.name();
        Error::transient(format!(
            "{name}: {} is answered by what is none of {name}'s answers: {error}",
            call.method
        ))
        .applied(Applied::Unknown)
    })
}

fn headers(service: Service, endpoint: &str) -> Vec<(&'static str, String)> {
    let mut headers = vec![("accept", "application/json".to_owned())];
    if service == Service::Compute {
        let version = microversion::spoken(endpoint);
        headers.push(("openstack-api-version", format!("compute {version}")));
    }
    headers
}

fn with_query(mut url: String, query: &[(&str, &str)]) -> String {
    for (name, value) in query {
        url.push(if url.contains('?') { '&' } else { '?' });
        url.push_str(&format!("{}={}", percent_encoded(name), percent_encoded(value)));
    }
    url
}

/// An id of the cloud as a piece of a path.
///
/// # Errors
/// `invalid` for what no service ever made.
pub(crate) fn segment(id: &str) -> Result<&str> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    if id.is_empty() || id.len() > 255 || id.starts_with('.') || !id.bytes().all(is_plain) {
        return Err(Error::invalid(format!("{id:?} is no id of OpenStack")));
    }
    Ok(id)
}
