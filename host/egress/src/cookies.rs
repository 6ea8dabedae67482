//! Cookies that servers set, kept by the host and never shown to a plugin.
//!
//! Stricter than RFC 6265 where that costs nothing: a cookie goes back to the very origin that set it (scheme, host and
//! port), whatever its `Domain` says, because a grant names origins. Whose cookies are kept together is the caller's to
//! say ([`CookieJars`]): those of two accounts must not meet, a cookie is a session.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use archipel_model::Timestamp;
use http::header::{COOKIE, HeaderMap, HeaderValue, SET_COOKIE};
use zeroize::Zeroizing;

use crate::origin::Origin;

/// Origins of one jar.
const MAX_ORIGINS: usize = 16;
/// Cookies of one origin: a server must not make every request long.
const MAX_COOKIES: usize = 32;
/// Bytes of a cookie's name and value together (RFC 6265, section 6.1).
const MAX_COOKIE: usize = 4096;
/// Jars of one binding; the one that was not used for longest goes.
const MAX_JARS: usize = 64;

struct Cookie {
    name: String,
    value: Zeroizing<String>,
    path: String,
    /// `None` = as long as the jar.
    until: Option<Timestamp>,
}

/// Cookies of one account, or of one call.
#[derive(Default)]
pub struct CookieJar {
    origins: Mutex<HashMap<Origin, Vec<Cookie>>>,
}

impl fmt::Debug for CookieJar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CookieJar({} origins)", self.lock().len())
    }
}

impl CookieJar {
    fn lock(&self) -> MutexGuard<'_, HashMap<Origin, Vec<Cookie>>> {
        self.origins.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What would go along with a request for this path, so that an echo can be masked.
    pub fn values(&self, origin: &Origin, path: &str, now: Timestamp) -> Vec<Zeroizing<String>> {
        let origins = self.lock();
        let cookies = origins.get(origin).into_iter().flatten();
        cookies.filter(|cookie| cookie.goes_with(path, now)).map(|cookie| cookie.value.clone()).collect()
    }

    /// Adds the header. One that the plugin wrote itself stays as it is.
    pub(crate) fn put_in(&self, headers: &mut HeaderMap, origin: &Origin, path: &str, now: Timestamp) {
        if headers.contains_key(COOKIE) {
            return;
        }
        let origins = self.lock();
        let mut cookies: Vec<&Cookie> =
            origins.get(origin).into_iter().flatten().filter(|cookie| cookie.goes_with(path, now)).collect();
        if cookies.is_empty() {
            return;
        }
        // Longer paths first (RFC 6265, section 5.4).
        cookies.sort_by_key(|cookie| std::cmp::Reverse(cookie.path.len()));
        let pairs: Vec<Zeroizing<String>> = cookies
            .iter()
            .map(|cookie| Zeroizing::new(format!("{}={}", cookie.name, *cookie.value)))
            .collect();
        let texts: Vec<&str> = pairs.iter().map(|pair| pair.as_str()).collect();
        if let Ok(mut value) = HeaderValue::try_from(texts.join("; ")) {
            value.set_sensitive(true);
            headers.insert(COOKIE, value);
        }
    }

    /// Keeps what an answer sets.
    pub(crate) fn take_from(&self, headers: &HeaderMap, origin: &Origin, path: &str, now: Timestamp) {
        let set = headers.get_all(SET_COOKIE).iter().filter_map(|value| value.to_str().ok());
        for (cookie, is_secure) in set.filter_map(|text| parse(text, path, now)) {
            if is_secure && !origin.secure {
                continue;
            }
            let mut origins = self.lock();
            if !origins.contains_key(origin) && origins.len() >= MAX_ORIGINS {
                return;
            }
            let cookies = origins.entry(origin.clone()).or_default();
            cookies.retain(|known| {
                known.is_current(now) && (known.name != cookie.name || known.path != cookie.path)
            });
            if cookie.is_current(now) && cookies.len() < MAX_COOKIES {
                cookies.push(cookie);
            }
        }
    }
}

