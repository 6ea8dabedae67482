//! A cloud with a ledger, and a mapper with accounts: everything that can go wrong can be set.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use archipel_model::order::{Allocation, Status};
use archipel_model::plugin::{
    Context, CreateBehaviour, CreateContext, Created, DriverDescriptor, InstanceDriver, InstanceView, Mapper,
    Observed, OrderRef, PowerDriver, Tagged, TaggedPage,
};
use archipel_model::power::PowerAction;
use archipel_model::{Applied, Clock, Error, FederationUser, LocalToken, OrderId, SecretBytes, Timestamp};
use async_trait::async_trait;

/// What one call does instead of its work.
#[derive(Clone, Debug)]
pub enum Fault {
    /// Answers this without doing anything.
    Refuse(Error),
    /// Does it, and the answer is lost.
    LoseAnswer,
    /// The request is lost, and nobody knows.
    LoseRequest,
    /// Takes so long, then works.
    Slow(Duration),
    /// Takes so long, then fails having done it.
    SlowThenLost(Duration),
    /// Says that it does it, and does nothing.
    Ignore,
    /// Breaks the caller's task.
    Panic,
}

#[derive(Clone, Debug)]
pub struct Made {
    pub id: String,
    pub tag: String,
    pub account: String,
    pub made_at: Timestamp,
    pub visible_at: Timestamp,
    pub status: Status,
    /// On the way to its status until then.
    pub busy_until: Option<Timestamp>,
    /// Deleted; it is listed until then.
    pub gone_at: Option<Timestamp>,
}

#[derive(Default)]
pub struct Ledger {
    pub made: Vec<Made>,
    pub calls: Vec<(Timestamp, String, String)>,
    pub request_faults: VecDeque<Fault>,
    pub get_faults: VecDeque<Fault>,
    pub delete_faults: VecDeque<Fault>,
    pub find_faults: VecDeque<Fault>,
    pub list_faults: VecDeque<Fault>,
    /// Instances that lists do not show.
    pub unlisted: HashSet<String>,
    /// Instances that lists show as they were some time ago.
    pub stale: HashMap<String, Status>,
    pub power_faults: VecDeque<Fault>,
    /// Every call answers this.
    pub away: Option<Error>,
    pub busy: usize,
    pub busiest: usize,
    serial: u64,
}

pub struct Cloud {
    pub ledger: Mutex<Ledger>,
    pub behaviour: Mutex<CreateBehaviour>,
    pub settle: Duration,
    pub visible_after: Mutex<Duration>,
    pub ready_after: Mutex<Duration>,
    pub delete_takes: Mutex<Duration>,
    pub call_takes: Mutex<Duration>,
    /// Instances on a page; 0 = it cannot list.
    pub page: Mutex<usize>,
    pub power_takes: Mutex<Duration>,
    pub actions: Vec<PowerAction>,
    clock: Arc<dyn Clock>,
}

impl Cloud {
    pub fn new(clock: Arc<dyn Clock>, behaviour: CreateBehaviour, settle: Duration) -> Arc<Self> {
        Arc::new(Self {
            ledger: Mutex::default(),
            behaviour: Mutex::new(behaviour),
            settle,
            visible_after: Mutex::new(Duration::ZERO),
            ready_after: Mutex::new(Duration::from_secs(2)),
            delete_takes: Mutex::new(Duration::from_secs(1)),
            call_takes: Mutex::new(Duration::from_millis(10)),
            page: Mutex::new(100),
            power_takes: Mutex::new(Duration::from_secs(2)),
            actions: PowerAction::ALL.to_vec(),
            clock,
        })
    }

