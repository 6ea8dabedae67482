//! Whether everything in a store fits together. It reads and changes nothing.
//!
//! | looked at | must hold |
//! |---|---|
//! | label | schema, site and incarnation are there and known; nothing has a number that was not given yet |
//! | records | each is read, lies under its own key, and every index entry and part that follows from it is there |
//! | indexes | there are no more entries than follow from records; where there are, those that lead nowhere are named |
//! | sums | children, usage and plugins' bytes are what is counted anew |
//! | audit | each record follows the one before it, from the anchor to the head |
//! | claims | each queue that is held has an epoch |
//!
//! Numbers of events have gaps by nature: they are those of commits, and not every commit makes an event. A lost event
//! shows as index entries that lead nowhere.

use std::collections::BTreeMap;

use archipel_model::SiteId;
use bytes::Bytes;
use serde::Serialize;

use super::catalogue::{ALL, Collection, Holds, collection_of, named};
use super::follows::follows;
use super::survey::Pages;
use crate::SCHEMA;
use crate::audit::{Anchor, Walk};
use crate::chain::Head;
use crate::engine::{Engine, EngineError, Key};
use crate::judge::{count, log_key, sequence_of};
use crate::keys;
use crate::usage::Sums;

/// Problems that are told one by one; more are only counted.
const TOLD: usize = 100;

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// The collection that it is in.
    pub collection: &'static str,
    /// Under which key.
    pub key: String,
    /// What is wrong.
    pub what: String,
}

/// What a check found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Findings {
    /// Keys that were looked at.
    pub keys: u64,
    /// Records that were read.
    pub records: u64,
    /// How much is wrong.
    pub wrong: u64,
    /// The first of it, a hundred at most.
    pub problems: Vec<Problem>,
    /// Index entries that lead nowhere and do no harm; retention removes them.
    pub leftovers: u64,
}

impl Findings {
    fn tell(&mut self, collection: &'static str, key: String, what: impl Into<String>) {
        self.wrong += 1;
        if self.problems.len() < TOLD {
            self.problems.push(Problem { collection, key, what: what.into() });
        }
    }
}

/// Looks at everything. `stamp` is the engine's last commit, where it is known; nothing may write meanwhile.
///
/// # Errors
/// Where the engine is away.
pub async fn check(
    engine: &dyn Engine,
    site: Option<&SiteId>,
    stamp: Option<u64>,
) -> Result<Findings, EngineError> {
    let mut check = Check { engine, stamp, ..Check::new(engine) };
    check.label(site).await?;
    let mut pages = Pages::new();
    while let Some(page) = pages.next(engine).await? {
        for (key, value) in &page {
            check.look(key, value);
        }
        check.compare().await?;
    }
    check.close_group();
    check.close_usage();
    check.compare().await?;
    check.close_chain();
    check.sums().await?;
    check.claims().await?;
    check.indexes().await?;
    Ok(check.findings)
}

struct Check<'a> {
    engine: &'a dyn Engine,
    stamp: Option<u64>,
    forgotten: u64,
    findings: Findings,
    /// Keys that there are, and that must be there, by collection.
    found: BTreeMap<&'static [u8], u64>,
    expected: BTreeMap<&'static [u8], u64>,
    /// What must be there, to be looked up with the next page: key, value or any, and who says so.
    wanted: Vec<(Key, Option<Bytes>, String)>,
    /// What usage adds up to. Grows with the number of users, groups and clouds.
    usage: BTreeMap<Key, u64>,
    /// The sum that entries in a row add up to: of one parent's children, of one binding's bytes.
    group: Option<(Key, u64)>,
    /// What steps of lines add up to, while they pass.
    steps: Sums,
    /// The audit's chain, and where it ends and begins.
    chain: Option<Walk>,
    head: Head,
    anchor: Head,
}

impl<'a> Check<'a> {
    fn new(engine: &'a dyn Engine) -> Self {
        Self {
            engine,
            stamp: None,
            forgotten: 0,
            findings: Findings::default(),
            found: BTreeMap::new(),
            expected: BTreeMap::new(),
            wanted: Vec::new(),
            usage: BTreeMap::new(),
            group: None,
            steps: Sums::default(),
            chain: None,
            head: Head::START,
            anchor: Head::START,
        }
    }

