//! AWS Signature Version 4 (AWS General Reference, "Signing AWS API requests"), as EC2's many likenesses take it too. Pure.
//!
//! The secret is a key pair, `ACCESS-KEY-ID:SECRET` or `ACCESS-KEY-ID:SECRET:SESSION-TOKEN`: what belongs together is
//! rotated together. The key's id is no secret; it stands in every request.

use std::fmt::Write as _;

use archipel_model::Timestamp;
use hmac::{Hmac, Mac};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

/// The one algorithm.
const ALGORITHM: &str = "AWS4-HMAC-SHA256";
/// Bytes of a region or a service.
const MAX_NAME: usize = 64;

/// Why nothing is signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SigV4Error {
    /// The secret is no key pair.
    #[error("it is no access key; write ACCESS-KEY-ID:SECRET or ACCESS-KEY-ID:SECRET:SESSION-TOKEN")]
    NoAccessKey,
    /// Region or service.
    #[error("region and service have 1 to 64 letters, digits, hyphens and underscores")]
    BadScope,
}

/// A key pair.
pub struct AccessKey<'a> {
    id: &'a str,
    secret: &'a [u8],
    session: Option<&'a str>,
}

impl std::fmt::Debug for AccessKey<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "AccessKey({})", self.id)
    }
}

impl<'a> AccessKey<'a> {
    /// Takes a secret apart.
    ///
    /// # Errors
    /// `NoAccessKey`.
    pub fn parse(secret: &'a [u8]) -> Result<Self, SigV4Error> {
        let text = std::str::from_utf8(secret).map_err(|_| SigV4Error::NoAccessKey)?;
        let mut parts = text.splitn(3, ':');
        let (id, key, session) =
            (parts.next().unwrap_or_default(), parts.next().unwrap_or_default(), parts.next());
        let is_id = (1..=128).contains(&id.len())
            && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte));
        let is_printable =
            |text: &str| !text.is_empty() && text.bytes().all(|byte| (0x21..0x7f).contains(&byte));
        if !is_id || !is_printable(key) || session.is_some_and(|token| !is_printable(token)) {
            return Err(SigV4Error::NoAccessKey);
        }
        Ok(Self { id, secret: key.as_bytes(), session })
    }

    /// What no answer may echo.
    pub fn secrets(&self) -> impl Iterator<Item = &'a [u8]> {
        std::iter::once(self.secret).chain(self.session.map(str::as_bytes))
    }

    /// The token that goes along as a header, for credentials that are lent.
    pub fn session(&self) -> Option<&'a str> {
        self.session
    }
}

/// For where a signature counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scope {
    region: String,
    service: String,
}

impl Scope {
    /// As in `us-east-1` and `ec2`.
    ///
    /// # Errors
    /// `BadScope`.
    pub fn new(region: impl Into<String>, service: impl Into<String>) -> Result<Self, SigV4Error> {
        let (region, service) = (region.into(), service.into());
        let fits = |name: &str| {
            (1..=MAX_NAME).contains(&name.len())
                && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
        };
        if fits(&region) && fits(&service) { Ok(Self { region, service }) } else { Err(SigV4Error::BadScope) }
    }

    /// Whether the service wants to be told the body's hash, and its path encoded once (S3) rather than twice.
    pub fn is_s3(&self) -> bool {
        self.service == "s3"
    }
}

/// What is signed.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// `GET`, ...
    pub method: &'a str,
    /// As it is sent, without the query.
    pub path: &'a str,
    /// As it is sent.
    pub query: Option<&'a str>,
    /// Every header that is signed: `host` and `x-amz-date` at least. Names in lower case.
    pub headers: &'a [(String, String)],
    /// All of it.
    pub body: &'a [u8],
}

/// `20150830T123600Z`, for the header `x-amz-date`.
pub fn date(at: Timestamp) -> String {
    // `2015-08-30T12:36:00.000Z`
    let text = at.to_string();
    let seconds = text.split('.').next().unwrap_or_default().trim_end_matches('Z');
    let mut date: String = seconds.chars().filter(|letter| !"-:".contains(*letter)).collect();
    date.push('Z');
    date
}

