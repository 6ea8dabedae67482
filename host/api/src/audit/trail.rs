//! What is learned of one request on its way, and the record that it makes.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use archipel_identity::{Caller, DENIED_BY, Granted};
use archipel_model::audit::{AuditDoor, AuditRecord, AuditUser, Decider, Outcome};
use archipel_model::plugin::Resource;
use archipel_model::{Error, OrderId, Timestamp};
use http::{Method, Uri};

use super::{AuditSettings, REASON};
use crate::authenticate::Who;
use crate::state::{App, Door};

/// What is learned of one request on its way.
pub(crate) struct Trail {
    pub(super) operation: String,
    /// It may change something.
    pub(super) mutates: bool,
    door: AuditDoor,
    learned: Mutex<Learned>,
}

#[derive(Default)]
pub(super) struct Learned {
    pub(super) who: Option<AuditUser>,
    pub(super) kind: Option<String>,
    pub(super) order: Option<OrderId>,
    cloud: Option<String>,
    on: Option<String>,
    pub(super) verdict: Option<Verdict>,
    /// Items of a bulk request that were not allowed.
    pub(super) denied_items: u64,
    /// The orders (or what is no order) whose records are written.
    pub(super) recorded: BTreeSet<Option<OrderId>>,
}

pub(super) enum Verdict {
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

    pub(super) fn learned(&self) -> MutexGuard<'_, Learned> {
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

    pub(super) fn record(
        &self,
        marks: (&str, Option<&str>),
        now: Timestamp,
        outcome: Outcome,
    ) -> AuditRecord {
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
            ..AuditRecord::new(now, self.door, &self.operation, outcome)
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

pub(super) fn shown(reason: &str) -> String {
    reason.chars().filter(|c| !c.is_control()).take(REASON).collect()
}

impl Trail {
    /// Whether reading is recorded: of the audit always.
    pub(super) fn is_to_be_told(&self, settings: &AuditSettings) -> bool {
        settings.reads || AUDIT_READS.contains(&self.operation.as_str())
    }
}

/// The operations that read the audit.
const AUDIT_READS: [&str; 4] = ["list-audit", "get-audit-head", "verify-audit", "list-address-uses"];

#[cfg(test)]
mod tests {
    use super::*;

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
}
