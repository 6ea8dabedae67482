//! `archipel:probe@0.2.0`, made up, as `wit/probe/0.2.0` has it.

wasmtime::component::bindgen!({
    path: "../../wit/probe/0.2.0",
    world: "archipel:probe/plugin",
    imports: { default: trappable },
    exports: { default: async },
    require_store_data_send: true,
});
