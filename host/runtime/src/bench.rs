//! The same components without our runtime, for the benchmarks: bare wasmtime with the same engine configuration, the
//! same imports and the same WASI state; a fresh instance per call or one that is kept, and nothing else: no limiter, no
//! deadline, no slots, no own threads, no figures, no snapshot.

use std::sync::Arc;
use std::time::{Duration, Instant};

use archipel_bindings::latest::exports::archipel::plugin::lifecycle::File;
use archipel_model::plugin::{Context, Decision, Resource, Verdict};
use archipel_model::{Error, FederationUser, SecretBytes};
use futures::future::BoxFuture;
use serde_json::Value;
use wasmtime::component::{Component, Instance, InstancePre, Linker};
use wasmtime::{Engine, Store};

use crate::call::{Answer, Call};
use crate::config::RuntimeConfig;
use crate::exports::Exports;
use crate::grants::{EffectiveGrants, GrantConfig};
use crate::host::{BindingContext, CallClass, CallInfo, CallState, Services, add_to_linker};
use crate::limiter::StoreBounds;
use crate::limits::RuntimeLimits;
use crate::slots::Slots;
use crate::{convert, engine, explain};

/// Bare wasmtime: an engine of its own, configured as the runtime's is.
pub struct BareEngine {
    engine: Engine,
    linker: Linker<CallState>,
    limits: RuntimeLimits,
}

impl std::fmt::Debug for BareEngine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BareEngine").finish_non_exhaustive()
    }
}

impl BareEngine {
    /// With the default limits.
    ///
    /// # Errors
    /// What wasmtime says.
    pub fn new() -> Result<Self, String> {
        let limits = RuntimeLimits::default();
        let (engine, _) =
            engine::running(&limits, &Slots::of(&RuntimeConfig::default())).map_err(in_words)?;
        let mut linker = Linker::new(&engine);
        add_to_linker(&mut linker).map_err(in_words)?;
        Ok(Self { engine, linker, limits })
    }

    /// Machine code of a component, as wasmtime makes it in this process: neither checked nor prepared nor kept.
    ///
    /// # Errors
    /// What the compiler says.
    pub fn precompile(&self, wasm: &[u8]) -> Result<Vec<u8>, String> {
        let engine = engine::compiling(&self.limits).map_err(in_words)?;
        engine.precompile_component(wasm).map_err(in_words)
    }

    /// Compiles a component and prepares to call it. `binding` is its name in the site file, because keys are per
    /// binding: with the runtime's own name it reads the tokens that it made there.
    ///
    /// # Errors
    /// What wasmtime or the check of the file says.
    pub fn component(
        &self,
        wasm: &[u8],
        binding: &str,
        config: &Value,
        grant: &GrantConfig,
        services: Services,
    ) -> Result<Bare, String> {
        let checked = explain::check(wasm, &self.limits).map_err(|refusal| refusal.to_string())?;
        let component = Component::from_binary(&self.engine, wasm).map_err(in_words)?;
        let pre = self.linker.instantiate_pre(&component).map_err(in_words)?;
        let exports = Exports::find(&pre, &checked).map_err(|refusal| refusal.to_string())?;
        let grants = EffectiveGrants::new(&checked.manifest.capabilities, grant, config);
        let context =
            BindingContext::new(binding, "bare", &checked.digest, config.to_string(), grants, services);
        let mut bounds = StoreBounds::from(&self.limits);
        bounds.memory_bytes = usize::MAX;
        Ok(Bare { engine: self.engine.clone(), pre, exports, context: Arc::new(context), bounds })
    }
}

/// A component on bare wasmtime.
pub struct Bare {
    engine: Engine,
    pre: InstancePre<CallState>,
    exports: Exports,
    context: Arc<BindingContext>,
    bounds: StoreBounds,
}

impl std::fmt::Debug for Bare {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Bare").finish_non_exhaustive()
    }
}

impl Bare {
    /// `federation-identity.get-federation-user` in a fresh instance.
    ///
    /// # Errors
    /// The plugin's own error, or what wasmtime says as an internal one.
    pub async fn get_federation_user(&self, token: &SecretBytes) -> Result<FederationUser, Error> {
        let token = token.clone();
        self.call("federation-identity.get-federation-user", |call| {
            Box::pin(async move {
                let Some(indices) = &call.exports.federation_identity else { return Ok(Err(absent())) };
                let guest = indices.load(&mut *call.store, call.instance)?;
                let token = match call.store.data_mut().lend_secret("session", token) {
                    Ok(handle) => handle,
                    Err(error) => return Ok(Err(error)),
                };
                let answer = guest.call_get_federation_user(&mut *call.store, token).await?;
                Ok(answer.map_err(convert::error).and_then(convert::user_from_wit))
            })
        })
        .await
    }

