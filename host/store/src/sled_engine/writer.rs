//! The one thread that writes. It takes all commits that wait, judges them in order against the state so far, applies
//! what they change as one batch, flushes once, and answers them all.
//!
//! A refusal is answered after the flush too: it may rest on a commit of the same group, and whoever is refused must be
//! able to read why.

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};

use super::gate::Touched;
use super::guard::guarded;
use super::lock::Lock;
use super::open::{self, Handles, STAMP, SledOptions};
use super::snapshot::Held;
use super::{Shared, to_bytes};
use crate::engine::{Commit, CommitError, Committed, EngineError, Key};
use crate::judge::{Changes, State, judge};

/// How often the mark is written and the disk's free space looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Bytes of commits that share one flush. Bounds memory and how long the first of them waits.
const GROUP_BYTES: usize = 16 << 20;
/// How long after a failure the files are opened again.
const REOPEN_AFTER: Duration = Duration::from_secs(2);

/// What the writer is asked.
pub(super) enum Job {
    Commit { commit: Commit, answer: oneshot::Sender<Result<Committed, CommitError>> },
    Flush { answer: oneshot::Sender<Result<(), EngineError>> },
    Snapshot { prefixes: Vec<Key>, answer: oneshot::Sender<Result<(u64, Arc<Held>), EngineError>> },
    Close { answer: oneshot::Sender<()> },
}

pub(super) struct Writer {
    dir: PathBuf,
    options: SledOptions,
    shared: Arc<Shared>,
    queue: mpsc::Receiver<Job>,
    /// Of the last commit.
    stamp: u64,
    /// Of the last commit that a flush covered.
    durable_stamp: u64,
    /// Something buffered is applied and not flushed.
    dirty: bool,
    looked_at: Instant,
    full: Option<String>,
    failed_at: Option<Instant>,
    lock: Option<Lock>,
}

/// A commit on its way through one group.
struct Pending {
    commit: Commit,
    answer: oneshot::Sender<Result<Committed, CommitError>>,
    verdict: Result<Committed, CommitError>,
}

impl Writer {
    pub(super) fn start(
        dir: &Path,
        options: SledOptions,
        shared: Arc<Shared>,
        queue: mpsc::Receiver<Job>,
        stamp: u64,
        lock: Lock,
    ) -> std::io::Result<()> {
        let mut writer = Self {
            dir: dir.to_owned(),
            options,
            shared,
            queue,
            stamp,
            durable_stamp: stamp,
            dirty: false,
            looked_at: Instant::now(),
            full: None,
            failed_at: None,
            lock: Some(lock),
        };
        writer.look();
        std::thread::Builder::new().name("store-write".to_owned()).spawn(move || writer.run())?;
        Ok(())
    }

    fn run(mut self) {
        while let Some(first) = self.queue.blocking_recv() {
            let (mut commits, mut flushes, mut snapshots, mut closing) =
                (Vec::new(), Vec::new(), Vec::new(), None);
            let mut bytes = 0_usize;
            let mut next = Some(first);
            while let Some(job) = next {
                match job {
                    Job::Commit { commit, answer } => {
                        bytes = bytes.saturating_add(commit.bytes());
                        commits.push((commit, answer));
                    }
                    Job::Flush { answer } => flushes.push(answer),
                    Job::Snapshot { prefixes, answer } => {
                        // What a snapshot shows must be durable.
                        let (flush, flushed) = oneshot::channel();
                        flushes.push(flush);
                        snapshots.push((prefixes, answer, flushed));
                    }
                    Job::Close { answer } => closing = Some(answer),
                }
                if commits.len() >= self.options.group || bytes >= GROUP_BYTES || closing.is_some() {
                    break;
                }
                next = self.queue.try_recv().ok();
            }
            self.group(commits, flushes);
            for (prefixes, answer, mut flushed) in snapshots {
                let flushed = flushed.try_recv().unwrap_or_else(|_| Err(self.shared.unavailable()));
                let begun = flushed.map(|()| (self.stamp, self.shared.snapshots.begin(prefixes)));
                // Whoever asked may be gone.
                let _ = answer.send(begun);
            }
            if let Some(answer) = closing {
                self.close();
                let _ = answer.send(());
                return;
            }
        }
        self.close();
    }

    fn close(&mut self) {
        self.group(Vec::new(), vec![oneshot::channel().0]);
        let whole = self.shared.handles().is_ok();
        self.queue.close();
        self.let_go("it was closed");
        if whole {
            // Without the mark a cut log is not noticed; nothing else is lost.
            let _ = open::write_mark(&self.dir, self.durable_stamp);
            open::remove_holder(&self.dir);
        }
        self.lock = None;
    }

