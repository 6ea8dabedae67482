//! What has ended and is old enough is forgotten, some at a time, so that the store does not grow for ever: sessions and
//! revocations, records of the audit, uses of addresses, accounts of single orders. Orders and events are the order
//! engine's.

use std::sync::Arc;
use std::time::Duration;

use archipel_identity::Identity;
use archipel_model::audit::AuditLog;
use archipel_model::{Clock, Error};
use archipel_orders::usage::UsageStore;
use tokio_util::sync::CancellationToken;

/// Between two rounds.
const EVERY: Duration = Duration::from_secs(600);
/// Forgotten of each in one go; more are forgotten in the next, without waiting.
const AT_A_TIME: usize = 500;

/// What is kept for a time only.
pub(super) struct Kept {
    pub(super) identity: Arc<Identity>,
    pub(super) usage: Arc<dyn UsageStore>,
    pub(super) audit: Arc<dyn AuditLog>,
    pub(super) clock: Arc<dyn Clock>,
    /// `[audit] retention_s`.
    pub(super) retention: Duration,
}

impl Kept {
    /// Forgets some of each; says whether there may be more.
    async fn forget(&self) -> Result<bool, Error> {
        let before = self.clock.now().minus(self.retention);
        let forgotten = [
            self.identity.forget_ended(AT_A_TIME).await?,
            self.usage.forget_before(before, AT_A_TIME).await?,
            self.audit.forget_before(before, AT_A_TIME).await?,
        ];
        Ok(forgotten.iter().any(|forgotten| *forgotten >= AT_A_TIME))
    }
}

/// Until `stop`.
pub(super) async fn run(kept: Kept, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(EVERY) => {}
        }
        loop {
            match kept.forget().await {
                Ok(true) if !stop.is_cancelled() => {}
                Ok(_) => break,
                Err(error) => {
                    tracing::warn!(%error, "what has ended could not be forgotten; the next round tries again");
                    break;
                }
            }
        }
    }
}
