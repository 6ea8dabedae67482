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

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use archipel_identity::{Caller, DENIED_BY, Granted};
use archipel_model::audit::{AuditDoor, AuditLog, AuditRecord, AuditUser, Decider, Outcome};
use archipel_model::plugin::{Operation, Resource};
use archipel_model::{Clock, Error, FederationUser, OrderId, Owner, Timestamp};
use http::{Method, Uri};
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use crate::authenticate::Who;
use crate::problem::Answer;
use crate::request::Marks;
use crate::state::{App, Door};

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

/// After so long what was only counted is written.
const WINDOW: Duration = Duration::from_secs(60);
/// Users whose refusals are bounded by themselves; more share one bound. Bounds memory.
const USERS: usize = 1024;
/// Addresses that a count names. Bounds the record.
const ADDRESSES: usize = 8;
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
        let window = Arc::new(Mutex::new(Window { begun: clock.now(), ..Window::default() }));
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
            ..empty(self.clock.now(), AuditDoor::Daemon, operation, outcome)
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

fn empty(at: Timestamp, door: AuditDoor, operation: &str, outcome: Outcome) -> AuditRecord {
    AuditRecord {
        at,
        request: String::new(),
        door,
        address: None,
        who: None,
        operation: operation.to_owned(),
        kind: None,
        order: None,
        cloud: None,
        on: None,
        outcome,
        status: None,
        reason: None,
        decided_by: Vec::new(),
        count: 1,
        addresses: Vec::new(),
    }
}

/// What was written and counted in this minute.
#[derive(Default)]
struct Window {
    begun: Timestamp,
    unknown: Bucket,
    users: BTreeMap<Owner, Bucket>,
    others: Bucket,
}

#[derive(Default)]
struct Bucket {
    written: u32,
    more: u64,
    last: Option<AuditRecord>,
    is_mixed: bool,
    addresses: BTreeSet<String>,
}

impl Window {
    /// What is to be written now for this record: itself, or nothing; and the last minute's counts.
    fn take(&mut self, record: AuditRecord, settings: &AuditSettings, now: Timestamp) -> Vec<AuditRecord> {
        let is_over = now.since(self.begun) >= WINDOW || now < self.begun;
        let mut write = if is_over { self.end(now) } else { Vec::new() };
        let (bucket, most) = match &record.who {
            None => (&mut self.unknown, settings.unauthenticated_per_minute),
            Some(who) if self.users.len() < USERS || self.users.contains_key(&who.owner) => {
                (self.users.entry(who.owner.clone()).or_default(), settings.denials_per_minute)
            }
            Some(_) => (&mut self.others, settings.denials_per_minute),
        };
        write.extend(bucket.take(record, most));
        write
    }

    /// Ends the minute.
    fn end(&mut self, now: Timestamp) -> Vec<AuditRecord> {
        let over = std::mem::replace(self, Self { begun: now, ..Self::default() });
        let buckets = [over.unknown, over.others].into_iter().chain(over.users.into_values());
        buckets.filter_map(|bucket| bucket.counted(now)).collect()
    }
}

impl Bucket {
    fn take(&mut self, record: AuditRecord, most: u32) -> Option<AuditRecord> {
        if self.written < most {
            self.written += 1;
            return Some(record);
        }
        self.more += record.count;
        if let Some(address) = record.address.clone().filter(|_| self.addresses.len() < ADDRESSES) {
            self.addresses.insert(address);
        }
        self.is_mixed |= self.last.as_ref().is_some_and(|last| last.operation != record.operation);
        self.last = Some(record);
        None
    }

    /// One record for all that were not written.
    fn counted(self, now: Timestamp) -> Option<AuditRecord> {
        let last = self.last?;
        let operation = if self.is_mixed { "several".to_owned() } else { last.operation };
        Some(AuditRecord {
            at: now,
            operation,
            request: String::new(),
            address: None,
            order: None,
            reason: Some(
                "counted, because there were more of them in a minute than are recorded one by one"
                    .to_owned(),
            ),
            count: self.more,
            addresses: self.addresses.into_iter().collect(),
            ..last
        })
    }
}