    fn group(
        &mut self,
        commits: Vec<(Commit, oneshot::Sender<Result<Committed, CommitError>>)>,
        flushes: Vec<oneshot::Sender<Result<(), EngineError>>>,
    ) {
        let handles = self.usable();
        let begun = Instant::now();
        let mut changes = Changes::new();
        let mut touched = Touched::new();
        let mut stamp = self.stamp;
        let mut pending: Vec<Pending> = Vec::with_capacity(commits.len());
        for (commit, answer) in commits {
            let next = Committed { stamp: stamp.saturating_add(1) };
            let judged = match (&handles, &self.full) {
                (Err(error), _) => Err(error.clone().into()),
                (_, Some(full)) => Err(EngineError::Unavailable(full.clone()).into()),
                (Ok(handles), None) => {
                    judge(&commit, &Sofar { changes: &changes, shared: &self.shared, handles }, next)
                }
            };
            let verdict = judged.map(|changed| {
                stamp = next.stamp;
                for key in changed.keys() {
                    *touched.entry(key.clone()).or_default() |= !commit.buffered;
                }
                changes.extend(changed);
                next
            });
            pending.push(Pending { commit, answer, verdict });
        }
        self.shared.count(|figures| figures.judge_us += micros(begun));
        let durable = touched.values().any(|waits| *waits) || (self.dirty && !flushes.is_empty());
        let written = match handles {
            Ok(handles) => self.write(handles, &changes, touched, stamp, durable, &mut pending),
            Err(error) => Err(error),
        };
        if let Err(error) = &written {
            for one in &mut pending {
                if one.verdict.is_ok() {
                    one.verdict = Err(error.clone().into());
                }
            }
        }
        self.count(&pending, durable);
        for Pending { commit, answer, verdict } in pending {
            if let Ok(committed) = verdict {
                self.shared.watchers.tell(&commit, committed);
            }
            // Whoever asked may be gone.
            let _ = answer.send(verdict);
        }
        for answer in flushes {
            let _ = answer.send(written.clone());
        }
        if self.looked_at.elapsed() >= LOOK_EVERY {
            self.look();
        }
    }

    /// Applies, flushes and shows a group. Buffered commits are answered in between.
    fn write(
        &mut self,
        handles: Arc<Handles>,
        changes: &Changes,
        touched: Touched,
        stamp: u64,
        durable: bool,
        pending: &mut Vec<Pending>,
    ) -> Result<(), EngineError> {
        if changes.is_empty() && !durable {
            return Ok(());
        }
        self.shared.gate.begin(touched);
        let begun = Instant::now();
        self.shared.snapshots.keep(changes.keys(), |key| self.before(&handles, key));
        let applied = apply(&handles, changes, stamp);
        self.shared.count(|figures| figures.apply_us += micros(begun));
        if applied.is_ok() {
            self.stamp = stamp;
            self.answer_buffered(changes, pending);
            self.dirty = true;
        }
        let begun = Instant::now();
        let written = applied.and_then(|()| if durable { flush(&handles) } else { Ok(()) });
        drop(handles);
        match written {
            Ok(()) => {
                self.dirty &= !durable;
                self.show(changes);
                self.shared.gate.end(false);
                if durable {
                    self.durable_stamp = self.stamp;
                    self.shared.count(|figures| {
                        figures.groups += 1;
                        figures.flush_us += micros(begun);
                    });
                }
                Ok(())
            }
            Err(reason) => {
                tracing::error!(reason, "the store could not write");
                self.let_go(&reason);
                self.shared.gate.end(true);
                self.failed_at = Some(Instant::now());
                Err(EngineError::Unavailable(reason))
            }
        }
    }

    /// What a key holds before the group that is about to be applied.
    fn before(&self, handles: &Handles, key: &[u8]) -> Result<Option<Bytes>, String> {
        match self.shared.cache.get(key) {
            Some(value) => Ok(Some(value)),
            None => guarded(|| handles.tree.get(key)).map(|value| value.map(to_bytes)),
        }
    }

    fn answer_buffered(&self, changes: &Changes, pending: &mut Vec<Pending>) {
        if !pending.iter().any(|one| one.commit.buffered) {
            return;
        }
        self.show(changes.iter().filter(|(key, _)| {
            pending.iter().any(|one| one.commit.buffered && one.verdict.is_ok() && writes(&one.commit, key))
        }));
        let (buffered, rest) = std::mem::take(pending).into_iter().partition(|one| one.commit.buffered);
        *pending = rest;
        let buffered: Vec<Pending> = buffered;
        self.count(&buffered, false);
        for Pending { answer, verdict, .. } in buffered {
            let _ = answer.send(verdict);
        }
    }

