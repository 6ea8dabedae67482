//! Everything durable as JSON Lines, from one moment, also beside a daemon that serves.

use std::collections::BTreeMap;

use archipel_model::{Clock, Error};
use bytes::Bytes;
use serde::Serialize;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::PAGE;
use super::catalogue::{Collection, Holds, collection_of, exported};
use super::lines::{End, FORMAT, Header, Last, NOTE, VERSION, line};
use crate::SCHEMA;
use crate::engine::{Engine, Range, Snapshot, after_prefix};
use crate::judge::count;
use crate::keys;

/// An export that is being made. Ask it for the next bytes until there are none.
pub struct Export {
    snapshot: Box<dyn Snapshot>,
    header: Option<Header>,
    leave_out: bool,
    sha256: Sha256,
    counts: BTreeMap<&'static str, u64>,
    bytes: u64,
    left_out: Vec<String>,
    events_forgotten: u64,
    is_ended: bool,
}

/// What was exported.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Exported {
    /// The last commit that it holds.
    pub stamp: u64,
    /// Records.
    pub records: u64,
    /// Records by collection.
    pub counts: BTreeMap<&'static str, u64>,
    /// Of the whole file.
    pub bytes: u64,
    /// What could not be read and was left out.
    pub left_out: Vec<String>,
}

impl Export {
    /// Begins at the present state. With `leave_out`, what cannot be read is left out and named; without, it ends the
    /// export.
    ///
    /// # Errors
    /// When the store has no label, or has keys that this program does not know and would lose.
    pub async fn begin(engine: &dyn Engine, clock: &dyn Clock, leave_out: bool) -> Result<Self, Error> {
        unknown(engine).await?;
        let mut prefixes = exported();
        prefixes.push(b"m/");
        prefixes.sort_unstable();
        let snapshot = engine.snapshot(&prefixes).await?;
        let label = [keys::SCHEMA, keys::SITE, keys::INCARNATION].map(<[u8]>::to_vec);
        let label = engine.get_many(&label).await?;
        let text = |place: usize| {
            let value = label.get(place).cloned().flatten();
            value.and_then(|bytes| String::from_utf8(bytes.to_vec()).ok())
        };
        let unlabelled = || {
            Error::conflict("there is no labelled store here; `archipel serve` makes one")
                .code("store-unlabelled")
        };
        let header = Header {
            format: FORMAT.to_owned(),
            version: VERSION,
            schema: text(0).and_then(|text| text.parse().ok()).ok_or_else(unlabelled)?,
            site: text(1).ok_or_else(unlabelled)?,
            incarnation: text(2).and_then(|text| text.parse::<Uuid>().ok()).ok_or_else(unlabelled)?,
            stamp: snapshot.stamp(),
            made_at: clock.now(),
            made_by: concat!("archipel ", env!("CARGO_PKG_VERSION")).to_owned(),
            note: NOTE.to_owned(),
        };
        if header.schema > SCHEMA {
            return Err(Error::conflict(format!(
                "the store was written by a newer archipel (schema {}, this one knows {SCHEMA}); export it with that one",
                header.schema
            ))
            .code("store-newer"));
        }
        Ok(Self {
            snapshot,
            header: Some(header),
            leave_out,
            sha256: Sha256::new(),
            counts: BTreeMap::new(),
            bytes: 0,
            left_out: Vec::new(),
            events_forgotten: 0,
            is_ended: false,
        })
    }

    /// The next lines, whole ones; `None` after the last.
    ///
    /// # Errors
    /// `transient` where the store went away or too much was written meanwhile; `internal` at something that cannot be
    /// read.
    pub async fn next(&mut self) -> Result<Option<Bytes>, Error> {
        let mut lines = Vec::new();
        if let Some(header) = self.header.take() {
            write(&mut lines, &header)?;
        } else {
            if self.is_ended {
                return Ok(None);
            }
            let page = self.snapshot.next(PAGE).await?;
            if page.is_empty() {
                self.is_ended = true;
                return self.end().map(Some);
            }
            for (key, value) in page {
                self.add(&mut lines, &key, &value)?;
            }
        }
        self.sha256.update(&lines);
        self.bytes = self.bytes.saturating_add(lines.len() as u64);
        Ok(Some(lines.into()))
    }

