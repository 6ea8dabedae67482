//! What an answer that is no success means: kind, the service's own words, and whether anything was done.
//!
//! | status, words | kind | applied |
//! |---|---|---|
//! | 300, 301, 307, 308; 404 without the service's own words | `transient`: the endpoint is not what it should be | no |
//! | 400, 409 about the state of a volume or server | `conflict`; `transient` while a task of the server runs | no |
//! | other 400 | `invalid` | no |
//! | 401 | `unauthenticated`: the host renews the token once | no |
//! | 403 "Quota exceeded", 409 `OverQuota`, 413 `overLimit` with a quota's words | `quota-exceeded` | no |
//! | other 403 | `forbidden` | no |
//! | 404 in the service's words | `not-found`; [`says_gone`] is stricter | no |
//! | 405 | `unsupported` | no |
//! | 413, 429 with `Retry-After` | `transient`, not before that | no |
//! | 501 | `unsupported` | no |
//! | other 5xx | `transient` | unknown |
//!
//! Nova and Cinder say `{"itemNotFound": {"code": 404, "message": ...}}`, Neutron `{"NeutronError": {"type", "message",
//! "detail"}}`, Glance and every router of paths `{"code": "404 Not Found", "title", "message"}` or plain HTML,
//! keystonemiddleware `{"error": {"code", "title", "message"}}`, a proxy in front of them whatever it likes.

use crate::wire::{Answer, Call};
use archipel_sdk::{Applied, Error, ErrorKind, http};
use serde_json::Value;
use std::time::Duration;

/// When to come back while a task of a server is running.
const TASK: Duration = Duration::from_secs(2);

/// Longest words that are passed on; the host keeps 2 KiB.
const LONGEST: usize = 500;

/// The error of this answer, none for a success.
pub(crate) fn of(call: &Call, answer: &Answer) -> Option<Error> {
    let what = format!("{} {}", call.method, path_of(&call.url));
    let plain = http::status_error(&what, answer.status, answer.retry_after.as_deref(), &answer.body)?;
    let service = call.service.name();
    let said = Said::read(&answer.body);
    let (kind, applied) = judge(answer.status, &said, &plain);
    let message = match &said {
        Said::Service { words, .. } => format!("{service}: {words}"),
        _ if kind == ErrorKind::Transient && plain.applied_state() == Applied::No && !has_wait(&plain) => {
            format!(
                "{service} does not answer at {what} (status {}); check the endpoint in Keystone's catalogue",
                answer.status
            )
        }
        Said::Other(words) if !words.is_empty() => {
            format!("{service}: {what}: status {}: {words}", answer.status)
        }
        Said::Other(_) => format!("{service}: {what}: status {}", answer.status),
    };
    let error = Error::new(kind, message).applied(applied);
    let wait =
        plain.retry_after_time().or((kind == ErrorKind::Transient && said.names_a_task()).then_some(TASK));
    Some(match wait {
        Some(wait) => error.retry_after(wait),
        None => error,
    })
}

/// Whether this 404 states that `id` itself is not there. One that does not name it may come from a proxy, from a wrong
/// path or from a version of the API that this driver does not know: that is an error, and never gone.
pub(crate) fn says_gone(answer: &Answer, id: &str) -> bool {
    answer.status == 404
        && match Said::read(&answer.body) {
            Said::Service { about, words } => {
                (about == "itemNotFound" || about.ends_with("NotFound")) && words.contains(id)
            }
            Said::Other(_) => false,
        }
}

/// What a body says.
enum Said {
    /// A service's own error: what it calls the case, and its words.
    Service { about: String, words: String },
    /// Something else.
    Other(String),
}

impl Said {
    fn read(body: &[u8]) -> Said {
        let other = || Said::Other(plain_text(&String::from_utf8_lossy(body)));
        let Ok(Value::Object(members)) = serde_json::from_slice::<Value>(body) else { return other() };
        if let Some(words) = members.get("message").and_then(Value::as_str) {
            return Said::Other(plain_text(words));
        }
        let mut members = members.into_iter();
        let (Some((name, value)), None) = (members.next(), members.next()) else { return other() };
        let text = |key: &str| value.get(key).and_then(Value::as_str).map(plain_text);
        match text("message").or_else(|| value.as_str().map(plain_text)) {
            // Whoever could not find the way speaks for no resource.
            Some(words) if name == "error" || text("type").as_deref() == Some("HTTPNotFound") => {
                Said::Other(words)
            }
            Some(words) => Said::Service { about: text("type").unwrap_or(name), words },
            None => other(),
        }
    }