    /// Puts what was written into the cache of values.
    fn show<'a>(&self, changes: impl IntoIterator<Item = (&'a Vec<u8>, &'a Option<Bytes>)>) {
        for (key, value) in changes {
            match value {
                Some(value) if !value.is_empty() => self.shared.cache.insert(key.clone(), value.clone()),
                _ => self.shared.cache.invalidate(key),
            }
        }
    }

    fn count(&self, pending: &[Pending], durable: bool) {
        let made = pending.iter().filter(|one| one.verdict.is_ok()).count() as u64;
        self.shared.count(|figures| {
            figures.commits += made;
            figures.refused += pending.len() as u64 - made;
            if durable {
                figures.largest_group = figures.largest_group.max(made);
            }
        });
    }

    /// Writes the mark and looks at the disk.
    fn look(&mut self) {
        self.looked_at = Instant::now();
        self.full = open::full(&self.dir, self.options.min_free_bytes);
        let Ok(handles) = self.shared.handles() else { return };
        // As in `close`: a mark that is behind notices less.
        let _ = open::write_mark(&self.dir, self.durable_stamp);
        let bytes = handles.durable.lock().unwrap_or_else(PoisonError::into_inner).log_bytes();
        self.shared.count(|figures| figures.bytes_on_disk = bytes);
    }

    /// The files; opened again after a failure.
    fn usable(&mut self) -> Result<Arc<Handles>, EngineError> {
        let held = self.shared.handles();
        match self.failed_at {
            None => return held,
            Some(at) if at.elapsed() < REOPEN_AFTER => return held,
            Some(_) => self.failed_at = Some(Instant::now()),
        }
        let (handles, stamp) = open::open(&self.dir, &self.options).map_err(|error| {
            self.shared.set_why(error.to_string());
            self.shared.unavailable()
        })?;
        tracing::info!(stamp, "the store is open again");
        let handles = Arc::new(handles);
        *self.shared.handles.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&handles));
        // Numbers that were told to nobody may have reached the disk; none is given twice.
        self.stamp = self.stamp.max(stamp);
        self.durable_stamp = stamp;
        self.failed_at = None;
        self.dirty = false;
        self.look();
        Ok(handles)
    }

    /// Drops the files; readings in flight end first. Dropping can fail inside sled, and must not take us along.
    fn let_go(&mut self, why: &str) {
        self.shared.set_why(why);
        let held = self.shared.handles.write().unwrap_or_else(PoisonError::into_inner).take();
        self.shared.cache.invalidate_all();
        self.shared.snapshots.lose(why);
        let Some(mut held) = held else { return };
        let since = Instant::now();
        while since.elapsed() < Duration::from_secs(5) {
            match Arc::try_unwrap(held) {
                Ok(handles) => {
                    let _ = guarded(|| {
                        drop(handles);
                        Ok(())
                    });
                    return;
                }
                Err(shared) => held = shared,
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

fn micros(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_micros()).unwrap_or(0)
}

fn apply(handles: &Handles, changes: &Changes, stamp: u64) -> Result<(), String> {
    let mut batch = sled::Batch::default();
    for (key, value) in changes {
        match value {
            Some(value) => batch.insert(key.as_slice(), value.as_ref()),
            None => batch.remove(key.as_slice()),
        }
    }
    if !changes.is_empty() {
        batch.insert(STAMP, &stamp.to_be_bytes());
    }
    guarded(|| handles.tree.apply_batch(batch))
}

fn flush(handles: &Handles) -> Result<(), String> {
    archipel_model::fail::point("commit-before-flush");
    guarded(|| handles.tree.flush())?;
    let mut durable = handles.durable.lock().unwrap_or_else(PoisonError::into_inner);
    durable.sync().map_err(|error| error.to_string())?;
    archipel_model::fail::point("commit-after-flush");
    Ok(())
}

fn writes(commit: &Commit, key: &[u8]) -> bool {
    use crate::engine::Write;
    commit.writes.iter().any(|write| match write {
        Write::Put(written, _)
        | Write::Delete(written)
        | Write::Add { key: written, .. }
        | Write::Sum { key: written, .. } => written == key,
        Write::Append { prefix, .. } => key.starts_with(prefix),
        Write::Chain { prefix, head, .. } => key.starts_with(prefix) || key == head,
    })
}

/// The state that a commit of a group sees: what the group changed so far, over what is stored.
struct Sofar<'a> {
    changes: &'a Changes,
    shared: &'a Shared,
    handles: &'a Handles,
}

impl State for Sofar<'_> {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, EngineError> {
        if let Some(changed) = self.changes.get(key) {
            return Ok(changed.clone());
        }
        if let Some(known) = self.shared.cache.get(key) {
            return Ok(Some(known));
        }
        guarded(|| self.handles.tree.get(key))
            .map(|value| value.map(to_bytes))
            .map_err(EngineError::Unavailable)
    }
}
