//! `archipel:host/config`.

use archipel_bindings::latest::archipel::host::{config, types};

use super::state::CallState;

impl config::Host for CallState {
    fn get(&mut self) -> wasmtime::Result<String> {
        self.trace.begin("config.get", "").end("ok");
        Ok(self.binding.config_json.clone())
    }
}

impl types::Host for CallState {}
