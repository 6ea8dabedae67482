//! Throughput of two servers in this process: both on loopback, each under the same clients for a short round, in turns.
//!
//! Clients are as light as they can be (a written request, a read of as many bytes as the first answer had), because
//! they share the processors with the server: what they took would hide what the server takes, and flatter it. Loopback
//! rather than calls of the router, because that is what a site serves: sockets, HTTP parsing and writing are on both
//! sides, and only what the baseline does not do is on ours alone.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::site::Result;

/// Keep-alive connections.
const CLIENTS: usize = 64;
/// One side's share of a turn.
const ROUND: Duration = Duration::from_millis(300);
/// Turns.
const ROUNDS: usize = 24;
/// How a good answer begins.
const SERVED: &str = "HTTP/1.1 200";

/// What one server is asked.
pub(crate) struct Target {
    /// `127.0.0.1:PORT`.
    pub(crate) address: std::net::SocketAddr,
    /// The whole request.
    pub(crate) request: String,
}

/// What one side did in one round.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Round {
    /// Requests per second.
    pub(crate) rate: f64,
    /// Processor time of the whole process per request, clients included, in microseconds: what a busy machine does not
    /// change.
    pub(crate) cpu_us: f64,
}

/// Both sides, round by round; the first round of each is a warm-up and left out.
pub(crate) async fn in_turns(ours: &Target, baseline: &Target) -> Result<(Vec<Round>, Vec<Round>)> {
    let (mut of_ours, mut of_baseline) = (Vec::new(), Vec::new());
    let (our_clients, baseline_clients) = (connect(ours).await?, connect(baseline).await?);
    let (mut our_clients, mut baseline_clients) = (our_clients, baseline_clients);
    for round in 0..=ROUNDS {
        let ours = throughput(&mut our_clients).await?;
        let baseline = throughput(&mut baseline_clients).await?;
        if round > 0 {
            of_ours.push(ours);
            of_baseline.push(baseline);
        }
    }
    Ok((of_ours, of_baseline))
}

/// One connection.
struct Client {
    stream: TcpStream,
    request: Arc<[u8]>,
    /// As long as a whole good answer, which every one is.
    answer: Vec<u8>,
}

async fn connect(target: &Target) -> Result<Vec<Client>> {
    let request: Arc<[u8]> = target.request.as_bytes().into();
    let mut clients = Vec::with_capacity(CLIENTS);
    for _ in 0..CLIENTS {
        let mut stream = TcpStream::connect(target.address).await?;
        stream.set_nodelay(true)?;
        stream.write_all(&request).await?;
        let answer = first_answer(&mut stream).await?;
        clients.push(Client { stream, request: Arc::clone(&request), answer });
    }
    Ok(clients)
}

/// Reads an answer by its content length; every later one has as many bytes.
async fn first_answer(stream: &mut TcpStream) -> Result<Vec<u8>> {
    let mut answer = Vec::new();
    loop {
        if stream.read_buf(&mut answer).await? == 0 {
            return Err("the server hung up".into());
        }
        let text = String::from_utf8_lossy(&answer);
        let Some((head, _)) = text.split_once("\r\n\r\n") else { continue };
        if !head.starts_with(SERVED) {
            return Err(format!("not served: {text}").into());
        }
        let head = head.to_ascii_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
        let whole: usize = head.len() + 4 + length.unwrap_or(0);
        if answer.len() >= whole {
            return Ok(answer);
        }
    }
}

impl Client {
    async fn ask(&mut self) -> Result<()> {
        self.stream.write_all(&self.request).await?;
        let mut read = 0;
        while let Some(rest) = self.answer.get_mut(read..).filter(|rest| !rest.is_empty()) {
            read += match self.stream.read(rest).await? {
                0 => return Err("the server hung up".into()),
                count => count,
            };
            if !self.answer.starts_with(SERVED.as_bytes()) {
                let text = String::from_utf8_lossy(self.answer.get(..read).unwrap_or_default());
                return Err(format!("not served: {text}").into());
            }
        }
        Ok(())
    }
}

async fn throughput(clients: &mut Vec<Client>) -> Result<Round> {
    let stop = Arc::new(AtomicBool::new(false));
    let served = Arc::new(AtomicU64::new(0));
    let (began, worked) = (Instant::now(), processor_time());
    let tasks: Vec<_> = clients
        .drain(..)
        .map(|mut client| {
            let (stop, served) = (Arc::clone(&stop), Arc::clone(&served));
            tokio::spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    client.ask().await?;
                    served.fetch_add(1, Ordering::Relaxed);
                }
                Result::Ok(client)
            })
        })
        .collect();
    tokio::time::sleep(ROUND).await;
    stop.store(true, Ordering::Relaxed);
    for task in tasks {
        clients.push(task.await??);
    }
    #[allow(clippy::cast_precision_loss, reason = "a count of one round")]
    let count = served.load(Ordering::Relaxed) as f64;
    let worked = processor_time().saturating_sub(worked);
    Ok(Round { rate: count / began.elapsed().as_secs_f64(), cpu_us: worked.as_secs_f64() * 1e6 / count })
}

fn processor_time() -> Duration {
    clock_gettime(ClockId::ProcessCPUTime).try_into().unwrap_or_default()
}