    pub fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap()
    }

    /// Instances that are not deleted.
    pub fn live(&self, id: OrderId) -> Vec<Made> {
        let end = format!(":{id}");
        self.ledger()
            .made
            .iter()
            .filter(|made| made.gone_at.is_none() && made.tag.ends_with(&end))
            .cloned()
            .collect()
    }

    pub fn all_live(&self) -> usize {
        self.ledger().made.iter().filter(|made| made.gone_at.is_none()).count()
    }

    pub fn calls(&self, what: &str, id: OrderId) -> Vec<Timestamp> {
        let id = id.to_string();
        let ledger = self.ledger();
        ledger
            .calls
            .iter()
            .filter(|(_, call, order)| call == what && *order == id)
            .map(|(at, ..)| *at)
            .collect()
    }

    pub fn calls_of(&self, id: OrderId) -> Vec<String> {
        let id = id.to_string();
        self.ledger()
            .calls
            .iter()
            .filter(|(_, _, order)| *order == id)
            .map(|(_, call, _)| call.clone())
            .collect()
    }

    /// Makes an instance with the tag of an order behind everybody's back.
    pub fn plant(&self, tag: &str, account: &str) -> String {
        self.make(tag, account)
    }

    /// How often it was asked so, about whatever.
    pub fn count(&self, what: &str) -> usize {
        self.ledger().calls.iter().filter(|(_, call, _)| call == what).count()
    }

    /// Destroys an instance with the cloud's own tools.
    pub fn destroy(&self, id: &str) {
        let now = self.clock.now();
        for made in self.ledger().made.iter_mut().filter(|made| made.id == id) {
            made.gone_at = Some(now);
        }
    }

    pub fn set_status(&self, id: &str, status: Status) {
        for made in self.ledger().made.iter_mut().filter(|made| made.id == id) {
            (made.status, made.busy_until) = (status, None);
        }
    }

    /// With the cloud's own tools: whatever is hibernated runs again.
    pub fn wake_all(&self) {
        for made in self.ledger().made.iter_mut().filter(|made| made.status == Status::Hibernated) {
            (made.status, made.busy_until) = (Status::Ready, None);
        }
    }

    fn make(&self, tag: &str, account: &str) -> String {
        let now = self.clock.now();
        let visible_at = now.plus(*self.visible_after.lock().unwrap());
        let mut ledger = self.ledger();
        ledger.serial += 1;
        let id = format!("i-{}", ledger.serial);
        ledger.made.push(Made {
            id: id.clone(),
            tag: tag.to_owned(),
            account: account.to_owned(),
            made_at: now,
            visible_at,
            status: Status::Ready,
            busy_until: None,
            gone_at: None,
        });
        id
    }

    fn view(&self, made: &Made) -> InstanceView {
        let ready_at = made.made_at.plus(*self.ready_after.lock().unwrap());
        let now = self.clock.now();
        let status = match made.busy_until {
            _ if now < ready_at => Status::Creating,
            Some(until) if now < until => Status::Busy,
            _ => made.status,
        };
        InstanceView {
            id: made.id.clone(),
            status,
            cloud_state: format!("{status:?}").to_uppercase(),
            fault: None,
            allocation: Allocation::default(),
            addresses: Vec::new(),
            poll_after: None,
        }
    }

    fn is_there(&self, made: &Made) -> bool {
        let now = self.clock.now();
        made.visible_at <= now && made.gone_at.is_none_or(|gone| gone > now)
    }

    async fn enter(
        &self,
        what: &str,
        about: impl ToString,
        faults: fn(&mut Ledger) -> &mut VecDeque<Fault>,
    ) -> Result<Fault, Error> {
        let (fault, away) = {
            let mut ledger = self.ledger();
            ledger.calls.push((self.clock.now(), what.to_owned(), about.to_string()));
            ledger.busy += 1;
            ledger.busiest = ledger.busiest.max(ledger.busy);
            (faults(&mut ledger).pop_front(), ledger.away.clone())
        };
        let takes = *self.call_takes.lock().unwrap();
        let leave = Leave(self);
        tokio::time::sleep(takes).await;
        let fault = match (away, fault) {
            (Some(error), _) | (None, Some(Fault::Refuse(error))) => Err(error),
            (None, Some(Fault::Panic)) => panic!("a defect"),
            (None, Some(Fault::Slow(takes))) => {
                tokio::time::sleep(takes).await;
                Ok(Fault::Slow(takes))
            }
            (None, Some(fault)) => Ok(fault),
            (None, None) => Ok(Fault::Slow(Duration::ZERO)),
        };
        drop(leave);
        fault
    }
}

struct Leave<'a>(&'a Cloud);

impl Drop for Leave<'_> {
    fn drop(&mut self) {
        self.0.ledger().busy -= 1;
    }
}

pub fn lost() -> Error {
    Error::transient("the answer was lost").applied(Applied::Unknown)
}

#[async_trait]
impl InstanceDriver for Cloud {
    fn descriptor(&self) -> DriverDescriptor {
        DriverDescriptor { create: *self.behaviour.lock().unwrap(), settle: self.settle }
    }

