//! How the contract grows, proved on a made-up package: `archipel:probe@0.1.0` and `@0.2.0` (wit/probe).
//!
//! | what | where | how often |
//! |---|---|---|
//! | the contract as it was | a folder of `wit/`, frozen by a test of its digest | one per version, for ever |
//! | what bindgen makes of it | a module of `archipel-bindings` | one per version |
//! | the words of that version, in those of the newest | a module here: its imports are served and its exports called by it | one per older version |
//! | what the rest of the system speaks | [`Question`], [`Answer`]: the newest's meaning | once |
//! | a component that was built then | `tests/fixtures`, loaded by every later host | one per version |
//!
//! The version is read from the names of a component's exports, before anything is compiled. The real packages are drafts and
//! have one version; when the first is frozen, it gets its rooms in the same way.

mod v0_1;
mod v0_2;

use std::time::Duration;

use archipel_model::Error;
use wasmtime::Store;
use wasmtime::component::{Component, InstancePre, Linker};

use crate::engine;
use crate::limiter::{Limiter, StoreBounds};
use crate::limits::RuntimeLimits;
use crate::scan;

/// Versions that this host serves, the newest last.
pub const VERSIONS: [&str; 2] = ["0.1.0", "0.2.0"];

/// The longest that a probe may take.
const DEADLINE: Duration = Duration::from_secs(5);

/// A question, as the newest version has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// The word.
    pub word: String,
    /// As in BCP 47, where known.
    pub locale: Option<String>,
}

/// An answer, as the newest version has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// From 0 to 100.
    pub score: u32,
    /// Why.
    pub reasons: Vec<String>,
}

/// Severity of a note.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// Worth knowing.
    Info,
    /// Worth looking at.
    Warn,
}

/// What a probe did.
#[derive(Clone, Debug, PartialEq)]
pub struct Probed {
    /// The version that it was built for.
    pub version: &'static str,
    /// What it answered.
    pub answer: Result<Answer, Error>,
    /// What it noted meanwhile.
    pub notes: Vec<(Level, String)>,
}

/// What stands behind the imports of both versions.
pub(crate) struct State {
    notes: Vec<(Level, String)>,
    limits: Limiter,
}

/// Asks a component of any version.
///
/// # Errors
/// Where it is none, or of a version that this host does not serve; the message lists those that it does.
pub async fn ask(wasm: &[u8], question: &Question, limits: &RuntimeLimits) -> Result<Probed, Error> {
    let scan = scan::scan(wasm, limits).map_err(|refusal| Error::invalid(refusal.to_string()))?;
    let exports = |interface: &str| scan.exports.iter().any(|exported| exported == interface);
    let version = match (exports(v0_1::INTERFACE), exports(v0_2::INTERFACE)) {
        (_, true) => "0.2.0",
        (true, false) => "0.1.0",
        (false, false) => {
            return Err(Error::unsupported(format!(
                "it exports {}; this host serves archipel:probe {}; build it for one of them",
                scan.exports.join(", "),
                VERSIONS.join(" and ")
            )));
        }
    };
    let (pre, mut store) = prepared(wasm, limits).map_err(|error| Error::invalid(format!("{error:#}")))?;
    let work = async {
        match version {
            "0.1.0" => v0_1::check(&pre, &mut store, question).await,
            _ => v0_2::check(&pre, &mut store, question).await,
        }
    };
    let answer = tokio::time::timeout(DEADLINE, work)
        .await
        .map_err(|_| Error::transient("the probe did not finish in time"))?
        .map_err(|error| Error::permanent(format!("{error:#}")))?;
    Ok(Probed { version, answer, notes: std::mem::take(&mut store.data_mut().notes) })
}

/// Both versions are linked: a component imports those of its own.
fn prepared(wasm: &[u8], limits: &RuntimeLimits) -> wasmtime::Result<(InstancePre<State>, Store<State>)> {
    let engine = engine::compiling(limits)?;
    let mut linker = Linker::new(&engine);
    v0_1::add_to_linker(&mut linker)?;
    v0_2::add_to_linker(&mut linker)?;
    let pre = linker.instantiate_pre(&Component::from_binary(&engine, wasm)?)?;
    let state = State { notes: Vec::new(), limits: Limiter::new(StoreBounds::from(limits)) };
    let mut store = Store::new(&engine, state);
    store.limiter(|state| &mut state.limits);
    // Nothing advances this engine's epoch: the timer ends what waits, and what is made up does not compute.
    store.set_epoch_deadline(1);
    Ok((pre, store))
}
