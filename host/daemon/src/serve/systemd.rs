//! What systemd is told (`Type=notify` or `notify-reload`, `WatchdogSec=`; sd_notify(3)). Without systemd nothing happens.

use std::time::Duration;

use sd_notify::NotifyState;
use tokio::task::JoinHandle;

/// The site serves.
pub(super) fn ready() {
    tell(&[NotifyState::Ready]);
}

/// The site ends.
pub(super) fn stopping() {
    tell(&[NotifyState::Stopping]);
}

/// The site file is being read again; [`ready`] says that it was.
pub(super) fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now]),
        Err(error) => tracing::warn!(%error, "systemd could not be told of the reload"),
    }
}

/// Shows systemd that the daemon's threads still work, at half of the time that it waits. Ends with the handle's task.
pub(super) fn watchdog() -> Option<JoinHandle<()>> {
    let within = sd_notify::watchdog_enabled()?;
    let every = (within / 2).max(Duration::from_millis(10));
    Some(tokio::spawn(async move {
        let mut ticks = tokio::time::interval(every);
        loop {
            ticks.tick().await;
            tell(&[NotifyState::Watchdog]);
        }
    }))
}

fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(%error, "systemd could not be told");
    }
}
