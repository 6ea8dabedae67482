//! `credentials.exchange`: a small request with secrets in it, and secrets coming out of it. Everything is held in
//! memory, so it can be escaped on the way out and searched on the way in.

use archipel_bindings::latest::archipel::host::credentials::{
    Capture, Captured, ExchangeRequest, ExchangeResponse, Part,
};
use archipel_egress::Origin;
use archipel_model::{Applied, Error, SecretBytes};
use archipel_vault::Masker;
use bytes::Bytes;
use http::header::{ACCEPT_ENCODING, CONTENT_LENGTH, HeaderName, HeaderValue};
use http::{HeaderMap, Method, Request, Uri};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};

use super::capture::capture;
use super::errors::{by, checked_name};
use super::http::{Outbound, drop_credentials, mask_headers};
use super::insert::{self, Piece, Use};
use super::state::CallState;

/// Bytes of a request (URL, headers and body together) and of an answer.
const MAX_BYTES: usize = 64 * 1024;
/// Headers of a request.
const MAX_HEADERS: usize = 64;
/// Captures of a request.
const MAX_CAPTURES: usize = 16;

/// An answer with its secrets apart.
struct Answer {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    captured: Vec<(String, SecretBytes)>,
}

impl CallState {
    pub(crate) async fn run_exchange(&mut self, request: ExchangeRequest) -> Result<ExchangeResponse, Error> {
        if request.headers.len() > MAX_HEADERS || request.captures.len() > MAX_CAPTURES {
            return Err(Error::invalid("an exchange has at most 64 headers and 16 captures"));
        }
        for wanted in &request.captures {
            checked_name(&wanted.name)?;
        }
        let (made, uses) = self.assemble(&request)?;
        let outbound = self.hooks.outbound();
        let deadline = self.call().deadline;
        let answer = by(deadline, send(outbound, made, uses, &request.captures)).await?;
        let mut captured = Vec::new();
        for (name, bytes) in answer.captured {
            let secret = self.give_secret(format!("captured.{name}"), bytes)?;
            captured.push(Captured { name, secret });
        }
        Ok(ExchangeResponse { status: answer.status, headers: answer.headers, body: answer.body, captured })
    }

    /// The whole request, and which secrets are in it as what.
    fn assemble(&self, request: &ExchangeRequest) -> Result<(Request<Bytes>, Vec<Use>), Error> {
        let mut uses = Vec::new();
        let mut headers = HeaderMap::new();
        let mut size = request.url.len();
        for header in &request.headers {
            let unfit = || Error::invalid(format!("header {:?} cannot be sent", header.name));
            let name: HeaderName = header.name.parse().map_err(|_| unfit())?;
            if name == CONTENT_LENGTH || name == ACCEPT_ENCODING {
                continue;
            }
            let value = insert::header(&name, self.pieces(&header.value)?, &mut uses)?;
            size += header.name.len() + value.len();
            let mut value = HeaderValue::from_bytes(&value).map_err(|_| unfit())?;
            value.set_sensitive(true);
            headers.append(name, value);
        }
        let mut body = insert::body(self.pieces(&request.body)?, &mut uses)?;
        size += body.len();
        if size > MAX_BYTES {
            return Err(Error::invalid(
                "an exchange has at most 64 KiB of URL, headers and body; send more with attach",
            ));
        }
        let method: Method = request.method.parse().map_err(|_| Error::invalid("not a method"))?;
        let uri: Uri = request.url.parse().map_err(|_| Error::invalid("not an absolute URL"))?;
        let mut made = Request::new(Bytes::from(std::mem::take(&mut *body)));
        *made.method_mut() = method;
        *made.uri_mut() = uri;
        *made.headers_mut() = headers;
        Ok((made, uses))
    }

    fn pieces(&self, parts: &[Part]) -> Result<Vec<Piece>, Error> {
        parts
            .iter()
            .map(|part| {
                Ok(match part {
                    Part::Text(text) => Piece::Text(text.clone()),
                    Part::Json(source) => Piece::Json(self.credential(source)?),
                    Part::Form(source) => Piece::Form(self.credential(source)?),
                    Part::Raw(source) => Piece::Raw(self.credential(source)?),
                })
            })
            .collect()
    }
}

async fn send(
    outbound: Outbound,
    request: Request<Bytes>,
    uses: Vec<Use>,
    captures: &[Capture],
) -> Result<Answer, Error> {
    if !outbound.may_connect() {
        return Err(Error::forbidden("lifecycle.init has no network; use lifecycle.refresh"));
    }
    if !outbound.may_send(request.method()) {
        return Err(Error::forbidden("a candidate in the shadow of another may only look: GET and HEAD"));
    }
    let (origin, target) =
        Origin::of_url(&request.uri().to_string()).map_err(|error| Error::invalid(error.to_string()))?;
    let (origin, path) = (origin.to_string(), target.split('?').next().unwrap_or_default());
    let mut masker = Masker::new();
    for (credential, placement) in &uses {
        let method = request.method().as_str();
        if !outbound.binding.grants.may_use(&credential.name, &origin, method, path, placement) {
            return Err(Error::forbidden(format!(
                "no rule of its grant lets secret {:?} go to {method} {origin}{path} as {placement}",
                credential.name
            )));
        }
        masker.add(credential.bytes.reveal());
    }
    let options = outbound.options();
    outbound.mask_cookies(&options, request.uri(), &mut masker);
    let response = outbound.binding.channel().send(request.map(Full::new), options).await?;
    let (head, body) = response.into_parts();
    let body = Limited::new(body, MAX_BYTES).collect().await.map_err(|error| {
        let message = if error.is::<LengthLimitError>() {
            "the answer is larger than the 64 KiB of an exchange".to_owned()
        } else {
            error.to_string()
        };
        Error::transient(message).applied(Applied::Unknown)
    })?;
    let (mut headers, mut body) = (head.headers, body.to_bytes().to_vec());
    let captured = capture(&mut headers, &mut body, captures);
    for (_, secret) in &captured {
        masker.add(secret.reveal());
    }
    drop_credentials(&mut headers);
    headers.remove(CONTENT_LENGTH);
    mask_headers(&mut headers, &masker);
    masker.mask(&mut body);
    let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let headers = headers.iter().map(|(name, value)| (name.to_string(), text(value))).collect();
    Ok(Answer { status: head.status.as_u16(), headers, body, captured })
}
