//! Makes a store of an export: in a folder beside, checked, and put in its place whole.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, BufRead, Read};
use std::path::{Path, PathBuf};

use archipel_model::{Clock, SiteId, SystemClock, Timestamp};
use bytes::Bytes;
use serde::Serialize;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::catalogue::Collection;
use super::check::{Findings, check};
use super::follows::{follows, version};
use super::lines::{End, FORMAT, Header, Last, Line, VERSION, entry};
use crate::engine::{Engine, Key};
use crate::sled_engine::{Bulk, Lock};
use crate::usage::Sums;
use crate::{OpenError, SCHEMA, SledEngine, SledOptions, keys};

/// The longest line. The largest record is a commit of 1 MiB; base64 makes a third more of it. Bounds memory.
const MAX_LINE: u64 = 4 << 20;

/// Why nothing was imported. The store that was there is as it was.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The file cannot be read.
    #[error("the export cannot be read: {0}")]
    Unreadable(#[from] io::Error),
    /// It is no export, or not the one that was written.
    #[error("line {line}: {reason}; nothing was imported. Use another backup")]
    Wrong {
        /// Where.
        line: u64,
        /// What is wrong.
        reason: String,
    },
    /// A newer archipel wrote it.
    #[error("line {line}: {reason}; import it with the newer archipel that wrote it")]
    Newer {
        /// Where.
        line: u64,
        /// What is not known here.
        reason: String,
    },
    /// Another site's.
    #[error(
        "the export is of site {export}, and the configuration says {site}; use that site's file, or set [site] id"
    )]
    OtherSite {
        /// Whose it is.
        export: String,
        /// Who was asked for.
        site: String,
    },
    /// There is a store with something in it.
    #[error("the store in {} is not empty; move the folder away first (nothing is imported over it)", dir.display())]
    NotEmpty {
        /// Where.
        dir: PathBuf,
    },
    /// What was written is not right: a defect.
    #[error(
        "what was imported does not fit together: {what}; nothing was put in place. This is a defect of Archipel"
    )]
    Unfit {
        /// The first of it.
        what: String,
    },
    /// The folder cannot be used.
    #[error(transparent)]
    Store(#[from] OpenError),
    /// Someone holds it, or the disk failed.
    #[error(transparent)]
    Engine(#[from] crate::engine::EngineError),
}

/// What was imported.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Imported {
    /// Records.
    pub records: u64,
    /// Records by collection.
    pub counts: BTreeMap<String, u64>,
    /// The last commit of the export; numbers go on after it.
    pub stamp: u64,
    /// When the export was made.
    pub made_at: Timestamp,
    /// Of the store that was exported.
    pub earlier_incarnation: Uuid,
    /// Of the new store.
    pub incarnation: Uuid,
}

/// Imports into `dir`, which must not be there or hold an empty store.
///
/// # Errors
/// See [`ImportError`]; the store that was there is as it was.
pub async fn import(
    file: &mut dyn BufRead,
    dir: &Path,
    site: &SiteId,
    options: &SledOptions,
) -> Result<Imported, ImportError> {
    let _held = must_be_empty(dir, options).await?;
    let beside = beside(dir, "importing");
    remove(&beside).map_err(|error| OpenError::folder(&beside, &error))?;
    let imported = match fill(file, &beside, site, options) {
        Ok(imported) => prove(&beside, site, options).await.map(|()| imported),
        Err(error) => Err(error),
    };
    let placed = imported.and_then(|imported| {
        let replace = || -> io::Result<()> {
            remove(dir)?;
            fs::rename(&beside, dir)?;
            fs::File::open(dir.parent().unwrap_or(dir))?.sync_all()
        };
        replace().map_err(|error| OpenError::folder(dir, &error))?;
        Ok(imported)
    });
    if placed.is_err() {
        // What is left of it is in nobody's way: the next import removes it.
        let _ = remove(&beside);
    }
    placed
}

