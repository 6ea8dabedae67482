//! The manifest and the exports. What can be configured is in `config.schema.json`.
//!
//! `settle_ms` is a promise: what was created is found by then. It must lie above the largest `visibility_ms` that the
//! schema allows, because the manifest is read before any configuration.

use crate::driver::EmulatedCloud;

archipel_sdk::export! {
    EmulatedCloud: Compute, ComputePower, Volume, Network, Attachment, Quota, Spec, Image;
    manifest = {
        "capabilities": {
            "storage": {
                "bytes": 268435456,
                "reason": "the emulated cloud's instances live here, about 1 KiB each"
            }
        },
        "drivers": {
            "compute": {
                "create": "searchable",
                "settle_ms": 2000,
                "actions": ["pause", "resume", "stop", "start", "reboot", "hibernate"]
            },
            "volume": { "create": "searchable", "settle_ms": 2000 },
            "network": { "create": "searchable", "settle_ms": 2000 },
            "attachment": { "create": "searchable", "settle_ms": 2000 }
        }
    };
    config_schema = "config.schema.json";
}
