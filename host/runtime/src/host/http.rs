//! `wasi:http/outgoing-handler` over the binding's own egress channel.
//!
//! Order of a request: it may connect at all → its marks (see [`attach`](super::attach)) are taken off → each
//! credential is checked against the *final* URI → credentials are put in → egress (allow-list, address, deadline).
//! Of an answer: cookies and tokens in headers are dropped, and what was put in is masked in headers and in the body. A
//! refusal is `HTTP-request-denied` and a line in the log that says which rule is missing.

use std::fmt::Display;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use archipel_egress::{CookieJar, EgressError, Identity, Meter, Origin, SendOptions, Stage};
use archipel_vault::{Masker, Placement};
use bytes::Bytes;
use http::header::{ACCEPT_ENCODING, AUTHORIZATION, HeaderMap, HeaderName};
use http_body::Frame;
use http_body_util::BodyExt;
use tracing::Instrument;
use wasmtime_wasi_http::{
    DEFAULT_FORBIDDEN_HEADERS, Error, ForbiddenHeaderFilter, RequestOptions, WasiBody, WasiHttpHooks,
};

use super::attach::{Attached, MARK, Marks, With};
use super::binding::BindingContext;
use super::call::{CallClass, CallInfo};
use super::masked_body::MaskedBody;
use super::sign::sign;
use super::trace::Trace;

/// Headers of answers that carry credentials; a plugin gets them by `exchange` with a capture, as handles.
const CREDENTIALS_IN_ANSWERS: [&str; 5] =
    ["set-cookie", "set-cookie2", "authorization", "x-subject-token", "authentication-info"];

/// What a request of this call is sent with.
#[derive(Clone)]
pub(crate) struct Outbound {
    pub(crate) binding: Arc<BindingContext>,
    call: CallInfo,
    meter: Arc<Meter>,
    trace: Trace,
    cookies: Arc<CookieJar>,
    /// Whose cookies are kept beyond the call: the account's that a driver acts for. AAA calls have none, so that nothing
    /// of one user's call is there in the next.
    account: Option<String>,
}

/// The hooks of one store.
pub(crate) struct HttpHooks {
    outbound: Outbound,
    pub(crate) marks: Marks,
}

type Answer = Result<(http::Response<WasiBody>, Box<dyn Future<Output = Result<(), Error>> + Send>), Error>;

impl HttpHooks {
    pub(crate) fn new(binding: Arc<BindingContext>, call: &CallInfo, trace: Trace) -> Self {
        Self {
            outbound: Outbound {
                binding,
                call: call.clone(),
                meter: Arc::default(),
                trace,
                cookies: Arc::default(),
                account: None,
            },
            marks: Marks::default(),
        }
    }

    /// The next call begins.
    pub(crate) fn begin(&mut self, call: &CallInfo) {
        self.outbound.call = call.clone();
        self.outbound.meter = Arc::default();
        self.outbound.cookies = Arc::default();
        self.outbound.account = None;
        self.marks.clear();
    }

    /// The call acts for this account.
    pub(crate) fn act_for(&mut self, account: String) {
        if self.outbound.call.class == CallClass::Driver {
            self.outbound.account = Some(account);
        }
    }

    /// The call ends: bytes sent and received.
    pub(crate) fn end(&mut self) -> (u64, u64) {
        self.marks.clear();
        let meter = &self.outbound.meter;
        (meter.sent.load(Ordering::Relaxed), meter.received.load(Ordering::Relaxed))
    }

    pub(crate) fn outbound(&self) -> Outbound {
        self.outbound.clone()
    }
}

impl Outbound {
    /// Whether requests may leave in this call.
    pub(crate) fn may_connect(&self) -> bool {
        self.call.class.may_connect()
    }

    /// Whether such a request may leave: one that may change something is not a candidate's to send.
    pub(crate) fn may_send(&self, method: &http::Method) -> bool {
        !self.binding.shadow || matches!(*method, http::Method::GET | http::Method::HEAD)
    }

