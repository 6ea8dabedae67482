//! The `T` of every `Store<T>`: one binding, one call at a time, and nothing else.
//!
//! Handles live as long as the call that received them. In a warm instance the plugin may still hold the index of one
//! afterwards, so [`CallState::end_call`] empties the row instead of removing it: a removed row's number would be
//! given to a later call's secret, and the old index would open it.

use std::collections::HashSet;
use std::sync::Arc;

use archipel_bindings::handles::{LocalToken, Secret, UserSession};
use archipel_model::{Error, LocalToken as ModelToken, SecretBytes};
use archipel_vault::Masker;
use wasmtime::component::{Resource, ResourceTable};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};

use super::benchmark::Measured;
use super::binding::BindingContext;
use super::call::{CallInfo, CallReport};
use super::http::HttpHooks;
use super::log::LogBudget;
use super::random::Random;
use super::stdio::Captured;
use super::trace::{STALE_HANDLE, Trace};
use crate::limiter::{Limiter, StoreBounds};
use crate::memory_watch::Seen;
use crate::pulse::Pulse;

/// Headers that one request or answer may carry.
pub(crate) const MAX_HEADER_BYTES: usize = 64 * 1024;

/// Secrets of one call whose spellings evidence is searched for; of a call that held more, evidence shows no text.
const MAX_HELD: usize = 64;

/// A row that the host owns and the plugin only borrows: gone with the call, because the canonical ABI makes sure that
/// no borrow outlives it.
enum Lent {
    Secret(u32),
    Token(u32),
    Session(u32),
}

/// State of one store.
pub struct CallState {
    pub(crate) wasi: WasiCtx,
    pub(crate) random: Random,
    pub(crate) http: WasiHttpCtx,
    pub(crate) hooks: HttpHooks,
    pub(crate) table: ResourceTable,
    /// What the store may grow to, for `Store::limiter`.
    pub limits: Limiter,
    pub(crate) binding: Arc<BindingContext>,
    pub(crate) call: CallInfo,
    pub(crate) log: LogBudget,
    pub(crate) stdout: Captured,
    pub(crate) stderr: Captured,
    pub(crate) storage_written: bool,
    pub(crate) trace: Trace,
    pub(crate) pulse: Pulse,
    /// Of a benchmark's run alone.
    pub(crate) measured: Option<Measured>,
    live: HashSet<u32>,
    lent: Vec<Lent>,
    /// Names of secrets that were revealed in this call.
    pub(crate) revealed: HashSet<String>,
    /// What this call held handles of, one more than [`MAX_HELD`] at most.
    held: Vec<SecretBytes>,
    seen: Option<Seen>,
}

impl std::fmt::Debug for CallState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CallState")
            .field("binding", &self.binding)
            .field("call", &self.call)
            .finish_non_exhaustive()
    }
}

impl CallState {
    /// A store's state at its first call.
    pub fn new(binding: Arc<BindingContext>, call: CallInfo, bounds: StoreBounds) -> Self {
        let (stdout, stderr) = (Captured::default(), Captured::default());
        let mut table = ResourceTable::new();
        table.set_max_capacity(bounds.handles);
        let mut http = WasiHttpCtx::new();
        http.set_field_size_limit(MAX_HEADER_BYTES);
        let trace = Trace::new(Arc::clone(&binding), &call);
        let mut state = Self {
            wasi: super::clock::virtual_wasi(&binding.services.clock, &stdout, &stderr),
            random: Random::new(call.class, &binding.services.randomness),
            http,
            hooks: HttpHooks::new(Arc::clone(&binding), &call, trace.clone()),
            table,
            limits: Limiter::new(bounds),
            binding,
            call,
            log: LogBudget::default(),
            stdout,
            stderr,
            storage_written: false,
            trace,
            pulse: Pulse::default(),
            measured: None,
            live: HashSet::new(),
            lent: Vec::new(),
            revealed: HashSet::new(),
            held: Vec::new(),
            seen: None,
        };
        state.log.begin();
        state
    }

    /// A warm instance's next call.
    pub fn begin_call(&mut self, call: CallInfo) {
        self.random = Random::new(call.class, &self.binding.services.randomness);
        self.hooks.begin(&call);
        self.trace.begin_call(&call);
        self.log.begin();
        self.stdout.clear();
        self.stderr.clear();
        self.storage_written = false;
        self.call = call;
    }

