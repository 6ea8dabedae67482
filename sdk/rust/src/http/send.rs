//! Sends a request over `wasi:http` and reads the answer.
//!
//! The order matters: credentials are attached before the request is handed over, and the body is written after, for
//! the host may begin to read it only then. When writing fails, the request's own outcome says why.

use super::request::{Request, target};
use super::{Response, without_query};
use crate::bindings::common::archipel::host::credentials::attach;
use crate::bindings::common::wasi::http::outgoing_handler::handle;
use crate::bindings::common::wasi::http::types::{
    ErrorCode, Fields, FutureIncomingResponse, IncomingBody, IncomingResponse, Method, OutgoingBody,
    OutgoingRequest, RequestOptions, Scheme,
};
use crate::bindings::common::wasi::io::streams::{InputStream, OutputStream, StreamError};
use crate::error::{Applied, Error, ErrorKind, Result};

/// What `blocking-write-and-flush` takes at once.
const WRITE: usize = 4096;

/// What is asked for at once while reading.
const READ: u64 = 64 * 1024;

pub(super) fn send(request: Request<'_>) -> Result<Response> {
    let what = format!("{} {}", request.method, without_query(&request.url));
    exchange(request, &what).map_err(|error| error.context(&what))
}

fn exchange(request: Request<'_>, what: &str) -> Result<Response> {
    if let Some(mistake) = request.mistake {
        return Err(mistake);
    }
    let outgoing = outgoing(&request)?;
    let options = options(&request)?;
    let body = outgoing.body().map_err(|()| Error::permanent("the request's body is taken"))?;
    let future = handle(outgoing, options).map_err(|code| failure(&code))?;
    write_body(body, request.body.as_deref().unwrap_or_default());
    let response = wait(&future)?;
    let status = response.status();
    let headers = response.headers().entries();
    let body = read_body(&response, request.max_body)?;
    Ok(Response { what: what.to_owned(), status, headers, body })
}

/// Head and credentials.
fn outgoing(request: &Request<'_>) -> Result<OutgoingRequest> {
    let target = target(&request.url)?;
    let fields = Fields::new();
    for (name, value) in &request.headers {
        fields.append(name, value).map_err(|error| Error::invalid(format!("header {name:?}: {error}")))?;
    }
    let length = request.body.as_ref().map(Vec::len);
    if length.is_some() || matches!(request.method.as_str(), "POST" | "PUT" | "PATCH") {
        let length = length.unwrap_or_default().to_string();
        fields
            .append("content-length", length.as_bytes())
            .map_err(|error| Error::invalid(format!("header \"content-length\": {error}")))?;
    }
    let outgoing = OutgoingRequest::new(fields);
    let scheme = if target.https { Scheme::Https } else { Scheme::Http };
    outgoing
        .set_method(&method(&request.method))
        .and_then(|()| outgoing.set_scheme(Some(&scheme)))
        .and_then(|()| outgoing.set_authority(Some(target.authority)))
        .and_then(|()| outgoing.set_path_with_query(Some(&target.path_with_query)))
        .map_err(|()| Error::invalid("malformed method or url"))?;
    for (source, placement) in &request.credentials {
        attach(&outgoing, source, placement).map_err(Error::from_wit)?;
    }
    Ok(outgoing)
}

fn options(request: &Request<'_>) -> Result<Option<RequestOptions>> {
    let Some(timeout) = request.timeout else { return Ok(None) };
    let nanoseconds = Some(u64::try_from(timeout.as_nanos()).unwrap_or(u64::MAX));
    let options = RequestOptions::new();
    options
        .set_connect_timeout(nanoseconds)
        .and_then(|()| options.set_first_byte_timeout(nanoseconds))
        .and_then(|()| options.set_between_bytes_timeout(nanoseconds))
        .map_err(|()| Error::unsupported("the host takes no time-outs"))?;
    Ok(Some(options))
}

fn method(name: &str) -> Method {
    match name {
        "GET" => Method::Get,
        "HEAD" => Method::Head,
        "POST" => Method::Post,
        "PUT" => Method::Put,
        "DELETE" => Method::Delete,
        "CONNECT" => Method::Connect,
        "OPTIONS" => Method::Options,
        "TRACE" => Method::Trace,
        "PATCH" => Method::Patch,
        other => Method::Other(other.to_owned()),
    }
}

/// Writes what the far side will take. A failure shows in the answer, so it is not told from here.
fn write_body(body: OutgoingBody, bytes: &[u8]) {
    let Ok(stream) = body.write() else { return };
    let written = write_all(&stream, bytes);
    drop(stream);
    if written.is_ok() {
        let _ = OutgoingBody::finish(body, None);
    }
}

fn write_all(stream: &OutputStream, bytes: &[u8]) -> std::result::Result<(), StreamError> {
    bytes.chunks(WRITE).try_for_each(|chunk| stream.blocking_write_and_flush(chunk))
}

fn wait(future: &FutureIncomingResponse) -> Result<IncomingResponse> {
    loop {
        match future.get() {
            Some(Ok(Ok(response))) => return Ok(response),
            Some(Ok(Err(code))) => return Err(failure(&code)),
            Some(Err(())) => return Err(Error::permanent("the answer is taken").applied(Applied::Unknown)),
            None => future.subscribe().block(),
        }
    }
}

