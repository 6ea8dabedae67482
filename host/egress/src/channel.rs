//! [`Egress`] is the site's way out; a [`Channel`] is one binding's share of it.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use archipel_model::egress::EgressEntry;
use archipel_model::{Clock, OrderId, SPAN};
use bytes::Bytes;
use http::header::{CONTENT_LENGTH, HOST};
use http::{HeaderValue, Method, Request, Response, Uri, Version};
use http_body_util::BodyExt;
use rustls::ClientConfig;
use tokio::sync::Semaphore;
use tracing::field::Empty;
use tracing::{Instrument, Span};

use crate::address::PrivateAccess;
use crate::body::{BoxError, RequestBody, ResponseBody, ResponseParts};
use crate::connect::Opener;
use crate::cookies::{CookieJar, CookieJars};
use crate::dial::Dialer;
use crate::error::{EgressError, Stage, causes};
use crate::headers;
use crate::ledger::{Ledger, Record};
use crate::limits::EgressLimits;
use crate::origin::{Origin, OriginPattern};
use crate::pool::{Connection, Lease, Pool, Route};
use crate::resolve::{Resolver, SystemResolver};
use crate::tls::{Identity, Trust, with_own_sessions};

/// TLS identities of one binding whose sessions are kept.
const MAX_IDENTITIES: usize = 16;

/// Where one binding may go.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EgressPolicy {
    /// Origins; none = nowhere.
    pub hosts: Vec<OriginPattern>,
    /// Addresses beyond public ones that their names may lead to.
    pub private: PrivateAccess,
    /// Authorities that take the place of the machine's and the site's.
    pub trust: Option<Trust>,
}

impl EgressPolicy {
    /// Whether requests to this origin may leave.
    pub fn allows(&self, origin: &Origin) -> bool {
        self.hosts.iter().any(|pattern| pattern.allows(origin))
    }
}

/// On whose behalf, for the ledger.
#[derive(Clone, Debug)]
pub struct Caller {
    /// The binding.
    pub binding: String,
    /// The component's digest.
    pub digest: String,
}

/// Bytes of one call, over all its requests.
#[derive(Debug, Default)]
pub struct Meter {
    /// Of request bodies.
    pub sent: AtomicU64,
    /// Of answers' bodies.
    pub received: AtomicU64,
}

/// What one request is told besides itself.
#[derive(Clone, Debug)]
pub struct SendOptions {
    /// When the whole answer must have been read.
    pub deadline: Instant,
    /// When its header must have come, if earlier.
    pub first_byte: Option<Duration>,
    /// The order it serves.
    pub order: Option<OrderId>,
    /// For the ledger.
    pub request_id: String,
    /// Where its bytes are counted.
    pub meter: Arc<Meter>,
    /// Whose cookies go along and are kept; `None` = none are.
    pub cookies: Option<Arc<CookieJar>>,
    /// Who we are towards a server that asks for a certificate.
    pub identity: Option<Identity>,
}

impl SendOptions {
    /// With this deadline and nothing else.
    pub fn until(deadline: Instant) -> Self {
        Self {
            deadline,
            first_byte: None,
            order: None,
            request_id: String::new(),
            meter: Arc::default(),
            cookies: None,
            identity: None,
        }
    }
}

/// The site's way out.
pub struct Egress {
    resolver: Arc<dyn Resolver>,
    dialer: Option<Arc<dyn Dialer>>,
    tls: ClientConfig,
    ledger: Arc<dyn Ledger>,
    clock: Arc<dyn Clock>,
    limits: EgressLimits,
}

impl Egress {
    /// With the machine's resolver; `tls` from [`client_config`](crate::tls::client_config).
    pub fn new(
        tls: ClientConfig,
        ledger: Arc<dyn Ledger>,
        clock: Arc<dyn Clock>,
        limits: EgressLimits,
    ) -> Self {
        Self { resolver: Arc::new(SystemResolver), dialer: None, tls, ledger, clock, limits }
    }

