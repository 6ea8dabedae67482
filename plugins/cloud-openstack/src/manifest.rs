//! The manifest and the exports. What can be configured is in `config.schema.json`.
//!
//! Every kind is `searchable`: OpenStack has no idempotent create, but each create carries the order's tag in its own
//! body, in a place that the service lists by (`tag.rs`). `settle_ms` counts from the end of an attempt. All four
//! services write their record before they answer, so what a create without an answer made is listed as soon as the
//! service has worked off the request it had read: a second on an idle cloud, some seconds on a loaded one. Nova asks
//! Glance and Neutron before it writes, so it gets twice the time.

use crate::driver::OpenStack;

archipel_sdk::export! {
    OpenStack: Compute, ComputePower, Volume, Network, Attachment, Quota, Spec, Image;
    manifest = {
        "capabilities": {
            "hosts": [
                {
                    "discovered": "catalogue",
                    "reason": "the endpoints of Nova, Cinder, Neutron and Glance, as Keystone's catalogue names them"
                }
            ],
            "storage": {
                "bytes": 4194304,
                "reason": "flavours, images and networks of each project for a minute, so that instances side by side ask once"
            }
        },
        "drivers": {
            "compute": {
                "create": "searchable",
                "settle_ms": 10000,
                "actions": ["pause", "resume", "stop", "start", "reboot", "hibernate"]
            },
            "volume": { "create": "searchable", "settle_ms": 5000 },
            "network": { "create": "searchable", "settle_ms": 5000 },
            "attachment": { "create": "searchable", "settle_ms": 5000 }
        }
    };
    config_schema = "config.schema.json";
}
