//! The store of one site: checks whose it is and of which version, and hands out the collections.

use std::sync::Arc;

use archipel_identity::store::SessionStore;
use archipel_model::audit::{AuditLog, AuditSink};
use archipel_model::egress::EgressLog;
use archipel_model::plugin_storage::PluginStorage;
use archipel_model::publisher::PositionStore;
use archipel_model::{Clock, Error, SiteId, Timestamp};
use archipel_orders::store::OrderStore;
use archipel_orders::usage::UsageStore;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::audit::AuditCollection;
use crate::egress::EgressCollection;
use crate::engine::{Commit, CommitError, Engine, EngineFigures, Key, Range};
use crate::orders::{OrderCollection, metering};
use crate::plugin_storage::PluginCollection;
use crate::positions::PositionCollection;
use crate::record::refusal;
use crate::sessions::SessionCollection;
use crate::upkeep::Export;
use crate::usage::UsageCollection;
use crate::{claims, keys};

/// The layout of keys and records as a whole. Grows when something older programs must not touch is written.
///
/// | schema | what came with it |
/// |---|---|
/// | 1 | orders, events, sessions, what plugins keep |
/// | 2 | usage, the audit, the history of addresses |
pub const SCHEMA: u32 = 2;
/// Keys that are counted at a time for [`Store::stats`].
const COUNT_AT_A_TIME: usize = 5_000;

/// Everything durable of one site.
pub struct Store {
    engine: Arc<dyn Engine>,
    orders: Arc<OrderCollection>,
    sessions: Arc<SessionCollection>,
    plugins: Arc<PluginCollection>,
    positions: Arc<PositionCollection>,
    usage: Arc<UsageCollection>,
    audit: Arc<AuditCollection>,
    egress: Arc<EgressCollection>,
    incarnation: Uuid,
}

/// What the store says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoreStats {
    /// Version of the layout.
    pub schema: u32,
    /// Made anew whenever a store is made or imported.
    pub incarnation: Uuid,
    /// Orders that are not closed.
    pub orders: u64,
    /// Orders that are closed and kept.
    pub closed_orders: u64,
    /// Sessions that are kept, ended ones too.
    pub sessions: u64,
    /// The newest event's sequence.
    pub newest_event: u64,
    /// Commits made since it was opened.
    pub commits: u64,
    /// Commits refused by a precondition or a limit since it was opened.
    pub refused: u64,
    /// Flushes since it was opened; many commits share one.
    pub groups: u64,
    /// The most commits that shared one.
    pub largest_group: u64,
    /// Mean time of a flush in microseconds.
    pub mean_flush_us: u64,
    /// Bytes on disk.
    pub bytes_on_disk: u64,
}

impl Store {
    /// Takes an engine as the store of `site`; a new one is labelled as its.
    ///
    /// # Errors
    /// `conflict` with the code `wrong-site` or `store-newer`, and the way out; `transient` where the engine is away.
    pub async fn open(
        engine: Arc<dyn Engine>,
        site: &SiteId,
        clock: Arc<dyn Clock>,
    ) -> Result<Arc<Self>, Error> {
        let incarnation = label(&*engine, site).await?;
        if engine.is_exclusive() {
            claims::release_all(&*engine).await?;
        }
        let schema = schema(&*engine).await?;
        if schema < SCHEMA {
            upgrade(&*engine, &*clock).await?;
        }
        let events = engine.watch(keys::EVENTS).await?;
        Ok(Arc::new(Self {
            usage: Arc::new(UsageCollection { engine: Arc::clone(&engine) }),
            audit: Arc::new(AuditCollection { engine: Arc::clone(&engine), clock: Arc::clone(&clock) }),
            orders: Arc::new(OrderCollection::new(Arc::clone(&engine), clock, events, incarnation)),
            sessions: Arc::new(SessionCollection::new(Arc::clone(&engine))),
            plugins: Arc::new(PluginCollection { engine: Arc::clone(&engine) }),
            positions: Arc::new(PositionCollection { engine: Arc::clone(&engine) }),
            egress: Arc::new(EgressCollection::new(Arc::clone(&engine))),
            engine,
            incarnation,
        }))
    }

    /// Orders and everything that is committed with them.
    pub fn orders(&self) -> Arc<dyn OrderStore> {
        Arc::clone(&self.orders) as Arc<dyn OrderStore>
    }

    /// Sessions and revocations.
    pub fn sessions(&self) -> Arc<dyn SessionStore> {
        Arc::clone(&self.sessions) as Arc<dyn SessionStore>
    }

    /// What plugins keep.
    pub fn plugin_storage(&self) -> Arc<dyn PluginStorage> {
        Arc::clone(&self.plugins) as Arc<dyn PluginStorage>
    }

    /// Where publishers of events stand.
    pub fn positions(&self) -> Arc<dyn PositionStore> {
        Arc::clone(&self.positions) as Arc<dyn PositionStore>
    }

    /// What orders used.
    pub fn usage(&self) -> Arc<dyn UsageStore> {
        Arc::clone(&self.usage) as Arc<dyn UsageStore>
    }

    /// Who did what, and who had which address.
    pub fn audit(&self) -> Arc<dyn AuditLog> {
        Arc::clone(&self.audit) as Arc<dyn AuditLog>
    }

    /// Takes what must be in the audit before it happens.
    pub fn audit_sink(&self) -> Arc<dyn AuditSink> {
        Arc::clone(&self.audit) as Arc<dyn AuditSink>
    }

    /// Which requests left for an order.
    pub fn egress(&self) -> Arc<dyn EgressLog> {
        Arc::clone(&self.egress) as Arc<dyn EgressLog>
    }

