//! Accepting orders: each is one durable commit of record, indexes, event, counted limits and idempotency key.

use std::sync::PoisonError;

use archipel_model::order::{Lease, Order, State};
use archipel_model::site::CloudState;
use archipel_model::spec::{CreateOrder, LeaseRequest};
use archipel_model::{CloudName, Error, OrderId, Timestamp};
use futures::StreamExt as _;

use crate::draft::Draft;
use crate::engine::Orders;
use crate::request::{Created, IdempotencyRequest, Requester};
use crate::settings::Settings;
use crate::store::{Acceptance, IdempotencyRecord, StoredAnswer, WriteError};
use crate::{limits, resolve, validate};

impl Orders {
    /// Accepts an order; it is durable when this returns. `render` makes the answer that is kept under the idempotency key.
    ///
    /// # Errors
    /// `invalid` (codes `unknown-cloud`, `unknown-site`, `deadline-passed`, `lease-too-long`, `idempotency-key-reused`; the
    /// detail `field` names what is wrong), `unsupported`, `conflict` (codes `limit-exceeded`, `cloud-draining`), `transient`
    /// (code `cloud-backlog`: too many orders wait for this cloud already).
    pub async fn create(
        &self,
        who: &Requester,
        request: CreateOrder,
        idempotency: Option<IdempotencyRequest>,
        render: &(dyn Fn(&Order) -> StoredAnswer + Send + Sync),
    ) -> Result<Created, Error> {
        if let Some(key) = &idempotency
            && let Some(answer) = self.answered(key).await?
        {
            return Ok(Created::Replayed(answer));
        }
        let mut acceptance = self.admit(who, request, OrderId::generate()).await?;
        acceptance.idempotency = idempotency.as_ref().map(|key| {
            let record = IdempotencyRecord {
                request_hash: key.request_hash.clone(),
                created_at: acceptance.order.created_at,
                order_ids: vec![acceptance.order.id],
                answer: Some(render(&acceptance.order)),
            };
            (key.scope.clone(), record)
        });
        match self.accept(acceptance).await {
            Ok(order) => Ok(Created::New(order)),
            Err(error) => {
                // A twin with the same key may have been first.
                if let Some(key) = &idempotency
                    && let Some(answer) = self.answered(key).await?
                {
                    return Ok(Created::Replayed(answer));
                }
                Err(error)
            }
        }
    }

    /// Accepts many; each item stands alone and may refer to earlier ones as `$N`. Item `n` gets `ids[n]`, so that a
    /// repetition after a crash completes the first try rather than doubling it: what was accepted then is returned now.
    pub async fn bulk(
        &self,
        who: &Requester,
        items: Vec<Result<CreateOrder, Error>>,
        ids: &[OrderId],
    ) -> Vec<Result<Order, Error>> {
        let missing = || Err(Error::internal("a bulk request has fewer ids than items; report this defect"));
        let mut results: Vec<Option<Result<Order, Error>>> = (0..items.len()).map(|_| None).collect();
        // Items of one level refer only to items of levels before it, so a level is accepted side by side.
        let mut levels: Vec<Vec<(usize, CreateOrder)>> = Vec::new();
        let mut level_of: Vec<usize> = Vec::with_capacity(items.len());
        for (at, item) in items.into_iter().enumerate() {
            let placed = item.and_then(|item| {
                let level = resolve::bulk_level(&item.spec, &level_of)?;
                Ok((item, level))
            });
            match placed {
                Ok((item, level)) => {
                    level_of.push(level);
                    levels.resize_with(levels.len().max(level + 1), Vec::new);
                    if let Some(items) = levels.get_mut(level) {
                        items.push((at, item));
                    }
                }
                Err(error) => {
                    level_of.push(0);
                    if let Some(slot) = results.get_mut(at) {
                        *slot = Some(Err(error));
                    }
                }
            }
        }
        for level in levels {
            let ready: Vec<_> = level
                .into_iter()
                .map(|(at, mut item)| {
                    let earlier = |n: usize| match (results.get(n), ids.get(n)) {
                        (Some(Some(Ok(_))), Some(id)) => Some(*id),
                        _ => None,
                    };
                    let resolved = resolve::bulk_references(&mut item.spec, earlier);
                    (at, resolved.map(|()| item))
                })
                .collect();
            let accepted: Vec<_> = futures::stream::iter(ready)
                .map(|(at, item)| async move {
                    let result = match (item, ids.get(at)) {
                        (Ok(item), Some(id)) => self.accept_once(who, item, *id).await,
                        (Err(error), _) => Err(error),
                        (Ok(_), None) => missing(),
                    };
                    (at, result)
                })
                .buffered(self.config.settings.bulk_parallel.max(1))
                .collect()
                .await;
            for (at, result) in accepted {
                if let Some(slot) = results.get_mut(at) {
                    *slot = Some(result);
                }
            }
        }
        results.into_iter().map(|result| result.unwrap_or_else(missing)).collect()
    }

    async fn accept_once(&self, who: &Requester, item: CreateOrder, id: OrderId) -> Result<Order, Error> {
        if let Some(stored) = self.store.get(id).await? {
            return if stored.owner() == who.user.owner() && stored.kind == item.spec.kind() {
                Ok(stored)
            } else {
                Err(Error::conflict(
                    "this id is another order's; send the request without an idempotency key",
                ))
            };
        }
        let acceptance = self.admit(who, item, id).await?;
        self.accept(acceptance).await
    }

