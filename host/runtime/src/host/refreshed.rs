//! `archipel:host/state`: what `lifecycle.refresh` left for the calls of this binding.

use archipel_bindings::latest::archipel::host::state;

use super::state::CallState;

impl state::Host for CallState {
    fn get(&mut self) -> wasmtime::Result<Option<Vec<u8>>> {
        self.trace.begin("state.get", "").end("ok");
        // In `lifecycle.init` there is none yet: what it saw would be the same in every call.
        let state = self.call.class.may_read().then(|| self.binding.state.load_full()).flatten();
        Ok(state.as_deref().cloned())
    }
}