/// SHA-256 in hexadecimal, for the header `x-amz-content-sha256`.
pub fn hash(body: &[u8]) -> String {
    hex::encode(Sha256::digest(body))
}

/// The value of `Authorization`. `date` is that of the header.
pub fn authorization(key: &AccessKey<'_>, scope: &Scope, request: &Request<'_>, date: &str) -> String {
    let day = date.get(..8).unwrap_or_default();
    let scoped = format!("{day}/{}/{}/aws4_request", scope.region, scope.service);
    let headers = canonical_headers(request.headers);
    let names: Vec<&str> = headers.iter().map(|(name, _)| name.as_str()).collect();
    let names = names.join(";");
    let mut canonical = format!(
        "{}\n{}\n{}\n",
        request.method,
        canonical_path(request.path, scope.is_s3()),
        canonical_query(request.query.unwrap_or_default())
    );
    for (name, value) in &headers {
        let _ = writeln!(canonical, "{name}:{value}");
    }
    let _ = write!(canonical, "\n{names}\n{}", hash(request.body));
    let to_sign = format!("{ALGORITHM}\n{date}\n{scoped}\n{}", hash(canonical.as_bytes()));
    let first = Zeroizing::new([b"AWS4", key.secret].concat());
    let derived = [day, &scope.region, &scope.service, "aws4_request"]
        .iter()
        .fold(first, |key, part| Zeroizing::new(hmac(&key, part.as_bytes())));
    let signature = hex::encode(hmac(&derived, to_sign.as_bytes()));
    format!("{ALGORITHM} Credential={}/{scoped}, SignedHeaders={names}, Signature={signature}", key.id)
}

fn hmac(key: &[u8], text: &[u8]) -> Vec<u8> {
    // Keys of any length are taken.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else { return Vec::new() };
    mac.update(text);
    mac.finalize().into_bytes().to_vec()
}

/// Sorted by name, those of one name joined, spaces trimmed and runs of them made one.
fn canonical_headers(headers: &[(String, String)]) -> Vec<(String, String)> {
    let mut sorted: Vec<&(String, String)> = headers.iter().collect();
    // Stable: values of one name keep their order.
    sorted.sort_by(|(one, _), (other, _)| one.cmp(other));
    let mut out: Vec<(String, String)> = Vec::with_capacity(sorted.len());
    for (name, value) in sorted {
        let value = value.split_whitespace().collect::<Vec<_>>().join(" ");
        match out.last_mut() {
            Some((last, joined)) if last == name => {
                joined.push(',');
                joined.push_str(&value);
            }
            _ => out.push((name.clone(), value)),
        }
    }
    out
}

/// The path as it is sent, encoded once more, but for S3.
fn canonical_path(path: &str, is_s3: bool) -> String {
    match (path, is_s3) {
        ("", _) => "/".to_owned(),
        (path, true) => path.to_owned(),
        (path, false) => encode(path.as_bytes(), b"/"),
    }
}

/// Pairs sorted by name and value, each encoded in the one way that both sides agree on.
fn canonical_query(query: &str) -> String {
    let mut pairs: Vec<(String, String)> = query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (encode(&decode(name), b""), encode(&decode(value), b""))
        })
        .collect();
    pairs.sort();
    pairs.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("&")
}