/// What is learned of one request on its way.
pub(crate) struct Trail {
    operation: String,
    /// It may change something.
    mutates: bool,
    door: AuditDoor,
    learned: Mutex<Learned>,
}

#[derive(Default)]
struct Learned {
    who: Option<AuditUser>,
    kind: Option<String>,
    order: Option<OrderId>,
    cloud: Option<String>,
    on: Option<String>,
    verdict: Option<Verdict>,
    /// Items of a bulk request that were not allowed.
    denied_items: u64,
    /// The orders (or what is no order) whose records are written.
    recorded: BTreeSet<Option<OrderId>>,
}

enum Verdict {
    Allowed(Vec<Decider>),
    Denied(Vec<Decider>, String),
}

impl Trail {
    pub(crate) fn new(app: &App, method: &Method, route: Option<&str>, uri: &Uri) -> Self {
        let operation = route.and_then(|route| app.operations.get(&(method.clone(), route.to_owned())));
        // Only deletes can be dry, and one whose query has more to say is refused.
        let is_dry = *method == Method::DELETE
            && uri.query().is_some_and(|query| query.split('&').any(|pair| pair == "dry_run=true"));
        Self {
            operation: operation.cloned().unwrap_or_else(|| "unknown".to_owned()),
            mutates: ![Method::GET, Method::HEAD, Method::OPTIONS].contains(method) && !is_dry,
            door: match app.door {
                Door::Public => AuditDoor::Public,
                Door::Admin => AuditDoor::Admin,
            },
            learned: Mutex::new(named(route.unwrap_or_default(), uri.path())),
        }
    }

    fn learned(&self) -> MutexGuard<'_, Learned> {
        self.learned.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Who asks is known.
    pub(crate) fn is_from(&self, caller: &Caller) {
        self.learned().who = Some(user_of(caller));
    }

    /// The policy answered. A refusal stands, whatever else is asked afterwards.
    pub(crate) fn decided(&self, caller: &Caller, resource: &Resource, answer: &Result<Granted, Error>) {
        let mut learned = self.learned();
        if matches!(learned.verdict, Some(Verdict::Denied(..))) {
            return;
        }
        learned.who = Some(user_of(caller));
        learned.kind = Some(resource.kind.clone());
        learned.order = resource.id.or(learned.order);
        learned.cloud.clone_from(&resource.cloud);
        learned.verdict = verdict(caller, answer);
    }

    /// The host refuses what the policy allowed in part.
    pub(crate) fn denied(&self, reason: &str) {
        let mut learned = self.learned();
        let by = match learned.verdict.take() {
            Some(Verdict::Allowed(by)) => by,
            Some(denied @ Verdict::Denied(..)) => {
                learned.verdict = Some(denied);
                return;
            }
            None => Vec::new(),
        };
        learned.verdict = Some(Verdict::Denied(by, reason.to_owned()));
    }

    /// Another question is to be asked instead of the one that was refused.
    pub(crate) fn asks_otherwise(&self) {
        self.learned().verdict = None;
    }

    /// The policy answered for the items of a bulk request.
    pub(crate) fn decided_many(
        &self,
        caller: &Caller,
        resources: &[Resource],
        answers: &[Result<Granted, Error>],
    ) {
        for (resource, answer) in resources.iter().zip(answers) {
            match verdict(caller, answer) {
                Some(Verdict::Denied(by, reason)) => {
                    let mut learned = self.learned();
                    learned.denied_items += 1;
                    if !matches!(learned.verdict, Some(Verdict::Allowed(_))) {
                        learned.kind = Some(resource.kind.clone());
                        learned.verdict = Some(Verdict::Denied(by, reason));
                    }
                }
                Some(allowed) => self.learned().verdict = Some(allowed),
                None => {}
            }
        }
    }

