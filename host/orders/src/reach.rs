//! Calls to a cloud: the account's token, then the kind's driver, on behalf of one order ([`Reach`]) or of all that the
//! account holds ([`Access`]). Every call goes through the cloud's circuit breaker.
//!
//! `unauthenticated` from a driver drops the token and the call is made once more with a new one; a create only where the
//! driver is sure that nothing was done.

use std::sync::Arc;
use std::time::Duration;

use archipel_model::order::{Kind, Order, Scope};
use archipel_model::plugin::{
    Context, CreateContext, Created, Dependency, DriverDescriptor, InstanceDriver, Observed, Operation,
    OrderRef, Tagged, TaggedPage,
};
use archipel_model::power::PowerAction;
use archipel_model::site::{CloudBinding, Generation};
use archipel_model::{Applied, CloudName, Error, ErrorKind, LocalToken};

use crate::draft::ACCOUNT_LOST;
use crate::engine::Orders;
use crate::tokens::within;

/// Why a call did not end well.
#[derive(Debug)]
pub(crate) enum Failure {
    /// No token: the cloud was not asked.
    Account(Error),
    /// The driver's answer.
    Cloud(Error),
}

impl Failure {
    /// The condition that this means.
    pub(crate) fn scope(&self) -> Scope {
        match self {
            Self::Account(error) => match error.kind {
                ErrorKind::Transient | ErrorKind::Internal => Scope::Cloud,
                ErrorKind::Unauthenticated => Scope::NeedsUser,
                _ => Scope::Account,
            },
            Self::Cloud(error) => match error.kind {
                ErrorKind::Unauthenticated | ErrorKind::Forbidden | ErrorKind::NotFound => Scope::Account,
                _ => Scope::Cloud,
            },
        }
    }

    /// Its reason: `account-lost` where the mapper no longer gives the account, else the plugin's words.
    pub(crate) fn reason(&self) -> &str {
        match self {
            Self::Account(error) if error.kind == ErrorKind::Unsupported => ACCOUNT_LOST,
            Self::Account(error) | Self::Cloud(error) => &error.message,
        }
    }

    pub(crate) const fn error(&self) -> &Error {
        match self {
            Self::Account(error) | Self::Cloud(error) => error,
        }
    }
}

/// The way to what one account of a cloud holds of one kind.
#[derive(Clone)]
pub(crate) struct Access<'a> {
    orders: &'a Orders,
    cloud: Arc<CloudBinding>,
    driver: Arc<dyn InstanceDriver>,
    account: String,
    context: Context,
    limit: Duration,
}

/// One order's way to its cloud.
pub(crate) struct Reach<'a> {
    access: Access<'a>,
    order: OrderRef,
}

impl<'a> std::ops::Deref for Reach<'a> {
    type Target = Access<'a>;

    fn deref(&self) -> &Access<'a> {
        &self.access
    }
}

macro_rules! call {
    ($self:ident, $token:ident => $call:expr, again if $again:expr) => {{
        let mut first = true;
        loop {
            let $token = $self.token().await?;
            let breakers = &$self.orders.breakers;
            let passage =
                breakers.enter(&$self.cloud.name, &$self.orders.config.settings).map_err(Failure::Cloud)?;
            let answer = within($self.limit, $call).await;
            passage.ended(answer.as_ref().err());
            match answer {
                Ok(answer) => break Ok(answer),
                Err(error) => {
                    let again: fn(&Error) -> bool = $again;
                    if error.kind == ErrorKind::Unauthenticated {
                        $self.orders.tokens.drop_token(&$self.cloud, &$self.account).await;
                        if first && again(&error) {
                            first = false;
                            continue;
                        }
                    }
                    break Err(Failure::Cloud(error));
                }
            }
        }
    }};
}

/// What was asked for in the shape of the REST API, where the name is a part of it: clouds show it to people.
fn spec_with_name(order: &Order) -> serde_json::Value {
    let mut spec = order.spec.clone();
    if let Some(members) = spec.as_object_mut().filter(|_| !order.name.is_empty()) {
        members.entry("name").or_insert_with(|| order.name.clone().into());
    }
    spec
}