    async fn label(&mut self, site: Option<&SiteId>) -> Result<(), EngineError> {
        let names = [keys::SCHEMA, keys::SITE, keys::INCARNATION, keys::FORGOTTEN].map(<[u8]>::to_vec);
        let label = self.engine.get_many(&names).await?;
        let raw = |place: usize| label.get(place).cloned().flatten();
        let text = |place: usize| raw(place).and_then(|bytes| String::from_utf8(bytes.to_vec()).ok());
        match text(0).and_then(|text| text.parse::<u32>().ok()) {
            None => self.findings.tell("label", "schema".into(), "it is not there or not a number"),
            Some(schema) if schema > SCHEMA => self.findings.tell(
                "label",
                "schema".into(),
                format!("it is {schema}, this archipel knows {SCHEMA}; use the newer archipel that wrote it"),
            ),
            Some(_) => {}
        }
        match (text(1), site) {
            (None, _) => self.findings.tell("label", "site".into(), "it is not there"),
            (Some(named), Some(site)) if named != site.as_str() => {
                let what = format!("the store belongs to {named}, the site file says {site}");
                self.findings.tell("label", "site".into(), what);
            }
            _ => {}
        }
        if text(2).and_then(|text| text.parse::<uuid::Uuid>().ok()).is_none() {
            self.findings.tell("label", "incarnation".into(), "it is not there or not a UUID");
        }
        self.forgotten = count(raw(3).as_ref());
        if self.stamp.is_some_and(|stamp| self.forgotten >> 8 > stamp) {
            self.findings.tell("label", "events-forgotten".into(), "it is a number that was not given yet");
        }
        Ok(())
    }

    fn look(&mut self, key: &Key, value: &Bytes) {
        self.findings.keys += 1;
        let Some(collection) = collection_of(key) else {
            let said = String::from_utf8_lossy(key).into_owned();
            self.findings.tell("unknown", said, "this archipel knows no such key; a newer one wrote it");
            return;
        };
        *self.found.entry(collection.prefix).or_default() += 1;
        self.group(collection, key, value);
        self.numbers(collection, key);
        self.chained(collection, key, value);
        if collection.prefix == keys::INSTANTS {
            let done = self.steps.add(key, value);
            self.want_steps(done);
        }
        match follows(collection, key, value) {
            Err(error) => self.findings.tell(collection.name, collection.said(key), error.message),
            Ok(follows) => {
                if !matches!(collection.holds, Holds::Index { .. } | Holds::Sums | Holds::Label) {
                    self.findings.records += 1;
                }
                let who = || format!("{} {}", collection.name, collection.said(key));
                for (key, value) in follows.entries {
                    self.want(key, Some(value), who());
                }
                for key in follows.parts {
                    self.want(key, None, who());
                }
                for (key, amount) in follows.sums {
                    *self.usage.entry(key).or_default() += amount;
                }
            }
        }
    }

    fn want(&mut self, key: Key, value: Option<Bytes>, who: String) {
        if let Some(collection) = collection_of(&key) {
            *self.expected.entry(collection.prefix).or_default() += 1;
        }
        self.wanted.push((key, value, who));
    }

    fn numbers(&mut self, collection: &'static Collection, key: &Key) {
        let is_event = collection.prefix == keys::EVENTS;
        if !is_event && collection.prefix != keys::AUDIT {
            return;
        }
        let Some(sequence) = sequence_of(key) else { return };
        if self.stamp.is_some_and(|stamp| sequence >> 8 > stamp) {
            let what =
                format!("its number was not given yet; the next {} would come before it", collection.name);
            self.findings.tell(collection.name, collection.said(key), what);
        }
        if is_event && sequence <= self.forgotten {
            let what = format!("readers are told that everything up to {} is forgotten", self.forgotten);
            self.findings.tell(collection.name, collection.said(key), what);
        }
    }

