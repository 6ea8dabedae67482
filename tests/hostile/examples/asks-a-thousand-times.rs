//! Sends requests and never reads the answers.

use archipel_sdk::Error;
use archipel_sdk::bindings::common::wasi::http::outgoing_handler;
use archipel_sdk::bindings::common::wasi::http::types::{Fields, OutgoingRequest, Scheme};
use archipel_sdk::prelude::*;
use hostile_corpus::{Attack, Config, component};

struct Asks;

impl Attack for Asks {
    fn attack(config: &Config) -> Result<String> {
        let authority = config.granted.trim_start_matches("http://");
        let mut open = Vec::new();
        for _ in 0..1_000 {
            let request = OutgoingRequest::new(Fields::new());
            let made = request.set_scheme(Some(&Scheme::Http)).is_ok()
                && request.set_authority(Some(authority)).is_ok()
                && request.set_path_with_query(Some("/drip")).is_ok();
            match outgoing_handler::handle(request, None) {
                Ok(answer) if made => open.push(answer),
                _ => return Err(Error::forbidden(format!("after {} it was refused", open.len()))),
            }
        }
        open.iter().for_each(|answer| answer.subscribe().block());
        Ok(format!("{} are open", open.len()))
    }
}

component!(Asks);
