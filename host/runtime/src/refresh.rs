//! `lifecycle.refresh` on the host's timer: with network, never with user data. What it leaves serves until the next.

use std::sync::{Arc, Weak};
use std::time::Duration;

use archipel_model::{Error, ErrorKind};

use crate::call::{Binding, Call};
use crate::convert;

/// Bytes that a refresh may leave.
const STATE: usize = 1 << 20;
/// Soonest and latest that it is asked again.
const SOONEST: Duration = Duration::from_secs(1);
const LATEST: Duration = Duration::from_secs(24 * 3600);
/// First and longest pause after a failure.
const RETRY: Duration = Duration::from_secs(2);
const RETRY_MOST: Duration = Duration::from_secs(300);

/// Starts the timer of a new binding; it ends with the binding, or when the plugin says that it has nothing to refresh.
pub(crate) fn start(binding: &Arc<Binding>) {
    if binding.image.exports.lifecycle.is_some() {
        let weak = Arc::downgrade(binding);
        binding.machine.threads.spawn(repeat(weak));
    }
}

async fn repeat(weak: Weak<Binding>) {
    let mut retry = RETRY;
    loop {
        let pause = {
            let Some(binding) = weak.upgrade().filter(|binding| !binding.warm.is_closed()) else { return };
            match once(&binding).await {
                Ok((state, next)) => {
                    binding.context.state.store(Some(Arc::new(state)));
                    retry = RETRY;
                    next.clamp(SOONEST, LATEST)
                }
                Err(error) if error.kind == ErrorKind::Unsupported => return,
                Err(error) => {
                    tracing::warn!(plugin = %binding.plugin.name, binding = %binding.context.name, %error, "refresh failed; what it left before serves on");
                    let pause = retry;
                    retry = retry.saturating_mul(2).min(RETRY_MOST);
                    pause
                }
            }
        };
        tokio::time::sleep(pause).await;
    }
}

async fn once(binding: &Arc<Binding>) -> Result<(Vec<u8>, Duration), Error> {
    let previous = binding.context.state.load_full();
    binding
        .lifecycle("lifecycle.refresh", move |call: Call<'_>| {
            Box::pin(async move {
                let Some(indices) = &call.exports.lifecycle else {
                    return Ok(Err(Error::unsupported("no life cycle")));
                };
                let guest = indices.load(&mut *call.store, call.instance)?;
                let previous = previous.as_deref().map(Vec::as_slice);
                let answer = guest.call_refresh(&mut *call.store, previous).await?;
                Ok(answer.map_err(convert::error).and_then(|refreshed| {
                    if refreshed.state.len() > STATE {
                        return Err(convert::unusable(format!("state is longer than {STATE} bytes")));
                    }
                    Ok((refreshed.state, Duration::from_millis(refreshed.next_in_ms)))
                }))
            })
        })
        .await
}