    /// A login that the policy refused.
    pub(crate) fn login_refused(&self, error: &Error) {
        if let Some(Verdict::Denied(by, reason)) = denied(error) {
            self.learned().verdict = Some(Verdict::Denied(by, reason));
        }
    }

    fn record(&self, marks: (&str, Option<&str>), now: Timestamp, outcome: Outcome) -> AuditRecord {
        let learned = self.learned();
        let (decided_by, reason) = match &learned.verdict {
            Some(Verdict::Allowed(by)) => (by.clone(), None),
            Some(Verdict::Denied(by, reason)) => (by.clone(), Some(shown(reason))),
            None => (Vec::new(), None),
        };
        AuditRecord {
            request: marks.0.to_owned(),
            address: marks.1.map(host),
            who: learned.who.clone(),
            kind: learned.kind.clone(),
            order: learned.order,
            cloud: learned.cloud.clone(),
            on: learned.on.clone(),
            reason,
            decided_by,
            ..empty(now, self.door, &self.operation, outcome)
        }
    }

    /// The record of an order that is about to be accepted; the store writes it with the order. `None` where no order is
    /// made by this request.
    pub(crate) fn of_new_order(&self, app: &App, who: &Who) -> Option<AuditRecord> {
        let is_allowed = matches!(self.learned().verdict, Some(Verdict::Allowed(_)));
        if !self.mutates || !is_allowed {
            return None;
        }
        let marks = (who.info.request_id.as_str(), who.info.client_address.as_deref());
        Some(AuditRecord {
            who: Some(user_of(&who.caller)),
            order: None,
            ..self.record(marks, app.clock.now(), Outcome::Allowed)
        })
    }
}

/// What a path says of what is meant: an order, or the name of something else.
fn named(route: &str, path: &str) -> Learned {
    let mut learned = Learned::default();
    for (pattern, value) in route.split('/').zip(path.split('/')) {
        match pattern {
            "{id}" => learned.order = value.parse().ok(),
            "{name}" | "{address}" if is_name(value) => learned.on = Some(value.to_owned()),
            _ => {}
        }
    }
    learned
}

/// Names of plugins and publishers, and addresses; a token that somebody put into a path is longer.
fn is_name(text: &str) -> bool {
    (1..=63).contains(&text.len())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | ':'))
}

fn user_of(caller: &Caller) -> AuditUser {
    let user = &caller.user;
    AuditUser {
        owner: caller.owner(),
        name: user.name.clone(),
        group: caller.group.clone(),
        home_site: user.home_site.clone(),
        session: caller.session,
    }
}

fn verdict(caller: &Caller, answer: &Result<Granted, Error>) -> Option<Verdict> {
    match answer {
        Ok(_) if caller.built_in_admin => Some(Verdict::Allowed(Vec::new())),
        Ok(_) => {
            let chain = caller.generation.authorization.iter();
            Some(Verdict::Allowed(chain.map(|link| link.decider()).collect()))
        }
        Err(error) => denied(error),
    }
}

fn denied(error: &Error) -> Option<Verdict> {
    if error.kind != archipel_model::ErrorKind::Forbidden {
        return None;
    }
    let by = error.details.get(DENIED_BY).cloned().and_then(|by| serde_json::from_value(by).ok());
    Some(Verdict::Denied(by.into_iter().collect(), error.message.clone()))
}

/// An address without its port.
fn host(address: &str) -> String {
    address
        .parse::<std::net::SocketAddr>()
        .map_or_else(|_| address.to_owned(), |address| address.ip().to_string())
}