    /// What egress is told.
    pub(crate) fn options(&self) -> SendOptions {
        SendOptions {
            deadline: self.call.deadline,
            first_byte: None,
            order: self.call.order,
            request_id: self.call.request_id.clone(),
            meter: Arc::clone(&self.meter),
            cookies: Some(match &self.account {
                Some(account) => self.binding.channel().cookies(account),
                None => Arc::clone(&self.cookies),
            }),
            identity: None,
        }
    }

    /// Cookies are credentials that the plugin does not know: an echo of them is masked like any other.
    pub(crate) fn mask_cookies(&self, send: &SendOptions, uri: &http::Uri, masker: &mut Masker) {
        let Some(jar) = &send.cookies else { return };
        if let Ok((origin, target)) = Origin::of_url(&uri.to_string()) {
            let path = target.split('?').next().unwrap_or_default();
            let now = self.binding.services.clock.now();
            jar.values(&origin, path, now).iter().for_each(|value| masker.add(value.as_bytes()));
        }
    }

    /// Says in the log what was refused, for the administrator.
    fn denied(&self, why: impl Display) {
        self.binding.remark(&self.call, format_args!("a request was refused: {why}"));
    }

    /// Says in the log what became of a request, because the words of `wasi:http` have no room for the reason.
    fn failed(&self, request: &str, error: &EgressError) {
        match error {
            EgressError::Url(_)
            | EgressError::Invalid(_)
            | EgressError::NotGranted { .. }
            | EgressError::AddressNotGranted { .. }
            | EgressError::TooManyRequests
            | EgressError::RequestTooLarge { .. } => self.denied(error),
            EgressError::Deadline { .. }
            | EgressError::ResponseTooLarge { .. }
            | EgressError::Tls { .. }
            | EgressError::NotSent { .. }
            | EgressError::Interrupted { .. } => {
                self.binding.remark(&self.call, format_args!("{request} was broken off: {error}"));
            }
            // Nobody is there, which comes and goes.
            _ => tracing::debug!(
                target: "archipel::plugin", plugin = %self.binding.label, request = %self.call.request_id, %error, "a request failed"
            ),
        }
    }

    async fn send(
        self,
        request: http::Request<WasiBody>,
        options: Option<RequestOptions>,
        attached: Option<Vec<Attached>>,
    ) -> Answer {
        let pending = self.trace.begin("http", &shown(request.method().as_str(), request.uri()));
        let answer = self.checked(request, options, attached).await;
        match &answer {
            Ok((response, _)) => pending.end(response.status().as_str()),
            Err(error) => pending.end(error.to_string()),
        }
        answer
    }

