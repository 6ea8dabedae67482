//! How much lies in a store, and of which versions.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use serde::Serialize;

use super::PAGE;
use super::catalogue::{ALL, collection_of};
use super::follows::version;
use crate::engine::{Engine, EngineError, Entries, Range};
use crate::judge::count;
use crate::keys;

/// What one collection holds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct CollectionFigures {
    /// Its name.
    pub name: &'static str,
    /// Keys.
    pub keys: u64,
    /// Bytes of keys and values, before the database packs them.
    pub bytes: u64,
    /// Records by the version they were written in; empty where there are none.
    pub versions: BTreeMap<u8, u64>,
}

/// What a store holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Survey {
    /// Version of the layout.
    pub schema: Option<String>,
    /// Whose it is.
    pub site: Option<String>,
    /// Made anew whenever a store is made or imported.
    pub incarnation: Option<String>,
    /// The newest event that retention removed; 0 = none.
    pub events_forgotten: u64,
    /// All collections that hold something, in the order of their keys.
    pub collections: Vec<CollectionFigures>,
    /// Keys that this program does not know.
    pub unknown_keys: u64,
}

/// Counts everything.
///
/// # Errors
/// Where the engine is away.
pub async fn survey(engine: &dyn Engine) -> Result<Survey, EngineError> {
    let mut figures: BTreeMap<&'static [u8], CollectionFigures> = BTreeMap::new();
    let mut unknown_keys = 0;
    let mut pages = Pages::new();
    while let Some(page) = pages.next(engine).await? {
        for (key, value) in &page {
            let Some(collection) = collection_of(key) else {
                unknown_keys += 1;
                continue;
            };
            let figures = figures.entry(collection.prefix).or_default();
            figures.name = collection.name;
            figures.keys += 1;
            figures.bytes += (key.len() + value.len()) as u64;
            if let Some((version, _)) = version(collection, value) {
                *figures.versions.entry(version).or_default() += 1;
            }
        }
    }
    let label = [keys::SCHEMA, keys::SITE, keys::INCARNATION, keys::FORGOTTEN].map(<[u8]>::to_vec);
    let label = engine.get_many(&label).await?;
    let raw = |place: usize| label.get(place).cloned().flatten();
    let text = |place: usize| raw(place).map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    Ok(Survey {
        schema: text(0),
        site: text(1),
        incarnation: text(2),
        events_forgotten: count(raw(3).as_ref()),
        collections: ALL.iter().filter_map(|collection| figures.remove(collection.prefix)).collect(),
        unknown_keys,
    })
}

/// All keys of an engine that are not its own, a page at a time.
pub(super) struct Pages(Option<Range>);

impl Pages {
    pub(super) fn new() -> Self {
        Self(Some(Range { start: vec![1], end: vec![0xff; 2], limit: PAGE, reverse: false }))
    }

    /// All keys that begin with `prefix`.
    pub(super) fn of(prefix: &[u8]) -> Self {
        Self(Some(Range::prefix(prefix, PAGE)))
    }

    pub(super) async fn next(&mut self, engine: &dyn Engine) -> Result<Option<Entries>, EngineError> {
        let Some(range) = self.0.take() else { return Ok(None) };
        let page = engine.range(&range).await?;
        if page.len() == PAGE
            && let Some((last, _)) = page.last()
        {
            self.0 = Some(range.after(last));
        }
        Ok((!page.is_empty()).then_some(page))
    }
}

/// Bytes of all files in a folder.
///
/// # Errors
/// When it cannot be read.
pub fn disk_bytes(dir: &Path) -> io::Result<u64> {
    let mut sum = 0_u64;
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        sum = sum.saturating_add(if metadata.is_dir() { disk_bytes(&entry.path())? } else { metadata.len() });
    }
    Ok(sum)
}