/// RFC 3986: everything but unreserved characters and those of `but`.
fn encode(bytes: &[u8], but: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    for &byte in bytes {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) || but.contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

/// `%2F` as the byte it is; what is no escape stays.
fn decode(text: &str) -> Vec<u8> {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let escaped = bytes.get(at + 1..at + 3).filter(|_| byte == b'%');
        let value = escaped.and_then(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok());
        out.push(value.unwrap_or(byte));
        at += if value.is_some() { 3 } else { 1 };
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Key, date and scope of AWS's published test suite ("aws-sig-v4-test-suite").
    fn signature(method: &str, target: &str, headers: &[(&str, &str)], body: &str) -> String {
        let key = AccessKey::parse(b"AKIDEXAMPLE:wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY").unwrap();
        let scope = Scope::new("us-east-1", "service").unwrap();
        let (path, query) =
            target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
        let mut all = vec![
            ("host".to_owned(), "example.amazonaws.com".to_owned()),
            ("x-amz-date".to_owned(), "20150830T123600Z".to_owned()),
        ];
        all.extend(headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        let request = Request { method, path, query, headers: &all, body: body.as_bytes() };
        let text = authorization(&key, &scope, &request, "20150830T123600Z");
        assert!(text.starts_with(
            "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, SignedHeaders="
        ));
        text.rsplit_once("Signature=").unwrap().1.to_owned()
    }

    #[test]
    fn the_published_vectors_are_met() {
        for (case, method, target, headers, body, expected) in [
            (
                "get-vanilla",
                "GET",
                "/",
                &[][..],
                "",
                "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
            ),
            (
                "get-vanilla-query-order-key-case",
                "GET",
                "/?Param2=value2&Param1=value1",
                &[],
                "",
                "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500",
            ),
            (
                "get-vanilla-empty-query-key",
                "GET",
                "/?Param1=value1",
                &[],
                "",
                "a67d582fa61cc504c4bae71f336f98b97f1ea3c7a6bfe1b6e45aec72011b9aeb",
            ),
            (
                "get-vanilla-utf8-query",
                "GET",
                "/?ሴ=bar",
                &[],
                "",
                "2cdec8eed098649ff3a119c94853b13c643bcf08f8b0a1d91e12c9027818dd04",
            ),
            (
                "get-utf8",
                "GET",
                "/ሴ",
                &[],
                "",
                "8318018e0b0f223aa2bbf98705b62bb787dc9c0e678f255a891fd03141be5d85",
            ),
            (
                "get-unreserved",
                "GET",
                "/-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz",
                &[],
                "",
                "07ef7494c76fa4850883e2b006601f940f8a34d404d0cfa977f52a65bbf5f24f",
            ),
            (
                "post-vanilla",
                "POST",
                "/",
                &[],
                "",
                "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b",
            ),
            (
                "post-x-www-form-urlencoded",
                "POST",
                "/",
                &[("content-type", "application/x-www-form-urlencoded")],
                "Param1=value1",
                "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a",
            ),
            (
                "get-header-value-trim",
                "GET",
                "/",
                &[("my-header1", " value1"), ("my-header2", " \"a   b   c\"")],
                "",
                "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736",
            ),
            (
                "get-header-key-duplicate",
                "GET",
                "/",
                &[("my-header1", "value2"), ("my-header1", "value2"), ("my-header1", "value1")],
                "",
                "c9d5ea9f3f72853aea855b47ea873832890dbdd183b4468f858259531a5138ea",
            ),
        ] {
            assert_eq!(signature(method, target, headers, body), expected, "{case}");
        }
    }

    #[test]
    fn a_date_is_written_without_punctuation() {
        assert_eq!(date(Timestamp::from_millis(1_440_938_160_999)), "20150830T123600Z");
    }

    #[test]
    fn what_is_no_key_pair_or_scope_is_refused() {
        for wrong in
            [&b""[..], b"id", b"id:", b":secret", b"i d:secret", b"id:sec ret", b"id:secret:", b"\xff:x"]
        {
            assert_eq!(AccessKey::parse(wrong).unwrap_err(), SigV4Error::NoAccessKey, "{wrong:?}");
        }
        let key = AccessKey::parse(b"id:se:to:ken").unwrap();
        assert_eq!(key.secrets().collect::<Vec<_>>(), [&b"se"[..], b"to:ken"]);
        assert_eq!(format!("{key:?}"), "AccessKey(id)");
        for (region, service) in [("", "ec2"), ("a/b", "ec2"), ("r", "e c2")] {
            assert_eq!(Scope::new(region, service), Err(SigV4Error::BadScope));
        }
    }

    #[test]
    fn an_encoded_path_is_encoded_once_more_and_not_for_s3() {
        assert_eq!(canonical_path("/a%20b/c", false), "/a%2520b/c");
        assert_eq!(canonical_path("/a%20b/c", true), "/a%20b/c");
        assert_eq!(canonical_query("b=%2f&a&b=+"), "a=&b=%2B&b=%2F");
    }
}
