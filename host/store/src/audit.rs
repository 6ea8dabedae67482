//! The audit: a chained log (see [`crate::chain`]), with indexes by order, user, address and time.
//!
//! Retention removes the oldest records and notes the last of them as the anchor, from which the rest is verified. Each
//! removal is a record of the chain itself, that names the anchor: so one that was made up shows.

use std::net::IpAddr;
use std::sync::Arc;

use archipel_model::audit::{
    AddressUse, AuditBreak, AuditDoor, AuditEntry, AuditLink, AuditLog, AuditPage, AuditPlace, AuditQuery,
    AuditRecord, AuditSink, AuditWalk, Outcome,
};
use archipel_model::{Clock, Error, Owner, Timestamp};
use async_trait::async_trait;
use bytes::Bytes;

use crate::addresses;
use crate::chain::{self, Head};
use crate::engine::{Commit, CommitError, Engine, EngineError, Entries, Key, Range};
use crate::judge::{log_key, sequence_of};
use crate::keys;
use crate::record::{Record, TRIES, busy, decode, encode, refusal};

/// Records that are written in one commit: each has up to fourteen keys.
const AT_A_TIME: usize = 6;
/// Operations of a commit that removes records, with room for its own record.
const REMOVED: usize = 80;
/// Records of one page at most. Bounds memory.
const MAX_PAGE: usize = 1000;
/// Keys that are read at a time.
const CHUNK: usize = 250;
/// Records that are looked at for one page. Bounds the work of a page that few of them belong to.
const LOOKED_AT: usize = 10_000;
/// What the record of a removal is called.
const FORGOTTEN: &str = "forget-audit";

impl Record for AuditRecord {
    const NAME: &'static str = "audit record";
}

/// A stored entry as its record.
pub(crate) fn record_of(entry: &Bytes) -> Result<AuditRecord, Error> {
    let (_, value) = chain::split(entry)
        .ok_or_else(|| Error::internal("a stored audit record is too short; run archipel store check"))?;
    decode(&value)
}

/// The logs that lead to a record.
fn logs_of(record: &AuditRecord) -> Vec<Key> {
    let mut all = vec![keys::audit_at(record.at)];
    all.extend(record.order.map(keys::audit_of));
    all.extend(record.who.as_ref().map(|who| keys::audit_of_user(&who.owner)));
    all.extend(record.address.as_deref().map(keys::audit_of_address));
    let others = record.addresses.iter().filter(|address| Some(*address) != record.address.as_ref());
    all.extend(others.map(|address| keys::audit_of_address(address)));
    all
}

/// The index entries of a record in its place.
pub(crate) fn indexes(record: &AuditRecord, sequence: u64) -> Vec<Key> {
    logs_of(record).iter().map(|log| log_key(log, sequence)).collect()
}

/// Adds a record to a commit.
pub(crate) fn add(commit: &mut Commit, ordinal: u8, record: &AuditRecord) -> Result<(), Error> {
    for log in logs_of(record) {
        commit.append(log, ordinal, Bytes::new());
    }
    commit.chain(keys::AUDIT.to_vec(), keys::AUDIT_HEAD.to_vec(), ordinal, encode(record)?);
    Ok(())
}

/// Where the chain begins: behind what retention removed.
pub(crate) struct Anchor {
    pub(crate) head: Head,
    /// The time of the record that names it.
    named_at: Timestamp,
}

impl Anchor {
    /// From its key's value.
    pub(crate) fn read(value: Option<&Bytes>) -> Option<Self> {
        let (head, at) = value?.split_last_chunk::<8>()?;
        let head = Head::read(Some(&Bytes::copy_from_slice(head)));
        Some(Self { head, named_at: Timestamp::from_millis(i64::from_be_bytes(*at)) })
    }

    fn bytes(&self) -> Bytes {
        [self.head.bytes().as_ref(), &self.named_at.as_millis().to_be_bytes()].concat().into()
    }

    /// What the record of the removal says of it.
    fn named(&self) -> String {
        format!("up to {} with hash {}", self.head.sequence, hex::encode(self.head.hash))
    }
}

/// One walk along the chain, entry by entry. Also what a check of a whole store uses.
pub(crate) struct Walk {
    pub(crate) place: Head,
    pub(crate) records: u64,
    pub(crate) broken: Option<AuditBreak>,
}

