//! The world as the component has it: the host's HTTP, with the local token put in as it leaves.

use crate::wire::{Answer, Call, World};
use archipel_sdk::credentials::LocalToken;
use archipel_sdk::http::Request;
use archipel_sdk::{ErrorKind, Result, clock, storage};

/// The header that every OpenStack service reads its token from.
const TOKEN: &str = "x-auth-token";

/// Keys that are forgotten at once where storage is full.
const KEYS: u32 = 1000;

/// The host, for one account.
pub(crate) struct Host<'a> {
    pub(crate) token: &'a LocalToken,
}

impl World for Host<'_> {
    fn send(&self, call: &Call) -> Result<Answer> {
        let mut request =
            Request::new(call.method, &call.url).secret_header(TOKEN, self.token).timeout(call.timeout);
        for (name, value) in &call.headers {
            request = request.header(name, value);
        }
        if let Some(body) = &call.body {
            request = request.header("content-type", "application/json").body(body.as_bytes());
        }
        let response = request.send()?;
        Ok(Answer {
            status: response.status(),
            retry_after: response.header("retry-after").map(str::to_owned),
            body: response.bytes().to_vec(),
        })
    }

    fn now_ms(&self) -> u64 {
        clock::now_ms()
    }

    fn recall(&self, key: &str) -> Option<Vec<u8>> {
        storage::get_bytes(key).ok().flatten()
    }

    fn remember(&self, key: &str, value: &[u8]) {
        let Err(error) = storage::set_bytes(key, value) else { return };
        // Full of projects that are long gone, perhaps: what is remembered can always be asked for anew.
        if error.kind() == ErrorKind::QuotaExceeded {
            let keys = storage::keys_page("", None, KEYS).map(|page| page.keys).unwrap_or_default();
            for key in keys {
                storage::delete(&key).ok();
            }
        }
    }
}