    /// With another resolver.
    #[must_use]
    pub fn with_resolver(mut self, resolver: Arc<dyn Resolver>) -> Self {
        self.resolver = resolver;
        self
    }

    /// With another way to origins than the network: for tests of plugins. What may leave is judged as ever.
    #[must_use]
    pub fn with_dialer(mut self, dialer: Arc<dyn Dialer>) -> Self {
        self.dialer = Some(dialer);
        self
    }

    /// One binding's share: connections, TLS sessions and places of its own.
    pub fn channel(&self, caller: Caller, policy: EgressPolicy) -> Channel {
        let opener = Opener {
            resolver: Arc::clone(&self.resolver),
            dialer: self.dialer.clone(),
            private: policy.private.clone(),
            timeout: self.limits.connect,
        };
        let tls = with_own_sessions(policy.trust.as_ref().map_or(&self.tls, Trust::config));
        Channel {
            caller,
            policy,
            opener,
            tls: Arc::new(tls),
            identities: Mutex::default(),
            cookies: CookieJars::default(),
            pool: Pool::new(self.limits.idle_per_origin, self.limits.idle_timeout),
            places: Arc::new(Semaphore::new(self.limits.concurrent_per_binding)),
            limits: self.limits.clone(),
            ledger: Arc::clone(&self.ledger),
            clock: Arc::clone(&self.clock),
        }
    }
}

/// One binding's way out.
pub struct Channel {
    caller: Caller,
    policy: EgressPolicy,
    opener: Opener,
    /// For those who show no certificate.
    tls: Arc<ClientConfig>,
    /// For those who do, by identity; used last at the back.
    identities: Mutex<VecDeque<(String, Arc<ClientConfig>)>>,
    cookies: CookieJars,
    pool: Arc<Pool>,
    places: Arc<Semaphore>,
    limits: EgressLimits,
    ledger: Arc<dyn Ledger>,
    clock: Arc<dyn Clock>,
}

impl std::fmt::Debug for Channel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Channel")
            .field("caller", &self.caller)
            .field("policy", &self.policy)
            .finish_non_exhaustive()
    }
}

impl Channel {
    /// Where it may go.
    pub fn policy(&self) -> &EgressPolicy {
        &self.policy
    }

    /// The cookies of one account of this binding.
    pub fn cookies(&self, account: &str) -> Arc<CookieJar> {
        self.cookies.of(account)
    }