fn shown(reason: &str) -> String {
    reason.chars().filter(|c| !c.is_control()).take(REASON).collect()
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

impl Trail {
    /// Whether reading is recorded: of the audit always.
    fn is_to_be_told(&self, settings: &AuditSettings) -> bool {
        settings.reads || AUDIT_READS.contains(&self.operation.as_str())
    }
}

/// The operations that read the audit.
const AUDIT_READS: [&str; 4] = ["list-audit", "get-audit-head", "verify-audit", "list-address-uses"];

#[cfg(test)]
mod tests {
    use super::*;

    fn denial(subject: Option<&str>, address: &str) -> AuditRecord {
        let who = subject.map(|subject| AuditUser {
            owner: Owner { issuer: "i".into(), subject: subject.into() },
            name: subject.into(),
            group: None,
            home_site: None,
            session: None,
        });
        let address = Some(address.to_owned());
        AuditRecord {
            who,
            address,
            ..empty(Timestamp::default(), AuditDoor::Public, "get-me", Outcome::Denied)
        }
    }

    #[test]
    fn more_than_the_bound_of_a_minute_is_counted_and_told_when_it_is_over() {
        let settings = AuditSettings { unauthenticated_per_minute: 2, ..AuditSettings::default() };
        let mut window = Window::default();
        let at = |s: i64| Timestamp::from_millis(s * 1000);
        let mut written = 0;
        for number in 0..50 {
            written += window.take(denial(None, &format!("192.0.2.{number}")), &settings, at(1)).len();
        }
        assert_eq!(written, 2);
        assert_eq!(window.take(denial(Some("alice"), "192.0.2.1"), &settings, at(2)).len(), 1, "by herself");
        let next = window.take(denial(None, "192.0.2.9"), &settings, at(61));
        assert_eq!(next.len(), 2, "the count, and the first of the next minute");
        assert_eq!((next[0].count, next[0].addresses.len()), (48, ADDRESSES));
        assert_eq!((next[1].count, next[0].operation.as_str()), (1, "get-me"));
        assert!(window.end(at(70)).is_empty(), "nothing was counted since");
    }

    #[test]
    fn a_clock_that_is_turned_back_ends_the_minute_too() {
        let settings = AuditSettings { unauthenticated_per_minute: 0, ..AuditSettings::default() };
        let mut window = Window { begun: Timestamp::from_millis(1_000_000), ..Window::default() };
        let now = Timestamp::from_millis(1_000_001);
        assert!(window.take(denial(None, "a"), &settings, now).is_empty());
        assert_eq!(window.take(denial(None, "a"), &settings, Timestamp::from_millis(5)).len(), 1);
    }

    #[test]
    fn a_path_names_an_order_or_something_else_and_never_a_token() {
        let id = OrderId::generate();
        let order =
            named("/v1/admin/orders/{id}/actions/forget", &format!("/v1/admin/orders/{id}/actions/forget"));
        assert_eq!((order.order, order.on), (Some(id), None));
        let plugin = named("/v1/admin/plugins/{name}", "/v1/admin/plugins/authz-roles");
        assert_eq!(plugin.on.as_deref(), Some("authz-roles"));
        let token = format!("/v1/admin/plugins/arch1.{}", "A".repeat(80));
        assert_eq!(named("/v1/admin/plugins/{name}", &token).on, None);
        assert_eq!(named("/v1/clouds/{cloud}/specs/{id}", "/v1/clouds/east/specs/small").order, None);
    }

    #[test]
    fn many_users_share_one_bound_instead_of_taking_memory() {
        let settings = AuditSettings { denials_per_minute: 1, ..AuditSettings::default() };
        let mut window = Window::default();
        let mut written = 0;
        for number in 0..USERS + 100 {
            let record = denial(Some(&number.to_string()), "a");
            written += window.take(record, &settings, Timestamp::default()).len();
        }
        assert_eq!((written, window.users.len()), (USERS + 1, USERS));
        assert_eq!(window.end(Timestamp::default()).iter().map(|record| record.count).sum::<u64>(), 99);
    }
}
