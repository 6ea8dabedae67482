//! For tests: after every call of a plugin, looks in the memories of the plugins for the secrets that any plugin ever held.
//!
//! Secrets are handles; this is how that is proved rather than believed. Off unless `ARCHIPEL_MEMORY_WATCH=FOLDER` is set
//! *and* [`arm`] was called (the daemon does so under `--fail-points` alone). It leaves two files in FOLDER:
//!
//! | file | holds |
//! |---|---|
//! | `searches` | a JSON line per call: `plugin`, `function`, `secrets` (names of those that this call held), `looked_for` (how many were), `bytes` that were looked through, `found` (names) |
//! | `secrets` | every secret that any plugin held a handle of, in hexadecimal, one a line: so that a test can look in logs, answers and files too |
//!
//! How: all linear memories lie in one reservation of wasmtime's pool, by far the largest mapping that making the engine
//! adds to `/proc/self/maps`. Of it everything that can be written is read through `/proc/self/mem`, because wasmtime
//! shows nobody the memories of a component, and a pointer would need unsafe code. So a search looks into the memories of
//! *all* plugins, warm ones and those in the middle of another call too: more than is promised, never less.
//!
//! So a plugin that is never given a secret is searched too, as soon as another one was. The newest [`MOST`] are looked for.
//!
//! Looked for are all spellings that answers are masked for ([`Masker`]). What a plugin gave into keeping itself (`wrap`) is
//! not looked for, and neither is what is shorter than [`SHORTEST`]: chance would find it.

use std::collections::{BTreeSet, VecDeque};
use std::fs::File;
use std::io::Write as _;
use std::ops::Range;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock, PoisonError};

use archipel_model::SecretBytes;
use archipel_vault::Masker;
use memchr::memmem::Finder;
use serde_json::json;

/// Shorter secrets are not looked for.
const SHORTEST: usize = 8;
/// Secrets that are looked for after each call.
const MOST: usize = 24;
/// The pool reserves 4 GiB for each of many memories; nothing else is as large.
const POOL: u64 = 64 << 30;
/// Read at a time.
const PIECE: usize = 1 << 20;
/// Pages of zeros are not looked through.
const PAGE: usize = 4096;

static ARMED: OnceLock<Option<PathBuf>> = OnceLock::new();

/// Reads `ARCHIPEL_MEMORY_WATCH`. To be called before the runtime starts; says where it will write, for the log.
pub fn arm() -> Option<&'static Path> {
    ARMED.get_or_init(|| std::env::var_os("ARCHIPEL_MEMORY_WATCH").map(PathBuf::from)).as_deref()
}

/// Secrets of a call, with the names that grants use for them.
pub(crate) type Seen = Vec<(String, SecretBytes)>;

/// The watch over one engine's memories.
pub(crate) struct MemoryWatch {
    pool: Range<u64>,
    written: Mutex<Written>,
}

struct Written {
    searches: File,
    secrets: File,
    known: BTreeSet<String>,
    /// The newest of those, with their names.
    newest: VecDeque<(String, SecretBytes)>,
}

impl MemoryWatch {
    /// Makes an engine, and watches its memories where that is armed.
    ///
    /// # Errors
    /// When it is armed and cannot be done: a watch that sees nothing would prove anything.
    pub(crate) fn around<T>(
        make: impl FnOnce() -> wasmtime::Result<T>,
    ) -> wasmtime::Result<(T, Option<Self>)> {
        let Some(folder) = ARMED.get().and_then(Option::as_deref) else { return Ok((make()?, None)) };
        let before = mappings()?;
        let made = make()?;
        let is_new = |mapping: &Mapping| !before.iter().any(|old| old.range.contains(&mapping.range.start));
        let reserved = mappings()?.into_iter().filter(|mapping| !mapping.is_writable && is_new(mapping));
        let pool = reserved.map(|mapping| mapping.range).max_by_key(|range| range.end - range.start);
        let pool = pool.filter(|range| range.end - range.start >= POOL).ok_or_else(|| {
            wasmtime::format_err!("the memories cannot be watched: there is no pool of them on this machine")
        })?;
        std::fs::create_dir_all(folder)?;
        let open = |name| File::options().create(true).append(true).mode(0o600).open(folder.join(name));
        let written = Written {
            searches: open("searches")?,
            secrets: open("secrets")?,
            known: BTreeSet::new(),
            newest: VecDeque::new(),
        };
        tracing::warn!(folder = %folder.display(), ?pool, "the memories of plugins are searched for secrets, which are written down: for tests alone");
        Ok((made, Some(Self { pool, written: Mutex::new(written) })))
    }