impl<'a> Reach<'a> {
    /// The way of `order` under `account`, in this generation of the site.
    ///
    /// # Errors
    /// `Cloud(transient)` where cloud or driver are away or not configured, `Cloud(unsupported)` where the cloud cannot do
    /// the kind.
    pub(crate) async fn new(
        orders: &'a Orders,
        generation: &Generation,
        order: &Order,
        account: &str,
        operation: Operation,
    ) -> Result<Reach<'a>, Failure> {
        let cloud = cloud_of(generation, order).map_err(Failure::Cloud)?;
        let driver = driver_of(&cloud, order).map_err(Failure::Cloud)?;
        let dependencies = dependencies(orders, order).await.map_err(Failure::Cloud)?;
        Ok(Self {
            order: OrderRef {
                id: order.id,
                tag: order.tag(),
                kind: order.kind,
                spec: spec_with_name(order),
                dependencies,
            },
            access: Access {
                orders,
                driver,
                account: account.to_owned(),
                context: context(orders, order, operation),
                limit: Duration::from_millis(orders.config.settings.call_timeout_ms),
                cloud,
            },
        })
    }

    pub(crate) async fn request(&self, attempt: u32) -> Result<Created, Failure> {
        let order = self.order.clone();
        let create = CreateContext { idempotency_key: order.id.to_string(), order, attempt };
        let made = call!(self, token => self.driver.request_instance(&create, &token), again if |error| error.applied == Applied::No)?;
        if made.id.is_empty() {
            let error = Error::internal("the driver made an instance without an id; tell its author");
            return Err(Failure::Cloud(error.code("driver-defect").applied(Applied::Yes)));
        }
        Ok(made)
    }

    pub(crate) async fn get(&self, id: &str, driver_state: &str) -> Result<Observed, Failure> {
        call!(self, token => self.driver.get_instance(id, driver_state, &self.order, &token), again if |_| true)
    }

    /// Accepted, or not there: both are good.
    pub(crate) async fn delete(&self, id: &str, driver_state: &str) -> Result<(), Failure> {
        archipel_model::fail::point("before-delete-instance");
        let answer = call!(self, token => self.driver.delete_instance(id, driver_state, &self.order, &token), again if |_| true);
        archipel_model::fail::point("after-delete-instance");
        match answer {
            Err(Failure::Cloud(error)) if error.kind == ErrorKind::NotFound => Ok(()),
            answer => answer,
        }
    }

    /// Asks for a power action; accepted, or so already: both are good. Asked again only where the cloud surely did nothing.
    pub(crate) async fn act(&self, action: PowerAction, id: &str, driver_state: &str) -> Result<(), Failure> {
        let driver = self.cloud.power(action).map_err(Failure::Cloud)?;
        archipel_model::fail::point("before-power-action");
        let answer = call!(self, token => driver.act(action, id, driver_state, &self.order, &token), again if |error| error.applied == Applied::No);
        archipel_model::fail::point("after-power-action");
        answer
    }

    /// Instances with exactly this order's tag, oldest first.
    pub(crate) async fn find(&self) -> Result<Vec<Tagged>, Failure> {
        let mut found =
            call!(self, token => self.driver.find_instances(&self.order, &token), again if |_| true)?;
        found.retain(|tagged| tagged.tag == self.order.tag);
        if found.iter().all(|tagged| tagged.created_at.is_some()) {
            found.sort_by_key(|tagged| tagged.created_at);
        }
        Ok(found)
    }
}

