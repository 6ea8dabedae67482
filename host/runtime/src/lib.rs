//! WebAssembly: engine, catalogue, admission, generations, calls, supervision, AOT cache.
//!
//! ```text
//! file ─ watch ─▶ check, compile (child process, cache) ─▶ binding (config, grants) ─ prepare ─▶ trial ─▶ generation
//!                 scan.rs  compile.rs, aot.rs, image.rs    admission.rs              snapshot.rs         site.rs, Site::current()
//! ```
//! The rest of the system sees plain Rust: [`Runtime::site`] gives the present generation with the traits of
//! `archipel_model::plugin`, [`Runtime::admin`] what an administrator can do. Nothing outside names wasmtime.
//!
//! ```no_run
//! # async fn start(services: archipel_runtime::Services) -> Result<(), archipel_runtime::StartError> {
//! use archipel_runtime::{Compiler, Runtime, RuntimeConfig, RuntimeOptions};
//!
//! let options = RuntimeOptions {
//!     compiler: Compiler::Child { exe: std::env::current_exe().unwrap() },
//!     ..RuntimeOptions::new("/var/lib/archipel/plugins", "/var/lib/archipel/data/aot", [7; 32])
//! };
//! let runtime = Runtime::start(RuntimeConfig::default(), services, options).await?;
//! let generation = runtime.site().current();
//! # Ok(())
//! # }
//! ```
//! The daemon's hidden subcommand [`CHILD_ARG`] must end in [`compile_child_main`] before it does anything else.

pub mod bench;
pub mod benchmark;
pub mod config;
pub mod contract;
pub mod explain;
pub mod explanation;
pub mod grants;
pub mod host;
pub mod limits;
pub mod manifest;
pub mod probe;
pub mod refusal;
pub mod signatures;

mod adapt;
mod admission;
mod aot;
mod attempt;
mod away;
mod call;
mod catalogue;
mod compile;
mod convert;
mod engine;
mod evidence;
mod exports;
mod failure;
mod figures;
mod folder;
mod image;
mod job;
mod judge;
mod kept_evidence;
mod limiter;
mod machine;
mod manager;
mod memory_watch;
mod pulse;
mod refresh;
mod runtime;
mod scan;
mod shadow;
mod site;
mod slots;
mod snapshot;
mod status;
mod supervise;
mod threads;
mod warm;
mod watch;
mod widening;

pub use benchmark::ScenarioRun;
pub use compile::{CHILD_ARG, Compiler, child_main as compile_child_main};
pub use config::{
    AuthorizationConfig, CloudConfig, CloudInterface, IdentityConfig, PluginConfig, RuntimeConfig,
    ShadowConfig,
};
pub use engine::{EngineFacts, probe};
pub use explain::{Checked, check};
pub use explanation::{Explanation, explain};
pub use grants::GrantConfig;
pub use host::{HostCrypto, Randomness, Services};
pub use limits::RuntimeLimits;
pub use memory_watch::arm as watch_memories;
pub use refusal::Refusal;
pub use runtime::{Reconfigured, Reread, Runtime, RuntimeOptions, StartError};
pub use signatures::SignaturePolicy;
pub use slots::Slots;
