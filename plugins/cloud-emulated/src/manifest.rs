//! The manifest and the exports.
//!
//! `settle_ms` is a promise: what was created is found by then. It must lie above the largest `visibility_ms` that the
//! schema allows, because the manifest is read before any configuration.

use crate::driver::EmulatedCloud;

/// Exports the plugin with this manifest, and keeps the text for the tests of the configuration.
macro_rules! exported {
    ($($manifest:tt)*) => {
        archipel_sdk::export! {
            EmulatedCloud: Compute, Volume, Network, Attachment, Quota, Spec, Image;
            manifest = { $($manifest)* }
        }

        #[cfg(test)]
        pub(crate) const MANIFEST: &str = concat!("{", stringify!($($manifest)*), "}");
    };
}

exported! {
    "capabilities": {
        "storage": {
            "bytes": 268435456,
            "reason": "the emulated cloud's instances live here; about 1 KiB each"
        }
    },
    "drivers": {
        "compute": { "create": "searchable", "settle_ms": 2000, "actions": [] },
        "volume": { "create": "searchable", "settle_ms": 2000, "actions": [] },
        "network": { "create": "searchable", "settle_ms": 2000, "actions": [] },
        "attachment": { "create": "searchable", "settle_ms": 2000, "actions": [] }
    },
    "config_schema": {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "An emulated cloud",
        "type": "object",
        "additionalProperties": false,
        "$defs": {
            "ms": {
                "type": "integer",
                "minimum": 0,
                "maximum": 3600000
            },
            "by_kind": {
                "anyOf": [
                    {
                        "$ref": "#/$defs/ms"
                    },
                    {
                        "type": "object",
                        "additionalProperties": false,
                        "properties": {
                            "compute": {
                                "$ref": "#/$defs/ms"
                            },
                            "volume": {
                                "$ref": "#/$defs/ms"
                            },
                            "network": {
                                "$ref": "#/$defs/ms"
                            },
                            "attachment": {
                                "$ref": "#/$defs/ms"
                            }
                        }
                    }
                ]
            },
            "id": {
                "type": "string",
                "pattern": "^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$"
            },
            "attributes": {
                "type": "object",
                "additionalProperties": {
                    "type": "string"
                }
            },
            "amount": {
                "type": "integer",
                "minimum": 0
            }
        },
        "properties": {
            "latency_ms": {
                "$ref": "#/$defs/ms",
                "default": 10,
                "description": "What every call takes at least."
            },
            "boot_ms": {
                "$ref": "#/$defs/by_kind",
                "description": "From created to ready, a quarter more or less (fixed by the instance's id)."
            },
            "delete_ms": {
                "$ref": "#/$defs/by_kind",
                "description": "From the delete to gone, with the same jitter; meanwhile `busy`, in the cloud's word `deleting`."
            },
            "visibility_ms": {
                "type": "integer",
                "minimum": 0,
                "maximum": 1500,
                "default": 0,
                "description": "Late visibility: get, find and list show an instance only so long after it was created. Below the manifest's settle_ms (2000)."
            },
            "hang_ms": {
                "$ref": "#/$defs/ms",
                "default": 60000,
                "description": "How long a fault with `hang` waits where the call does not tell its deadline."
            },
            "capacity": {
                "type": "object",
                "description": "What one account may use at most; beyond it, quota-exceeded.",
                "additionalProperties": false,
                "properties": {
                    "instances": {
                        "$ref": "#/$defs/amount",
                        "default": 10000
                    },
                    "vcpu": {
                        "$ref": "#/$defs/amount",
                        "default": 40000
                    },
                    "ram_mib": {
                        "$ref": "#/$defs/amount",
                        "default": 160000000
                    },
                    "disk_gib": {
                        "$ref": "#/$defs/amount",
                        "default": 2000000,
                        "description": "Root disks and volumes together."
                    },
                    "volumes": {
                        "$ref": "#/$defs/amount",
                        "default": 20000
                    },
                    "networks": {
                        "$ref": "#/$defs/amount",
                        "default": 1000
                    }
                }
            },
            "specs": {
                "type": "array",
                "description": "Sizes of machines, in place of tiny, small, medium, large, xlarge, 2xlarge and gpu.",
                "items": {
                    "type": "object",
                    "additionalProperties": false,
                    "required": [
                        "id",
                        "vcpu",
                        "ram_mib",
                        "disk_gib"
                    ],
                    "properties": {
                        "id": {
                            "$ref": "#/$defs/id"
                        },
                        "name": {
                            "type": "string"
                        },
                        "vcpu": {
                            "type": "integer",
                            "minimum": 1,
                            "maximum": 65535
                        },
                        "ram_mib": {
                            "type": "integer",
                            "minimum": 1
                        },
                        "disk_gib": {
                            "type": "integer",
                            "minimum": 1
                        },
                        "attributes": {
                            "$ref": "#/$defs/attributes"
                        }
                    }
                }
            },
            "images": {
                "type": "array",
                "description": "Images, in place of cirros, debian and ubuntu.",
                "items": {
                    "type": "object",
                    "additionalProperties": false,
                    "required": [
                        "id"
                    ],
                    "properties": {
                        "id": {
                            "$ref": "#/$defs/id"
                        },
                        "name": {
                            "type": "string"
                        },
                        "alias": {
                            "$ref": "#/$defs/id",
                            "description": "Computes may ask for `@alias`."
                        },
                        "size_bytes": {
                            "$ref": "#/$defs/amount"
                        },
                        "min_disk_gib": {
                            "$ref": "#/$defs/amount"
                        },
                        "min_ram_mib": {
                            "$ref": "#/$defs/amount"
                        },
                        "attributes": {
                            "$ref": "#/$defs/attributes"
                        }
                    }
                }
            },
            "networks": {
                "type": "array",
                "description": "Networks that exist from the start, shared by all accounts; the first one takes computes that name none.",
                "items": {
                    "type": "object",
                    "additionalProperties": false,
                    "required": [
                        "id",
                        "cidr"
                    ],
                    "properties": {
                        "id": {
                            "$ref": "#/$defs/id"
                        },
                        "name": {
                            "type": "string"
                        },
                        "cidr": {
                            "type": "string",
                            "description": "IPv4, /8 to /30."
                        }
                    }
                }
            },
            "zones": {
                "type": "array",
                "items": {
                    "type": "string"
                },
                "default": [
                    "zone-1"
                ],
                "description": "Availability zones that a compute may name."
            },
            "seed": {
                "type": "integer",
                "minimum": 0,
                "description": "Makes `rate` a function of seed, rule, order, operation and attempt; left out, it is chance."
            },
            "faults": {
                "type": "array",
                "description": "Faults; the first rule that matches a call decides.",
                "items": {
                    "type": "object",
                    "additionalProperties": false,
                    "required": [
                        "mode"
                    ],
                    "properties": {
                        "kind": {
                            "enum": [
                                "compute",
                                "volume",
                                "network",
                                "attachment",
                                "quota",
                                "spec",
                                "image"
                            ],
                            "description": "Left out: all."
                        },
                        "operation": {
                            "enum": [
                                "request",
                                "get",
                                "delete",
                                "find",
                                "list",
                                "any"
                            ],
                            "default": "request"
                        },
                        "mode": {
                            "enum": [
                                "invalid",
                                "unauthenticated",
                                "forbidden",
                                "not-found",
                                "conflict",
                                "quota-exceeded",
                                "unsupported",
                                "transient",
                                "permanent",
                                "answer-lost",
                                "boot-fails",
                                "trap"
                            ],
                            "description": "A kind of error: refuses, nothing done. answer-lost: does it, then a transient error with applied = unknown. boot-fails: created, and `failed` instead of ready. trap: does it, then the component traps."
                        },
                        "rate": {
                            "type": "number",
                            "minimum": 0,
                            "maximum": 1,
                            "default": 1
                        },
                        "first": {
                            "type": "integer",
                            "minimum": 0,
                            "description": "Only the first N attempts of an order (of other operations than request: the first N calls about an order)."
                        },
                        "names": {
                            "type": "array",
                            "items": {
                                "type": "string"
                            },
                            "description": "Only orders whose spec has one of these names."
                        },
                        "hang": {
                            "type": "boolean",
                            "default": false,
                            "description": "Waits for the call's deadline before it answers."
                        },
                        "applied": {
                            "enum": [
                                "no",
                                "unknown",
                                "yes"
                            ],
                            "description": "What the error says; by default `no`, for answer-lost `unknown`."
                        },
                        "retry_after_ms": {
                            "$ref": "#/$defs/ms"
                        },
                        "message": {
                            "type": "string"
                        }
                    }
                }
            }
        },
        "examples": [
            {
                "latency_ms": 5,
                "boot_ms": {
                    "compute": 300,
                    "volume": 50
                },
                "delete_ms": 100,
                "visibility_ms": 800,
                "capacity": {
                    "instances": 20,
                    "vcpu": 40
                },
                "seed": 7,
                "faults": [
                    {
                        "kind": "compute",
                        "mode": "answer-lost",
                        "rate": 0.3
                    },
                    {
                        "kind": "volume",
                        "operation": "delete",
                        "mode": "transient",
                        "first": 2,
                        "retry_after_ms": 200
                    },
                    {
                        "kind": "compute",
                        "mode": "boot-fails",
                        "names": [
                            "doomed"
                        ],
                        "message": "no valid host was found"
                    }
                ]
            }
        ]
    }
}
