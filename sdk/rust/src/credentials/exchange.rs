//! A small request with secrets in it, and secrets coming out of it.

use super::{Part, Secret, Source};
use crate::bindings::common::archipel::host::credentials as host;
use crate::config::from_json;
use crate::error::{Error, Result};
use crate::http::status_error;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Builds an exchange. URL, headers and body together are at most 64 KiB, and so is the answer.
///
/// ```no_run
/// # use archipel_sdk::prelude::*;
/// use archipel_sdk::credentials::Exchange;
/// use serde_json::json;
///
/// fn login(password: &Secret) -> Result<Secret> {
///     // Keystone gives its token in a header; the body holds the password in the place of "$password".
///     let body = json!({"auth": {"identity": {"methods": ["password"], "password": {"user": {
///         "name": "archipel", "domain": {"id": "default"}, "password": "$password"}}}}});
///     let mut answer = Exchange::post("https://keystone.example/v3/auth/tokens")
///         .json(&body, &[("$password", password.into())])?
///         .capture_header("token", "x-subject-token")
///         .send()?
///         .error_for_status()?;
///     answer.take("token")
/// }
/// ```
#[derive(Debug)]
pub struct Exchange<'a> {
    request: host::ExchangeRequest<'a>,
}

impl<'a> Exchange<'a> {
    /// A request of any method to an absolute URL of a granted origin.
    #[must_use]
    pub fn new(method: &str, url: &str) -> Self {
        Self {
            request: host::ExchangeRequest {
                method: method.to_owned(),
                url: url.to_owned(),
                headers: Vec::new(),
                body: Vec::new(),
                captures: Vec::new(),
            },
        }
    }

    /// A POST.
    #[must_use]
    pub fn post(url: &str) -> Self {
        Self::new("POST", url)
    }

    /// A GET.
    #[must_use]
    pub fn get(url: &str) -> Self {
        Self::new("GET", url)
    }

    /// Adds a header.
    #[must_use]
    pub fn header(self, name: &str, value: &str) -> Self {
        self.header_parts(name, vec![Part::Text(value.to_owned())])
    }

    /// Adds a header that is a secret as a whole.
    #[must_use]
    pub fn secret_header(self, name: &str, secret: impl Into<Source<'a>>) -> Self {
        self.header_parts(name, vec![Part::Raw(secret.into())])
    }

    /// Adds a header made of pieces.
    #[must_use]
    pub fn header_parts(mut self, name: &str, value: Vec<Part<'a>>) -> Self {
        self.request.headers.push(host::ExchangeHeader { name: name.to_owned(), value });
        self
    }

