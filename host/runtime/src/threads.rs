//! The threads that plugins run on, of lower priority than the API's; and the one exception: a short AAA call begins,
//! and mostly ends, on the thread that asked.
//!
//! A hop to another thread and back takes longer than a small policy takes to decide, and a request makes three. So
//! the first poll of an AAA call happens where it was asked for. What holds all the same:
//! - A plugin that computes gives the thread back at the second tick of the epoch, at most two milliseconds later; the
//!   call then goes on on the plugins' own threads. So does every call that has to wait for anything.
//! - A binding that computed for longer than [`SHORT`] there is not trusted with it for its next [`PROBATION`] calls: a
//!   loop costs the API two ticks in that many calls.
//! - Timers, sockets and tasks made during that poll belong to the plugins' runtime.
//! - While the ticker dozes, ten milliseconds might pass until the next tick: then every call hops.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::Poll;
use std::time::Duration;

use futures::FutureExt;
use rustix::time::{ClockId, clock_gettime};
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::task::coop::consume_budget;

use crate::limits::{RuntimeLimits, to_usize};

/// How much lower than the API's the priority of plugin threads is.
const NICE: i32 = 5;
/// Processor time that a call may take of its caller's thread before its binding is put on probation. Not time: that
/// a busy machine took the thread away is not the plugin's doing.
const SHORT: Duration = Duration::from_micros(700);
/// Calls of a binding that hop after one was not short.
const PROBATION: u32 = 64;
/// Units of tokio's budget (128 per poll of a task) that a call on its caller's thread uses up, so that a task with
/// many calls lets others in after about a millisecond.
const BUDGET: usize = 8;

/// The threads that plugins run on.
pub(crate) fn start(limits: &RuntimeLimits) -> std::io::Result<Runtime> {
    let mut builder = Builder::new_multi_thread();
    if limits.plugin_threads > 0 {
        builder.worker_threads(to_usize(limits.plugin_threads));
    }
    builder
        .thread_name("archipel-plugin")
        .enable_all()
        .on_thread_start(|| {
            // On Linux this is the thread's own priority. Not being allowed to lower it is no reason to stop.
            if let Err(error) = rustix::process::nice(NICE) {
                tracing::debug!(%error, "plugin threads keep their priority");
            }
        })
        .build()
}

/// Why work has no answer.
#[derive(Debug)]
pub(crate) struct Lost(pub(crate) String);

impl Lost {
    fn panicked(panic: &(dyn Any + Send)) -> Self {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        Self(text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("it panicked").to_owned())
    }
}

/// Runs work on the plugins' threads. It goes on when the caller loses interest.
pub(crate) async fn run<T: Send + 'static>(
    threads: &Handle,
    work: impl Future<Output = T> + Send + 'static,
) -> Result<T, Lost> {
    finish(threads, Box::pin(AssertUnwindSafe(work).catch_unwind())).await
}

/// The same, beginning on the caller's thread where `pace` allows.
pub(crate) async fn begin_here<T: Send + 'static>(
    threads: &Handle,
    pace: &Pace,
    work: impl Future<Output = T> + Send + 'static,
) -> Result<T, Lost> {
    let mut work: Caught<T> = Box::pin(AssertUnwindSafe(work).catch_unwind());
    if pace.is_trusted() {
        for _ in 0..BUDGET {
            consume_budget().await;
        }
        let first = std::future::poll_fn(|context| {
            let began = processor_time();
            let _theirs = threads.enter();
            let polled = work.as_mut().poll(context);
            pace.note(processor_time().saturating_sub(began));
            Poll::Ready(polled)
        });
        if let Poll::Ready(answer) = first.await {
            return answer.map_err(|panic| Lost::panicked(panic.as_ref()));
        }
    }
    finish(threads, work).await
}

type Caught<T> = Pin<Box<dyn Future<Output = Result<T, Box<dyn Any + Send>>> + Send>>;

async fn finish<T: Send + 'static>(threads: &Handle, work: Caught<T>) -> Result<T, Lost> {
    match threads.spawn(work).await {
        Ok(answer) => answer.map_err(|panic| Lost::panicked(panic.as_ref())),
        Err(error) => Err(Lost(error.to_string())),
    }
}

/// What this thread has computed since it began.
fn processor_time() -> Duration {
    clock_gettime(ClockId::ThreadCPUTime).try_into().unwrap_or_default()
}

/// Whether a binding's calls are short.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    /// Calls that still have to hop.
    probation: AtomicU32,
}

impl Pace {
    fn is_trusted(&self) -> bool {
        let left = |left: u32| left.checked_sub(1);
        self.probation.load(Ordering::Relaxed) == 0
            || self.probation.fetch_update(Ordering::Relaxed, Ordering::Relaxed, left).is_err()
    }

    fn note(&self, took: Duration) {
        if took > SHORT {
            self.probation.store(PROBATION, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::thread::{ThreadId, current};

    use super::*;

    fn plugin_threads() -> (Runtime, Handle) {
        let runtime = start(&RuntimeLimits::default()).unwrap();
        let handle = runtime.handle().clone();
        (runtime, handle)
    }

    async fn where_it_runs(threads: &Handle, pace: &Pace) -> ThreadId {
        begin_here(threads, pace, async { current().id() }).await.unwrap()
    }

    fn compute(time: Duration) {
        let until = processor_time() + time;
        while processor_time() < until {}
    }

    #[tokio::test]
    async fn a_short_call_stays_and_one_that_waits_goes_on_elsewhere() {
        let (runtime, threads) = plugin_threads();
        let pace = Pace::default();
        let work = async {
            let began_on = current().id();
            tokio::time::sleep(Duration::from_millis(1)).await;
            (began_on, current().id())
        };
        let (began_on, ended_on) = begin_here(&threads, &pace, work).await.unwrap();
        assert_eq!(began_on, current().id());
        assert_ne!(ended_on, current().id());
        assert_eq!(where_it_runs(&threads, &pace).await, current().id());
        runtime.shutdown_background();
    }

    #[tokio::test]
    async fn a_binding_that_was_slow_hops_for_a_while() {
        let (runtime, threads) = plugin_threads();
        let pace = Pace::default();
        begin_here(&threads, &pace, async { compute(SHORT * 2) }).await.unwrap();
        for _ in 0..PROBATION {
            assert_ne!(where_it_runs(&threads, &pace).await, current().id());
        }
        assert_eq!(where_it_runs(&threads, &pace).await, current().id());
        runtime.shutdown_background();
    }

    #[tokio::test]
    async fn a_panic_is_an_answer_on_either_thread() {
        let (runtime, threads) = plugin_threads();
        let pace = Pace::default();
        let panics = || async {
            if current().name().is_some() {
                panic!("at once")
            }
        };
        let lost = begin_here(&threads, &pace, panics()).await.unwrap_err();
        assert_eq!(lost.0, "at once");
        assert_eq!(run(&threads, panics()).await.unwrap_err().0, "at once");
        runtime.shutdown_background();
    }

    #[tokio::test]
    async fn work_goes_on_when_nobody_waits_for_it() {
        let (runtime, threads) = plugin_threads();
        let pace = Arc::new(Pace::default());
        let (done, ended) = tokio::sync::oneshot::channel();
        let work = async {
            tokio::time::sleep(Duration::from_millis(20)).await;
            let _ = done.send(());
        };
        let waiting = tokio::time::timeout(Duration::from_millis(1), begin_here(&threads, &pace, work)).await;
        assert!(waiting.is_err());
        ended.await.unwrap();
        runtime.shutdown_background();
    }
}
