//! Somebody who minds her own business while a plugin next door attacks: a request at a fixed pace, each through the plugins of
//! identity, policy, mapper and driver. All must succeed; how long they take is told, not judged.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::Result;
use archipel_client::Client;
use tokio::sync::Mutex;
use tokio::task::JoinHandle;

/// Between two requests: with some milliseconds each, far below a quarter of a core.
const PACE: Duration = Duration::from_millis(50);

/// A neighbour at work.
pub struct Neighbour {
    taken: Arc<Mutex<Vec<(Instant, Duration)>>>,
    lost: Arc<Mutex<Vec<String>>>,
    stop: Arc<AtomicBool>,
    task: JoinHandle<()>,
}

/// How long requests took in a stretch of time.
#[derive(Clone, Copy, Debug)]
pub struct Latency {
    /// How many there were.
    pub requests: usize,
    /// Of them, the middle one.
    pub median: Duration,
    /// The slowest.
    pub worst: Duration,
}

impl Neighbour {
    /// Begins: `path` is asked again and again.
    pub fn at(client: Client, path: &str) -> Self {
        let (taken, lost) = (Arc::<Mutex<Vec<_>>>::default(), Arc::<Mutex<Vec<String>>>::default());
        let stop = Arc::new(AtomicBool::new(false));
        let (path, into, failed, ended) =
            (path.to_owned(), Arc::clone(&taken), Arc::clone(&lost), Arc::clone(&stop));
        let task = tokio::spawn(async move {
            let mut tick = tokio::time::interval(PACE);
            tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            while !ended.load(Ordering::Relaxed) {
                tick.tick().await;
                let began = Instant::now();
                match client.get(&path).await.map(|answer| (answer.status(), answer.json())) {
                    Ok((200, _)) => into.lock().await.push((began, began.elapsed())),
                    Ok((status, said)) => failed.lock().await.push(format!("{status}: {said:?}")),
                    Err(error) => failed.lock().await.push(error.to_string()),
                }
            }
        });
        Self { taken, lost, stop, task }
    }

    /// The requests that began in a stretch of time.
    pub async fn within(&self, from: Instant, to: Instant) -> Latency {
        let taken = self.taken.lock().await;
        let stretch = taken.iter().filter(|(began, _)| *began >= from && *began < to);
        let mut times: Vec<Duration> = stretch.map(|(_, took)| *took).collect();
        times.sort();
        Latency {
            requests: times.len(),
            median: times.get(times.len() / 2).copied().unwrap_or_default(),
            worst: times.last().copied().unwrap_or_default(),
        }
    }

    /// What failed so far.
    pub async fn lost(&self) -> Vec<String> {
        self.lost.lock().await.clone()
    }

    /// Ends; gives how many requests succeeded.
    ///
    /// # Errors
    /// When the task broke.
    pub async fn end(self) -> Result<usize> {
        self.stop.store(true, Ordering::Relaxed);
        self.task.await?;
        Ok(self.taken.lock().await.len())
    }
}

impl fmt::Display for Latency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = |time: Duration| time.as_secs_f64() * 1000.0;
        write!(f, "{:>6.1} / {:>6.1} ms of {:>3}", ms(self.median), ms(self.worst), self.requests)
    }
}