    fn words(&self) -> &str {
        match self {
            Said::Service { words, .. } | Said::Other(words) => words,
        }
    }

    fn is_about_quota(&self) -> bool {
        let words = self.words().to_ascii_lowercase();
        let about = matches!(self, Said::Service { about, .. } if about == "OverQuota");
        about
            || words.contains("quota exceeded")
            || words.contains("quota_exceeded")
            || (words.contains("exceed") && words.contains("quota"))
            || words.contains("maximum number of")
    }

    /// "... while it is in task_state rebooting": that passes.
    fn names_a_task(&self) -> bool {
        self.words().contains("in task_state") || self.words().contains("in vm_state building")
    }

    /// A 400 that is about the state of a thing, not about the request.
    fn is_about_state(&self) -> bool {
        let words = self.words();
        words.starts_with("Invalid volume:")
            || words.contains("already attached")
            || words.contains("status must be")
    }
}

fn judge(status: u16, said: &Said, plain: &Error) -> (ErrorKind, Applied) {
    let is_service = matches!(said, Said::Service { .. });
    let kind = match status {
        300 | 301 | 307 | 308 => ErrorKind::Transient,
        400 if said.is_about_state() => ErrorKind::Conflict,
        403 | 409 | 413 if said.is_about_quota() => ErrorKind::QuotaExceeded,
        404 if !is_service => ErrorKind::Transient,
        409 if said.names_a_task() => ErrorKind::Transient,
        501 => ErrorKind::Unsupported,
        _ => plain.kind(),
    };
    let applied = match status {
        300 | 301 | 307 | 308 | 501 => Applied::No,
        _ => plain.applied_state(),
    };
    (kind, applied)
}

fn has_wait(error: &Error) -> bool {
    error.retry_after_time().is_some()
}

/// The path of a URL, as errors show it.
fn path_of(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let rest = rest.find('/').and_then(|slash| rest.get(slash..)).unwrap_or("/");
    rest.split('?').next().unwrap_or(rest)
}