    /// Made anew whenever a store is made or imported: what was swept under another must not be trusted.
    pub fn incarnation(&self) -> Uuid {
        self.incarnation
    }

    /// What the engine did since it was opened; costs nothing.
    pub fn figures(&self) -> EngineFigures {
        self.engine.figures()
    }

    /// Counts; reads every index entry, so it is for an administrator's question and not for a dashboard.
    ///
    /// # Errors
    /// `transient`, where the engine is away.
    pub async fn stats(&self) -> Result<StoreStats, Error> {
        let figures = self.engine.figures();
        Ok(StoreStats {
            schema: SCHEMA,
            incarnation: self.incarnation,
            orders: self.count(keys::Scope::all().live()).await?,
            closed_orders: self.count(keys::Scope::all().closed()).await?,
            sessions: self.count(keys::SESSION_ENDS.to_vec()).await?,
            newest_event: *self.orders.events.borrow(),
            commits: figures.commits,
            refused: figures.refused,
            groups: figures.groups,
            largest_group: figures.largest_group,
            mean_flush_us: figures.flush_us.checked_div(figures.groups).unwrap_or(0),
            bytes_on_disk: figures.bytes_on_disk,
        })
    }

    /// Begins a copy of everything as of now, beside whatever is written meanwhile.
    ///
    /// # Errors
    /// `transient`, where the engine is away.
    pub async fn export(&self, clock: &dyn Clock) -> Result<Export, Error> {
        Export::begin(&*self.engine, clock, false).await
    }

    /// Makes everything durable and lets go of the files.
    pub async fn close(&self) {
        self.engine.close().await;
    }

    async fn count(&self, prefix: Key) -> Result<u64, Error> {
        let mut range = Range::prefix(&prefix, COUNT_AT_A_TIME);
        let mut count = 0_u64;
        loop {
            let entries = self.engine.range(&range).await?;
            count = count.saturating_add(entries.len() as u64);
            match entries.last() {
                Some((last, _)) if entries.len() == COUNT_AT_A_TIME => range = range.after(last),
                _ => return Ok(count),
            }
        }
    }
}

/// Checks the label of a store, or writes it on a new one; its incarnation.
async fn label(engine: &dyn Engine, site: &SiteId) -> Result<Uuid, Error> {
    let text = |value: Bytes| String::from_utf8_lossy(&value).into_owned();
    let known =
        engine.get_many(&[keys::SCHEMA.to_vec(), keys::SITE.to_vec(), keys::INCARNATION.to_vec()]).await?;
    let mut known = known.into_iter().map(|value| value.map(text));
    let (schema, owner, incarnation) =
        (known.next().flatten(), known.next().flatten(), known.next().flatten());
    let Some(schema) = schema else {
        return label_new(engine, site).await;
    };
    let unreadable = || Error::internal("the store's label cannot be read; run archipel store check");
    let schema: u32 = schema.parse().map_err(|_| unreadable())?;
    if schema > SCHEMA {
        return Err(Error::conflict(format!(
            "the store was written by a newer archipel (schema {schema}, this one knows {SCHEMA}); start that version \
             again, or export with it (archipel store export) and import here"
        ))
        .code("store-newer"));
    }
    let owner = owner.ok_or_else(unreadable)?;
    if owner != site.as_str() {
        return Err(Error::conflict(format!(
            "the store belongs to site {owner}, and the configuration says {site}; set [site] id back, or give this \
             site a data_dir of its own"
        ))
        .code("wrong-site"));
    }
    incarnation.and_then(|text| text.parse().ok()).ok_or_else(unreadable)
}

/// The layout that a labelled store has.
async fn schema(engine: &dyn Engine) -> Result<u32, Error> {
    let known = engine.get(keys::SCHEMA).await?;
    let number = known.and_then(|bytes| std::str::from_utf8(&bytes).ok()?.parse().ok());
    number.ok_or_else(|| Error::internal("the store's label cannot be read; run archipel store check"))
}

/// Brings an older store to this layout. The label is written last, so that what a crash cuts short is done again.
async fn upgrade(engine: &dyn Engine, clock: &dyn Clock) -> Result<(), Error> {
    metering::begin(engine, clock).await?;
    let mut commit = Commit::new();
    commit.put(keys::SCHEMA.to_vec(), SCHEMA.to_string());
    engine.commit(commit).await.map(|_| ()).map_err(refusal)
}

async fn label_new(engine: &dyn Engine, site: &SiteId) -> Result<Uuid, Error> {
    let incarnation = Uuid::now_v7();
    let mut commit = Commit::new();
    commit
        .absent(keys::SCHEMA.to_vec())
        .put(keys::SCHEMA.to_vec(), SCHEMA.to_string())
        .put(keys::SITE.to_vec(), site.as_str().to_owned())
        .put(keys::INCARNATION.to_vec(), incarnation.to_string())
        // Nothing can be missing in a store that begins here. An import writes no such line.
        .put(keys::CONFIRMED.to_vec(), incarnation.to_string())
        .put(keys::FORGOTTEN.to_vec(), 0_u64.to_be_bytes().to_vec());
    match engine.commit(commit).await {
        Ok(_) => Ok(incarnation),
        Err(CommitError::Conflict(_)) => {
            Err(Error::transient("another daemon is labelling this store; start again").code("busy"))
        }
        Err(error) => Err(refusal(error)),
    }
}

/// Milliseconds as stored.
pub(crate) fn time_bytes(at: Timestamp) -> Bytes {
    Bytes::copy_from_slice(&at.as_millis().to_be_bytes())
}
