//! Who waits for which log to grow.

use std::sync::{Mutex, PoisonError};

use tokio::sync::watch;

use crate::engine::{Commit, Committed, Key, Write};

/// The watchers of an engine. Few logs are watched, so a list is enough.
#[derive(Default)]
pub(crate) struct Watchers(Mutex<Vec<(Key, watch::Sender<u64>)>>);

impl Watchers {
    /// Watches a log whose newest append is `newest`.
    pub(crate) fn watch(&self, log: &[u8], newest: u64) -> watch::Receiver<u64> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, sender)) = all.iter().find(|(known, _)| known == log) {
            return sender.subscribe();
        }
        let (sender, receiver) = watch::channel(newest);
        all.push((log.to_vec(), sender));
        receiver
    }

    /// Tells of a durable commit.
    pub(crate) fn tell(&self, commit: &Commit, committed: Committed) {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for write in &commit.writes {
            let Write::Append { prefix, ordinal, .. } = write else { continue };
            if let Some((_, sender)) = all.iter().find(|(known, _)| known == prefix) {
                let sequence = committed.sequence(*ordinal);
                sender.send_if_modified(|newest| {
                    let grew = sequence > *newest;
                    *newest = sequence.max(*newest);
                    grew
                });
            }
        }
    }
}
