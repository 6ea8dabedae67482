//! Entries of orders, on their way into the store.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use archipel_model::egress::{EgressEntry, EgressLog};
use tokio::sync::mpsc;

use super::Ledger;

/// Entries that are written in one go.
const AT_A_TIME: usize = 256;
/// Between two attempts to write while the store is away.
const AGAIN: Duration = Duration::from_secs(1);

/// Takes entries without waiting, and hands them to its [`LedgerWriter`].
#[derive(Debug)]
pub struct DurableLedger {
    entries: mpsc::Sender<EgressEntry>,
    lost: Arc<AtomicU64>,
}

/// Writes entries until it is told to stop.
pub struct LedgerWriter {
    entries: mpsc::Receiver<EgressEntry>,
    lost: Arc<AtomicU64>,
    log: Arc<dyn EgressLog>,
    per_order: usize,
}

impl DurableLedger {
    /// A ledger that keeps the newest `per_order` entries of each order, and holds at most `waiting` while the store is
    /// slow; what comes on top is lost, and the log says how much.
    pub fn new(log: Arc<dyn EgressLog>, per_order: usize, waiting: usize) -> (Arc<Self>, LedgerWriter) {
        let (sender, entries) = mpsc::channel(waiting.max(1));
        let lost = Arc::new(AtomicU64::new(0));
        let ledger = Arc::new(Self { entries: sender, lost: Arc::clone(&lost) });
        (ledger, LedgerWriter { entries, lost, log, per_order: per_order.max(1) })
    }
}

impl Ledger for DurableLedger {
    fn record(&self, entry: EgressEntry) {
        if entry.order.is_some() && self.entries.try_send(entry).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl LedgerWriter {
    /// Writes until `stop`, and then what is left.
    pub async fn run(mut self, stop: impl Future<Output = ()>) {
        let mut batch = Vec::with_capacity(AT_A_TIME);
        let mut stop = std::pin::pin!(stop);
        let mut is_stopping = false;
        loop {
            let received = tokio::select! {
                received = self.entries.recv_many(&mut batch, AT_A_TIME) => received,
                () = &mut stop, if !is_stopping => {
                    is_stopping = true;
                    self.entries.close();
                    continue;
                }
            };
            if received == 0 {
                return;
            }
            self.write(&batch, is_stopping).await;
            batch.clear();
            let lost = self.lost.swap(0, Ordering::Relaxed);
            if lost > 0 {
                tracing::warn!(
                    lost,
                    "requests are missing in the ledgers of their orders: the store was too slow"
                );
            }
        }
    }

    /// Tries until it is written, but only once when there is no time.
    async fn write(&self, batch: &[EgressEntry], is_last: bool) {
        while let Err(error) = self.log.append(batch, self.per_order).await {
            tracing::warn!(%error, entries = batch.len(), "the ledger of requests cannot be written");
            if is_last {
                return;
            }
            tokio::time::sleep(AGAIN).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use archipel_model::egress::OrderEgress;
    use archipel_model::{Error, OrderId, Timestamp};
    use tokio::sync::Notify;

    use super::*;

    /// Refuses the first attempt.
    #[derive(Default)]
    struct Slow {
        written: Mutex<Vec<EgressEntry>>,
        attempts: AtomicU64,
    }

    #[async_trait::async_trait]
    impl EgressLog for Slow {
        async fn append(&self, entries: &[EgressEntry], _: usize) -> Result<(), Error> {
            if self.attempts.fetch_add(1, Ordering::SeqCst) == 0 {
                return Err(Error::transient("away"));
            }
            self.written.lock().unwrap().extend_from_slice(entries);
            Ok(())
        }

        async fn of_order(&self, _: OrderId) -> Result<OrderEgress, Error> {
            Ok(OrderEgress::default())
        }
    }

    fn entry(sent: u64, order: Option<OrderId>) -> EgressEntry {
        EgressEntry {
            at: Timestamp::default(),
            binding: "b".into(),
            digest: "sha256:00".into(),
            order,
            request_id: String::new(),
            method: "GET".into(),
            origin: "https://h.test".into(),
            address: None,
            certificate: None,
            status: None,
            sent,
            received: 0,
            took_us: 0,
            outcome: "complete".into(),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_taken_is_written_in_order_also_after_a_refusal_and_at_the_end() {
        let log = Arc::new(Slow::default());
        let (ledger, writer) = DurableLedger::new(Arc::clone(&log) as _, 10, 8);
        let stop = Arc::new(Notify::new());
        let order = Some(OrderId::from_bytes([1; 16]));
        for number in 0..5 {
            ledger.record(entry(number, order));
        }
        ledger.record(entry(99, None));
        let stopped = Arc::clone(&stop);
        let task = tokio::spawn(async move { writer.run(stopped.notified()).await });
        tokio::time::sleep(Duration::from_secs(5)).await;
        ledger.record(entry(5, order));
        stop.notify_one();
        task.await.unwrap();
        let written: Vec<u64> = log.written.lock().unwrap().iter().map(|entry| entry.sent).collect();
        assert_eq!(written, [0, 1, 2, 3, 4, 5], "what serves no order is not kept");
    }

    #[tokio::test]
    async fn a_ledger_that_is_full_loses_and_counts_and_never_waits() {
        let (ledger, writer) = DurableLedger::new(Arc::new(Slow::default()), 10, 2);
        for number in 0..5 {
            ledger.record(entry(number, Some(OrderId::from_bytes([1; 16]))));
        }
        assert_eq!(writer.lost.load(Ordering::Relaxed), 3);
    }
}
