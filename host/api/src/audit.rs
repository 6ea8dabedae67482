//! What the audit learns of a request, and when it is written.
//!
//! | the request | its record |
//! |---|---|
//! | makes an order | in the commit that accepts the order |
//! | changes something else | before its effect; refused or failed afterwards, a second one says so |
//! | a login | before the token is told |
//! | is not allowed | before the answer |
//! | comes from nobody known | before the answer, as long as there are few: see below |
//! | only reads | none, unless `[audit] reads` asks for it; reading the audit itself always |
//!
//! What could be repeated at will is bounded, so that nobody fills the disk with it: of each user
//! `denials_per_minute`, of all who are not known together `unauthenticated_per_minute` are written one by one; the rest of
//! a minute is one record with a count and some of the addresses. Those counts are in memory until the minute is over, and
//! a crash loses them.
//!
//! A record holds no query, no body and no credential: operation, kind, cloud, order, and the name of a plugin or publisher
//! say what was meant. Where the audit cannot be written nothing is changed either: 503.

mod trail;
mod window;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use archipel_model::audit::{AuditDoor, AuditLog, AuditRecord, AuditUser, Outcome};
use archipel_model::plugin::Operation;
use archipel_model::{Clock, Error, FederationUser, OrderId};
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use crate::authenticate::Who;
use crate::problem::Answer;
use crate::request::Marks;
use crate::state::App;

pub(crate) use self::trail::Trail;
use self::trail::{Verdict, shown};
use self::window::{WINDOW, Window};

/// `[audit]`.
///
/// ```
/// let audit: archipel_api::AuditSettings = serde_json::from_str(r#"{"reads": true}"#).unwrap();
/// assert_eq!((audit.reads, audit.retention_s), (true, 34_560_000));
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AuditSettings {
    /// Seconds for which records, uses of addresses and accounts of single orders are kept (400 days, so that a year can be
    /// looked at when it is over). The chain stays verifiable: see `archipel audit verify`.
    pub retention_s: u64,
    /// Records what only reads, too (false): a record for each GET.
    pub reads: bool,
    /// Refusals of one user that are recorded one by one in a minute (30); more are counted. Keeps a user from filling the
    /// disk.
    pub denials_per_minute: u32,
    /// Requests of nobody known that are recorded one by one in a minute (10), all addresses together; more are counted.
    /// Keeps everybody from it.
    pub unauthenticated_per_minute: u32,
}

impl Default for AuditSettings {
    fn default() -> Self {
        Self {
            retention_s: 400 * 86_400,
            reads: false,
            denials_per_minute: 30,
            unauthenticated_per_minute: 10,
        }
    }
}

/// Letters of a reason.
const REASON: usize = 512;

/// The audit as requests write it; shared by both doors.
#[derive(Clone)]
pub struct Audit {
    log: Arc<dyn AuditLog>,
    clock: Arc<dyn Clock>,
    settings: AuditSettings,
    window: Arc<Mutex<Window>>,
}

impl Audit {
    /// Over this log.
    pub fn new(log: Arc<dyn AuditLog>, clock: Arc<dyn Clock>, settings: AuditSettings) -> Self {
        let window = Arc::new(Mutex::new(Window::beginning(clock.now())));
        Self { log, clock, settings, window }
    }

    /// The log, for questions.
    pub(crate) fn log(&self) -> &dyn AuditLog {
        &*self.log
    }

    /// Records something that the daemon did by itself, or on a signal.
    ///
    /// # Errors
    /// `transient`, where the store is away.
    pub async fn daemon(
        &self,
        operation: &str,
        outcome: Outcome,
        reason: Option<String>,
    ) -> Result<(), Error> {
        let record = AuditRecord {
            reason: reason.map(|reason| reason.chars().take(REASON).collect()),
            ..AuditRecord::new(self.clock.now(), AuditDoor::Daemon, operation, outcome)
        };
        self.log.append(&[record]).await
    }

    /// Writes each minute what was only counted, until `stop` and then once more.
    pub async fn run(self, stop: CancellationToken) {
        loop {
            let is_over = tokio::select! {
                () = stop.cancelled() => true,
                () = tokio::time::sleep(WINDOW) => false,
            };
            self.flush().await;
            if is_over {
                return;
            }
        }
    }

    /// Writes what was only counted so far.
    pub async fn flush(&self) {
        let counted = self.window().end(self.clock.now());
        self.write(&counted).await;
    }

    /// Writes what can only be told, not prevented.
    async fn write(&self, records: &[AuditRecord]) {
        if records.is_empty() {
            return;
        }
        if let Err(error) = self.log.append(records).await {
            for record in records {
                let record = serde_json::to_string(record).unwrap_or_default();
                tracing::error!(%error, record, "the audit cannot be written; this record is in the log alone");
            }
        }
    }