    /// `authentication.is-authentic` in a fresh instance.
    ///
    /// # Errors
    /// The plugin's own error, or what wasmtime says as an internal one.
    pub async fn is_authentic(
        &self,
        user: &FederationUser,
        token: &SecretBytes,
        context: &Context,
    ) -> Result<Verdict, Error> {
        let (user, token, context) =
            (convert::user_to_wit(user), token.clone(), convert::context_to_wit(context));
        self.call("authentication.is-authentic", |call| {
            Box::pin(async move {
                let Some(indices) = &call.exports.authentication else { return Ok(Err(absent())) };
                let guest = indices.load(&mut *call.store, call.instance)?;
                let token = match call.store.data_mut().lend_secret("session", token) {
                    Ok(handle) => handle,
                    Err(error) => return Ok(Err(error)),
                };
                let answer = guest.call_is_authentic(&mut *call.store, &user, token, &context).await?;
                Ok(answer.map_err(convert::error).map(convert::verdict))
            })
        })
        .await
    }

    /// `authorization.is-authorized` in a fresh instance.
    ///
    /// # Errors
    /// The plugin's own error, or what wasmtime says as an internal one.
    pub async fn is_authorized(
        &self,
        user: &FederationUser,
        resource: &Resource,
        context: &Context,
    ) -> Result<Decision, Error> {
        let mut store = self.store("authorization.is-authorized");
        let answer = async {
            let instance = self.pre.instantiate_async(&mut store).await?;
            let call = Call { store: &mut store, instance: &instance, exports: &self.exports };
            is_authorized(call, user, resource, context).await
        };
        let answer: Answer<Decision> = answer.await;
        answer.map_err(|error| Error::internal(in_words(error)))?
    }

    /// An instance that is prepared with the files of its folders, and kept.
    ///
    /// # Errors
    /// What its `lifecycle.init` says, or wasmtime, as an internal error.
    pub async fn prepared(&self, files: &[(String, Vec<u8>)]) -> Result<WarmBare<'_>, Error> {
        let mut store = self.store("lifecycle.init");
        let made = async {
            let instance = self.pre.instantiate_async(&mut store).await?;
            let Some(indices) = &self.exports.lifecycle else { return Ok(Err(absent())) };
            let guest = indices.load(&mut store, &instance)?;
            let file = |(path, contents): &(String, Vec<u8>)| File {
                path: path.clone(),
                contents: contents.clone(),
            };
            let files: Vec<File> = files.iter().map(file).collect();
            let answer = guest.call_init(&mut store, &files).await?;
            Ok(answer.map_err(convert::error).map(|()| instance))
        };
        let made: Answer<Instance> = made.await;
        let instance = made.map_err(|error| Error::internal(in_words(error)))??;
        Ok(WarmBare { bare: self, store, instance })
    }

    async fn call<R>(
        &self,
        function: &'static str,
        job: impl for<'a> FnOnce(Call<'a>) -> BoxFuture<'a, Answer<R>>,
    ) -> Result<R, Error> {
        let mut store = self.store(function);
        let answer = async {
            let instance = self.pre.instantiate_async(&mut store).await?;
            job(Call { store: &mut store, instance: &instance, exports: &self.exports }).await
        };
        let answer: Answer<R> = answer.await;
        answer.map_err(|error| Error::internal(in_words(error)))?
    }

    fn store(&self, function: &'static str) -> Store<CallState> {
        let deadline = Instant::now() + Duration::from_secs(60);
        let info =
            CallInfo { class: CallClass::Aaa, function, request_id: String::new(), order: None, deadline };
        let mut store =
            Store::new(&self.engine, CallState::new(Arc::clone(&self.context), info, self.bounds));
        // Epochs are compiled in, and nothing advances them here.
        store.set_epoch_deadline(u64::MAX / 2);
        store
    }
}

/// An instance that is used again and again, as no AAA call of the runtime ever is.
pub struct WarmBare<'b> {
    bare: &'b Bare,
    store: Store<CallState>,
    instance: Instance,
}

impl std::fmt::Debug for WarmBare<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WarmBare").finish_non_exhaustive()
    }
}

impl WarmBare<'_> {
    /// `authorization.is-authorized` in this instance.
    ///
    /// # Errors
    /// The plugin's own error, or what wasmtime says as an internal one.
    pub async fn is_authorized(
        &mut self,
        user: &FederationUser,
        resource: &Resource,
        context: &Context,
    ) -> Result<Decision, Error> {
        let call = Call { store: &mut self.store, instance: &self.instance, exports: &self.bare.exports };
        let answer = is_authorized(call, user, resource, context).await;
        answer.map_err(|error| Error::internal(in_words(error)))?
    }
}

async fn is_authorized(
    call: Call<'_>,
    user: &FederationUser,
    resource: &Resource,
    context: &Context,
) -> Answer<Decision> {
    let (user, resource, context) =
        (convert::user_to_wit(user), convert::resource_to_wit(resource), convert::context_to_wit(context));
    let Some(indices) = &call.exports.authorization else { return Ok(Err(absent())) };
    let guest = indices.load(&mut *call.store, call.instance)?;
    let answer = guest.call_is_authorized(&mut *call.store, &user, &resource, &context).await?;
    Ok(answer.map_err(convert::error).and_then(convert::decision))
}

fn absent() -> Error {
    Error::internal("the component does not export this interface")
}

fn in_words(error: wasmtime::Error) -> String {
    format!("{error:#}")
}