impl Cookie {
    fn is_current(&self, now: Timestamp) -> bool {
        self.until.is_none_or(|until| until > now)
    }

    /// Path-match of RFC 6265, section 5.1.4.
    fn goes_with(&self, path: &str, now: Timestamp) -> bool {
        self.is_current(now)
            && path
                .strip_prefix(self.path.as_str())
                .is_some_and(|rest| rest.is_empty() || self.path.ends_with('/') || rest.starts_with('/'))
    }
}

/// A cookie of `Set-Cookie`, and whether it is for TLS alone.
fn parse(text: &str, request_path: &str, now: Timestamp) -> Option<(Cookie, bool)> {
    let mut parts = text.split(';');
    let (name, value) = parts.next()?.split_once('=')?;
    let (name, value) = (name.trim(), value.trim());
    let fits = !name.is_empty()
        && name.len() + value.len() <= MAX_COOKIE
        && [name, value]
            .iter()
            .all(|text| text.bytes().all(|byte| (0x21..0x7f).contains(&byte) || byte == b' '));
    if !fits {
        return None;
    }
    let (mut path, mut is_secure) = (default_path(request_path).to_owned(), false);
    let (mut expires, mut max_age) = (None, None);
    for attribute in parts {
        let (key, value) = attribute.split_once('=').unwrap_or((attribute, ""));
        match key.trim().to_ascii_lowercase().as_str() {
            "path" if value.trim().starts_with('/') => path = value.trim().to_owned(),
            "secure" => is_secure = true,
            "max-age" => max_age = value.trim().parse::<i64>().ok(),
            "expires" => expires = date(value.trim()),
            _ => {}
        }
    }
    let until = match max_age {
        Some(seconds) => Some(match u64::try_from(seconds) {
            Ok(seconds) if seconds > 0 => now.plus(Duration::from_secs(seconds)),
            _ => now,
        }),
        None => expires,
    };
    Some((Cookie { name: name.to_owned(), value: Zeroizing::new(value.to_owned()), path, until }, is_secure))
}

/// RFC 6265, section 5.1.4.
fn default_path(path: &str) -> &str {
    match path.rfind('/') {
        Some(0) | None => "/",
        Some(at) => path.get(..at).unwrap_or("/"),
    }
}

/// An HTTP date; hyphens as old servers write them.
fn date(text: &str) -> Option<Timestamp> {
    let text = text.replace('-', " ");
    chrono::DateTime::parse_from_rfc2822(&text).ok().map(|at| Timestamp::from_millis(at.timestamp_millis()))
}

/// The jars of one binding, by account.
#[derive(Debug, Default)]
pub struct CookieJars {
    /// Used last at the back.
    jars: Mutex<VecDeque<(String, Arc<CookieJar>)>>,
}

impl CookieJars {
    /// The jar of an account, made where there is none.
    pub fn of(&self, account: &str) -> Arc<CookieJar> {
        let mut jars = self.jars.lock().unwrap_or_else(PoisonError::into_inner);
        let at = jars.iter().position(|(known, _)| known == account);
        let found = at.and_then(|at| jars.remove(at));
        let (name, jar) = found.unwrap_or_else(|| (account.to_owned(), Arc::default()));
        while jars.len() >= MAX_JARS {
            jars.pop_front();
        }
        jars.push_back((name, Arc::clone(&jar)));
        jar
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);

    fn origin(text: &str) -> Origin {
        Origin::of_url(text).unwrap().0
    }

    fn sets(jar: &CookieJar, from: &str, path: &str, cookies: &[&str]) {
        let mut headers = HeaderMap::new();
        for cookie in cookies {
            headers.append(SET_COOKIE, cookie.parse().unwrap());
        }
        jar.take_from(&headers, &origin(from), path, NOW);
    }

    fn sent(jar: &CookieJar, to: &str, path: &str, now: Timestamp) -> String {
        let mut headers = HeaderMap::new();
        jar.put_in(&mut headers, &origin(to), path, now);
        headers.get(COOKIE).map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default()
    }

