//! `archipel:probe@0.1.0`, made up, as `wit/probe/0.1.0` has it.
#![allow(missing_docs, reason = "generated; wit/ holds the documentation")]
#![allow(unsafe_code, reason = "generated: bindgen implements wasmtime's unsafe type traits")]
#![allow(
    clippy::all,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::allow_attributes_without_reason,
    unreachable_pub,
    rust_2018_idioms,
    reason = "generated"
)]

wasmtime::component::bindgen!({
    path: "../../wit/probe/0.1.0",
    world: "archipel:probe/plugin",
    imports: { default: trappable },
    exports: { default: async },
    require_store_data_send: true,
});
