//! Which interfaces exist for plugins at all. What is not linked here fails at admission.
//!
//! Sockets are not linked. `wasi:filesystem` is, because the standard library of `wasm32-wasip2` asks for preopened
//! folders at start; there are none, so no path leads anywhere.

use archipel_bindings::latest::archipel::benchmark::{broker, measure};
use archipel_bindings::latest::archipel::host::{config, credentials, crypto, log, state, storage, types};
use wasmtime::component::{HasData, HasSelf, Linker, Resource, ResourceTable};
use wasmtime_wasi::cli::{WasiCli, WasiCliView};
use wasmtime_wasi::clocks::{WasiClocks, WasiClocksView};
use wasmtime_wasi::filesystem::{WasiFilesystem, WasiFilesystemView};
use wasmtime_wasi::p2::IoError;
use wasmtime_wasi::p2::bindings::{cli, clocks, filesystem, io, random};

use super::random::Random;
use super::state::CallState;

/// The table, as `wasi:io` sees it.
struct Table;

impl HasData for Table {
    type Data<'a> = &'a mut ResourceTable;
}

/// Links everything that a plugin may import.
///
/// # Errors
/// Only if the linker has some of it already.
pub fn add_to_linker(linker: &mut Linker<CallState>) -> wasmtime::Result<()> {
    add_wasi(linker)?;
    wasmtime_wasi_http::p2::add_only_http_to_linker_async(linker)?;
    types::add_to_linker::<_, HasSelf<CallState>>(linker, |state| state)?;
    config::add_to_linker::<_, HasSelf<CallState>>(linker, |state| state)?;
    log::add_to_linker::<_, HasSelf<CallState>>(linker, |state| state)?;
    storage::add_to_linker::<_, HasSelf<CallState>>(linker, |state| state)?;
    state::add_to_linker::<_, HasSelf<CallState>>(linker, |state| state)?;
    credentials::add_to_linker::<_, HasSelf<CallState>>(linker, |state| state)?;
    crypto::add_to_linker::<_, HasSelf<CallState>>(linker, |state| state)?;
    // A scenario that was dropped is looked at like any plugin; outside a run the broker refuses.
    add_benchmark(linker)
}

/// Links what a benchmark's scenario may import, and nothing else: no network, no storage, no secrets.
///
/// # Errors
/// Only if the linker has some of it already.
pub fn add_scenario_to_linker(linker: &mut Linker<CallState>) -> wasmtime::Result<()> {
    add_wasi(linker)?;
    types::add_to_linker::<_, HasSelf<CallState>>(linker, |state| state)?;
    config::add_to_linker::<_, HasSelf<CallState>>(linker, |state| state)?;
    log::add_to_linker::<_, HasSelf<CallState>>(linker, |state| state)?;
    add_benchmark(linker)
}

fn add_benchmark(linker: &mut Linker<CallState>) -> wasmtime::Result<()> {
    broker::add_to_linker::<_, HasSelf<CallState>>(linker, |state| state)?;
    measure::add_to_linker::<_, HasSelf<CallState>>(linker, |state| state)
}

fn add_wasi(l: &mut Linker<CallState>) -> wasmtime::Result<()> {
    io::error::add_to_linker::<_, HasSelf<CallState>>(l, |state| state)?;
    io::poll::add_to_linker::<_, Table>(l, |state| &mut state.table)?;
    io::streams::add_to_linker::<_, Table>(l, |state| &mut state.table)?;
    clocks::wall_clock::add_to_linker::<_, WasiClocks>(l, CallState::clocks)?;
    clocks::monotonic_clock::add_to_linker::<_, WasiClocks>(l, CallState::clocks)?;
    random::random::add_to_linker::<_, Random>(l, |state| &mut state.random)?;
    random::insecure::add_to_linker::<_, Random>(l, |state| &mut state.random)?;
    random::insecure_seed::add_to_linker::<_, Random>(l, |state| &mut state.random)?;
    cli::exit::add_to_linker::<_, WasiCli>(l, CallState::cli)?;
    cli::environment::add_to_linker::<_, WasiCli>(l, CallState::cli)?;
    cli::stdin::add_to_linker::<_, WasiCli>(l, CallState::cli)?;
    cli::stdout::add_to_linker::<_, WasiCli>(l, CallState::cli)?;
    cli::stderr::add_to_linker::<_, WasiCli>(l, CallState::cli)?;
    cli::terminal_input::add_to_linker::<_, WasiCli>(l, CallState::cli)?;
    cli::terminal_output::add_to_linker::<_, WasiCli>(l, CallState::cli)?;
    cli::terminal_stdin::add_to_linker::<_, WasiCli>(l, CallState::cli)?;
    cli::terminal_stdout::add_to_linker::<_, WasiCli>(l, CallState::cli)?;
    cli::terminal_stderr::add_to_linker::<_, WasiCli>(l, CallState::cli)?;
    filesystem::types::add_to_linker::<_, WasiFilesystem>(l, CallState::filesystem)?;
    filesystem::preopens::add_to_linker::<_, HasSelf<CallState>>(l, |state| state)?;
    Ok(())
}

impl io::error::Host for CallState {}

impl io::error::HostError for CallState {
    /// In words. What the host's own debug output adds is where in the host it happened, and that is no plugin's to read.
    fn to_debug_string(&mut self, error: Resource<IoError>) -> wasmtime::Result<String> {
        Ok(self.table.get(&error)?.to_string())
    }

    fn drop(&mut self, error: Resource<IoError>) -> wasmtime::Result<()> {
        self.table.delete(error)?;
        Ok(())
    }
}

impl filesystem::preopens::Host for CallState {
    /// None. Asked by the standard library when a plugin first uses a path.
    fn get_directories(
        &mut self,
    ) -> wasmtime::Result<Vec<(Resource<filesystem::types::Descriptor>, String)>> {
        self.binding.remark(&self.call, "it looked for files: there are none for plugins");
        Ok(Vec::new())
    }
}