/// A folder next to a store's.
pub(super) fn beside(dir: &Path, what: &str) -> PathBuf {
    let mut name = dir.file_name().unwrap_or_default().to_owned();
    name.push(".");
    name.push(what);
    dir.with_file_name(name)
}

/// Removes a folder that may be missing.
pub(super) fn remove(dir: &Path) -> io::Result<()> {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// A store that a start has made and nobody has used holds a label and nothing that would be lost. It is held until it
/// is replaced.
async fn must_be_empty(dir: &Path, options: &SledOptions) -> Result<Option<Lock>, ImportError> {
    let not_empty = || ImportError::NotEmpty { dir: dir.to_owned() };
    if !SledEngine::is_there(dir) {
        let is_free = match fs::read_dir(dir) {
            Ok(mut entries) => entries.next().is_none(),
            Err(error) => error.kind() == io::ErrorKind::NotFound,
        };
        return if is_free { Ok(None) } else { Err(not_empty()) };
    }
    let lock = Lock::take(dir)?;
    // Damaged is not empty: whoever restores over it moves it away first.
    let engine = SledEngine::open_locked(dir, options.clone(), lock.clone())?;
    let survey = super::survey(&*engine).await;
    engine.close().await;
    let kept = |name: &str| !["label", "epochs", "claims"].contains(&name);
    let survey = survey?;
    match survey.unknown_keys > 0 || survey.collections.iter().any(|collection| kept(collection.name)) {
        true => Err(not_empty()),
        false => Ok(Some(lock)),
    }
}

/// The new store's life begins after everything that is in it: orders that are older are known to be an earlier life's, also
/// where this machine's clock is behind the one that made the copy.
fn incarnation_after(made_at: Timestamp) -> Uuid {
    let ms = SystemClock.now().as_unsigned_millis().max(made_at.as_unsigned_millis().saturating_add(1));
    let nanos = u32::try_from(ms % 1000).unwrap_or(0).saturating_mul(1_000_000);
    Uuid::new_v7(uuid::Timestamp::from_unix_time(ms / 1000, nanos, 0, 0))
}

/// Reads the whole file into a new store in `dir`.
fn fill(
    file: &mut dyn BufRead,
    dir: &Path,
    site: &SiteId,
    options: &SledOptions,
) -> Result<Imported, ImportError> {
    let mut lines = Lines { file, number: 0, sha256: Sha256::new(), text: Vec::new() };
    let header = header(&mut lines, site)?;
    let mut bulk = Bulk::create(dir, options)?;
    let mut loading = Loading::default();
    let end = loop {
        match lines.next()? {
            None => return Err(lines.wrong("the file ends before its last line; it was cut short")),
            Some(Next::Last(end)) => break end,
            Some(Next::Line(line)) => loading.add(&mut bulk, &line, lines.number, header.stamp)?,
        }
    };
    if end.counts != loading.counts || end.lines != loading.counts.values().sum::<u64>() {
        return Err(lines.wrong("it does not count the lines that there are; the file was altered"));
    }
    loading.sums(&mut bulk)?;
    let incarnation = incarnation_after(header.made_at);
    // An older one is upgraded when it is opened.
    bulk.put(keys::SCHEMA, header.schema.to_string().as_bytes())?;
    bulk.put(keys::SITE, header.site.as_bytes())?;
    bulk.put(keys::INCARNATION, incarnation.to_string().as_bytes())?;
    bulk.put(keys::FORGOTTEN, &end.events_forgotten.to_be_bytes())?;
    bulk.finish(header.stamp)?;
    Ok(Imported {
        records: end.lines,
        counts: end.counts,
        stamp: header.stamp,
        made_at: header.made_at,
        earlier_incarnation: header.incarnation,
        incarnation,
    })
}

fn header(lines: &mut Lines<'_>, site: &SiteId) -> Result<Header, ImportError> {
    let no_export = "the file is not an export of a store (archipel store export makes one)";
    if !lines.read()? {
        return Err(lines.wrong(no_export));
    }
    #[derive(serde::Deserialize)]
    struct Kind {
        format: String,
        version: u32,
    }
    match serde_json::from_slice::<Kind>(&lines.text) {
        Ok(kind) if kind.format != FORMAT => return Err(lines.wrong(no_export)),
        Ok(kind) if kind.version > VERSION => {
            let reason = format!("the export has format {}, this archipel knows {VERSION}", kind.version);
            return Err(ImportError::Newer { line: 1, reason });
        }
        Ok(_) => {}
        Err(_) => return Err(lines.wrong(no_export)),
    }
    let header: Header =
        serde_json::from_slice(&lines.text).map_err(|error| lines.wrong(&error.to_string()))?;
    if header.schema > SCHEMA {
        let reason = format!("the store had schema {}, this archipel knows {SCHEMA}", header.schema);
        return Err(ImportError::Newer { line: 1, reason });
    }
    if header.site != site.as_str() {
        return Err(ImportError::OtherSite { export: header.site, site: site.to_string() });
    }
    lines.hash();
    Ok(header)
}

/// The file, a line at a time.
struct Lines<'a> {
    file: &'a mut dyn BufRead,
    number: u64,
    sha256: Sha256,
    text: Vec<u8>,
}