    /// A JSON body. Every string in it that equals a placeholder becomes that secret, escaped by the host.
    ///
    /// # Errors
    /// When `body` cannot be written as JSON, or lacks a placeholder.
    pub fn json(mut self, body: &impl Serialize, secrets: &[(&str, Source<'a>)]) -> Result<Self> {
        self.request.body = json_parts(serde_json::to_string(body)?, secrets)?;
        Ok(self.header("content-type", "application/json"))
    }

    /// A form (`application/x-www-form-urlencoded`): texts first, then secrets.
    #[must_use]
    pub fn form(mut self, texts: &[(&str, &str)], secrets: &[(&str, Source<'a>)]) -> Self {
        let mut text = String::new();
        let mut body = Vec::new();
        for (name, value) in texts {
            text.push_str(if text.is_empty() { "" } else { "&" });
            text.push_str(&format!("{}={}", percent_encoded(name), percent_encoded(value)));
        }
        for (name, secret) in secrets {
            text.push_str(if text.is_empty() && body.is_empty() { "" } else { "&" });
            text.push_str(&format!("{}=", percent_encoded(name)));
            body.push(Part::Text(std::mem::take(&mut text)));
            body.push(Part::Form(copy(secret)));
        }
        if !text.is_empty() {
            body.push(Part::Text(text));
        }
        self.request.body = body;
        self.header("content-type", "application/x-www-form-urlencoded")
    }

    /// Keeps a header of the answer as a secret; [`ExchangeAnswer::take`] gives it by `name`.
    #[must_use]
    pub fn capture_header(self, name: &str, header: &str) -> Self {
        self.capture(name, host::CaptureFrom::Header(header.to_owned()))
    }

    /// Keeps the string at a JSON pointer (RFC 6901) of the answer's body as a secret.
    #[must_use]
    pub fn capture_json(self, name: &str, pointer: &str) -> Self {
        self.capture(name, host::CaptureFrom::Json(pointer.to_owned()))
    }

    fn capture(mut self, name: &str, from: host::CaptureFrom) -> Self {
        self.request.captures.push(host::Capture { name: name.to_owned(), from });
        self
    }

    /// Sends it and waits for the answer. Redirects are not followed.
    ///
    /// # Errors
    /// Those of the host; a status is no error, see [`ExchangeAnswer::error_for_status`].
    pub fn send(self) -> Result<ExchangeAnswer> {
        let what = format!("{} {}", self.request.method, crate::http::without_query(&self.request.url));
        match host::exchange(&self.request) {
            Ok(answer) => Ok(ExchangeAnswer { what, answer }),
            Err(error) => Err(Error::from_wit(error).context(what)),
        }
    }
}

/// The answer, with captured and attached bytes masked.
#[derive(Debug)]
pub struct ExchangeAnswer {
    what: String,
    answer: host::ExchangeResponse,
}

impl ExchangeAnswer {
    /// The HTTP status.
    #[must_use]
    pub fn status(&self) -> u16 {
        self.answer.status
    }

    /// The first header of that name, in any case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let headers = &self.answer.headers;
        headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// The body.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.answer.body
    }

    /// The body, typed.
    ///
    /// # Errors
    /// `permanent`, naming the path of what does not fit.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T> {
        from_json(&self.answer.body)
            .map_err(|error| Error::permanent(format!("{}: answer: {error}", self.what)))
    }

    /// Makes an error of a status that is none of success, as [`crate::http::Response::error_for_status`] does.
    ///
    /// # Errors
    /// See there.
    pub fn error_for_status(self) -> Result<Self> {
        let retry_after = self.header("retry-after").map(str::to_owned);
        match status_error(&self.what, self.answer.status, retry_after.as_deref(), &self.answer.body) {
            None => Ok(self),
            Some(error) => Err(error),
        }
    }

    /// Takes a captured secret.
    ///
    /// # Errors
    /// `permanent` when the answer did not hold it.
    pub fn take(&mut self, name: &str) -> Result<Secret> {
        let captured = &mut self.answer.captured;
        match captured.iter().position(|captured| captured.name == name) {
            Some(index) => Ok(captured.swap_remove(index).secret),
            None => Err(Error::permanent(format!("{}: the answer holds no {name:?}", self.what))),
        }
    }
}

/// A source is two borrows; the generated type just does not say `Copy`.
fn copy<'a>(source: &Source<'a>) -> Source<'a> {
    match source {
        Source::Secret(secret) => Source::Secret(secret),
        Source::Token(token) => Source::Token(token),
    }
}

/// Cuts a JSON text at its placeholders. A placeholder is matched with its quotes, which cannot occur unescaped
/// inside another string.
fn json_parts<'a>(json: String, secrets: &[(&str, Source<'a>)]) -> Result<Vec<Part<'a>>> {
    let mut parts = vec![Part::Text(json)];
    for (placeholder, secret) in secrets {
        let needle = serde_json::to_string(placeholder)?;
        let mut found = false;
        let mut next = Vec::new();
        for part in parts {
            let Part::Text(text) = part else {
                next.push(part);
                continue;
            };
            let mut pieces = text.split(needle.as_str()).peekable();
            while let Some(piece) = pieces.next() {
                if pieces.peek().is_none() {
                    next.push(Part::Text(piece.to_owned()));
                    break;
                }
                found = true;
                next.push(Part::Text(format!("{piece}\"")));
                next.push(Part::Json(copy(secret)));
                next.push(Part::Text("\"".to_owned()));
            }
        }
        if !found {
            return Err(Error::permanent(format!("the body has no placeholder {placeholder:?}")));
        }
        parts = next;
    }
    Ok(parts)
}

/// Percent-encodes all but the unreserved characters of RFC 3986: for a path segment, a query or a form.
#[must_use]
pub fn percent_encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_without_its_placeholder_is_refused_before_anything_is_sent() {
        let secret = Secret::fake();
        let error =
            json_parts("{\"a\":\"b\"}".into(), &[("$password", Source::Secret(&secret))]).unwrap_err();
        assert_eq!(error.message(), "the body has no placeholder \"$password\"");
    }

    #[test]
    fn a_placeholder_is_replaced_inside_its_quotes_and_not_inside_other_strings() {
        let secret = Secret::fake();
        let body = serde_json::json!({"p": "$p", "q": "say \"$p\" twice"}).to_string();
        let parts = json_parts(body, &[("$p", Source::Secret(&secret))]).unwrap();
        let text: String = parts
            .iter()
            .map(|part| match part {
                Part::Text(text) => text.clone(),
                _ => "<secret>".to_owned(),
            })
            .collect();
        assert_eq!(text, r#"{"p":"<secret>","q":"say \"$p\" twice"}"#);
    }

    #[test]
    fn form_fields_are_percent_encoded() {
        assert_eq!(percent_encoded("a b&c=d/é"), "a%20b%26c%3Dd%2F%C3%A9");
    }
}
