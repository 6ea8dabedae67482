//! `placement::sigv4`: the host signs the whole request, body included, when it leaves. So the body is collected first;
//! whoever sends more than [`MAX_BODY`] needs a placement that does not look into it.

use archipel_egress::Origin;
use archipel_model::{SecretBytes, Timestamp};
use archipel_vault::Masker;
use archipel_vault::sigv4::{self, AccessKey, Scope};
use http::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, HeaderName, HeaderValue};
use http::{HeaderMap, Request};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use wasmtime_wasi_http::{Error, WasiBody};

/// Bytes of a body that is signed.
const MAX_BODY: usize = 1 << 20;
/// Headers that begin so are signed.
const AMZ: &str = "x-amz-";
const DATE: HeaderName = HeaderName::from_static("x-amz-date");
const TOKEN: HeaderName = HeaderName::from_static("x-amz-security-token");
const CONTENT: HeaderName = HeaderName::from_static("x-amz-content-sha256");

/// Signs a request. What the plugin wrote into the headers of a signature is replaced.
pub(crate) async fn sign(
    request: Request<WasiBody>,
    secret: &SecretBytes,
    scope: &Scope,
    now: Timestamp,
    masker: &mut Masker,
) -> Result<Request<WasiBody>, Error> {
    let (mut head, body) = request.into_parts();
    let body = Limited::new(body, MAX_BODY).collect().await.map_err(|error| {
        if error.is::<LengthLimitError>() {
            Error::HttpRequestBodySize(Some(MAX_BODY as u64))
        } else {
            Error::HttpProtocolError
        }
    })?;
    let body = body.to_bytes();
    let key = AccessKey::parse(secret.reveal()).map_err(|_| Error::HttpRequestDenied)?;
    key.secrets().for_each(|secret| masker.add(secret));
    let (origin, target) = Origin::of_url(&head.uri.to_string()).map_err(|_| Error::HttpRequestUriInvalid)?;
    let (path, query) = match target.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (target.as_str(), None),
    };
    let date = sigv4::date(now);
    let unfit = |_| Error::HttpRequestHeaderSize { field_name: None, field_size: None };
    head.headers.insert(DATE, HeaderValue::try_from(date.as_str()).map_err(unfit)?);
    head.headers.remove(TOKEN);
    if let Some(token) = key.session() {
        let mut token = HeaderValue::try_from(token).map_err(unfit)?;
        token.set_sensitive(true);
        head.headers.insert(TOKEN, token);
    }
    if scope.is_s3() {
        head.headers.insert(CONTENT, HeaderValue::try_from(sigv4::hash(&body)).map_err(unfit)?);
    }
    let headers = signed(&head.headers, &origin.authority());
    let request =
        sigv4::Request { method: head.method.as_str(), path, query, headers: &headers, body: &body };
    let text = sigv4::authorization(&key, scope, &request, &date);
    let mut value = HeaderValue::try_from(text).map_err(unfit)?;
    value.set_sensitive(true);
    head.headers.insert(AUTHORIZATION, value);
    head.headers.insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
    let body = Full::new(body).map_err(|never| match never {}).boxed_unsync();
    Ok(Request::from_parts(head, body))
}

/// The headers that are signed: those that mean something to the service, and no others, because proxies change them.
fn signed(headers: &HeaderMap, authority: &str) -> Vec<(String, String)> {
    let mut signed = vec![("host".to_owned(), authority.to_owned())];
    for (name, value) in headers {
        if name == CONTENT_TYPE || name.as_str().starts_with(AMZ) {
            // A value that is no text would be no header that the service reads.
            signed.push((name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned()));
        }
    }
    signed
}
