//! A client of the REST interface: over TCP, TLS or the administrator's socket. The command line, the tests and xtask
//! talk to a daemon through it, so what they see is what any client sees.
//!
//! ```no_run
//! # async fn example() -> Result<(), archipel_client::ClientError> {
//! use archipel_client::Client;
//!
//! let client = Client::at_url("http://127.0.0.1:7070", None)?.with_token("arch1.…");
//! let order = client.post("/v1/volumes", &serde_json::json!({"cloud": "emulated", "size_gib": 1})).await?.success()?;
//! println!("{}", order["id"]);
//! # Ok(()) }
//! ```

mod answer;
mod connect;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderName, HeaderValue};
use http::{Method, Request};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::client::legacy::Client as Pool;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use serde_json::Value;

pub use answer::{Answer, Refused};
use connect::{Connector, Door};

/// More than any answer of the interface needs; protects from an endless one.
const MOST_BYTES: usize = 64 << 20;

/// Why there is no answer, or not the one wanted.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The address cannot be used.
    #[error("{0}")]
    Address(String),
    /// Nobody answered.
    #[error("no answer from {door}: {reason}")]
    NoAnswer {
        /// Where it was asked.
        door: String,
        /// Why.
        reason: String,
    },
    /// The site refused.
    #[error(transparent)]
    Refused(#[from] Box<Refused>),
    /// The answer is not what the interface promises.
    #[error("unexpected answer from {door}: {reason}")]
    Unexpected {
        /// Where it was asked.
        door: String,
        /// What is odd.
        reason: String,
    },
}

/// Connections to one daemon, and who asks. Cheap to clone; clones share connections.
#[derive(Clone)]
pub struct Client {
    pool: Pool<Connector, Full<Bytes>>,
    base: Arc<str>,
    shown: Arc<str>,
    token: Option<Arc<str>>,
    timeout: Duration,
}

impl Client {
    /// At `http://HOST:PORT` or `https://HOST[:PORT]`; `ca` is a PEM file to trust instead of the machine's roots.
    ///
    /// # Errors
    /// When the address is no such URL, or the roots cannot be read.
    pub fn at_url(url: &str, ca: Option<&Path>) -> Result<Self, ClientError> {
        let wrong = || {
            ClientError::Address(format!(
                "{url:?} is not a site's address; write http://HOST:PORT or https://HOST"
            ))
        };
        let parsed = url::Url::parse(url).map_err(|_| wrong())?;
        let host = parsed.host_str().ok_or_else(wrong)?;
        let door = match parsed.scheme() {
            "http" => Door::Tcp,
            "https" => Door::Tls(connect::tls(ca)?),
            _ => return Err(wrong()),
        };
        let port = parsed.port().map(|port| format!(":{port}")).unwrap_or_default();
        let base = format!("{}://{host}{port}", parsed.scheme());
        Ok(Self::through(door, &base, &base))
    }

    /// At the administrator's socket of a daemon on this machine.
    pub fn at_socket(path: &Path) -> Self {
        Self::through(Door::Socket(path.to_owned()), "http://admin", &path.display().to_string())
    }

    fn through(door: Door, base: &str, shown: &str) -> Self {
        let pool = Pool::builder(TokioExecutor::new())
            .pool_idle_timeout(Duration::from_secs(30))
            .pool_timer(TokioTimer::new())
            .build(Connector { door });
        Self { pool, base: base.into(), shown: shown.into(), token: None, timeout: Duration::from_secs(60) }
    }

    /// The same, with a token.
    #[must_use]
    pub fn with_token(mut self, token: impl Into<Arc<str>>) -> Self {
        self.token = Some(token.into());
        self
    }

    /// The same, with another time to wait for an answer (60 s otherwise).
    #[must_use]
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Where it asks, for people.
    pub fn door(&self) -> &str {
        &self.shown
    }

    /// GET.
    ///
    /// # Errors
    /// When nobody answers.
    pub async fn get(&self, path: &str) -> Result<Answer, ClientError> {
        self.send(Method::GET, path, &[], None).await
    }

    /// POST of a JSON document.
    ///
    /// # Errors
    /// When nobody answers.
    pub async fn post(&self, path: &str, body: &Value) -> Result<Answer, ClientError> {
        self.send(Method::POST, path, &[], Some(body)).await
    }

    /// PATCH with a JSON merge patch (RFC 7396).
    ///
    /// # Errors
    /// When nobody answers.
    pub async fn patch(&self, path: &str, body: &Value) -> Result<Answer, ClientError> {
        self.send(Method::PATCH, path, &[("content-type", "application/merge-patch+json")], Some(body)).await
    }

    /// DELETE.
    ///
    /// # Errors
    /// When nobody answers.
    pub async fn delete(&self, path: &str) -> Result<Answer, ClientError> {
        self.send(Method::DELETE, path, &[], None).await
    }

