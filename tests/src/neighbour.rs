//! Somebody who minds her own business while a plugin next door attacks: a request at a fixed pace, each through the plugins of
//! identity, policy, mapper and driver. All must succeed; how long they take is told, not judged. What she costs the daemon is
//! measured before anybody attacks: a neighbour who takes more than a quarter of a core is slowed down until she does not.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use archipel_client::Client;
use tokio::sync::Mutex;
use tokio::task::JoinHandle;

use crate::daemon::Daemon;

/// Between two requests, to begin with.
const PACE: Duration = Duration::from_millis(50);
/// Between two requests, at the slowest.
const SLOWEST: Duration = Duration::from_millis(400);
/// A stretch in which her load is measured: long beside the hundredths of a second in which it is counted.
const STRETCH: Duration = Duration::from_millis(1500);
/// What she may take of a core.
const SHARE: f64 = 0.25;

/// A neighbour at work.
pub struct Neighbour {
    taken: Arc<Mutex<Vec<(Instant, Duration)>>>,
    lost: Arc<Mutex<Vec<String>>>,
    stop: Arc<AtomicBool>,
    /// Milliseconds between two requests.
    pace: Arc<AtomicU64>,
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
        let pace = Arc::new(AtomicU64::new(millis(PACE)));
        let (path, into, failed, ended, between) =
            (path.to_owned(), Arc::clone(&taken), Arc::clone(&lost), Arc::clone(&stop), Arc::clone(&pace));
        let task = tokio::spawn(async move {
            let mut began = Instant::now();
            while !ended.load(Ordering::Relaxed) {
                let next = began + Duration::from_millis(between.load(Ordering::Relaxed));
                tokio::time::sleep_until(next.into()).await;
                began = Instant::now();
                match client.get(&path).await.map(|answer| (answer.status(), answer.json())) {
                    Ok((200, _)) => into.lock().await.push((began, began.elapsed())),
                    Ok((status, said)) => failed.lock().await.push(format!("{status}: {said:?}")),
                    Err(error) => failed.lock().await.push(error.to_string()),
                }
            }
        });
        Self { taken, lost, stop, pace, task }
    }

    /// Begins, and finds a pace at which the daemon, which has nothing else to do, needs at most a quarter of a core for her.
    ///
    /// # Errors
    /// When there is none.
    pub async fn beside(daemon: &Daemon, client: Client, path: &str) -> Result<Self> {
        let neighbour = Self::at(client, path);
        let mut pace = PACE;
        loop {
            // What the daemon still did for its start, or for a pace before, is not hers.
            tokio::time::sleep(STRETCH / 3).await;
            let (began, before) = (Instant::now(), daemon.processor_time()?);
            tokio::time::sleep(STRETCH).await;
            let used = daemon.processor_time()?.saturating_sub(before);
            let share = used.as_secs_f64() / began.elapsed().as_secs_f64();
            println!("neighbour: a request every {} ms takes {share:.2} of a core", pace.as_millis());
            if share <= SHARE {
                return Ok(neighbour);
            }
            pace *= 2;
            if pace > SLOWEST {
                bail!("she takes {share:.2} of a core with one request every {} ms", (pace / 2).as_millis());
            }
            neighbour.pace.store(millis(pace), Ordering::Relaxed);
        }
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

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

impl fmt::Display for Latency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = |time: Duration| time.as_secs_f64() * 1000.0;
        write!(f, "{:>6.1} / {:>6.1} ms of {:>3}", ms(self.median), ms(self.worst), self.requests)
    }
}
