//! The format of an export: JSON Lines.
//!
//! ```text
//! {"format":"archipel-store","version":1,"site":"…","incarnation":"…","stamp":4711,…}    header
//! {"in":"epochs","key":"cloud-1","number":7}
//! {"in":"events","key":"1205761","version":1,"record":{…}}                                 one line per record, by key
//! {"in":"audit","key":"1206016","after":"HEX","version":1,"record":{…}}                    chained: the hash of the one before
//! {"in":"plugin storage","binding":"cloud/east","key":"k","bytes":"base64"}
//! {"end":{"lines":3,"counts":{…},"sha256":"…"}}                                             of all bytes before this line
//! ```
//!
//! Records stand as they lie in the store, byte for byte, in the version they have there. Indexes and sums are left out:
//! they follow from the records. The counts stand at the end, so that an export is written in one pass; a file without
//! its last line was cut short.

use std::collections::BTreeMap;

use archipel_model::Timestamp;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use uuid::Uuid;

use super::catalogue::{Collection, Holds, named};
use super::follows::CHAINED;
use crate::engine::Key;

/// What the first line says it is.
pub(super) const FORMAT: &str = "archipel-store";
/// Of the format. A program reads this and every older one.
pub(super) const VERSION: u32 = 1;

/// The first line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Header {
    pub(super) format: String,
    pub(super) version: u32,
    /// Of the store's layout.
    pub(super) schema: u32,
    pub(super) site: String,
    pub(super) incarnation: Uuid,
    /// The last commit that it holds. Numbers of events go on after it.
    pub(super) stamp: u64,
    pub(super) made_at: Timestamp,
    pub(super) made_by: String,
    /// For whoever finds the file.
    pub(super) note: String,
}

/// What a person who finds the file should know.
pub(super) const NOTE: &str = "orders, events, usage, audit, idempotency keys, sessions, revoked tokens, plugin storage; tokens of \
    sessions are sealed and open only with the site's keys (data_dir/keys), which are not in here, nor are the site \
    file, secrets and plugins";

/// One record.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Line {
    #[serde(rename = "in")]
    pub(super) collection: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) binding: Option<String>,
    pub(super) key: String,
    /// Of a chained record: the hash of the one before, in hexadecimal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) after: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) version: Option<u8>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) record: Option<Box<RawValue>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) bytes: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) number: Option<u64>,
}

/// The last line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Last {
    pub(super) end: End,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct End {
    /// Records.
    pub(super) lines: u64,
    /// Records by collection.
    pub(super) counts: BTreeMap<String, u64>,
    /// The newest event that retention had removed; 0 = none.
    pub(super) events_forgotten: u64,
    /// Of all bytes before this line, in hexadecimal.
    pub(super) sha256: String,
}

/// What stands under a key, as a line; a reason where it cannot be written.
pub(super) fn line(collection: &Collection, key: &[u8], value: &[u8]) -> Result<Line, String> {
    let keys = collection.keys().ok_or("such keys are not exported")?;
    let rest = key.get(collection.prefix.len()..).unwrap_or_default();
    let (binding, key) = keys.written(rest).ok_or("its key has not the form that it should have")?;
    let mut line = Line { collection: collection.name.to_owned(), binding, key, ..Line::default() };
    match collection.holds {
        Holds::Bytes(_) => line.bytes = Some(BASE64.encode(value)),
        Holds::Numbers(_) => {
            let number = <[u8; 8]>::try_from(value).map_err(|_| "it is not a number")?;
            line.number = Some(u64::from_be_bytes(number));
        }
        _ => {
            let is_chained = matches!(collection.holds, Holds::Chained(_));
            let (before, value) =
                value.split_at_checked(if is_chained { CHAINED } else { 0 }).ok_or("it is cut short")?;
            line.after = is_chained.then(|| hex::encode(before));
            let (version, json) = value.split_first().ok_or("it is empty")?;
            let json = std::str::from_utf8(json).map_err(|_| "it is not JSON")?;
            let record = RawValue::from_string(json.to_owned()).map_err(|error| error.to_string())?;
            line.version = Some(*version);
            line.record = Some(record);
        }
    }
    Ok(line)
}

/// The key and value that a line stands for; a reason where it stands for none.
pub(super) fn entry(line: &Line) -> Result<(&'static Collection, Key, Vec<u8>), String> {
    let unknown = || format!("there is no collection {:?} here; a newer archipel wrote it", line.collection);
    let collection = named(&line.collection).ok_or_else(unknown)?;
    let keys = collection.keys().ok_or_else(unknown)?;
    let rest = keys.read(line.binding.as_deref(), &line.key).ok_or("its key is not one")?;
    let before = line.after.as_deref().map(hex::decode).transpose().map_err(|_| "its hash is not one")?;
    if before.is_some() != matches!(collection.holds, Holds::Chained(_)) {
        return Err("it has not what a line of this collection has".to_owned());
    }
    let value = match (collection.holds, &line.record, line.version, &line.bytes, line.number) {
        (Holds::Records(_) | Holds::Chained(_), Some(record), Some(version), None, None) => {
            [before.as_deref().unwrap_or_default(), &[version], record.get().as_bytes()].concat()
        }
        (Holds::Bytes(_), None, None, Some(bytes), None) => {
            BASE64.decode(bytes).map_err(|_| "its bytes are not base64")?
        }
        (Holds::Numbers(_), None, None, None, Some(number)) => number.to_be_bytes().to_vec(),
        _ => return Err("it has not what a line of this collection has".to_owned()),
    };
    Ok((collection, [collection.prefix, &rest].concat(), value))
}
