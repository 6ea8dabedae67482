//! What is known of every file in the plugins' folder: when it may be read, and what it became.
//!
//! A file may be read when it is finished: renamed into the folder, or size and time have not changed for
//! `limits.settle_ms`. A file that is gone counts as gone only after a while, so that replacing a file by deleting and
//! copying does not take the site down.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use archipel_model::Timestamp;

use crate::call::Plugin;
use crate::figures::Figures;
use crate::folder::{Seen, Stamp};
use crate::refusal::Refusal;

/// A file is gone when it has been missing so long.
const GRACE: Duration = Duration::from_secs(2);

/// What a file became.
#[derive(Clone)]
pub(crate) enum Candidate {
    /// Seen, not yet read.
    Dropped,
    /// It cannot be used.
    Refused {
        /// Why.
        refusal: Refusal,
        /// Of its bytes, where they were read.
        digest: Option<String>,
    },
    /// Compiled and in order.
    Ready(Arc<Plugin>),
}

/// One name.
pub(crate) struct Entry {
    /// What its newest bytes became.
    pub(crate) candidate: Candidate,
    /// The version that serves, where one does.
    pub(crate) serving: Option<Arc<Plugin>>,
    /// Why the newest version does not serve, where an older one does.
    pub(crate) refused: Option<Refusal>,
    /// Since when it stands where it stands.
    pub(crate) since: Timestamp,
    /// Over all versions.
    pub(crate) figures: Arc<Figures>,
    stamp: Option<Stamp>,
    pending: Option<(Stamp, Instant)>,
    missing: Option<Instant>,
}

/// All names.
#[derive(Default)]
pub(crate) struct Catalogue {
    /// By plugin name.
    pub(crate) entries: BTreeMap<String, Entry>,
}

/// What a look at the folder asks for.
#[derive(Debug, Default)]
pub(crate) struct ToDo {
    /// Files that are finished and new.
    pub(crate) read: Vec<String>,
    /// Whether something changed that needs no reading: gone, or refused by its looks.
    pub(crate) changed: bool,
    /// Look again then.
    pub(crate) again: Option<Instant>,
}

impl Catalogue {
    /// Compares the folder with what is known.
    pub(crate) fn look(
        &mut self,
        seen: &[Seen],
        renamed: &BTreeSet<String>,
        settle: Duration,
        at: Instant,
        now: Timestamp,
    ) -> ToDo {
        let mut todo = ToDo::default();
        let mut again = |when: Instant| todo.again = Some(todo.again.map_or(when, |known| known.min(when)));
        for file in seen {
            let entry = self.entries.entry(file.name.clone()).or_insert_with(|| Entry::new(now));
            entry.missing = None;
            match &file.stamp {
                Err(refusal) => {
                    entry.stamp = None;
                    if !matches!(&entry.candidate, Candidate::Refused { refusal: known, .. } if known == refusal)
                    {
                        entry.candidate = Candidate::Refused { refusal: refusal.clone(), digest: None };
                        entry.since = now;
                        todo.changed = true;
                    }
                }
                Ok(stamp) if entry.stamp == Some(*stamp) => entry.pending = None,
                Ok(stamp) => {
                    let unchanged_since = match entry.pending {
                        Some((known, since)) if known == *stamp => since,
                        _ => at,
                    };
                    let waited = at.duration_since(unchanged_since) >= settle;
                    if renamed.contains(&file.name) || waited || stamp.is_older_than(settle) {
                        entry.pending = None;
                        todo.read.push(file.name.clone());
                    } else {
                        entry.pending = Some((*stamp, unchanged_since));
                        again(unchanged_since + settle);
                    }
                }
            }
        }
        for (name, entry) in &mut self.entries {
            if !seen.iter().any(|file| file.name == *name) {
                let since = *entry.missing.get_or_insert(at);
                again(since + GRACE);
            }
        }
        let before = self.entries.len();
        self.entries.retain(|_, entry| entry.missing.is_none_or(|since| at.duration_since(since) < GRACE));
        todo.changed |= before != self.entries.len();
        todo
    }