/// What a line is.
enum Next {
    Line(Line),
    Last(End),
}

impl Lines<'_> {
    fn wrong(&self, reason: &str) -> ImportError {
        ImportError::Wrong { line: self.number, reason: reason.to_owned() }
    }

    /// Reads a line with its end; says whether there was one.
    fn read(&mut self) -> Result<bool, ImportError> {
        self.text.clear();
        self.number += 1;
        (&mut *self.file).take(MAX_LINE).read_until(b'\n', &mut self.text)?;
        if self.text.len() as u64 == MAX_LINE {
            return Err(self.wrong(&format!("it is longer than {MAX_LINE} bytes")));
        }
        Ok(!self.text.is_empty())
    }

    fn hash(&mut self) {
        self.sha256.update(&self.text);
    }

    fn next(&mut self) -> Result<Option<Next>, ImportError> {
        if !self.read()? {
            return Ok(None);
        }
        if !self.text.ends_with(b"\n") {
            return Err(self.wrong("it is cut short"));
        }
        if self.text.starts_with(b"{\"end\":") {
            let last: Last =
                serde_json::from_slice(&self.text).map_err(|error| self.wrong(&error.to_string()))?;
            let sha256 = hex::encode(std::mem::take(&mut self.sha256).finalize());
            if last.end.sha256 != sha256 {
                return Err(self.wrong("its checksum is another; the file was altered"));
            }
            if self.read()? {
                return Err(self.wrong("something follows the last line; the file was altered"));
            }
            return Ok(Some(Next::Last(last.end)));
        }
        let line = serde_json::from_slice(&self.text).map_err(|error| self.wrong(&error.to_string()))?;
        self.hash();
        Ok(Some(Next::Line(line)))
    }
}

/// What is known after the lines so far.
#[derive(Default)]
struct Loading {
    counts: BTreeMap<String, u64>,
    newest: Key,
    /// Grows with the number of users, groups and clouds.
    usage: BTreeMap<Key, u64>,
}