fn read_body(response: &IncomingResponse, max: usize) -> Result<Vec<u8>> {
    let broken = |what: String| Error::transient(what).applied(Applied::Unknown);
    let body = response.consume().map_err(|()| broken("the answer's body is taken".to_owned()))?;
    let stream = body.stream().map_err(|()| broken("the answer's body is taken".to_owned()))?;
    let mut bytes = Vec::new();
    loop {
        match read(&stream) {
            Ok(chunk) => bytes.extend(chunk),
            Err(StreamError::Closed) => break,
            Err(StreamError::LastOperationFailed(error)) => {
                return Err(broken(format!("the answer broke off: {}", error.to_debug_string())));
            }
        }
        if bytes.len() > max {
            let message = format!("the answer is larger than {max} bytes; ask for less or raise `max_body`");
            return Err(Error::permanent(message).applied(Applied::Unknown));
        }
    }
    drop(stream);
    drop(IncomingBody::finish(body));
    Ok(bytes)
}

fn read(stream: &InputStream) -> std::result::Result<Vec<u8>, StreamError> {
    stream.blocking_read(READ)
}

/// What a failure of `wasi:http` means, and whether the request may have arrived.
fn failure(code: &ErrorCode) -> Error {
    use Applied::{No, Unknown};
    use ErrorKind::{Forbidden, Invalid, Permanent, Transient};
    let (kind, applied) = match code {
        ErrorCode::HttpRequestDenied | ErrorCode::DestinationIpProhibited => (Forbidden, No),
        ErrorCode::DnsTimeout
        | ErrorCode::DnsError(_)
        | ErrorCode::DestinationNotFound
        | ErrorCode::DestinationUnavailable
        | ErrorCode::DestinationIpUnroutable
        | ErrorCode::ConnectionRefused
        | ErrorCode::ConnectionTimeout
        | ErrorCode::ConnectionLimitReached
        // The handshake failed, so no request was written yet. An alert may come later, and stays unknown.
        | ErrorCode::TlsProtocolError => (Transient, No),
        ErrorCode::TlsCertificateError | ErrorCode::ConfigurationError | ErrorCode::LoopDetected => {
            (Permanent, No)
        }
        ErrorCode::HttpRequestLengthRequired
        | ErrorCode::HttpRequestBodySize(_)
        | ErrorCode::HttpRequestMethodInvalid
        | ErrorCode::HttpRequestUriInvalid
        | ErrorCode::HttpRequestUriTooLong
        | ErrorCode::HttpRequestHeaderSectionSize(_)
        | ErrorCode::HttpRequestHeaderSize(_)
        | ErrorCode::HttpRequestTrailerSectionSize(_)
        | ErrorCode::HttpRequestTrailerSize(_) => (Invalid, No),
        // The request may have left: no answer, an answer that cannot be read, or a host that does not say.
        _ => (Transient, Unknown),
    };
    Error::new(kind, reason(code)).applied(applied)
}

/// The failure in words; the host's own ones where it has any.
fn reason(code: &ErrorCode) -> String {
    match code {
        ErrorCode::HttpRequestDenied => "no grant of this plugin covers this request".to_owned(),
        ErrorCode::DestinationIpProhibited => "the address is private or special, and not granted".to_owned(),
        ErrorCode::ConnectionRefused => "connection refused".to_owned(),
        ErrorCode::ConnectionTerminated => "the connection broke off before the answer was whole".to_owned(),
        ErrorCode::HttpResponseTimeout => "the answer was not whole when the time was up".to_owned(),
        ErrorCode::HttpResponseBodySize(Some(limit)) => {
            format!("the answer is larger than the {limit} bytes that the site allows")
        }
        ErrorCode::InternalError(Some(text)) => text.clone(),
        other => format!("{other:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_never_left_did_nothing_and_what_left_unanswered_is_unknown() {
        let refused = failure(&ErrorCode::ConnectionRefused);
        assert_eq!((refused.kind(), refused.applied_state()), (ErrorKind::Transient, Applied::No));
        let denied = failure(&ErrorCode::HttpRequestDenied);
        assert_eq!((denied.kind(), denied.applied_state()), (ErrorKind::Forbidden, Applied::No));
        let lost = failure(&ErrorCode::ConnectionTerminated);
        assert_eq!((lost.kind(), lost.applied_state()), (ErrorKind::Transient, Applied::Unknown));
        let slow = failure(&ErrorCode::HttpResponseTimeout);
        assert_eq!(slow.applied_state(), Applied::Unknown);
        let large = failure(&ErrorCode::HttpResponseBodySize(Some(7)));
        assert_eq!(large.applied_state(), Applied::Unknown);
        assert_eq!(large.message(), "the answer is larger than the 7 bytes that the site allows");
        let handshake = failure(&ErrorCode::TlsProtocolError);
        assert_eq!((handshake.kind(), handshake.applied_state()), (ErrorKind::Transient, Applied::No));
    }
}
