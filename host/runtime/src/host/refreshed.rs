//! `archipel:host/state`: what `lifecycle.refresh` left for the calls of this binding.

use archipel_bindings::latest::archipel::host::state;

use super::state::CallState;

impl state::Host for CallState {
    fn get(&mut self) -> wasmtime::Result<Option<Vec<u8>>> {
        self.trace.begin("state.get", "").end("ok");
        Ok(self.binding.state.load().as_deref().cloned())
    }
}