    async fn request_instance(&self, context: &CreateContext, token: &LocalToken) -> Result<Created, Error> {
        let order = &context.order;
        let fault = self.enter("request", order.id, |ledger| &mut ledger.request_faults).await?;
        if matches!(fault, Fault::LoseRequest) {
            return Err(lost());
        }
        let idempotent = *self.behaviour.lock().unwrap() == CreateBehaviour::Idempotent;
        let existing =
            self.ledger().made.iter().find(|made| made.tag == order.tag && made.gone_at.is_none()).cloned();
        let id = match existing.filter(|_| idempotent) {
            Some(made) => made.id,
            None => self.make(&order.tag, &token.account),
        };
        match fault {
            Fault::LoseAnswer => Err(lost()),
            Fault::SlowThenLost(takes) => {
                tokio::time::sleep(takes).await;
                Err(lost())
            }
            _ => Ok(Created { id, driver_state: "note".into() }),
        }
    }

    async fn get_instance(
        &self,
        id: &str,
        _: &str,
        order: &OrderRef,
        token: &LocalToken,
    ) -> Result<Observed, Error> {
        match self.enter("get", order.id, |ledger| &mut ledger.get_faults).await? {
            Fault::LoseAnswer | Fault::LoseRequest => return Err(lost()),
            _ => {}
        }
        let made =
            self.ledger().made.iter().find(|made| made.id == id && made.account == token.account).cloned();
        Ok(match made.filter(|made| self.is_there(made)) {
            Some(made) => Observed::Present(self.view(&made)),
            None => Observed::Gone,
        })
    }

    async fn delete_instance(
        &self,
        id: &str,
        _: &str,
        order: &OrderRef,
        token: &LocalToken,
    ) -> Result<(), Error> {
        let fault = self.enter("delete", order.id, |ledger| &mut ledger.delete_faults).await?;
        if matches!(fault, Fault::LoseRequest) {
            return Err(lost());
        }
        let gone_at = self.clock.now().plus(*self.delete_takes.lock().unwrap());
        let here =
            |made: &&mut Made| made.id == id && made.account == token.account && made.gone_at.is_none();
        self.ledger().made.iter_mut().filter(here).for_each(|made| made.gone_at = Some(gone_at));
        if matches!(fault, Fault::LoseAnswer) { Err(lost()) } else { Ok(()) }
    }

    async fn find_instances(&self, order: &OrderRef, token: &LocalToken) -> Result<Vec<Tagged>, Error> {
        match self.enter("find", order.id, |ledger| &mut ledger.find_faults).await? {
            Fault::LoseAnswer | Fault::LoseRequest => return Err(lost()),
            _ => {}
        }
        if *self.behaviour.lock().unwrap() == CreateBehaviour::Neither {
            return Err(Error::unsupported("this cloud cannot search"));
        }
        let made = self.ledger().made.clone();
        Ok(made
            .iter()
            .filter(|made| made.tag == order.tag && made.account == token.account && self.is_there(made))
            .map(|made| Tagged {
                tag: made.tag.clone(),
                instance: self.view(made),
                created_at: Some(made.made_at),
                driver_state: "note".into(),
            })
            .collect())
    }

    /// Of all kinds, since one driver serves them all here.
    async fn list_instances(&self, token: &LocalToken, cursor: Option<&str>) -> Result<TaggedPage, Error> {
        match self.enter("list", &token.account, |ledger| &mut ledger.list_faults).await? {
            Fault::LoseAnswer | Fault::LoseRequest => return Err(lost()),
            _ => {}
        }
        let page = *self.page.lock().unwrap();
        if page == 0 {
            return Err(Error::unsupported("this cloud cannot list"));
        }
        let from: usize = cursor.map_or(0, |cursor| cursor.parse().unwrap());
        let (made, unlisted, stale) = {
            let ledger = self.ledger();
            (ledger.made.clone(), ledger.unlisted.clone(), ledger.stale.clone())
        };
        let there: Vec<&Made> = made
            .iter()
            .filter(|made| {
                made.account == token.account && self.is_there(made) && !unlisted.contains(&made.id)
            })
            .collect();
        let items = there.iter().skip(from).take(page).map(|made| {
            let mut instance = self.view(made);
            if let Some(status) = stale.get(&made.id) {
                (instance.status, instance.cloud_state) = (*status, format!("{status:?}").to_uppercase());
            }
            Tagged {
                tag: made.tag.clone(),
                instance,
                created_at: Some(made.made_at),
                driver_state: "note".into(),
            }
        });
        let next = (from + page < there.len()).then(|| (from + page).to_string());
        Ok(TaggedPage { items: items.collect(), next })
    }
}