impl Walk {
    pub(crate) fn from(place: Head) -> Self {
        Self { place, records: 0, broken: None }
    }

    fn breaks(&mut self, sequence: u64, what: impl Into<String>) {
        if self.broken.is_none() {
            self.broken = Some(AuditBreak { sequence, what: what.into() });
        }
    }

    /// Takes the next entry, unless the chain is broken already.
    pub(crate) fn step(&mut self, sequence: u64, entry: &Bytes, head: &Head) {
        if self.broken.is_some() {
            return;
        }
        self.records += 1;
        match chain::split(entry) {
            None => return self.breaks(sequence, "it is cut short"),
            Some((before, _)) if before != self.place.hash => {
                return self.breaks(
                    sequence,
                    format!(
                        "it does not follow the record before it (sequence {}): that one was changed, or one between them \
                         was removed, put in or moved",
                        self.place.sequence
                    ),
                );
            }
            Some(_) => {}
        }
        if let Err(error) = record_of(entry) {
            return self.breaks(sequence, error.message);
        }
        self.place = self.place.after(sequence, entry);
        if sequence == head.sequence && self.place != *head {
            self.breaks(sequence, "it was changed: the newest record is noted with another hash or count");
        }
    }

    /// After the last entry: whether the newest that is noted was among them. `began` is where the walk began.
    pub(crate) fn end(&mut self, began: &Head, head: &Head) {
        if head.sequence > self.place.sequence || (head.count > self.place.count) {
            self.breaks(
                self.place.sequence,
                format!(
                    "records after it are missing: the newest is noted as sequence {}, hash {}",
                    head.sequence,
                    hex::encode(head.hash)
                ),
            );
        } else if head.sequence < began.sequence {
            self.breaks(head.sequence, "the note of the newest record is older than the chain");
        }
    }
}

pub(crate) fn link(head: &Head) -> AuditLink {
    AuditLink { sequence: head.sequence, hash: hex::encode(head.hash), count: head.count }
}

fn place_of(link: &AuditLink) -> Option<Head> {
    let hash = hex::decode(&link.hash).ok()?.try_into().ok()?;
    Some(Head { sequence: link.sequence, hash, count: link.count })
}

pub(crate) struct AuditCollection {
    pub(crate) engine: Arc<dyn Engine>,
    pub(crate) clock: Arc<dyn Clock>,
}

/// The index that a query is answered from.
enum Index {
    /// By sequence, under this prefix.
    Log(Key),
    /// By time and sequence.
    Times,
}

impl Index {
    fn of(query: &AuditQuery) -> Self {
        match query {
            AuditQuery { order: Some(order), .. } => Self::Log(keys::audit_of(*order)),
            AuditQuery { issuer: Some(issuer), subject: Some(subject), .. } => {
                let owner = Owner { issuer: issuer.clone(), subject: subject.clone() };
                Self::Log(keys::audit_of_user(&owner))
            }
            AuditQuery { address: Some(address), .. } => Self::Log(keys::audit_of_address(address)),
            AuditQuery { from: None, to: None, .. } => Self::Log(keys::AUDIT.to_vec()),
            _ => Self::Times,
        }
    }

    fn range(&self, query: &AuditQuery) -> Range {
        match self {
            Self::Log(prefix) => {
                let range = Range::prefix(prefix, CHUNK);
                match query.after {
                    Some(place) => range.after(&log_key(prefix, place.sequence)),
                    None => range,
                }
            }
            Self::Times => {
                let mut range = Range::prefix(keys::AUDIT_AT, CHUNK);
                if let Some(from) = query.from {
                    range.start = keys::at_prefix(keys::AUDIT_AT, from);
                }
                if let Some(to) = query.to {
                    range = range.before(keys::at_prefix(keys::AUDIT_AT, to));
                }
                match query.after {
                    Some(place) => range.after(&log_key(&keys::audit_at(place.at), place.sequence)),
                    None => range,
                }
            }
        }
    }
}