    #[test]
    fn a_cookie_goes_back_to_its_origin_and_path_and_nowhere_else() {
        let jar = CookieJar::default();
        sets(
            &jar,
            "https://a.test",
            "/v3/auth/tokens",
            &["s=1; Path=/v3; HttpOnly", "d=2; Domain=test", "r=3; path=/"],
        );
        assert_eq!(sent(&jar, "https://a.test", "/v3/users", NOW), "s=1; r=3");
        assert_eq!(sent(&jar, "https://a.test", "/v3/auth/x", NOW), "d=2; s=1; r=3");
        assert_eq!(sent(&jar, "https://a.test", "/v33", NOW), "r=3");
        for other in ["https://b.test", "http://a.test", "https://a.test:8443", "https://sub.a.test"] {
            assert_eq!(sent(&jar, other, "/v3/auth/x", NOW), "", "{other}");
        }
        let values: Vec<String> =
            jar.values(&origin("https://a.test"), "/v3", NOW).iter().map(|value| value.to_string()).collect();
        assert_eq!(values, ["1", "3"]);
    }

    #[test]
    fn a_cookie_ends_when_it_says_and_is_replaced_or_removed_by_the_server() {
        let jar = CookieJar::default();
        let from = "https://a.test";
        sets(&jar, from, "/", &["a=1; Max-Age=60", "b=2; Expires=Wed, 21 Oct 2099 07:28:00 GMT", "c=3"]);
        assert_eq!(sent(&jar, from, "/", NOW.plus(Duration::from_secs(59))), "a=1; b=2; c=3");
        assert_eq!(sent(&jar, from, "/", NOW.plus(Duration::from_secs(61))), "b=2; c=3");
        sets(&jar, from, "/", &["b=4; expires=Thu, 01-Jan-1970 00:00:00 GMT", "c=5", "a=; max-age=0"]);
        assert_eq!(sent(&jar, from, "/", NOW), "c=5");
    }

    #[test]
    fn what_is_unfit_or_too_much_is_not_kept() {
        let jar = CookieJar::default();
        let long = format!("l={}", "x".repeat(MAX_COOKIE));
        sets(&jar, "http://a.test", "/", &["s=1; Secure", "noequals", "=v", &long, "ok=1"]);
        assert_eq!(sent(&jar, "http://a.test", "/", NOW), "ok=1");
        let many: Vec<String> = (0..100).map(|number| format!("c{number}=1")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        sets(&jar, "http://a.test", "/", &many);
        assert_eq!(sent(&jar, "http://a.test", "/", NOW).split("; ").count(), MAX_COOKIES);
        for number in 0..100 {
            sets(&jar, &format!("http://h{number}.test"), "/", &["a=1"]);
        }
        assert_eq!(jar.lock().len(), MAX_ORIGINS);
    }

    #[test]
    fn a_header_of_the_plugins_own_stays() {
        let jar = CookieJar::default();
        sets(&jar, "http://a.test", "/", &["s=1"]);
        let mut headers = HeaderMap::new();
        headers.insert(COOKIE, "mine=1".parse().unwrap());
        jar.put_in(&mut headers, &origin("http://a.test"), "/", NOW);
        assert_eq!(headers[COOKIE], "mine=1");
    }

    #[test]
    fn accounts_have_jars_of_their_own_and_only_the_last_ones_are_kept() {
        let jars = CookieJars::default();
        sets(&jars.of("alice"), "http://a.test", "/", &["s=alice"]);
        assert_eq!(sent(&jars.of("bob"), "http://a.test", "/", NOW), "");
        for number in 0..MAX_JARS - 2 {
            jars.of(&number.to_string());
        }
        assert_eq!(sent(&jars.of("alice"), "http://a.test", "/", NOW), "s=alice");
        for number in 0..MAX_JARS {
            jars.of(&number.to_string());
        }
        assert_eq!(sent(&jars.of("alice"), "http://a.test", "/", NOW), "");
    }
}