#[async_trait]
impl PowerDriver for Cloud {
    fn actions(&self) -> &[PowerAction] {
        &self.actions
    }

    async fn act(
        &self,
        action: PowerAction,
        id: &str,
        _: &str,
        order: &OrderRef,
        token: &LocalToken,
    ) -> Result<(), Error> {
        let fault = self.enter(action.as_str(), order.id, |ledger| &mut ledger.power_faults).await?;
        match fault {
            Fault::LoseRequest => return Err(lost()),
            Fault::Ignore => return Ok(()),
            _ => {}
        }
        let (now, takes) = (self.clock.now(), *self.power_takes.lock().unwrap());
        {
            let mut ledger = self.ledger();
            let here =
                |made: &&mut Made| made.id == id && made.account == token.account && made.gone_at.is_none();
            let made =
                ledger.made.iter_mut().find(here).ok_or_else(|| Error::not_found("no such machine"))?;
            if made.busy_until.is_some_and(|until| now < until) {
                return Err(Error::transient("the machine is busy"));
            }
            let target = match action {
                PowerAction::Pause => Status::Paused,
                PowerAction::Stop => Status::Stopped,
                PowerAction::Hibernate => Status::Hibernated,
                PowerAction::Resume | PowerAction::Start | PowerAction::Reboot => Status::Ready,
            };
            let wakes = match action {
                PowerAction::Resume => matches!(made.status, Status::Paused | Status::Hibernated),
                PowerAction::Start => made.status == Status::Stopped,
                _ => made.status == Status::Ready,
            };
            if wakes {
                (made.status, made.busy_until) = (target, Some(now.plus(takes)));
            } else if made.status != target {
                return Err(Error::conflict(format!("the machine is {:?}", made.status)));
            }
        }
        match fault {
            Fault::LoseAnswer => Err(lost()),
            Fault::SlowThenLost(takes) => {
                tokio::time::sleep(takes).await;
                Err(lost())
            }
            _ => Ok(()),
        }
    }
}

/// Maps everybody to one account, and gives tokens for the accounts it knows.
pub struct Accounts {
    pub account: String,
    pub lost: Mutex<HashSet<String>>,
    pub away: Mutex<Option<Error>>,
    pub refuses: Mutex<Option<Error>>,
    pub made: Mutex<HashMap<String, u32>>,
    pub lives: Option<Duration>,
    clock: Arc<dyn Clock>,
}

impl Accounts {
    pub fn new(clock: Arc<dyn Clock>, account: &str) -> Arc<Self> {
        Arc::new(Self {
            account: account.to_owned(),
            lost: Mutex::default(),
            away: Mutex::default(),
            refuses: Mutex::default(),
            made: Mutex::default(),
            lives: Some(Duration::from_secs(3600)),
            clock,
        })
    }

    pub fn made(&self) -> u32 {
        self.made.lock().unwrap().values().sum()
    }
}

#[async_trait]
impl Mapper for Accounts {
    async fn map_user(&self, _: &FederationUser, _: &str, _: &Context) -> Result<String, Error> {
        match self.refuses.lock().unwrap().clone() {
            Some(error) => Err(error),
            None => Ok(self.account.clone()),
        }
    }

    async fn get_token(
        &self,
        account: &str,
        _: &str,
        _: &Context,
        _: Option<&SecretBytes>,
    ) -> Result<LocalToken, Error> {
        tokio::time::sleep(Duration::from_millis(5)).await;
        if let Some(error) = self.away.lock().unwrap().clone() {
            return Err(error);
        }
        if self.lost.lock().unwrap().contains(account) {
            return Err(Error::unsupported("no such account here"));
        }
        *self.made.lock().unwrap().entry(account.to_owned()).or_default() += 1;
        Ok(LocalToken {
            account: account.to_owned(),
            secret: None,
            expires_at: self.lives.map(|lives| self.clock.now().plus(lives)),
            attributes: "{}".into(),
            made_by: "accounts".into(),
        })
    }
}
