//! Asks a granted host for a path that is a whole URL of another, or for an authority with another in it.

use archipel_sdk::Error;
use archipel_sdk::bindings::common::wasi::http::outgoing_handler;
use archipel_sdk::bindings::common::wasi::http::types::{Fields, OutgoingRequest, Scheme};
use archipel_sdk::prelude::*;
use hostile_corpus::{Attack, Config, component};

/// What becomes of one request: `unwritten` where it cannot even be written down, `refused` where it does not leave, else the
/// answer's status.
fn tried(authority: &str, path: &str) -> String {
    let request = OutgoingRequest::new(Fields::new());
    let is_written = request.set_scheme(Some(&Scheme::Http)).is_ok()
        && request.set_authority(Some(authority)).is_ok()
        && request.set_path_with_query(Some(path)).is_ok();
    if !is_written {
        return "unwritten".to_owned();
    }
    let Ok(pending) = outgoing_handler::handle(request, None) else { return "refused".to_owned() };
    pending.subscribe().block();
    match pending.get() {
        Some(Ok(Ok(answer))) => answer.status().to_string(),
        _ => "refused".to_owned(),
    }
}

struct Hides;

impl Attack for Hides {
    fn attack(config: &Config) -> Result<String> {
        let granted = config.granted.trim_start_matches("http://");
        let elsewhere = config.forbidden.trim_start_matches("http://");
        let paths = [
            format!("http://{elsewhere}/secrets"),
            format!("//{elsewhere}/secrets"),
            format!("@{elsewhere}/secrets"),
            format!("\\\\{elsewhere}\\secrets"),
            format!("/ HTTP/1.1\r\nHost: {elsewhere}\r\n\r\nGET /secrets"),
        ];
        let authorities = [
            format!("{granted}@{elsewhere}"),
            format!("{elsewhere}#{granted}"),
            format!("{granted}\r\nhost: x"),
            format!("{granted},{elsewhere}"),
        ];
        let mut came = Vec::new();
        came.extend(paths.iter().map(|path| tried(granted, path)));
        came.extend(authorities.iter().map(|authority| tried(authority, "/secrets")));
        Err(Error::forbidden(format!("they came to: {}", came.join(", "))))
    }
}

component!(Hides);