    /// Ends a call: every handle it received is worth nothing from here on. Says what it leaves behind.
    pub fn end_call(&mut self) -> CallReport {
        for lent in std::mem::take(&mut self.lent) {
            let (Lent::Secret(rep) | Lent::Token(rep) | Lent::Session(rep)) = &lent;
            self.live.remove(rep);
            // A row that is gone already is what is wanted.
            let _ = match lent {
                Lent::Secret(rep) => self.table.delete(Resource::<Secret>::new_own(rep)).map(drop),
                Lent::Token(rep) => self.table.delete(Resource::<LocalToken>::new_own(rep)).map(drop),
                Lent::Session(rep) => self.table.delete(Resource::<UserSession>::new_own(rep)).map(drop),
            };
        }
        for rep in std::mem::take(&mut self.live) {
            if let Ok(row) = self.table.get_mut(&Resource::<Secret>::new_borrow(rep)) {
                *row = Secret { name: String::new(), bytes: SecretBytes::new(Vec::new()) };
            } else if let Ok(row) = self.table.get_mut(&Resource::<LocalToken>::new_borrow(rep)) {
                row.token.secret = None;
            } else if let Ok(row) = self.table.get_mut(&Resource::<UserSession>::new_borrow(rep)) {
                row.token = SecretBytes::new(Vec::new());
            }
        }
        self.held.clear();
        self.revealed.clear();
        self.log.end(&self.binding, &self.call, &self.stdout, &self.stderr);
        let (bytes_sent, bytes_received) = self.hooks.end();
        CallReport {
            storage_written: self.storage_written,
            log_tail: self.log.take_tail(),
            stderr_tail: self.stderr.tail(),
            host_calls: self.trace.calls(),
            log_lines_dropped: self.log.dropped(),
            bytes_sent,
            bytes_received,
        }
    }

    /// Whether the plugin holds a handle of anything of the host: its memory is then of no use without it.
    pub(crate) fn holds_handles(&self) -> bool {
        !self.table.is_empty()
    }

    /// From here on secrets are remembered, for the memory watch of tests.
    pub(crate) fn keep_seen(&mut self) {
        self.seen = Some(Seen::new());
    }