    /// The audit's records come in the order of the chain, and behind its head and anchor.
    fn chained(&mut self, collection: &'static Collection, key: &Key, value: &Bytes) {
        if key == keys::AUDIT_HEAD {
            self.head = Head::read(Some(value));
        } else if key == keys::AUDIT_ANCHOR {
            self.anchor = Anchor::read(Some(value)).map_or(Head::START, |anchor| anchor.head);
        }
        if collection.prefix == keys::AUDIT
            && let Some(sequence) = sequence_of(key)
        {
            let (anchor, head) = (self.anchor, self.head);
            self.chain.get_or_insert_with(|| Walk::from(anchor)).step(sequence, value, &head);
        }
    }

    fn close_chain(&mut self) {
        let (anchor, head) = (self.anchor, self.head);
        let mut walk = self.chain.take().unwrap_or_else(|| Walk::from(anchor));
        walk.end(&anchor, &head);
        if let Some(broken) = walk.broken {
            self.findings.tell("audit", broken.sequence.to_string(), broken.what);
        }
    }

    fn want_steps(&mut self, sums: Vec<(Key, Option<Bytes>)>) {
        for (key, sum) in sums {
            // What adds up to nothing has no key.
            if let Some(sum) = sum {
                self.want(key, Some(sum), "what it sums up".to_owned());
            }
        }
    }

    fn close_usage(&mut self) {
        let done = std::mem::take(&mut self.steps).end();
        self.want_steps(done);
    }

    /// Children of one parent and keys of one binding lie in a row: their sum is complete when another row begins.
    fn group(&mut self, collection: &'static Collection, key: &Key, value: &Bytes) {
        let (of, amount) = match sum_of(collection.prefix, key, value) {
            Some(sum) => sum,
            None => return self.close_group(),
        };
        match &mut self.group {
            Some((open, sum)) if *open == of => *sum += amount,
            _ => {
                self.close_group();
                self.group = Some((of, amount));
            }
        }
    }

    fn close_group(&mut self) {
        if let Some((key, sum)) = self.group.take() {
            self.want_sum(key, sum);
        }
    }

    fn want_sum(&mut self, key: Key, sum: u64) {
        self.want(key, Some(Bytes::copy_from_slice(&sum.to_be_bytes())), "what it sums up".to_owned());
    }

    /// Looks up what must be there.
    async fn compare(&mut self) -> Result<(), EngineError> {
        let wanted = std::mem::take(&mut self.wanted);
        let names: Vec<Key> = wanted.iter().map(|(key, ..)| key.clone()).collect();
        let values = self.engine.get_many(&names).await?;
        for ((key, value, who), held) in wanted.iter().zip(values) {
            let Some(collection) = collection_of(key) else { continue };
            let is_right = match (&held, value) {
                (None, _) => false,
                (Some(_), None) => true,
                (Some(held), Some(value)) => held == value,
            };
            if is_right {
                continue;
            }
            let what = match (collection.holds, value) {
                (Holds::Sums, Some(sums)) if sums.len() != 8 => format!("it is not {who}"),
                (Holds::Sums, value) => {
                    format!("it says {}, {who} is {}", count(held.as_ref()), count(value.as_ref()))
                }
                _ if held.is_none() => format!("it is missing: {who} needs it"),
                _ => format!("it leads elsewhere than to {who}"),
            };
            self.findings.tell(collection.name, collection.said(key), what);
        }
        Ok(())
    }

    /// What usage should be, against what it is.
    async fn sums(&mut self) -> Result<(), EngineError> {
        for (key, sum) in std::mem::take(&mut self.usage) {
            self.want_sum(key, sum);
            if self.wanted.len() >= super::PAGE {
                self.compare().await?;
            }
        }
        self.compare().await
    }

