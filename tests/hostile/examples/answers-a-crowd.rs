//! Answers with a list of a hundred thousand items.

use archipel_sdk::cloud::QuotaEntry;
use archipel_sdk::prelude::*;

struct Crowd;

impl Quota for Crowd {
    fn get_user_quota(_: &LocalToken) -> Result<Vec<QuotaEntry>> {
        Ok((0..100_000).map(|used| QuotaEntry { name: format!("r{used}"), total: None, used }).collect())
    }
}

archipel_sdk::export! {
    Crowd: Quota;
    manifest = { "config_schema": { "type": "object" } }
}
