//! One plugin in the real runtime, without a site: what `archipel plugin test` runs, and what the testkit drives.
//!
//! ```text
//! x.wasm + case.json ─▶ Workbench ─▶ admission, grants, sandbox (archipel-runtime, as it serves a site)
//!                          │              │
//!                          │              └ storage in memory, a clock that is turned, seeded randomness, HTTP on tape
//!                          ├─▶ contract   the tests that every plugin of an interface must pass
//!                          └─▶ serve      single calls, as lines of JSON, for `cargo test` in the author's crate
//! ```
//! Nothing of a plugin's surroundings is imitated but time, chance and the far side of the network.

mod bench;
mod call;
mod case;
mod clock;
mod contract;
pub mod measure;
mod rehearsal;
mod report;
mod serve;
mod services;
mod shown;
mod tape;

pub use bench::{Http, Options, Workbench, WorkbenchError};
pub use case::Case;
pub use clock::TurnedClock;
pub use contract::check;
pub use report::{Finding, Outcome, Report};
pub use serve::serve;
