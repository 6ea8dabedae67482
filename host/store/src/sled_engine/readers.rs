//! A few threads that read from sled, so that no tokio worker ever waits for a disk.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::oneshot;

use super::guard::guarded;

type Reading = Box<dyn FnOnce() + Send>;

/// The threads; they end when it is dropped.
pub(super) struct Readers {
    queue: Sender<Reading>,
}

impl Readers {
    pub(super) fn start(threads: usize) -> std::io::Result<Self> {
        let (queue, readings) = channel::<Reading>();
        let readings = Arc::new(Mutex::new(readings));
        for number in 0..threads.max(1) {
            let readings = Arc::clone(&readings);
            std::thread::Builder::new()
                .name(format!("store-read-{number}"))
                .spawn(move || serve(&readings))?;
        }
        Ok(Self { queue })
    }

    /// Runs a reading on one of the threads.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        read: impl FnOnce() -> sled::Result<T> + Send + 'static,
    ) -> Result<T, String> {
        let (answer, answered) = oneshot::channel();
        let reading = Box::new(move || {
            // Nobody may be waiting any more.
            let _ = answer.send(guarded(read));
        });
        let gone = "the store's reader threads have ended";
        self.queue.send(reading).map_err(|_| gone.to_owned())?;
        answered.await.map_err(|_| gone.to_owned())?
    }
}

fn serve(readings: &Mutex<Receiver<Reading>>) {
    loop {
        let reading = readings.lock().unwrap_or_else(PoisonError::into_inner).recv();
        match reading {
            Ok(reading) => reading(),
            Err(_) => return,
        }
    }
}