impl Loading {
    fn add(&mut self, bulk: &mut Bulk, line: &Line, number: u64, stamp: u64) -> Result<(), ImportError> {
        let wrong = |reason: String| ImportError::Wrong { line: number, reason };
        let (collection, key, value) = entry(line).map_err(wrong)?;
        if key <= self.newest {
            return Err(wrong("it is out of order; the file was altered".to_owned()));
        }
        newer(collection, &value, number)?;
        if [keys::EVENTS, keys::AUDIT].contains(&collection.prefix)
            && crate::judge::sequence_of(&key).is_some_and(|sequence| sequence >> 8 > stamp)
        {
            return Err(wrong(format!("{} after the last commit", collection.name)));
        }
        let follows = follows(collection, &key, &value).map_err(|error| wrong(error.message))?;
        bulk.put(&key, &value)?;
        for (key, value) in follows.entries {
            bulk.put(&key, &value)?;
        }
        for (key, amount) in follows.sums {
            *self.usage.entry(key).or_default() += amount;
        }
        *self.counts.entry(line.collection.clone()).or_default() += 1;
        self.newest = key;
        Ok(())
    }

    /// What records add up to.
    fn sums(&mut self, bulk: &mut Bulk) -> Result<(), ImportError> {
        for prefix in [b"ch/".as_slice(), b"p/"] {
            let mut open: Option<(Key, u64)> = None;
            let written = |sum: Option<(Key, u64)>| -> Vec<(Key, Vec<u8>)> {
                sum.into_iter().map(|(key, sum)| (key, sum.to_be_bytes().to_vec())).collect()
            };
            bulk.each(prefix, |key, value| {
                let Some((of, amount)) = super::check::sum_of(prefix, key, value) else { return Vec::new() };
                match &mut open {
                    Some((same, sum)) if *same == of => {
                        *sum += amount;
                        Vec::new()
                    }
                    other => written(other.replace((of, amount))),
                }
            })?;
            for (key, sum) in written(open.take()) {
                bulk.put(&key, &sum)?;
            }
        }
        let mut steps = Sums::default();
        let kept = |(key, sum): (Key, Option<Bytes>)| sum.map(|sum| (key, sum.to_vec()));
        bulk.each(keys::INSTANTS, |key, value| steps.add(key, value).into_iter().filter_map(kept).collect())?;
        for (key, sum) in steps.end().into_iter().filter_map(kept) {
            bulk.put(&key, &sum)?;
        }
        for (key, sum) in std::mem::take(&mut self.usage) {
            bulk.put(&key, &sum.to_be_bytes())?;
        }
        Ok(())
    }
}

/// Refuses a record that a newer program wrote.
fn newer(collection: &Collection, value: &[u8], line: u64) -> Result<(), ImportError> {
    match version(collection, value) {
        Some((found, known)) if found > known => {
            let reason = format!("{} of version {found}, this archipel knows {known}", collection.name);
            Err(ImportError::Newer { line, reason })
        }
        _ => Ok(()),
    }
}

/// Opens what was written and looks at all of it.
async fn prove(dir: &Path, site: &SiteId, options: &SledOptions) -> Result<(), ImportError> {
    let engine = SledEngine::open_existing(dir, options.clone())?;
    let stamp = engine.snapshot(&[]).await.map(|snapshot| snapshot.stamp());
    let found = match stamp {
        Ok(stamp) => check(&*engine, Some(site), Some(stamp)).await,
        Err(error) => Err(error),
    };
    engine.close().await;
    match found? {
        Findings { wrong: 0, .. } => Ok(()),
        Findings { problems, .. } => {
            let first = problems.into_iter().next();
            let what =
                first.map(|problem| format!("{} {}: {}", problem.collection, problem.key, problem.what));
            Err(ImportError::Unfit { what: what.unwrap_or_default() })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_life_begins_after_its_copy_was_made_whatever_this_machines_clock_says() {
        for made_at in [0, 4_000_000_000_123] {
            let made_at = Timestamp::from_millis(made_at);
            let (seconds, nanos) = incarnation_after(made_at).get_timestamp().unwrap().to_unix();
            let began = seconds * 1000 + u64::from(nanos / 1_000_000);
            assert!(began > made_at.as_unsigned_millis(), "{began}");
            assert_ne!(incarnation_after(made_at), incarnation_after(made_at));
        }
    }
}