    /// Any request with a JSON document or none.
    ///
    /// # Errors
    /// When nobody answers.
    pub async fn send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<&Value>,
    ) -> Result<Answer, ClientError> {
        let mut all = vec![("accept", "application/json")];
        if body.is_some() && !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case(CONTENT_TYPE.as_str()))
        {
            all.push((CONTENT_TYPE.as_str(), "application/json"));
        }
        all.extend_from_slice(headers);
        self.send_bytes(
            method,
            path,
            &all,
            body.map(|body| Bytes::from(body.to_string())).unwrap_or_default(),
        )
        .await
    }

    /// GET of an answer of any length, given on as it comes; the time limit holds for each piece of it.
    ///
    /// # Errors
    /// When nobody answers, the site refuses, the answer breaks off, or `each` fails.
    pub async fn stream(
        &self,
        path: &str,
        mut each: impl FnMut(&[u8]) -> std::io::Result<()>,
    ) -> Result<(), ClientError> {
        let no_answer = |reason: String| ClientError::NoAnswer { door: self.shown.to_string(), reason };
        let late = |_| no_answer(format!("nothing within {} s", self.timeout.as_secs_f32()));
        let request = self.request(Method::GET, path, &[], Bytes::new())?;
        let answer = tokio::time::timeout(self.timeout, self.pool.request(request)).await.map_err(late)?;
        let (head, mut body) = answer.map_err(|error| no_answer(causes(&error)))?.into_parts();
        if !head.status.is_success() {
            let body = Limited::new(body, MOST_BYTES).collect();
            let body = tokio::time::timeout(self.timeout, body).await.map_err(late)?;
            let body = body.map_err(|error| no_answer(causes(&*error)))?.to_bytes();
            return Answer::new(self.shown.clone(), head.status, head.headers, body).success().map(drop);
        }
        while let Some(frame) = tokio::time::timeout(self.timeout, body.frame()).await.map_err(late)? {
            let frame = frame.map_err(|error| no_answer(causes(&error)))?;
            if let Ok(bytes) = frame.into_data() {
                each(&bytes).map_err(|error| ClientError::Unexpected {
                    door: self.shown.to_string(),
                    reason: format!("the answer could not be kept: {error}"),
                })?;
            }
        }
        Ok(())
    }

    /// Any request with any bytes: for tests of what a rude client may send.
    ///
    /// # Errors
    /// When nobody answers.
    pub async fn send_bytes(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Bytes,
    ) -> Result<Answer, ClientError> {
        let request = self.request(method, path, headers, body)?;
        let no_answer = |reason: String| ClientError::NoAnswer { door: self.shown.to_string(), reason };
        let exchange = async {
            let answer = self.pool.request(request).await.map_err(|error| no_answer(causes(&error)))?;
            let (head, body) = answer.into_parts();
            let body =
                Limited::new(body, MOST_BYTES).collect().await.map_err(|error| no_answer(causes(&*error)))?;
            Ok(Answer::new(self.shown.clone(), head.status, head.headers, body.to_bytes()))
        };
        match tokio::time::timeout(self.timeout, exchange).await {
            Ok(answer) => answer,
            Err(_) => Err(no_answer(format!("nothing within {} s", self.timeout.as_secs_f32()))),
        }
    }
}

impl Client {
    fn request(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Bytes,
    ) -> Result<Request<Full<Bytes>>, ClientError> {
        let address = |reason: &dyn std::fmt::Display| ClientError::Address(format!("{path:?}: {reason}"));
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.base))
            .body(Full::new(body))
            .map_err(|error| address(&error))?;
        for (name, value) in headers {
            let name = HeaderName::try_from(*name).map_err(|error| address(&error))?;
            request
                .headers_mut()
                .insert(name, HeaderValue::try_from(*value).map_err(|error| address(&error))?);
        }
        if let Some(token) = self.token.as_deref().filter(|_| !request.headers().contains_key(AUTHORIZATION))
        {
            let value = HeaderValue::try_from(format!("Bearer {token}")).map_err(|_| {
                ClientError::Address("the token holds characters that no token has".to_owned())
            })?;
            request.headers_mut().insert(AUTHORIZATION, value);
        }
        if !request.headers().contains_key(ACCEPT) {
            request.headers_mut().insert(ACCEPT, HeaderValue::from_static("*/*"));
        }
        Ok(request)
    }
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("door", &self.shown).finish_non_exhaustive()
    }
}

/// An error with what caused it, without repetitions.
fn causes(error: &(dyn std::error::Error + 'static)) -> String {
    let mut told: Vec<String> = Vec::new();
    let mut next = Some(error);
    while let Some(error) = next {
        let text = error.to_string();
        // The pool's own words ("client error (Connect)") say nothing where something lies beneath.
        let is_noise = text.starts_with("client error (") && error.source().is_some();
        if !is_noise && !told.iter().any(|known| known.contains(&text)) {
            told.push(text);
        }
        next = error.source();
    }
    told.join(": ")
}

/// Where the administrator's socket of a data directory is.
pub fn admin_socket(data_dir: &Path) -> PathBuf {
    data_dir.join("admin.sock")
}