    async fn checked(
        self,
        mut request: http::Request<WasiBody>,
        options: Option<RequestOptions>,
        attached: Option<Vec<Attached>>,
    ) -> Answer {
        if !self.may_connect() {
            self.denied("lifecycle.init has no network; use lifecycle.refresh");
            return Err(Error::HttpRequestDenied);
        }
        if !self.may_send(request.method()) {
            self.denied("a candidate in the shadow of another may only look: GET and HEAD");
            return Err(Error::HttpRequestDenied);
        }
        let Some(attached) = attached else {
            self.denied("a credential was attached to another request or in an earlier call");
            return Err(Error::HttpRequestDenied);
        };
        let mut send = self.options();
        let mut masker = Masker::new();
        let mut signature = None;
        self.mask_cookies(&send, request.uri(), &mut masker);
        if !attached.is_empty() {
            let Ok((origin, target)) = Origin::of_url(&request.uri().to_string()) else {
                return Err(Error::HttpRequestUriInvalid);
            };
            for credential in attached {
                let path = target.split('?').next().unwrap_or_default();
                let (origin, method) = (origin.to_string(), request.method().as_str());
                if !self.binding.grants.may_use(
                    &credential.name,
                    &origin,
                    method,
                    path,
                    &credential.placement,
                ) {
                    self.denied(format_args!(
                        "no rule of its grant lets secret {:?} go to {method} {origin}{path} as {}",
                        credential.name, credential.placement
                    ));
                    return Err(Error::HttpRequestDenied);
                }
                match (&credential.placement, &credential.with) {
                    (Placement::SigV4, With::Scope(scope)) => {
                        signature = Some((credential.bytes.clone(), scope.clone()))
                    }
                    (Placement::ClientCertificate, _) => {
                        masker.add(credential.bytes.reveal());
                        let identity = Identity::from_pem(credential.bytes.reveal());
                        send.identity = Some(identity.map_err(|_| Error::HttpRequestDenied)?);
                    }
                    _ => credential
                        .put_in(request.headers_mut(), &mut masker)
                        .map_err(|()| Error::HttpRequestHeaderSize { field_name: None, field_size: None })?,
                }
            }
        }
        if let Some((secret, scope)) = signature {
            // Last, because it covers the others.
            let now = self.binding.services.clock.now();
            let signed = sign(request, &secret, &scope, now, &mut masker);
            request = tokio::time::timeout_at(self.call.deadline.into(), signed)
                .await
                .map_err(|_| Error::ConnectionTimeout)??;
        }
        if !masker.is_empty() {
            // A compressed echo could not be masked.
            request.headers_mut().remove(ACCEPT_ENCODING);
        }
        if let Some(options) = options {
            send.first_byte = [options.connect_timeout, options.first_byte_timeout]
                .into_iter()
                .flatten()
                .reduce(|a, b| a + b);
        }
        let channel = Arc::clone(self.binding.channel());
        let about = shown(request.method().as_str(), request.uri());
        let failed = move |error: EgressError| {
            self.failed(&about, &error);
            to_wasi(error)
        };
        let answer = channel.send(request, send).await.map_err(&failed)?;
        let (mut head, body) = answer.into_parts();
        drop_credentials(&mut head.headers);
        let body = body.map_err(failed).boxed_unsync();
        let body = if masker.is_empty() {
            body.map_frame(without_credentials).boxed_unsync()
        } else {
            mask_headers(&mut head.headers, &masker);
            MaskedBody::new(body, masker).boxed_unsync()
        };
        Ok((http::Response::from_parts(head, body), Box::new(async { Ok(()) })))
    }
}

impl WasiHttpHooks for HttpHooks {
    fn is_forbidden_header(&mut self, name: &HeaderName) -> bool {
        let is_forbidden = is_forbidden(name);
        if is_forbidden {
            self.outbound.binding.remark(
                &self.outbound.call,
                format_args!(
                    "header {name:?} was refused: it is the host's to write, or a credential's place"
                ),
            );
        }
        is_forbidden
    }

    fn forbidden_header_filter(&mut self) -> ForbiddenHeaderFilter {
        Arc::new(is_forbidden)
    }

    /// Egress writes it, from the URI.
    fn set_host_header(&mut self) -> bool {
        false
    }

    fn send_request(
        &mut self,
        mut request: http::Request<WasiBody>,
        options: Option<RequestOptions>,
        _: Box<dyn Future<Output = Result<(), Error>> + Send>,
    ) -> Box<dyn Future<Output = Answer> + Send> {
        let attached = self.marks.take(request.headers_mut());
        // On a task of its own, and still below the call in a trace.
        Box::new(self.outbound.clone().send(request, options, attached).in_current_span())
    }
}

/// Headers that a plugin can neither set nor see: those of one hop, `Authorization` (use `attach`), and our mark.
fn is_forbidden(name: &HeaderName) -> bool {
    DEFAULT_FORBIDDEN_HEADERS.contains(name)
        || archipel_egress::headers::is_of_one_hop(name)
        || *name == AUTHORIZATION
        || name.as_str() == MARK
}