    /// Notes what a file became; says whether that is news.
    pub(crate) fn note(
        &mut self,
        name: &str,
        stamp: Option<Stamp>,
        candidate: Candidate,
        now: Timestamp,
    ) -> bool {
        let entry = self.entries.entry(name.to_owned()).or_insert_with(|| Entry::new(now));
        entry.stamp = stamp;
        let same = match (&entry.candidate, &candidate) {
            (Candidate::Ready(old), Candidate::Ready(new)) => old.digest == new.digest,
            (
                Candidate::Refused { refusal: old, digest: a },
                Candidate::Refused { refusal: new, digest: b },
            ) => old == new && a == b,
            _ => false,
        };
        if same {
            return false;
        }
        entry.candidate = candidate;
        entry.refused = None;
        entry.since = now;
        true
    }

    /// Whether some file is waited for.
    pub(crate) fn is_waiting(&self) -> bool {
        self.entries.values().any(|entry| entry.pending.is_some())
    }
}

impl Entry {
    fn new(now: Timestamp) -> Self {
        Self {
            candidate: Candidate::Dropped,
            serving: None,
            refused: None,
            since: now,
            figures: Arc::default(),
            stamp: None,
            pending: None,
            missing: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::folder::PluginFolder;

    const SETTLE: Duration = Duration::from_millis(300);

    struct Fixture {
        temp: tempfile::TempDir,
        folder: PluginFolder,
        catalogue: Catalogue,
        start: Instant,
    }

    impl Fixture {
        fn new() -> Self {
            let temp = tempfile::tempdir().unwrap();
            let folder = PluginFolder::open(temp.path()).unwrap();
            Self { temp, folder, catalogue: Catalogue::default(), start: Instant::now() }
        }

        fn write(&self, bytes: &[u8]) {
            std::fs::write(self.temp.path().join("p.wasm"), bytes).unwrap();
        }

        fn look(&mut self, ms: u64, renamed: &[&str]) -> ToDo {
            let renamed = renamed.iter().map(|name| (*name).to_owned()).collect();
            let seen = self.folder.list().unwrap();
            self.catalogue.look(
                &seen,
                &renamed,
                SETTLE,
                self.start + Duration::from_millis(ms),
                Timestamp::default(),
            )
        }
    }

    #[test]
    fn a_half_written_file_is_not_read_until_it_rests() {
        let mut fixture = Fixture::new();
        fixture.write(b"half");
        assert!(fixture.look(0, &[]).read.is_empty());
        fixture.write(b"half and more");
        let todo = fixture.look(299, &[]);
        assert!(todo.read.is_empty());
        assert_eq!(todo.again, Some(fixture.start + Duration::from_millis(599)));
        assert!(fixture.catalogue.is_waiting());
        assert_eq!(fixture.look(600, &[]).read, ["p"]);
    }

    #[test]
    fn a_file_that_was_renamed_in_is_finished() {
        let mut fixture = Fixture::new();
        fixture.write(b"whole");
        assert_eq!(fixture.look(0, &["p"]).read, ["p"]);
    }

    #[test]
    fn a_file_that_is_replaced_slowly_is_never_gone() {
        let mut fixture = Fixture::new();
        fixture.write(b"one");
        fixture.look(0, &["p"]);
        std::fs::remove_file(fixture.temp.path().join("p.wasm")).unwrap();
        let todo = fixture.look(10, &[]);
        assert!(!todo.changed && todo.again.is_some());
        assert_eq!(fixture.catalogue.entries.len(), 1);
        fixture.write(b"two");
        fixture.look(1_000, &["p"]);
        std::fs::remove_file(fixture.temp.path().join("p.wasm")).unwrap();
        fixture.look(3_000, &[]);
        assert!(fixture.look(5_001, &[]).changed);
        assert!(fixture.catalogue.entries.is_empty());
    }
}