impl<'a> Access<'a> {
    /// The way to this account, in this generation of the site.
    ///
    /// # Errors
    /// As [`Reach::new`].
    pub(crate) fn new(
        orders: &'a Orders,
        generation: &Generation,
        cloud: &CloudName,
        kind: Kind,
        account: &str,
        operation: Operation,
    ) -> Result<Self, Failure> {
        let cloud = cloud_named(generation, cloud).map_err(Failure::Cloud)?;
        let driver = driver_for(&cloud, kind).map_err(Failure::Cloud)?;
        Ok(Self {
            orders,
            driver,
            account: account.to_owned(),
            context: Context {
                request_id: format!("{}-{}", cloud.name, kind.collection()),
                now: orders.clock.now(),
                operation,
                this_site: orders.config.site.clone(),
                requesting_site: None,
                client_address: None,
                group: None,
            },
            limit: Duration::from_millis(orders.config.settings.call_timeout_ms),
            cloud,
        })
    }

    pub(crate) fn describe(&self) -> DriverDescriptor {
        self.driver.descriptor()
    }

    /// Its cloud.
    pub(crate) fn cloud(&self) -> &CloudName {
        &self.cloud.name
    }

    /// The same way for one order, which need not be in the store.
    pub(crate) fn about(&self, order: OrderRef) -> Reach<'a> {
        Reach { access: self.clone(), order }
    }

    /// Asks for the token, so that a later call finds it in the cache. Not where the cloud would not be asked then.
    pub(crate) async fn token(&self) -> Result<LocalToken, Failure> {
        self.orders.breakers.check(&self.cloud.name).map_err(Failure::Cloud)?;
        let token = self.orders.tokens.get(&self.cloud, &self.account, &self.context, None).await;
        token.map_err(Failure::Account)
    }

    /// One page of what the account holds.
    pub(crate) async fn list(&self, cursor: Option<&str>) -> Result<TaggedPage, Failure> {
        call!(self, token => self.driver.list_instances(&token, cursor), again if |_| true)
    }
}

/// The order's cloud.
pub(crate) fn cloud_of(generation: &Generation, order: &Order) -> Result<Arc<CloudBinding>, Error> {
    cloud_named(generation, &order.cloud)
}

fn cloud_named(generation: &Generation, name: &CloudName) -> Result<Arc<CloudBinding>, Error> {
    generation.clouds.get(name).cloned().ok_or_else(|| {
        Error::transient(format!("cloud {name} is not configured at this site; put it back"))
            .code("cloud-not-configured")
    })
}

/// The order's driver: `transient` where the plugin is away, `unsupported` where it serves without this kind.
pub(crate) fn driver_of(cloud: &CloudBinding, order: &Order) -> Result<Arc<dyn InstanceDriver>, Error> {
    driver_for(cloud, order.kind)
}

fn driver_for(cloud: &CloudBinding, kind: Kind) -> Result<Arc<dyn InstanceDriver>, Error> {
    cloud.driver(kind).cloned().map_err(|unsupported| match &cloud.away {
        Some(why) => {
            Error::transient(format!("the driver of cloud {} is away: {why}", cloud.name)).code("plugin-away")
        }
        None => unsupported,
    })
}

/// The circumstances of a call in the background.
pub(crate) fn context(orders: &Orders, order: &Order, operation: Operation) -> Context {
    Context {
        request_id: format!("order-{}", order.id),
        now: orders.clock.now(),
        operation,
        this_site: orders.config.site.clone(),
        requesting_site: order.origin.as_ref().map(|origin| origin.site.clone()),
        client_address: None,
        group: order.group.clone(),
    }
}

/// What the order rests on, as far as it has instances.
async fn dependencies(orders: &Orders, order: &Order) -> Result<Vec<Dependency>, Error> {
    let mut all = Vec::with_capacity(order.depends_on.len());
    for on in &order.depends_on {
        let instance = orders.store.get(on.order).await?.and_then(|order| order.instance);
        if let Some(instance) = instance {
            all.push(Dependency {
                order: on.order,
                kind: on.kind,
                instance_id: instance.id,
                cloud: on.cloud.as_str().to_owned(),
                site: on.site.clone(),
            });
        }
    }
    Ok(all)
}
