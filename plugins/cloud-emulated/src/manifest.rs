//! The manifest and the exports. What can be configured is in `config.schema.json`.
//!
//! `settle_ms` is a promise: what was created is found by then. It must lie above the largest `visibility_ms` that the
//! schema allows, because the manifest is read before any configuration.

use crate::driver::EmulatedCloud;

archipel_sdk::export! {
    EmulatedCloud: Compute, Volume, Network, Attachment, Quota, Spec, Image;
    manifest = {
        "capabilities": {
            "storage": {
                "bytes": 268435456,
                "reason": "the emulated cloud's instances live here, about 1 KiB each"
            }
        },
        "drivers": {
            "compute": { "create": "searchable", "settle_ms": 2000, "actions": [] },
            "volume": { "create": "searchable", "settle_ms": 2000, "actions": [] },
            "network": { "create": "searchable", "settle_ms": 2000, "actions": [] },
            "attachment": { "create": "searchable", "settle_ms": 2000, "actions": [] }
        }
    };
    config_schema = "config.schema.json";
}
