//! The same component without our runtime, for benchmarks P1 and P2: bare wasmtime with the same engine configuration
//! and the same imports, a fresh instance per call, no limiter, no deadline, no hop to other threads.

use std::sync::Arc;
use std::time::{Duration, Instant};

use archipel_bindings::latest::exports::archipel::aaa::authorization::GuestIndices;
use archipel_model::plugin::{Context, Decision, Resource};
use archipel_model::{Error, FederationUser};
use wasmtime::component::{Component, InstancePre, Linker};
use wasmtime::{Engine, Store};

use crate::convert;
use crate::engine;
use crate::grants::EffectiveGrants;
use crate::host::{BindingContext, CallClass, CallInfo, CallState, Services, add_to_linker};
use crate::limiter::StoreBounds;
use crate::limits::RuntimeLimits;

/// A component on bare wasmtime.
pub struct Bare {
    engine: Engine,
    pre: InstancePre<CallState>,
    indices: GuestIndices,
    context: Arc<BindingContext>,
    bounds: StoreBounds,
}

impl std::fmt::Debug for Bare {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Bare").finish_non_exhaustive()
    }
}

impl Bare {
    /// Compiles an authorization plugin and prepares to call it.
    ///
    /// # Errors
    /// What wasmtime says.
    pub fn new(wasm: &[u8], config_json: &str, services: Services) -> Result<Self, String> {
        let limits = RuntimeLimits::default();
        let text = |error: wasmtime::Error| format!("{error:#}");
        let (engine, _) = engine::running(&limits).map_err(text)?;
        let mut linker = Linker::new(&engine);
        add_to_linker(&mut linker).map_err(text)?;
        let component = Component::from_binary(&engine, wasm).map_err(text)?;
        let pre = linker.instantiate_pre(&component).map_err(text)?;
        let indices = GuestIndices::new(&pre).map_err(text)?;
        let context = BindingContext::new("bare", "bare", "sha256:bare", config_json, EffectiveGrants::default(), services);
        let mut bounds = StoreBounds::from(&limits);
        bounds.memory_bytes = usize::MAX;
        Ok(Self { engine, pre, indices, context: Arc::new(context), bounds })
    }

    /// One fresh instance, one question.
    ///
    /// # Errors
    /// The plugin's own error, or what wasmtime says as an internal one.
    pub async fn is_authorized(&self, user: &FederationUser, resource: &Resource, context: &Context) -> Result<Decision, Error> {
        let (user, resource, context) =
            (convert::user_to_wit(user), convert::resource_to_wit(resource), convert::context_to_wit(context));
        let info = CallInfo {
            class: CallClass::Aaa,
            function: "authorization.is-authorized",
            request_id: String::new(),
            order: None,
            deadline: Instant::now() + Duration::from_secs(60),
        };
        let mut store = Store::new(&self.engine, CallState::new(Arc::clone(&self.context), info, self.bounds));
        store.set_epoch_deadline(u64::MAX / 2);
        let answer = async {
            let instance = self.pre.instantiate_async(&mut store).await?;
            let guest = self.indices.load(&mut store, &instance)?;
            guest.call_is_authorized(&mut store, &user, &resource, &context).await
        };
        let answer: wasmtime::Result<_> = answer.await;
        answer.map_err(|error| Error::internal(format!("{error:#}")))?.map_err(convert::error).and_then(convert::decision)
    }
}