    /// The secrets that the plugin held handles of since this was asked last.
    pub(crate) fn take_seen(&mut self) -> Seen {
        self.seen.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// What the texts of this call must not show. `None` = it held too many secrets to look for.
    pub(crate) fn masker(&self) -> Option<Masker> {
        let mut masker = Masker::new();
        self.held.iter().for_each(|secret| masker.add(secret.reveal()));
        (self.held.len() <= MAX_HELD).then_some(masker)
    }

    fn note_held(&mut self, bytes: &SecretBytes) {
        if self.held.len() <= MAX_HELD && !self.held.iter().any(|known| known.reveal() == bytes.reveal()) {
            self.held.push(bytes.clone());
        }
    }

    fn note_seen(&mut self, name: &str, bytes: &SecretBytes) {
        if let Some(seen) = &mut self.seen {
            seen.push((name.to_owned(), bytes.clone()));
        }
    }

    /// The binding it serves.
    pub fn binding(&self) -> &Arc<BindingContext> {
        &self.binding
    }

    /// The call it serves.
    pub fn call(&self) -> &CallInfo {
        &self.call
    }

    /// A secret that the plugin owns from here on, e.g. a credential field: for parameters of type `secret`.
    ///
    /// # Errors
    /// The table is full.
    pub fn give_secret(
        &mut self,
        name: impl Into<String>,
        bytes: SecretBytes,
    ) -> Result<Resource<Secret>, Error> {
        let name = name.into();
        self.note_seen(&name, &bytes);
        self.keep_secret(name, bytes)
    }

    /// The same for bytes that the plugin had itself.
    pub(crate) fn keep_secret(
        &mut self,
        name: impl Into<String>,
        bytes: SecretBytes,
    ) -> Result<Resource<Secret>, Error> {
        self.note_held(&bytes);
        let row = self.table.push(Secret { name: name.into(), bytes }).map_err(|_| full())?;
        self.live.insert(row.rep());
        Ok(row)
    }

    /// A secret for the length of the call: for parameters of type `borrow<secret>`.
    ///
    /// # Errors
    /// The table is full.
    pub fn lend_secret(
        &mut self,
        name: impl Into<String>,
        bytes: SecretBytes,
    ) -> Result<Resource<Secret>, Error> {
        let row = self.give_secret(name, bytes)?;
        self.lent.push(Lent::Secret(row.rep()));
        Ok(Resource::new_borrow(row.rep()))
    }

    /// A local token for the length of the call: for parameters of type `borrow<local-token>`.
    ///
    /// # Errors
    /// The table is full.
    pub fn lend_token(&mut self, token: ModelToken) -> Result<Resource<LocalToken>, Error> {
        if let Some(secret) = &token.secret {
            self.note_seen("local-token", secret);
        }
        self.hooks.act_for(format!("{}/{}", token.made_by, token.account));
        let row = self.give_token(token)?;
        self.lent.push(Lent::Token(row.rep()));
        Ok(Resource::new_borrow(row.rep()))
    }

    /// The user's session for the length of the call: for parameters of type `borrow<user-session>`.
    ///
    /// # Errors
    /// The table is full.
    pub fn lend_session(&mut self, token: SecretBytes) -> Result<Resource<UserSession>, Error> {
        self.note_seen("session", &token);
        self.note_held(&token);
        let row = self.table.push(UserSession { token }).map_err(|_| full())?;
        self.live.insert(row.rep());
        self.lent.push(Lent::Session(row.rep()));
        Ok(Resource::new_borrow(row.rep()))
    }

    /// Takes a secret that the plugin returned.
    ///
    /// # Errors
    /// The handle is from an earlier call.
    pub fn take_secret(&mut self, handle: Resource<Secret>) -> Result<SecretBytes, Error> {
        let alive = self.live.remove(&handle.rep());
        match self.table.delete(handle) {
            Ok(row) if alive => Ok(row.bytes),
            _ => Err(stale()),
        }
    }

    /// Takes a local token that the plugin returned.
    ///
    /// # Errors
    /// The handle is from an earlier call.
    pub fn take_token(&mut self, handle: Resource<LocalToken>) -> Result<ModelToken, Error> {
        let alive = self.live.remove(&handle.rep());
        match self.table.delete(handle) {
            Ok(row) if alive => Ok(row.token),
            _ => Err(stale()),
        }
    }

    pub(crate) fn give_token(&mut self, token: ModelToken) -> Result<Resource<LocalToken>, Error> {
        if let Some(secret) = &token.secret {
            self.note_held(secret);
        }
        let row = self.table.push(LocalToken { token }).map_err(|_| full())?;
        self.live.insert(row.rep());
        Ok(row)
    }

    /// The row behind a secret of this call.
    pub(crate) fn secret(&self, handle: &Resource<Secret>) -> Result<&Secret, Error> {
        if !self.live.contains(&handle.rep()) {
            return Err(stale());
        }
        self.table.get(handle).map_err(|_| stale())
    }

    /// The row behind a local token of this call.
    pub(crate) fn local_token(&self, handle: &Resource<LocalToken>) -> Result<&ModelToken, Error> {
        if !self.live.contains(&handle.rep()) {
            return Err(stale());
        }
        self.table.get(handle).map(|row| &row.token).map_err(|_| stale())
    }

    /// The row behind a session of this call.
    pub(crate) fn session(&self, handle: &Resource<UserSession>) -> Result<&UserSession, Error> {
        if !self.live.contains(&handle.rep()) {
            return Err(stale());
        }
        self.table.get(handle).map_err(|_| stale())
    }

    /// Forgets a row that the plugin dropped.
    pub(crate) fn drop_row<T: 'static>(&mut self, handle: Resource<T>) {
        self.live.remove(&handle.rep());
        // A row that is gone already is what is wanted.
        let _ = self.table.delete(handle);
    }
}

impl WasiView for CallState {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

impl WasiHttpView for CallState {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView { ctx: &mut self.http, table: &mut self.table, hooks: &mut self.hooks }
    }
}

fn full() -> Error {
    Error::permanent("the plugin holds too many handles; drop those that are no longer used")
}

fn stale() -> Error {
    Error::invalid("this handle belonged to an earlier call; handles end with the call that received them")
        .code(STALE_HANDLE)
}