    /// The configuration under which an identity connects: always the same one, so that its TLS sessions are its own.
    fn tls_as(&self, identity: Option<&Identity>) -> Arc<ClientConfig> {
        let Some(identity) = identity else { return Arc::clone(&self.tls) };
        let mut known = self.identities.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, config)) = known.iter().find(|(id, _)| id == identity.id()) {
            return Arc::clone(config);
        }
        while known.len() >= MAX_IDENTITIES {
            known.pop_front();
        }
        let config = identity.over(&self.tls);
        known.push_back((identity.id().to_owned(), Arc::clone(&config)));
        config
    }

    /// Sends a request with an absolute URI and waits for the answer's header. The answer's body keeps the deadline.
    ///
    /// # Errors
    /// See [`EgressError`]; [`applied`](EgressError::applied) says whether the far side may have acted.
    pub async fn send<B>(
        &self,
        request: Request<B>,
        options: SendOptions,
    ) -> Result<Response<ResponseBody>, EgressError>
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let span = tracing::info_span!(
            target: SPAN, "request out", "otel.kind" = "client", "otel.name" = request.method().as_str(),
            "otel.status_code" = Empty, "http.request.method" = request.method().as_str(),
            "server.address" = Empty, "server.port" = Empty, "http.response.status_code" = Empty,
        );
        let answer = self.attempt(request, options).instrument(span.clone()).await;
        match &answer {
            Ok(response) => span.record("http.response.status_code", response.status().as_u16()),
            Err(_) => span.record("otel.status_code", "ERROR"),
        };
        answer
    }

    async fn attempt<B>(
        &self,
        request: Request<B>,
        options: SendOptions,
    ) -> Result<Response<ResponseBody>, EgressError>
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let mut record = self.record(&request, &options);
        let checked = Origin::of_url(&request.uri().to_string()).map_err(EgressError::from).and_then(
            |(origin, target)| {
                record.entry.origin = origin.to_string();
                // Not the path: what is in it is the plugin's, and may be secret.
                Span::current().record("server.address", &origin.host).record("server.port", origin.port);
                if !self.policy.allows(&origin) {
                    return Err(EgressError::NotGranted { origin: origin.to_string() });
                }
                if matches!(*request.method(), Method::CONNECT | Method::TRACE) {
                    return Err(EgressError::Invalid("methods CONNECT and TRACE are for proxies"));
                }
                headers::check_length(request.headers())?;
                if options.identity.is_some() && !origin.secure {
                    return Err(EgressError::Invalid("a client certificate needs https"));
                }
                Ok((origin, target))
            },
        );
        let (origin, target) = checked.inspect_err(|error| record.failed(error))?;

        let sent = Arc::new(AtomicU64::new(0));
        let (mut head, body) = request.into_parts();
        headers::strip(&mut head.headers);
        let path = target.split('?').next().unwrap_or_default().to_owned();
        if let Some(jar) = &options.cookies {
            jar.put_in(&mut head.headers, &origin, &path, self.clock.now());
        }
        head.version = Version::HTTP_11;
        let body = body.map_err(Into::into).boxed_unsync();
        let body =
            RequestBody::new(body, self.limits.request_bytes, Arc::clone(&sent), Arc::clone(&options.meter));
        let request = Request::from_parts(head, body);

        // Whether anything was written, for a deadline that strikes in between.
        let written = std::sync::atomic::AtomicBool::new(false);
        let deadline = tokio::time::Instant::from_std(options.deadline);
        let header_by =
            options.first_byte.map_or(deadline, |first| deadline.min(tokio::time::Instant::now() + first));
        let route =
            Route { origin, identity: options.identity.as_ref().map(|identity| identity.id().to_owned()) };
        let tls = self.tls_as(options.identity.as_ref());
        let exchange = self.exchange((&route, &tls), &target, request, &mut record, &written);
        let answer = match tokio::time::timeout_at(header_by, exchange).await {
            Ok(answer) => answer,
            Err(_) => {
                let stage = if written.load(Ordering::Relaxed) { Stage::Sent } else { Stage::Before };
                Err(EgressError::Deadline { stage })
            }
        };
        record.entry.sent = sent.load(Ordering::Relaxed);
        let (response, connection, permit) = answer.inspect_err(|error| record.failed(error))?;

        record.entry.status = Some(response.status().as_u16());
        let (mut head, body) = response.into_parts();
        headers::strip(&mut head.headers);
        if let Some(jar) = &options.cookies {
            jar.take_from(&head.headers, &route.origin, &path, self.clock.now());
        }
        let announced =
            head.headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
        let limit = self.limits.response_bytes;
        if announced.is_some_and(|bytes| bytes > limit) && !http_body::Body::is_end_stream(&body) {
            let error = EgressError::ResponseTooLarge { limit };
            record.failed(&error);
            return Err(error);
        }
        let parts = ResponseParts {
            limit,
            origin: route.origin.to_string(),
            deadline,
            sent,
            meter: options.meter,
            lease: Lease::new(connection, route, &self.pool),
            record,
            permit,
        };
        Ok(Response::from_parts(head, ResponseBody::new(body, parts)))
    }

    async fn exchange(
        &self,
        (route, tls): (&Route, &Arc<ClientConfig>),
        target: &str,
        mut request: Request<RequestBody>,
        record: &mut Record,
        written: &std::sync::atomic::AtomicBool,
    ) -> Result<(Response<hyper::body::Incoming>, Connection, tokio::sync::OwnedSemaphorePermit), EgressError>
    {
        let origin = &route.origin;
        let permit =
            Arc::clone(&self.places).acquire_owned().await.map_err(|_| EgressError::TooManyRequests)?;
        loop {
            let mut connection = match self.pool.take(route) {
                Some(connection) => connection,
                None => Connection::start(self.opener.open(origin, tls).await?, origin).await?,
            };
            record.entry.address = Some(connection.address);
            record.entry.certificate.clone_from(&connection.certificate);
            address_to(&mut request, origin, target, connection.is_http2())?;
            written.store(true, Ordering::Relaxed);
            let mut refused = match connection.send(request).await {
                Ok(response) => return Ok((response, connection, permit)),
                Err(refused) => refused,
            };
            match refused.take_message() {
                // The far side closed a waiting connection as we took it: nothing was written, a fresh one is tried.
                Some(back) if connection.reused => {
                    written.store(false, Ordering::Relaxed);
                    request = back;
                }
                Some(_) => {
                    let reason = connection.ended().await.map(|reason| format!(": {reason}"));
                    let reason = reason.unwrap_or_default();
                    return Err(EgressError::NotSent { origin: origin.to_string(), reason });
                }
                None => return Err(interrupted(origin, refused.into_error())),
            }
        }
    }

    fn record<B>(&self, request: &Request<B>, options: &SendOptions) -> Record {
        let entry = EgressEntry {
            at: self.clock.now(),
            binding: self.caller.binding.clone(),
            digest: self.caller.digest.clone(),
            order: options.order,
            request_id: options.request_id.clone(),
            method: request.method().to_string(),
            origin: String::new(),
            address: None,
            certificate: None,
            status: None,
            sent: 0,
            received: 0,
            took_us: 0,
            outcome: "abandoned".to_owned(),
        };
        Record { entry, started: Instant::now(), ledger: Arc::clone(&self.ledger) }
    }
}