    async fn accept(&self, acceptance: Acceptance) -> Result<Order, Error> {
        match self.store.accept(acceptance).await {
            Ok(order) => {
                *self.tally.count().transitions.entry(State::Open).or_default() += 1;
                Ok(order)
            }
            Err(WriteError::Refused(error)) => Err(error),
            Err(WriteError::Stale | WriteError::Fenced) => {
                Err(Error::conflict("something it rests on changed at the same time; try again").code("busy"))
            }
        }
    }

    /// The first answer under this key.
    async fn answered(&self, key: &IdempotencyRequest) -> Result<Option<StoredAnswer>, Error> {
        match self.store.idempotency(&key.scope).await? {
            Some(record) if record.request_hash != key.request_hash => Err(Error::invalid(
                "this idempotency key was used for another request; use a new key for a new request",
            )
            .code("idempotency-key-reused")),
            Some(record) => Ok(record.answer),
            None => Ok(None),
        }
    }

    /// Back-pressure: a cloud that falls behind is not given ever more. As far as this daemon knows, which works on the queue.
    fn check_backlog(&self, cloud: &CloudName) -> Result<(), Error> {
        let settings = &self.config.settings;
        let unasked = self.queue(cloud).map_or(0, |queue| queue.due().unasked());
        if unasked < settings.backlog_most {
            return Ok(());
        }
        Err(Error::transient(format!(
            "{unasked} orders wait for cloud {cloud} already, and it takes no more until it has caught up; come back later, or \
             choose another cloud"
        ))
        .code("cloud-backlog")
        .retry_after(Settings::ms(settings.backlog_retry_ms))
        .detail("cloud", cloud.as_str()))
    }

    /// Everything that is checked before the commit, and the record that it makes.
    async fn admit(&self, who: &Requester, request: CreateOrder, id: OrderId) -> Result<Acceptance, Error> {
        let settings = &self.config.settings;
        let now = self.clock.now();
        let kind = request.spec.kind();
        validate::name(&request.name)?;
        validate::spec(&request.spec)?;
        let mut labels = request.labels;
        labels.extend(who.add_labels.clone());
        validate::labels(&labels, settings.labels_most)?;
        if request.deadline.is_some_and(|deadline| deadline <= now) {
            return Err(validate::wrong("deadline", "is in the past; leave it out or give a later one")
                .code("deadline-passed"));
        }
        let lease = lease_of(request.lease, who.max_lease_s, now, settings)?;
        let group = resolve::group(&request.group, who)?;
        let generation = self.site.current();
        let cloud = resolve::cloud(
            &generation,
            &self.config.site,
            request.site.as_deref(),
            request.cloud.as_deref(),
        )?;
        match cloud.driver(kind) {
            Err(unsupported) if cloud.away.is_none() => return Err(unsupported.detail("field", "cloud")),
            _ => {}
        }
        if cloud.state == CloudState::Draining {
            return Err(Error::conflict(format!(
                "cloud {} takes no new orders; choose another cloud",
                cloud.name
            ))
            .code("cloud-draining"));
        }
        self.check_backlog(&cloud.name)?;
        let depends_on =
            resolve::dependencies(&request.spec, &cloud.name, &who.visible, self.store.as_ref()).await?;
        let (site, cloud) = (self.config.site.clone(), cloud.name.clone());
        let order = Order {
            name: request.name,
            group,
            depends_on,
            labels,
            deadline: request.deadline,
            lease,
            lease_warned_at: lease.map(|_| now),
            on_quota: request.on_quota,
            ..Order::open(id, kind, request.spec.to_json()?, who.user.clone(), site, cloud, now)
        };
        let rules = self.limits.read().unwrap_or_else(PoisonError::into_inner).clone();
        let limits = limits::of(&rules, &order);
        let accepted = Draft::accept(order, now)?;
        Ok(Acceptance {
            order: accepted.order,
            events: accepted.events,
            limits,
            idempotency: None,
            audit: who.audit.clone(),
        })
    }
}

/// The lease that an order gets: as asked, no longer than the obligation and the site allow; without one, the obligation's.
pub(crate) fn lease_of(
    asked: Option<LeaseRequest>,
    max_lease_s: Option<u64>,
    now: Timestamp,
    settings: &Settings,
) -> Result<Option<Lease>, Error> {
    let seconds = |s: u64| now.plus(std::time::Duration::from_secs(s));
    let expires_at = match asked {
        None => match max_lease_s {
            None => return Ok(None),
            Some(most) => seconds(most),
        },
        Some(LeaseRequest::ExpiresAt(at)) => at,
        Some(LeaseRequest::DurationS(s)) => seconds(u64::from(s)),
    };
    if expires_at <= now {
        return Err(validate::wrong("lease", "ends in the past; give a later end").code("lease-passed"));
    }
    let most = max_lease_s.unwrap_or(u64::MAX).min(settings.lease_most_s);
    if expires_at > seconds(most) {
        return Err(validate::wrong(
            "lease",
            &format!("is longer than {most} seconds; ask for a shorter one"),
        )
        .code("lease-too-long")
        .detail("max_lease_s", most));
    }
    Ok(Some(Lease { expires_at }))
}