impl AuditCollection {
    async fn head_and_anchor(&self) -> Result<(Head, Option<Anchor>, Option<Bytes>), EngineError> {
        let values = self.engine.get_many(&[keys::AUDIT_HEAD.to_vec(), keys::AUDIT_ANCHOR.to_vec()]).await?;
        let raw = |place: usize| values.get(place).cloned().flatten();
        Ok((Head::read(raw(0).as_ref()), Anchor::read(raw(1).as_ref()), raw(1)))
    }

    /// Whether a record of the chain names the anchor.
    async fn is_named(&self, anchor: &Anchor) -> Result<bool, Error> {
        let entries = self.engine.range(&Range::prefix(&keys::audit_at(anchor.named_at), MAX_PAGE)).await?;
        for (_, record) in self.records(&entries).await? {
            if record.operation == FORGOTTEN && record.reason.as_ref() == Some(&anchor.named()) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The records that index entries lead to, with their entries.
    async fn records(&self, index: &Entries) -> Result<Vec<(AuditEntry, AuditRecord)>, Error> {
        let sequences: Vec<u64> = index.iter().filter_map(|(key, _)| sequence_of(key)).collect();
        let names: Vec<Key> = sequences.iter().map(|sequence| log_key(keys::AUDIT, *sequence)).collect();
        let mut found = Vec::new();
        for (sequence, raw) in sequences.into_iter().zip(self.engine.get_many(&names).await?) {
            // Retention may have come in between.
            let Some(raw) = raw else { continue };
            let record = record_of(&raw)?;
            let hash = Head::START.after(sequence, &raw).hash;
            let before = chain::split(&raw).map(|(before, _)| before).unwrap_or_default();
            let entry = AuditEntry {
                sequence,
                before: hex::encode(before),
                hash: hex::encode(hash),
                record: record.clone(),
            };
            found.push((entry, record));
        }
        Ok(found)
    }

    /// Removes some of the oldest records; says how many.
    async fn forget_some(&self, before: Timestamp, limit: usize) -> Result<usize, Error> {
        for _ in 0..TRIES {
            let (_, anchor, raw) = self.head_and_anchor().await?;
            let mut place = anchor.map_or(Head::START, |anchor| anchor.head);
            let entries = self.engine.range(&Range::prefix(keys::AUDIT, limit.min(CHUNK))).await?;
            let (mut commit, mut removed) = (Commit::new(), 0);
            commit.is(keys::AUDIT_ANCHOR.to_vec(), raw);
            for (key, entry) in &entries {
                let (record, Some(sequence)) = (record_of(entry)?, sequence_of(key)) else { continue };
                let indexes = indexes(&record, sequence);
                if record.at >= before || commit.operations() + indexes.len() + 1 > REMOVED {
                    break;
                }
                commit.delete(key.clone());
                for index in indexes {
                    commit.delete(index);
                }
                place = place.after(sequence, entry);
                removed += 1;
            }
            if removed == 0 {
                return Ok(0);
            }
            let now = self.clock.now();
            let anchor = Anchor { head: place, named_at: now };
            commit.put(keys::AUDIT_ANCHOR.to_vec(), anchor.bytes());
            add(&mut commit, 0, &removal(now, &anchor, removed))?;
            match self.engine.commit(commit).await {
                Ok(_) => return Ok(removed),
                Err(CommitError::Conflict(_)) => {}
                Err(error) => return Err(refusal(error)),
            }
        }
        Err(busy())
    }
}

fn removal(now: Timestamp, anchor: &Anchor, removed: usize) -> AuditRecord {
    AuditRecord {
        at: now,
        request: String::new(),
        door: AuditDoor::Daemon,
        address: None,
        who: None,
        operation: FORGOTTEN.to_owned(),
        kind: None,
        order: None,
        cloud: None,
        on: None,
        outcome: Outcome::Allowed,
        status: None,
        reason: Some(anchor.named()),
        decided_by: Vec::new(),
        count: removed as u64,
        addresses: Vec::new(),
    }
}

#[async_trait]
impl AuditSink for AuditCollection {
    async fn tell(&self, record: &AuditRecord) -> Result<(), Error> {
        self.append(std::slice::from_ref(record)).await
    }
}

#[async_trait]
impl AuditLog for AuditCollection {
    async fn append(&self, records: &[AuditRecord]) -> Result<(), Error> {
        for some in records.chunks(AT_A_TIME) {
            let mut commit = Commit::new();
            for (ordinal, record) in (0_u8..).zip(some) {
                add(&mut commit, ordinal, record)?;
            }
            self.engine.commit(commit).await.map_err(refusal)?;
        }
        Ok(())
    }

    async fn page(&self, query: &AuditQuery) -> Result<AuditPage, Error> {
        let limit = query.limit.clamp(1, MAX_PAGE);
        let mut range = Index::of(query).range(query);
        let mut page = AuditPage::default();
        let (mut looked_at, mut last) = (0, None);
        loop {
            let entries = self.engine.range(&range).await?;
            for (entry, record) in self.records(&entries).await? {
                if page.items.len() == limit || looked_at >= LOOKED_AT {
                    page.next = last;
                    return Ok(page);
                }
                looked_at += 1;
                last = Some(AuditPlace { at: record.at, sequence: entry.sequence });
                if query.covers(&record) {
                    page.items.push(entry);
                }
            }
            match entries.last() {
                Some((key, _)) if entries.len() == CHUNK => range = range.after(key),
                _ => return Ok(page),
            }
        }
    }

    async fn head(&self) -> Result<AuditLink, Error> {
        Ok(link(&self.head_and_anchor().await?.0))
    }

    async fn walk(&self, after: Option<AuditLink>, limit: usize) -> Result<AuditWalk, Error> {
        let limit = limit.clamp(1, 100_000);
        // Read first: the chain up to this head must be there, whatever is appended meanwhile.
        let (head, anchor, _) = self.head_and_anchor().await?;
        let unnamed = match &anchor {
            Some(anchor) if after.is_none() => !self.is_named(anchor).await?,
            _ => false,
        };
        let anchor = anchor.map_or(Head::START, |anchor| anchor.head);
        let began = match &after {
            // Retention may have passed by a walk that takes its time.
            Some(link) => place_of(link).filter(|place| place.sequence >= anchor.sequence).unwrap_or(anchor),
            None => anchor,
        };
        let mut walk = Walk::from(began);
        if unnamed {
            walk.breaks(
                anchor.sequence,
                "no record of the chain names it as the last that retention removed: records at the beginning are missing",
            );
        }
        let mut range = Range::prefix(keys::AUDIT, CHUNK).after(&log_key(keys::AUDIT, began.sequence));
        let mut left = limit;
        let is_ended = loop {
            range.limit = left.min(CHUNK);
            let entries = self.engine.range(&range).await?;
            for (key, entry) in &entries {
                walk.step(sequence_of(key).unwrap_or_default(), entry, &head);
            }
            left -= entries.len().min(left);
            match entries.last() {
                _ if entries.len() < range.limit => break true,
                Some((key, _)) if left > 0 && walk.broken.is_none() => range = range.after(key),
                _ => break false,
            }
        };
        if is_ended {
            walk.end(&began, &head);
        }
        Ok(AuditWalk { records: walk.records, upto: link(&walk.place), broken: walk.broken, is_ended })
    }

    async fn holds(&self, sequence: u64, hash: &str) -> Result<Option<bool>, Error> {
        let (_, anchor, _) = self.head_and_anchor().await?;
        let anchor = anchor.map_or(Head::START, |anchor| anchor.head);
        let same = |found: &chain::Hash| hex::encode(found).eq_ignore_ascii_case(hash);
        if sequence == anchor.sequence {
            return Ok(Some(same(&anchor.hash)));
        }
        if sequence < anchor.sequence {
            return Ok(None);
        }
        let entry = self.engine.get(&log_key(keys::AUDIT, sequence)).await?;
        Ok(Some(entry.is_some_and(|entry| same(&Head::START.after(sequence, &entry).hash))))
    }

    async fn address(&self, address: IpAddr, at: Timestamp) -> Result<Vec<AddressUse>, Error> {
        addresses::who_had(&*self.engine, address, at).await
    }

    async fn forget_before(&self, before: Timestamp, limit: usize) -> Result<usize, Error> {
        let mut forgotten = addresses::forget_before(&*self.engine, before, limit).await?;
        let mut records = 0;
        while records < limit {
            match self.forget_some(before, limit - records).await? {
                0 => break,
                some => records += some,
            }
        }
        forgotten += records;
        Ok(forgotten)
    }
}
