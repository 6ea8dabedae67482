//! Asks a granted host for a path that is a whole URL of another.

use archipel_sdk::Error;
use archipel_sdk::bindings::common::wasi::http::outgoing_handler;
use archipel_sdk::bindings::common::wasi::http::types::{Fields, OutgoingRequest, Scheme};
use archipel_sdk::prelude::*;
use hostile_corpus::{Attack, Config, component};

struct Hides;

impl Attack for Hides {
    fn attack(config: &Config) -> Result<String> {
        let authority = config.granted.trim_start_matches("http://");
        let elsewhere = config.forbidden.trim_start_matches("http://");
        let mut refused = 0;
        for path in [
            format!("http://{elsewhere}/secrets"),
            format!("//{elsewhere}/secrets"),
            format!("@{elsewhere}/secrets"),
            format!("\\\\{elsewhere}\\secrets"),
            format!("/ HTTP/1.1\r\nHost: {elsewhere}\r\n\r\nGET /secrets"),
        ] {
            let request = OutgoingRequest::new(Fields::new());
            let made = request.set_scheme(Some(&Scheme::Http)).is_ok()
                && request.set_authority(Some(authority)).is_ok()
                && request.set_path_with_query(Some(&path)).is_ok();
            if !made {
                refused += 1;
                continue;
            }
            if let Ok(answer) = outgoing_handler::handle(request, None) {
                answer.subscribe().block();
            }
        }
        for authority in [
            format!("{authority}@{elsewhere}"),
            format!("{elsewhere}#{authority}"),
            format!("{authority}\r\nhost: x"),
        ] {
            let request = OutgoingRequest::new(Fields::new());
            let made = request.set_scheme(Some(&Scheme::Http)).is_ok()
                && request.set_authority(Some(&authority)).is_ok()
                && request.set_path_with_query(Some("/secrets")).is_ok();
            if !made {
                refused += 1;
                continue;
            }
            if let Ok(answer) = outgoing_handler::handle(request, None) {
                answer.subscribe().block();
            }
        }
        Err(Error::forbidden(format!("{refused} of 8 were refused at once, the others went nowhere else")))
    }
}

component!(Hides);
