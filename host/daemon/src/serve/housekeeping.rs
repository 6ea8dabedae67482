//! Sessions and revocations that have ended are forgotten, some at a time, so that the store does not grow for ever.

use std::sync::Arc;
use std::time::Duration;

use archipel_identity::Identity;
use tokio_util::sync::CancellationToken;

/// Between two rounds.
const EVERY: Duration = Duration::from_secs(600);
/// Forgotten in one go; more are forgotten in the next, without waiting.
const AT_A_TIME: usize = 500;

/// Until `stop`.
pub(super) async fn run(identity: Arc<Identity>, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(EVERY) => {}
        }
        loop {
            match identity.forget_ended(AT_A_TIME).await {
                Ok(forgotten) if forgotten >= AT_A_TIME && !stop.is_cancelled() => {}
                Ok(_) => break,
                Err(error) => {
                    tracing::warn!(%error, "ended sessions could not be forgotten; the next round tries again");
                    break;
                }
            }
        }
    }
}