    /// Writes something that could be repeated at will.
    async fn write_bounded(&self, record: AuditRecord) {
        let records = self.window().take(record, &self.settings, self.clock.now());
        self.write(&records).await;
    }

    fn window(&self) -> MutexGuard<'_, Window> {
        self.window.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Before something that was allowed takes effect: its record, durable on return. Nothing for what only reads, and for
/// what was recorded before.
pub(crate) async fn before(app: &App, who: &Who, operation: Operation) -> Answer<()> {
    let makes_no_change =
        matches!(operation, Operation::Read | Operation::List | Operation::Create | Operation::Login);
    if !who.trail.mutates || makes_no_change {
        return Ok(());
    }
    let order = who.trail.learned().order;
    write_once(app, who, &[order]).await
}

/// The same for the other orders that a cascade deletes.
pub(crate) async fn before_all(app: &App, who: &Who, orders: &[OrderId]) -> Answer<()> {
    if !who.trail.mutates {
        return Ok(());
    }
    let orders: Vec<Option<OrderId>> = orders.iter().copied().map(Some).collect();
    write_once(app, who, &orders).await
}

/// The same for what needs no policy: the end of the caller's own token.
pub(crate) async fn before_own(app: &App, who: &Who, kind: &str) -> Answer<()> {
    who.trail.learned().kind = Some(kind.to_owned());
    write_once(app, who, &[None]).await
}

async fn write_once(app: &App, who: &Who, orders: &[Option<OrderId>]) -> Answer<()> {
    let fresh: Vec<Option<OrderId>> = {
        let learned = who.trail.learned();
        orders.iter().copied().filter(|order| !learned.recorded.contains(order)).collect()
    };
    let marks = (who.info.request_id.as_str(), who.info.client_address.as_deref());
    let record = who.trail.record(marks, app.clock.now(), Outcome::Allowed);
    let records: Vec<AuditRecord> =
        fresh.iter().map(|order| AuditRecord { order: *order, ..record.clone() }).collect();
    app.audit.log.append(&records).await?;
    who.trail.learned().recorded.extend(fresh);
    Ok(())
}

/// A login succeeded: its record, before the token is told.
pub(crate) async fn logged_in(app: &App, trail: &Trail, marks: &Marks, user: &FederationUser) -> Answer<()> {
    {
        let mut learned = trail.learned();
        learned.kind = Some("session".to_owned());
        learned.who = Some(AuditUser {
            owner: user.owner(),
            name: user.name.clone(),
            group: None,
            home_site: user.home_site.clone(),
            session: None,
        });
    }
    let record = trail.record((&marks.id, marks.address.as_deref()), app.clock.now(), Outcome::Allowed);
    Ok(app.audit.log.append(&[record]).await?)
}

/// After everything else, before the answer: what was not allowed, did not come off, or only read.
pub(crate) async fn after(app: &App, trail: &Trail, marks: &Marks, status: u16, told: Option<&str>) {
    let now = app.clock.now();
    let (is_known, is_denied, is_allowed, is_recorded, denied_items) = {
        let learned = trail.learned();
        (
            learned.who.is_some(),
            matches!(learned.verdict, Some(Verdict::Denied(..))),
            matches!(learned.verdict, Some(Verdict::Allowed(_))),
            !learned.recorded.is_empty(),
            learned.denied_items,
        )
    };
    let record = |outcome| AuditRecord {
        status: Some(status),
        ..trail.record((&marks.id, marks.address.as_deref()), now, outcome)
    };
    let because = |record: AuditRecord| {
        let reason = record.reason.clone().or_else(|| told.map(shown));
        AuditRecord { reason, ..record }
    };
    let is_login = trail.operation == "create-token";
    if denied_items > 0 {
        let reason = Some(format!("{denied_items} items of the request are not allowed"));
        let denied = AuditRecord { count: denied_items, reason, ..record(Outcome::Denied) };
        app.audit.write_bounded(denied).await;
    }
    match status {
        401 => app.audit.write_bounded(because(record(Outcome::Denied))).await,
        403 | 429 if is_login => app.audit.write_bounded(because(record(Outcome::Denied))).await,
        _ if is_denied && denied_items == 0 => app.audit.write_bounded(record(Outcome::Denied)).await,
        500.. if is_known && trail.mutates && (is_allowed || is_recorded) => {
            app.audit.write_bounded(because(record(Outcome::Failed))).await;
        }
        400.. if is_known && trail.mutates && (is_allowed || is_recorded) => {
            app.audit.write_bounded(because(record(Outcome::Refused))).await;
        }
        ..400 if is_known && !trail.mutates && trail.is_to_be_told(&app.audit.settings) => {
            app.audit.write(&[record(Outcome::Allowed)]).await;
        }
        _ => {}
    }
}