    /// Looks for secrets when a call has just ended, before its memory is given back. `held` are those of this call.
    pub(crate) fn search(&self, plugin: &str, function: &str, held: &Seen) {
        let held: Vec<&(String, SecretBytes)> =
            held.iter().filter(|(_, secret)| secret.reveal().len() >= SHORTEST).collect();
        let wanted = self.note(&held);
        if wanted.is_empty() {
            return;
        }
        let spellings: Vec<(&str, Masker)> = wanted
            .iter()
            .map(|(name, secret)| {
                let mut masker = Masker::new();
                masker.add(secret.reveal());
                (name.as_str(), masker)
            })
            .collect();
        let (bytes, found, problem) = match self.look(&spellings) {
            Ok((bytes, found)) => (bytes, found.into_iter().collect(), None),
            Err(error) => (0, Vec::new(), Some(error.to_string())),
        };
        if !found.is_empty() {
            tracing::error!(plugin, function, ?found, "secrets are in a plugin's memory");
        }
        let names: Vec<&str> = held.iter().map(|(name, _)| name.as_str()).collect();
        let line = json!({
            "plugin": plugin, "function": function, "secrets": names, "looked_for": wanted.len(), "bytes": bytes,
            "found": found, "problem": problem,
        });
        let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        writeln!(written.searches, "{line}")
            .unwrap_or_else(|error| tracing::error!(%error, "a search could not be written down"));
    }

    /// Writes down what is new, and gives all that is to be looked for.
    fn note(&self, held: &[&(String, SecretBytes)]) -> Vec<(String, SecretBytes)> {
        let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        for (name, secret) in held {
            let hex = hex::encode(secret.reveal());
            if !written.known.contains(&hex) {
                let line = writeln!(written.secrets, "{hex}");
                line.unwrap_or_else(|error| tracing::error!(%error, "a secret could not be written down"));
                written.known.insert(hex);
                written.newest.push_back((name.clone(), secret.clone()));
            }
        }
        while written.newest.len() > MOST {
            written.newest.pop_front();
        }
        written.newest.iter().cloned().collect()
    }

    /// Bytes that were looked through, and the names of what was found.
    fn look<'s>(&self, spellings: &'s [(&str, Masker)]) -> std::io::Result<(u64, BTreeSet<&'s str>)> {
        let finders: Vec<(&str, Finder<'_>)> = spellings
            .iter()
            .flat_map(|(name, masker)| masker.spellings().map(|spelling| (*name, Finder::new(spelling))))
            .filter(|(_, finder)| finder.needle().len() >= SHORTEST)
            .collect();
        let longest = finders.iter().map(|(_, finder)| finder.needle().len()).max().unwrap_or_default();
        let memory = File::open("/proc/self/mem")?;
        let (mut bytes, mut found) = (0_u64, BTreeSet::new());
        // One hit may lie across two pieces or mappings: each begins with the end of the one before.
        let (mut text, mut looked_to) = (Vec::new(), 0);
        for mapping in mappings()? {
            let end = mapping.range.end.min(self.pool.end);
            let mut at = mapping.range.start.max(self.pool.start);
            if !mapping.is_writable {
                continue;
            }
            if at != looked_to {
                text.clear();
            }
            while at < end {
                let size = usize::try_from(end - at).unwrap_or(PIECE).min(PIECE);
                let mut piece = vec![0; size];
                // Another instance ended meanwhile: what was its memory is nobody's now.
                let Ok(()) = memory.read_exact_at(&mut piece, at) else { break };
                at += size as u64;
                bytes += size as u64;
                for page in piece.chunks(PAGE) {
                    let is_blank = ZEROS.get(..page.len()).is_some_and(|zeros| zeros == page);
                    if !is_blank {
                        text.extend_from_slice(page);
                    } else if !text.is_empty() {
                        note(&finders, &text, &mut found);
                        text.clear();
                    }
                }
                note(&finders, &text, &mut found);
                let keep = text.len().saturating_sub(longest);
                text.drain(..keep);
            }
            looked_to = at;
        }
        Ok((bytes, found))
    }
}