/// HTTP/1.1 wants the path in the request line and the authority in `Host`; HTTP/2 wants both in the URI. What is about to
/// leave is read once more: it must lead to the origin that was checked, however the URL was put together.
fn address_to(
    request: &mut Request<RequestBody>,
    origin: &Origin,
    target: &str,
    http2: bool,
) -> Result<(), EgressError> {
    let unfit = |_| EgressError::Invalid("its URL does not fit into a request");
    if http2 {
        request.headers_mut().remove(HOST);
        *request.uri_mut() =
            format!("{}://{}{target}", if origin.secure { "https" } else { "http" }, origin.authority())
                .parse::<Uri>()
                .map_err(unfit)?;
        let leads =
            Origin::of_url(&request.uri().to_string()).is_ok_and(|(final_origin, _)| final_origin == *origin);
        if !leads {
            return Err(EgressError::Invalid("its URL leads elsewhere than it says"));
        }
    } else {
        *request.uri_mut() = target.parse::<Uri>().map_err(unfit)?;
        if request.uri().authority().is_some() || !target.starts_with('/') {
            return Err(EgressError::Invalid("its URL leads elsewhere than it says"));
        }
        let host = HeaderValue::try_from(origin.authority())
            .map_err(|_| EgressError::Invalid("its host does not fit into a header"))?;
        request.headers_mut().insert(HOST, host);
    }
    Ok(())
}

fn interrupted(origin: &Origin, error: hyper::Error) -> EgressError {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(&error);
    while let Some(current) = cause {
        // A body that is over its cap ends the request from our side.
        if let Some(EgressError::RequestTooLarge { limit }) = current.downcast_ref::<EgressError>() {
            return EgressError::RequestTooLarge { limit: *limit };
        }
        cause = current.source();
    }
    EgressError::Interrupted { origin: origin.to_string(), reason: causes(&error) }
}
