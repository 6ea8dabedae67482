//! The contract at 0.1 (draft): everything of the world `archipel:plugin/host@0.1.0`.
//!
//! A plugin exports some of the world, never all of it. So use the `GuestIndices` of each interface in [`exports`],
//! not the world's own `Host`. `GuestIndices::new` looks at names alone; types are checked by `load`.
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
    path: "../../wit",
    world: "archipel:plugin/host",
    imports: {
        // These answer from memory; everything else may wait for the store or the network.
        "archipel:host/config@0.1.0.get": trappable,
        "archipel:host/log@0.1.0.write": trappable,
        "archipel:host/state@0.1.0.get": trappable,
        "archipel:host/credentials@0.1.0.[method]secret.name": trappable,
        "archipel:host/credentials@0.1.0.[method]local-token.account": trappable,
        "archipel:host/credentials@0.1.0.[method]local-token.expires-in-ms": trappable,
        "archipel:host/credentials@0.1.0.[method]local-token.attributes": trappable,
        "archipel:host/credentials@0.1.0.[method]user-session.token": trappable,
        "archipel:host/credentials@0.1.0.[drop]secret": trappable,
        "archipel:host/credentials@0.1.0.[drop]local-token": trappable,
        "archipel:host/credentials@0.1.0.[drop]user-session": trappable,
        default: async | trappable,
    },
    exports: { default: async },
    with: {
        "wasi:io": wasmtime_wasi::p2::bindings::io,
        "wasi:clocks": wasmtime_wasi::p2::bindings::clocks,
        "wasi:http": wasmtime_wasi_http::p2::bindings::http,
        "archipel:host/credentials@0.1.0.secret": crate::handles::Secret,
        "archipel:host/credentials@0.1.0.local-token": crate::handles::LocalToken,
        "archipel:host/credentials@0.1.0.user-session": crate::handles::UserSession,
        "archipel:benchmark/measure@0.1.0.span": crate::handles::Span,
    },
    require_store_data_send: true,
});
