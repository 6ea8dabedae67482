//! All publishers of a site: made of its configuration, run together, asked by name.

use std::sync::Arc;
use std::time::Duration;

use archipel_egress::Egress;
use archipel_model::publisher::{PositionStore, PublisherAdmin, PublisherStatus, ReplayFrom};
use archipel_model::{Clock, Error, SiteId};
use archipel_orders::store::OrderStore;
use archipel_vault::Vault;
use async_trait::async_trait;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::cloud_event::Writer;
use crate::config::{Begin, EventsConfig};
use crate::figures::Figures;
use crate::filter::Filter;
use crate::gate::Pace;
use crate::kafka::Kafka;
use crate::publisher::{Publisher, Replay, Room};
use crate::receiver::Receiver;
use crate::sender::Sender;
use crate::webhook::Webhook;

/// Wishes that wait for a publisher.
const WISHES: usize = 4;

/// What publishers stand on.
#[derive(Clone)]
pub struct Services {
    /// This site.
    pub site: SiteId,
    /// The log of events.
    pub log: Arc<dyn OrderStore>,
    /// Where each publisher stands.
    pub positions: Arc<dyn PositionStore>,
    /// The way out, for webhooks.
    pub egress: Arc<Egress>,
    /// The site's secrets.
    pub vault: Arc<Vault>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Makes events of what the log holds.
    pub writer: Writer,
}

/// What administrators and `/metrics` see of them.
pub struct Publishers {
    all: Vec<Known>,
}

struct Known {
    figures: Arc<Figures>,
    sender: Arc<Sender>,
    wishes: mpsc::Sender<Replay>,
}

/// What one is made of, whatever it sends to.
struct Plan {
    name: String,
    kind: &'static str,
    target: String,
    receiver: Arc<dyn Receiver>,
    filter: Filter,
    begin: Begin,
    concurrency: u32,
    give_up: Option<Duration>,
}

impl Publishers {
    /// Makes every publisher, with its place in the log durable: what happens from now on is sent, whenever
    /// [`run`](Running::run) begins.
    ///
    /// # Errors
    /// The first that cannot be made, by name; or a store that cannot be read or written.
    pub async fn open(config: &EventsConfig, services: &Services) -> Result<(Arc<Self>, Running), Error> {
        let mut plans = Vec::new();
        for kafka in &config.kafka {
            let refused = |reason| Error::invalid(format!("events.kafka {}: {reason}", kafka.name));
            let receiver = Kafka::new(kafka, &services.site, Arc::clone(&services.vault)).map_err(refused)?;
            plans.push(Plan {
                name: kafka.name.clone(),
                kind: "kafka",
                target: receiver.target(),
                receiver: Arc::new(receiver),
                filter: Filter::new(&kafka.types, &kafka.clouds),
                begin: kafka.begin,
                concurrency: kafka.concurrency,
                give_up: None,
            });
        }
        for webhook in &config.webhook {
            let refused = |reason| Error::invalid(format!("events.webhook {}: {reason}", webhook.name));
            let (vault, clock) = (Arc::clone(&services.vault), Arc::clone(&services.clock));
            let receiver = Webhook::new(webhook, &services.egress, vault, clock).map_err(refused)?;
            plans.push(Plan {
                name: webhook.name.clone(),
                kind: "webhook",
                target: receiver.target(),
                receiver: Arc::new(receiver),
                filter: Filter::new(&webhook.types, &webhook.clouds),
                begin: webhook.begin,
                concurrency: webhook.concurrency,
                give_up: webhook.give_up_s.map(Duration::from_secs),
            });
        }
        Self::of(plans, services).await
    }

    async fn of(plans: Vec<Plan>, services: &Services) -> Result<(Arc<Self>, Running), Error> {
        let room = Room {
            log: Arc::clone(&services.log),
            positions: Arc::clone(&services.positions),
            clock: Arc::clone(&services.clock),
            writer: services.writer.clone(),
        };
        let (stop, mut all, mut publishers) = (CancellationToken::new(), Vec::new(), Vec::new());
        for plan in plans {
            let figures = Figures::new(&plan.name, plan.kind, plan.target, Arc::clone(&services.clock));
            let sender = Arc::new(Sender {
                receiver: plan.receiver,
                pace: Pace::default(),
                figures: Arc::clone(&figures),
                places: Semaphore::new(usize::try_from(plan.concurrency).unwrap_or(usize::MAX)),
                give_up: plan.give_up,
                stop: stop.clone(),
            });
            let (wishes, heard) = mpsc::channel(WISHES);
            let (ours, its) = (Arc::clone(&figures), Arc::clone(&sender));
            publishers.push(Publisher::open(room.clone(), plan.filter, its, ours, plan.begin, heard).await?);
            all.push(Known { figures, sender, wishes });
        }
        all.sort_by(|a, b| a.figures.name.cmp(&b.figures.name));
        Ok((Arc::new(Self { all }), Running { publishers, stop }))
    }
}

/// Publishers that wait to be run.
pub struct Running {
    publishers: Vec<Publisher>,
    stop: CancellationToken,
}

impl Running {
    /// Until `stop`; then what is on its way may arrive, and each place is written.
    pub async fn run(self, stop: CancellationToken) {
        let ours = self.stop;
        let mut tasks: JoinSet<()> =
            self.publishers.into_iter().map(|publisher| publisher.run(ours.clone())).collect();
        stop.cancelled().await;
        ours.cancel();
        while let Some(ended) = tasks.join_next().await {
            if let Err(error) = ended {
                tracing::error!(%error, "a publisher ended badly");
            }
        }
    }
}

#[async_trait]
impl PublisherAdmin for Publishers {
    fn list(&self) -> Vec<PublisherStatus> {
        self.all.iter().map(|known| known.figures.status(&known.sender.pace)).collect()
    }

    async fn replay(&self, name: &str, from: ReplayFrom) -> Result<PublisherStatus, Error> {
        let known = self.all.iter().find(|known| known.figures.name == name);
        let known = known.ok_or_else(|| Error::not_found(format!("there is no publisher {name}")))?;
        let (answer, heard) = oneshot::channel();
        let stopping = |()| Error::transient(format!("publisher {name} is stopping")).code("stopping");
        known.wishes.send(Replay { from, answer }).await.map_err(|_| stopping(()))?;
        heard.await.map_err(|_| stopping(()))?
    }
}
