//! What an operator does to a store as a whole: look at it ([`survey`], [`check`]), copy it out and in ([`Export`],
//! [`import`]), and make it smaller ([`compact`]).
//!
//! All of it reads or writes page by page: memory does not grow with the store. `catalogue` names every collection that
//! there is and `follows` says what follows from each record, so that a check can compare and an import can make anew
//! what an export need not hold. A collection that is missing there is found by every one of these commands.

mod catalogue;
mod check;
mod compact;
mod export;
mod follows;
mod import;
mod lines;
mod survey;

pub use check::{Findings, Problem, check};
pub use compact::{CompactError, Compacted, compact};
pub use export::{Export, Exported, Whole};
pub use import::{ImportError, Imported, import};
pub use survey::{CollectionFigures, Survey, disk_bytes, survey};

use std::sync::Arc;

use archipel_model::Clock;
use archipel_model::audit::AuditLog;

use crate::audit::AuditCollection;
use crate::engine::Engine;

/// The audit of a store that nobody serves, to be read: nothing else of it is opened, upgraded or written.
pub fn audit_of(engine: Arc<dyn Engine>, clock: Arc<dyn Clock>) -> Arc<dyn AuditLog> {
    Arc::new(AuditCollection { engine, clock })
}

/// Keys that are read at a time.
const PAGE: usize = 1000;