static ZEROS: [u8; PAGE] = [0; PAGE];

fn note<'s>(finders: &[(&'s str, Finder<'_>)], text: &[u8], found: &mut BTreeSet<&'s str>) {
    for (name, finder) in finders {
        if finder.find(text).is_some() {
            found.insert(name);
        }
    }
}

/// A line of `/proc/self/maps`.
struct Mapping {
    range: Range<u64>,
    is_writable: bool,
}

fn mappings() -> std::io::Result<Vec<Mapping>> {
    let text = std::fs::read_to_string("/proc/self/maps")?;
    Ok(text.lines().filter_map(mapping).collect())
}

/// `7f00-7f80 rw-p 00000000 00:00 0`
fn mapping(line: &str) -> Option<Mapping> {
    let mut words = line.split(' ');
    let (start, end) = words.next()?.split_once('-')?;
    let number = |hex| u64::from_str_radix(hex, 16).ok();
    Some(Mapping { range: number(start)?..number(end)?, is_writable: words.next()?.starts_with("rw") })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A watch over memory of this very process.
    fn watch(over: &[u8]) -> MemoryWatch {
        let start = over.as_ptr() as u64;
        let folder = tempfile::tempdir().unwrap();
        let file = || File::create(folder.path().join("x")).unwrap();
        let written =
            Written { searches: file(), secrets: file(), known: BTreeSet::new(), newest: VecDeque::new() };
        MemoryWatch { pool: start..start + over.len() as u64, written: Mutex::new(written) }
    }

    fn found(secret: &str, memory: &[u8]) -> bool {
        let mut masker = Masker::new();
        masker.add(secret.as_bytes());
        let spellings = [("password", masker)];
        let (bytes, found) = watch(memory).look(&spellings).unwrap();
        assert_eq!(bytes, memory.len() as u64);
        found.contains("password")
    }

    /// Eight pieces of zeros but for this text.
    fn memory(at: usize, text: &str) -> Vec<u8> {
        let mut memory = vec![0; 8 * PIECE];
        memory[at..at + text.len()].copy_from_slice(text.as_bytes());
        memory
    }

    #[test]
    fn a_secret_is_found_wherever_it_stands_and_however_it_is_spelled() {
        use base64::Engine as _;
        let secret = "his/key+his/key";
        for at in [0, PIECE - 3, 5 * PAGE - 2, 8 * PIECE - secret.len()] {
            assert!(found(secret, &memory(at, secret)), "{at}");
        }
        let base64 = base64::engine::general_purpose::STANDARD.encode(format!("me:{secret}"));
        assert!(found(secret, &memory(77, &base64)));
        assert!(found(secret, &memory(77, "his%2Fkey%2Bhis%2Fkey")));
    }

    #[test]
    fn what_is_not_there_is_not_found() {
        assert!(!found("his/key+his/key", &memory(12345, "his/key+her/key")));
    }

    #[test]
    fn a_line_of_maps_is_read() {
        let line = mapping("7f0000000000-7f0000001000 rw-p 00000000 00:00 0  [heap]").unwrap();
        assert_eq!((line.range, line.is_writable), (0x7f00_0000_0000..0x7f00_0000_1000, true));
        assert!(!mapping("7f0000000000-7f0000001000 ---p 00000000 00:00 0").unwrap().is_writable);
    }
}