    fn add(&mut self, lines: &mut Vec<u8>, key: &[u8], value: &Bytes) -> Result<(), Error> {
        if key == keys::FORGOTTEN {
            self.events_forgotten = count(Some(value));
        }
        let Some(collection) = collection_of(key).filter(|collection| collection.holds != Holds::Label)
        else {
            return Ok(());
        };
        // A record that cannot be read here would be refused where it is imported.
        let written = super::follows::follows(collection, key, value)
            .map_err(|error| error.message)
            .and_then(|_| line(collection, key, value));
        match written {
            Ok(line) => {
                *self.counts.entry(collection.name).or_default() += 1;
                write(lines, &line)
            }
            Err(reason) if self.leave_out => {
                self.left_out.push(named(collection, key, &reason));
                Ok(())
            }
            Err(reason) => Err(Error::internal(format!(
                "{}; run archipel store check, or leave out what cannot be read with --leave-out-damaged",
                named(collection, key, &reason)
            ))
            .code("store-damaged")),
        }
    }

    fn end(&mut self) -> Result<Bytes, Error> {
        let counts: BTreeMap<String, u64> =
            self.counts.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect();
        let end = End {
            lines: counts.values().sum(),
            counts,
            events_forgotten: self.events_forgotten,
            sha256: hex::encode(std::mem::take(&mut self.sha256).finalize()),
        };
        let mut last = Vec::new();
        write(&mut last, &Last { end })?;
        self.bytes = self.bytes.saturating_add(last.len() as u64);
        Ok(last.into())
    }

    /// What was exported so far.
    pub fn exported(&self) -> Exported {
        Exported {
            stamp: self.snapshot.stamp(),
            records: self.counts.values().sum(),
            counts: self.counts.clone(),
            bytes: self.bytes,
            left_out: self.left_out.clone(),
        }
    }
}

fn named(collection: &Collection, key: &[u8], reason: &str) -> String {
    format!("{} {}: {reason}", collection.name, collection.said(key))
}

fn write(lines: &mut Vec<u8>, line: &impl Serialize) -> Result<(), Error> {
    serde_json::to_writer(&mut *lines, line)
        .map_err(|error| Error::internal(format!("a line could not be written: {error}")))?;
    lines.push(b'\n');
    Ok(())
}

/// Refuses a store with a collection that this program does not know: it would be lost silently. Skips from collection
/// to collection, so it costs a few reads.
async fn unknown(engine: &dyn Engine) -> Result<(), Error> {
    let mut start = vec![1];
    loop {
        let range = Range { start, end: vec![0xff; 2], limit: 1, reverse: false };
        let Some((key, _)) = engine.range(&range).await?.into_iter().next() else { return Ok(()) };
        let Some(collection) = collection_of(&key) else {
            return Err(Error::conflict(format!(
                "the store holds keys that this archipel does not know ({}); do it with the newer one that wrote them",
                String::from_utf8_lossy(key.get(..key.len().min(16)).unwrap_or_default())
            ))
            .code("store-newer"));
        };
        start = after_prefix(collection.prefix);
    }
}

/// Whether an export that comes from elsewhere is whole: looks at it as it passes.
#[derive(Default)]
pub struct Whole {
    sha256: Sha256,
    /// From the beginning of the last line that may be the last.
    held: Vec<u8>,
    bytes: u64,
}

/// What a whole export holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct WholeExport {
    /// Records.
    pub records: u64,
    /// Records by collection.
    pub counts: BTreeMap<String, u64>,
    /// Of the whole file.
    pub bytes: u64,
}

impl Whole {
    /// The next bytes.
    pub fn look(&mut self, bytes: &[u8]) {
        self.bytes = self.bytes.saturating_add(bytes.len() as u64);
        // What is held has no end of a line but at its own end, so only that and what is new is looked through.
        let known = self.held.len().saturating_sub(1);
        self.held.extend_from_slice(bytes);
        let before_last = self.held.len().saturating_sub(1);
        let new = self.held.get(known..before_last).unwrap_or_default();
        if let Some(newline) = new.iter().rposition(|byte| *byte == b'\n') {
            let rest = self.held.split_off(known.saturating_add(newline).saturating_add(1));
            self.sha256.update(std::mem::replace(&mut self.held, rest));
        }
    }

    /// What it holds; `None` where it was cut short or altered on the way.
    pub fn end(self) -> Option<WholeExport> {
        let Last { end } = serde_json::from_slice(&self.held).ok()?;
        let is_whole = self.held.ends_with(b"\n") && end.sha256 == hex::encode(self.sha256.finalize());
        is_whole.then_some(WholeExport { records: end.lines, counts: end.counts, bytes: self.bytes })
    }
}