/// One line without markup.
fn plain_text(text: &str) -> String {
    let mut plain = String::new();
    let mut is_markup = false;
    for c in text.chars() {
        match c {
            '<' => is_markup = true,
            '>' if is_markup => is_markup = false,
            _ if is_markup => {}
            c if c.is_whitespace() || c.is_control() => {
                if !plain.ends_with(' ') && !plain.is_empty() {
                    plain.push(' ');
                }
            }
            c => plain.push(c),
        }
        if plain.len() >= LONGEST {
            break;
        }
    }
    plain.trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Service;

    fn refusal(service: Service, status: u16, retry_after: Option<&str>, body: &str) -> Error {
        let call = Call {
            service,
            method: "POST",
            url: "http://c:8774/v2.1/servers?a=b".into(),
            headers: vec![],
            body: None,
            timeout: TASK,
        };
        let answer = Answer { status, retry_after: retry_after.map(str::to_owned), body: body.into() };
        of(&call, &answer).unwrap()
    }

    #[test]
    fn every_refusal_of_the_table_is_told_apart() {
        use ErrorKind::{
            Conflict, Forbidden, Invalid, NotFound, QuotaExceeded, Transient, Unauthenticated, Unsupported,
        };
        use Service::{Compute, Network, Volume};
        let nova_quota = r#"{"forbidden":{"code":403,"message":"Quota exceeded for instances: Requested 1, but already used 3 of 3 instances"}}"#;
        let policy = r#"{"forbidden":{"code":403,"message":"Policy doesn't allow os_compute_api:os-quota-sets:show to be performed."}}"#;
        let cinder_quota = r#"{"overLimit":{"code":413,"message":"VolumeSizeExceedsAvailableQuota: Requested volume or snapshot exceeds allowed gigabytes quota. Requested 9G, quota is 1G and 0G has been consumed.","retryAfter":"0"}}"#;
        let neutron_quota = r#"{"NeutronError":{"type":"OverQuota","message":"Quota exceeded for resources: ['network'].","detail":""}}"#;
        let task = r#"{"conflictingRequest":{"code":409,"message":"Cannot 'attach_volume' instance i while it is in task_state rebooting"}}"#;
        let vm = r#"{"conflictingRequest":{"code":409,"message":"Cannot 'attach_volume' instance i while it is in vm_state error"}}"#;
        let in_use = r#"{"NeutronError":{"type":"NetworkInUse","message":"Unable to complete operation on network n. There are one or more ports still in use on the network, id for these ports is: p.","detail":""}}"#;
        let state = r#"{"badRequest":{"code":400,"message":"Invalid volume: Volume status must be available or error and must not be attached."}}"#;
        let bad =
            r#"{"badRequest":{"code":400,"message":"The requested availability zone is not available"}}"#;
        let gone = r#"{"itemNotFound":{"code":404,"message":"Instance i could not be found."}}"#;
        for (service, status, wait, body, kind) in [
            (Compute, 403, None, nova_quota, QuotaExceeded),
            (Compute, 403, None, policy, Forbidden),
            (Volume, 413, Some("0"), cinder_quota, QuotaExceeded),
            (Network, 409, None, neutron_quota, QuotaExceeded),
            (Compute, 409, None, task, Transient),
            (Compute, 409, None, vm, Conflict),
            (Network, 409, None, in_use, Conflict),
            (Volume, 400, None, state, Conflict),
            (Compute, 400, None, bad, Invalid),
            (Compute, 401, None, "", Unauthenticated),
            (Compute, 404, None, gone, NotFound),
            (Compute, 404, None, "<html>nginx</html>", Transient),
            (Compute, 300, None, r#"{"choices":[]}"#, Transient),
            (
                Compute,
                413,
                Some("3"),
                r#"{"overLimit":{"code":413,"message":"This request was rate-limited."}}"#,
                Transient,
            ),
            (Compute, 429, Some("3"), "", Transient),
            (Compute, 501, None, "", Unsupported),
        ] {
            let error = refusal(service, status, wait, body);
            assert_eq!(
                (error.kind(), error.applied_state()),
                (kind, Applied::No),
                "{status} {body}: {error:?}"
            );
        }
        let broken = refusal(Compute, 503, None, "");
        assert_eq!((broken.kind(), broken.applied_state()), (Transient, Applied::Unknown));
    }

    #[test]
    fn the_services_words_reach_the_person_and_waits_the_host() {
        let error = refusal(
            Service::Compute,
            403,
            None,
            r#"{"forbidden":{"code":403,"message":"Quota exceeded for cores"}}"#,
        );
        assert_eq!(error.message(), "nova: Quota exceeded for cores");
        let error = refusal(Service::Volume, 502, None, "<html>\n<h1>Bad Gateway</h1></html>");
        assert_eq!(error.message(), "cinder: POST /v2.1/servers: status 502: Bad Gateway");
        let error = refusal(Service::Compute, 404, None, "<html>no</html>");
        assert!(error.message().contains("check the endpoint"), "{error}");
        let error = refusal(Service::Compute, 429, Some("7"), "");
        assert_eq!(error.retry_after_time(), Some(Duration::from_secs(7)));
        let task = r#"{"conflictingRequest":{"code":409,"message":"it is in task_state rebooting"}}"#;
        assert_eq!(refusal(Service::Compute, 409, None, task).retry_after_time(), Some(TASK));
    }

    #[test]
    fn gone_is_said_by_the_service_about_this_very_thing() {
        let id = "00000000-0000-0000-0000-000000000000";
        let answer = |status, body: &str| Answer { status, retry_after: None, body: body.into() };
        let nova =
            format!(r#"{{"itemNotFound":{{"code":404,"message":"Instance {id} could not be found."}}}}"#);
        let neutron = format!(
            r#"{{"NeutronError":{{"type":"NetworkNotFound","message":"Network {id} could not be found.","detail":""}}}}"#
        );
        assert!(says_gone(&answer(404, &nova), id));
        assert!(says_gone(&answer(404, &neutron), id));
        assert!(!says_gone(&answer(403, &nova), id), "a project that forbids");
        assert!(!says_gone(&answer(404, &nova), "11111111-0000-0000-0000-000000000000"), "another one");
        for body in [
            "",
            "<html>404 not found</html>",
            r#"{"message":"The resource could not be found.<br /><br />\n\n\n","code":"404 Not Found","title":"Not Found"}"#,
            r#"{"NeutronError":{"type":"HTTPNotFound","message":"The resource could not be found.","detail":""}}"#,
            r#"{"error":{"code":404,"message":"00000000-0000-0000-0000-000000000000","title":"Not Found"}}"#,
            r#"{"code":404,"title":"Not Found","description":null}"#,
        ] {
            assert!(!says_gone(&answer(404, body), id), "{body}");
        }
    }
}