/// A request as evidence shows it: no path, because a path may hold what only the two sides should know.
pub(crate) fn shown(method: &str, uri: &http::Uri) -> String {
    let origin =
        Origin::of_url(&uri.to_string()).map_or_else(|_| "?".to_owned(), |(origin, _)| origin.to_string());
    format!("{method} {origin}")
}

/// Removes what carries credentials.
pub(crate) fn drop_credentials(headers: &mut HeaderMap) {
    for name in CREDENTIALS_IN_ANSWERS {
        headers.remove(name);
    }
}

/// Trailers are headers that come late.
fn without_credentials(frame: Frame<Bytes>) -> Frame<Bytes> {
    match frame.into_trailers() {
        Ok(mut trailers) => {
            drop_credentials(&mut trailers);
            archipel_egress::headers::strip(&mut trailers);
            Frame::trailers(trailers)
        }
        Err(data) => data,
    }
}

/// Masks header values.
pub(crate) fn mask_headers(headers: &mut HeaderMap, masker: &Masker) {
    for value in headers.values_mut() {
        if masker.finds(value.as_bytes()) {
            let mut bytes = value.as_bytes().to_vec();
            masker.mask(&mut bytes);
            if let Ok(masked) = bytes.try_into() {
                *value = masked;
            }
        }
    }
}

/// Our failures in the words of `wasi:http`, chosen so that the SDK reads the same `applied` from them.
fn to_wasi(error: EgressError) -> Error {
    match error {
        EgressError::Url(_) => Error::HttpRequestUriInvalid,
        EgressError::Invalid(_) => Error::HttpRequestMethodInvalid,
        EgressError::NotGranted { .. } => Error::HttpRequestDenied,
        EgressError::AddressNotGranted { .. } => Error::DestinationIpProhibited,
        EgressError::Unresolvable { .. } => Error::DnsError { rcode: None, info_code: None },
        EgressError::Connect { reason, .. } => match reason.kind() {
            std::io::ErrorKind::ConnectionRefused => Error::ConnectionRefused,
            std::io::ErrorKind::TimedOut => Error::ConnectionTimeout,
            _ => Error::DestinationUnavailable,
        },
        EgressError::Tls { reason, .. } if reason.contains("certificate") => Error::TlsCertificateError,
        EgressError::Tls { .. } => Error::TlsProtocolError,
        EgressError::TooManyRequests => Error::ConnectionLimitReached,
        EgressError::Deadline { stage: Stage::Before } => Error::ConnectionTimeout,
        EgressError::Deadline { stage: Stage::Sent } => Error::HttpResponseTimeout,
        EgressError::RequestTooLarge { limit } => Error::HttpRequestBodySize(Some(limit)),
        EgressError::ResponseTooLarge { limit } => Error::HttpResponseBodySize(Some(limit)),
        EgressError::NotSent { .. } => Error::DestinationUnavailable,
        EgressError::Interrupted { .. } => Error::ConnectionTerminated,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plugin_cannot_set_what_the_host_writes() {
        for name in
            ["authorization", "host", "connection", "proxy-authorization", "transfer-encoding", "te", MARK]
        {
            assert!(is_forbidden(&HeaderName::from_static(name)), "{name}");
        }
        for name in ["accept", "x-auth-token", "content-type", "content-length", "openstack-api-version"] {
            assert!(!is_forbidden(&HeaderName::from_static(name)), "{name}");
        }
    }

    #[test]
    fn answers_lose_their_credentials_and_echoes_are_masked() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("set-cookie", "a"),
            ("x-subject-token", "t"),
            ("location", "https://h/?t=s3cretvalue"),
            ("etag", "x"),
        ] {
            headers.append(HeaderName::from_static(name), value.parse().unwrap());
        }
        drop_credentials(&mut headers);
        let mut masker = Masker::new();
        masker.add(b"s3cretvalue");
        mask_headers(&mut headers, &masker);
        assert_eq!(headers.len(), 2);
        assert_eq!(headers["location"], "https://h/?t=***********");
    }
}
