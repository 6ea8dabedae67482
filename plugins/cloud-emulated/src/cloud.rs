//! One account's view of the emulated cloud: what every call passes before and after it is carried out.
//!
//! A call takes `latency_ms`, is refused when the local token has expired, and meets the configured faults
//! (`faults.rs`); what it does is in `creation.rs`, `viewing.rs`, `switching.rs` and `removal.rs`.

use crate::config::Config;
use crate::faults::{Call, Effect, Fault, Operation, Subject, strike};
use crate::naming::{Account, Kind};
use crate::power::Action;
use crate::world::{TRIES, World, decode, encode, too_crowded};
use archipel_sdk::cloud::{
    CloudNetwork, CreateContext, Created, Known, Observed, OrderRef, Page, QuotaEntry, Tagged,
};
use archipel_sdk::{Error, Result};
use serde::Deserialize;

/// The cloud as one account sees it.
pub(crate) struct Cloud<'a, W> {
    pub(crate) world: &'a W,
    pub(crate) config: &'a Config,
    pub(crate) account: Account,
    account_name: String,
}

/// The part of `driver_state` that must come back.
#[derive(Deserialize)]
struct Note {
    #[serde(rename = "v")]
    _version: u32,
}

/// The part of a spec that fault rules look at.
#[derive(Deserialize)]
struct Named {
    name: Option<String>,
}

impl<'a, W: World> Cloud<'a, W> {
    /// Logs in.
    ///
    /// # Errors
    /// `unauthenticated` when the token has expired.
    pub(crate) fn enter(
        world: &'a W,
        config: &'a Config,
        account: &str,
        expires_in_ms: Option<u64>,
    ) -> Result<Self> {
        if expires_in_ms == Some(0) {
            return Err(Error::unauthenticated("the local token has expired"));
        }
        if account.is_empty() {
            return Err(Error::unauthenticated("the local token names no account"));
        }
        Ok(Cloud { world, config, account: Account::of(account), account_name: account.to_owned() })
    }

    /// Creates. Never completes anything.
    pub(crate) fn request(&self, kind: Kind, context: &CreateContext) -> Result<Created> {
        let name = name(&context.order);
        let call =
            Call { attempt: Some(context.attempt), ..about(kind, Operation::Request, &context.order, &name) };
        self.answer(call, Some(context.deadline_ms), |boot_fault| self.create(kind, context, boot_fault))
    }

    /// Looks at one.
    pub(crate) fn get(&self, kind: Kind, known: Known<'_>) -> Result<Observed> {
        let name = name(known.order);
        self.answer(about(kind, Operation::Get, known.order, &name), None, |_| {
            known.state_as::<Note>()?;
            self.look(kind, known.id)
        })
    }

    /// Deletes one.
    pub(crate) fn delete(&self, kind: Kind, known: Known<'_>) -> Result<()> {
        let name = name(known.order);
        self.answer(about(kind, Operation::Delete, known.order, &name), None, |_| {
            known.state_as::<Note>()?;
            self.remove(kind, known.id)
        })
    }

    /// Acts on the power of a machine.
    pub(crate) fn act(&self, action: Action, known: Known<'_>) -> Result<()> {
        let name = name(known.order);
        self.answer(about(Kind::Compute, action.into(), known.order, &name), None, |_| {
            known.state_as::<Note>()?;
            self.switch(known.id, action)
        })
    }

    /// Finds those of an order.
    pub(crate) fn find(&self, kind: Kind, order: &OrderRef) -> Result<Vec<Tagged>> {
        let name = name(order);
        self.answer(about(kind, Operation::Find, order, &name), None, |_| self.tagged(kind, &order.tag))
    }

    /// Lists all.
    pub(crate) fn list(&self, kind: Kind, cursor: Option<&str>) -> Result<Page> {
        self.answer(self.at_large(subject(kind), Operation::List), None, |_| self.all(kind, cursor))
    }

