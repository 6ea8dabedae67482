//! A started daemon: waits until it is ready, logs users in, stops it gently or not at all gently.

use std::fs::OpenOptions;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use archipel_client::Client;
use rustix::process::{Pid, Signal, kill_process};
use serde::Deserialize;
use serde_json::json;
use tokio::process::{Child, Command};

use crate::places;
use crate::site::{Site, User};

/// The first start of a debug build compiles every plugin; a busy machine takes its time.
const READY_WITHIN: Duration = Duration::from_secs(180);
/// A stop waits for calls in flight.
const STOP_WITHIN: Duration = Duration::from_secs(60);

/// How to start.
#[derive(Clone, Debug, Default)]
pub struct StartOptions {
    /// `NAME:COUNT`: the daemon aborts at that passing of that fail point.
    pub fail_point: Option<String>,
    /// Further variables.
    pub env: Vec<(String, String)>,
    /// `RUST_LOG`-like filter; `info` otherwise.
    pub log: Option<String>,
}

/// What a daemon writes when it is ready.
#[derive(Debug, Deserialize)]
struct Ready {
    url: String,
    pid: u32,
}

/// A running daemon; killed when dropped.
#[derive(Debug)]
pub struct Daemon {
    child: Child,
    url: String,
    socket: PathBuf,
    users: Vec<User>,
    log: PathBuf,
}

impl Daemon {
    /// Starts one and waits until it is ready.
    ///
    /// # Errors
    /// When it ends or does not become ready in time; with the end of its log.
    pub async fn start(site: &Site, options: StartOptions) -> Result<Self> {
        let ready = site.data_dir().join("ready.json");
        let log = OpenOptions::new().create(true).append(true).open(site.log()).context("opening the log")?;
        let mut command = Command::new(places::binary()?);
        command.arg("serve").arg("--config").arg(site.file());
        command.arg("--log-filter").arg(options.log.as_deref().unwrap_or("info"));
        if let Some(point) = &options.fail_point {
            command.arg("--fail-points").env("ARCHIPEL_FAIL_POINT", point);
        }
        let envs = options.env.iter().map(|(name, value)| (name, value));
        let child = command
            .envs(envs)
            .stdin(Stdio::null())
            .stdout(Stdio::from(log.try_clone()?))
            .stderr(Stdio::from(log))
            .kill_on_drop(true)
            .spawn()
            .context("starting archipel")?;
        let mut daemon = Self {
            child,
            url: String::new(),
            socket: archipel_client::admin_socket(&site.data_dir()),
            users: site.users.clone(),
            log: site.log(),
        };
        daemon.url = daemon.wait_until_ready(&ready).await?;
        Ok(daemon)
    }

    async fn wait_until_ready(&mut self, file: &Path) -> Result<String> {
        let pid = self.child.id();
        let began = Instant::now();
        loop {
            let ready =
                std::fs::read(file).ok().and_then(|bytes| serde_json::from_slice::<Ready>(&bytes).ok());
            if let Some(ready) = ready.filter(|ready| Some(ready.pid) == pid) {
                return Ok(ready.url);
            }
            if let Some(status) = self.child.try_wait()? {
                bail!("the daemon ended before it was ready ({status}):\n{}", self.log_tail());
            }
            if began.elapsed() > READY_WITHIN {
                bail!("the daemon is not ready after {} s:\n{}", READY_WITHIN.as_secs(), self.log_tail());
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Where REST is served.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The process.
    pub fn pid(&self) -> Option<u32> {
        self.child.id()
    }

    /// A client without a token.
    ///
    /// # Errors
    /// Never for a daemon that is ready.
    pub fn nobody(&self) -> Result<Client> {
        Ok(Client::at_url(&self.url, None)?)
    }

    /// A client at the administrator's socket.
    pub fn socket(&self) -> Client {
        Client::at_socket(&self.socket)
    }

    /// A token of a user of the site.
    ///
    /// # Errors
    /// When the site refuses.
    pub async fn token(&self, name: &str) -> Result<String> {
        let user =
            self.users.iter().find(|user| user.name == name).with_context(|| format!("no user {name}"))?;
        let credentials = json!({"credentials": {"username": user.name, "password": user.password}});
        let answer = self.nobody()?.post("/v1/tokens", &credentials).await?.success()?;
        Ok(answer
            .get("token")
            .and_then(|token| token.as_str())
            .context("a login without a token")?
            .to_owned())
    }

    /// A client with a fresh token of a user of the site.
    ///
    /// # Errors
    /// When the site refuses.
    pub async fn login(&self, name: &str) -> Result<Client> {
        Ok(self.nobody()?.with_token(self.token(name).await?))
    }

    /// Asks it to read its configuration again.
    ///
    /// # Errors
    /// When it is gone.
    pub fn reload(&self) -> Result<()> {
        self.signal(Signal::HUP)
    }

    /// Stops it as systemd would, and says how it ended.
    ///
    /// # Errors
    /// When it does not end in time.
    pub async fn stop(mut self) -> Result<ExitStatus> {
        self.signal(Signal::TERM)?;
        match tokio::time::timeout(STOP_WITHIN, self.child.wait()).await {
            Ok(status) => status.context("waiting for the daemon"),
            Err(_) => bail!("the daemon does not stop:\n{}", self.log_tail()),
        }
    }

    /// Pulls the plug (`kill -9`).
    ///
    /// # Errors
    /// When it cannot be killed.
    pub async fn kill(mut self) -> Result<()> {
        self.child.kill().await.context("killing the daemon")
    }

    /// Waits until it ends by itself, e.g. at a fail point; `None` when it does not in time.
    pub async fn wait(&mut self, at_most: Duration) -> Option<ExitStatus> {
        tokio::time::timeout(at_most, self.child.wait()).await.ok().and_then(Result::ok)
    }

    /// Whether it has ended.
    pub fn has_ended(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(Some(_)) | Err(_))
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        let pid = self
            .child
            .id()
            .and_then(|pid| Pid::from_raw(pid.try_into().ok()?))
            .context("the daemon has ended")?;
        kill_process(pid, signal).context("signalling the daemon")
    }

    /// The last lines of its log.
    pub fn log_tail(&self) -> String {
        tail(&self.log, 6000).unwrap_or_else(|error| format!("(no log: {error})"))
    }
}

fn tail(file: &Path, bytes: u64) -> Result<String> {
    let mut file = std::fs::File::open(file)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(bytes)))?;
    let mut end = Vec::new();
    file.read_to_end(&mut end)?;
    Ok(String::from_utf8_lossy(&end).into_owned())
}