    /// Everything that must be there was looked up; where there is more, it leads nowhere.
    async fn indexes(&mut self) -> Result<(), EngineError> {
        for collection in &ALL {
            let is_derived =
                matches!(collection.holds, Holds::Index { .. } | Holds::Sums) || collection.prefix == b"ip/";
            let number = |of: &BTreeMap<&'static [u8], u64>| of.get(collection.prefix).copied().unwrap_or(0);
            let (found, expected) = (number(&self.found), number(&self.expected));
            if !is_derived || found <= expected {
                continue;
            }
            match collection.holds {
                Holds::Index { leftovers: true } | Holds::Bytes(_) => {
                    self.findings.leftovers += found - expected;
                }
                _ => self.lead_nowhere(collection).await?,
            }
        }
        Ok(())
    }

    async fn claims(&mut self) -> Result<(), EngineError> {
        let mut pages = Pages::of(keys::CLAIMS);
        while let Some(page) = pages.next(self.engine).await? {
            for (key, _) in page {
                let queue = key.get(keys::CLAIMS.len()..).unwrap_or_default();
                if self.engine.get(&[b"ce/", queue].concat()).await?.is_none() {
                    let queue = String::from_utf8_lossy(queue).into_owned();
                    self.findings.tell("claims", queue, "it is held and has no epoch");
                }
            }
        }
        Ok(())
    }

    /// Names the entries of a collection that no record calls for.
    async fn lead_nowhere(&mut self, collection: &'static Collection) -> Result<(), EngineError> {
        let before = self.findings.wrong;
        let mut pages = Pages::of(collection.prefix);
        while let Some(page) = pages.next(self.engine).await? {
            for (key, value) in page {
                let is_called_for = match record_of(collection, &key, &value) {
                    None => false,
                    Some((of, record)) => match self.engine.get(&record).await? {
                        None => false,
                        Some(raw) => follows(of, &record, &raw).is_ok_and(|follows| {
                            follows.entries.iter().any(|(wanted, _)| *wanted == key)
                                || follows.sums.iter().any(|(wanted, _)| *wanted == key)
                        }),
                    },
                };
                if !is_called_for && collection.holds != Holds::Sums {
                    self.findings.tell(
                        collection.name,
                        collection.said(&key),
                        "it leads to a record that is not there or does not call for it",
                    );
                }
            }
        }
        if self.findings.wrong == before {
            let what = match collection.holds {
                Holds::Sums => "there are more sums than there is anything to count",
                _ => "there are more entries than records call for",
            };
            self.findings.tell(collection.name, String::new(), what);
        }
        Ok(())
    }
}

/// The sum that an entry is counted in, and for how much.
pub(super) fn sum_of(prefix: &[u8], key: &[u8], value: &[u8]) -> Option<(Key, u64)> {
    let rest = key.get(prefix.len()..)?;
    match prefix {
        b"ch/" => Some(([b"cn/", rest.first_chunk::<16>()?.as_slice()].concat(), 1)),
        b"p/" => {
            let (length, rest) = rest.split_first_chunk::<2>()?;
            let (binding, name) = rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
            Some(([b"pb/", binding].concat(), (name.len() + value.len()) as u64))
        }
        _ => None,
    }
}

/// The record that an index entry leads to.
fn record_of(index: &Collection, key: &Key, value: &Bytes) -> Option<(&'static Collection, Key)> {
    let order = |id: Option<archipel_model::OrderId>| Some((named("orders")?, keys::order(id?)));
    let session = || Some((named("sessions")?, keys::session(keys::session_at_end(key)?)));
    match index.prefix {
        b"l/" | b"x/" | b"xt/" | b"ch/" => order(keys::order_at_end(key)),
        b"or/" => order(keys::order_at_end(value)),
        b"ao/" | b"au/" | b"aa/" | b"at/" => Some((named("audit")?, log_key(keys::AUDIT, sequence_of(key)?))),
        b"he/" => Some((named("address history")?, keys::address_use_of(key))),
        b"uo/" | b"ue/" => Some((named("usage accounts")?, keys::account(keys::order_at_end(key)?))),
        b"es/" | b"eo/" | b"eg/" => Some((named("events")?, keys::event(sequence_of(key)?))),
        b"so/" | b"sc/" | b"se/" => session(),
        _ => None,
    }
}