    /// Lists networks to join.
    pub(crate) fn networks(&self) -> Result<Vec<CloudNetwork>> {
        self.answer(self.at_large(Subject::Network, Operation::List), None, |_| self.joinable())
    }

    /// What the account uses and may use.
    pub(crate) fn quota(&self) -> Result<Vec<QuotaEntry>> {
        self.answer(self.at_large(Subject::Quota, Operation::Get), None, |_| {
            let used = crate::ledger::Ledger::of(self.world, &self.account).used()?;
            let capacity = self.config.capacity;
            let entry =
                |name: &str, total, used| QuotaEntry { name: name.to_owned(), total: Some(total), used };
            Ok(vec![
                entry("instances", capacity.instances, used.instances),
                entry("vcpu", capacity.vcpu, used.vcpu),
                entry("ram_mib", capacity.ram_mib, used.ram_mib),
                entry("volumes", capacity.volumes, used.volumes),
                entry("storage_gib", capacity.disk_gib, used.disk_gib),
                entry("networks", capacity.networks, used.networks),
            ])
        })
    }

    /// Answers about the catalogue.
    pub(crate) fn consult<T>(
        &self,
        subject: Subject,
        operation: Operation,
        look: impl FnOnce(&Config) -> Result<T>,
    ) -> Result<T> {
        self.answer(self.at_large(subject, operation), None, |_| look(self.config))
    }

    /// Carries out a call with latency and faults. `act` gets the reason for which a boot is to fail.
    fn answer<T>(
        &self,
        call: Call<'_>,
        deadline_ms: Option<u64>,
        act: impl FnOnce(Option<String>) -> Result<T>,
    ) -> Result<T> {
        if self.config.latency_ms > 0 {
            self.world.sleep(self.config.latency_ms);
        }
        let count = |rule, operation| self.count(&self.account.fault_count(rule, operation, call.about));
        let fault = strike(&self.config.faults, self.config.seed, call, count, || self.world.random())?;
        let Some(Fault { effect, hangs }) = fault else { return act(None) };
        let hang = || {
            if hangs {
                self.world.sleep(deadline_ms.unwrap_or(self.config.hang_ms));
            }
        };
        match effect {
            Effect::Refuse(error) => {
                hang();
                Err(error)
            }
            Effect::LoseAnswer(error) => {
                // Whether it was carried out or refused is just what the caller does not learn.
                act(None).ok();
                hang();
                Err(error)
            }
            Effect::Trap => {
                act(None).ok();
                hang();
                std::process::abort()
            }
            Effect::FailBoot(reason) => {
                let answer = act(Some(reason));
                hang();
                answer
            }
        }
    }

    /// Adds one to a stored counter and says the new number.
    fn count(&self, key: &str) -> Result<u32> {
        for _ in 0..TRIES {
            let before = self.world.get(key)?;
            let number =
                before.as_deref().map_or(Ok(0), |bytes| decode::<u32>(key, bytes))?.saturating_add(1);
            if self.world.swap(key, before.as_deref(), Some(&encode(&number)?))? {
                return Ok(number);
            }
        }
        Err(too_crowded("a counter of faults"))
    }

    /// A call that is about no order.
    fn at_large(&self, subject: Subject, operation: Operation) -> Call<'_> {
        Call { subject, operation, about: &self.account_name, name: None, attempt: None }
    }
}

fn about<'a>(kind: Kind, operation: Operation, order: &'a OrderRef, name: &'a Option<String>) -> Call<'a> {
    Call { subject: subject(kind), operation, about: &order.id, name: name.as_deref(), attempt: None }
}

fn subject(kind: Kind) -> Subject {
    match kind {
        Kind::Compute => Subject::Compute,
        Kind::Volume => Subject::Volume,
        Kind::Network => Subject::Network,
        Kind::Attachment => Subject::Attachment,
    }
}

fn name(order: &OrderRef) -> Option<String> {
    serde_json::from_str::<Named>(&order.spec).ok().and_then(|spec| spec.name)
}
