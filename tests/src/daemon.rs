//! A running daemon: started, asked, stopped or killed. Dropping it kills it.
//!
//! `ARCHIPEL_TEST_LOG=info,archipel_orders=debug` makes daemons of tests say more.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use archipel_client::{Client, admin_socket};
use serde_json::{Value, json};

use crate::cli;
use crate::site::Site;

/// The longest that a start may take: the first one compiles every plugin on a busy machine.
const START: Duration = Duration::from_secs(120);

/// A daemon of a [`Site`].
pub struct Daemon {
    child: Child,
    url: String,
    socket: PathBuf,
    log: PathBuf,
    passwords: Vec<(String, String)>,
}

impl Daemon {
    /// Starts the daemon of a site and waits until it is ready.
    pub(crate) async fn start(site: &Site, arguments: &[&str], variables: &[(&str, &str)]) -> Result<Self> {
        let ready = site.data_dir().join("ready.json");
        let _ = std::fs::remove_file(&ready);
        let log = site.folder().join("daemon.log");
        let output = File::options().create(true).append(true).open(&log)?;
        let child = cli::program()?
            .args(["serve", "--config"])
            .arg(site.file())
            .args(arguments)
            .envs(std::env::var("ARCHIPEL_TEST_LOG").map(|filter| ("ARCHIPEL_LOG", filter)))
            .envs(variables.iter().copied())
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .spawn()
            .context("starting archipel")?;
        let passwords = site.users.iter().map(|user| (user.name.to_owned(), user.password.clone())).collect();
        let mut daemon =
            Self { child, url: String::new(), socket: admin_socket(&site.data_dir()), log, passwords };
        let until = Instant::now() + START;
        loop {
            if let Some(status) = daemon.child.try_wait()? {
                bail!("archipel ended with {status} before it was ready:\n{}", daemon.log_tail());
            }
            if let Some(url) = ready_url(&ready, daemon.child.id()) {
                daemon.url = url;
                return Ok(daemon);
            }
            if Instant::now() > until {
                bail!("archipel was not ready after {} s:\n{}", START.as_secs(), daemon.log_tail());
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Where REST is served.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Processor time that it has used, over all its threads and without the processes that it started.
    ///
    /// # Errors
    /// When it is gone.
    pub fn processor_time(&self) -> Result<Duration> {
        // proc_pid_stat(5): after the name, which may hold anything, come the fields from the third; the 14th and the 15th
        // are the time in the program and in the kernel, in ticks of a hundredth of a second.
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid()))?;
        let (_, fields) = stat.rsplit_once(')').context("a name in brackets")?;
        let fields: Vec<&str> = fields.split_whitespace().collect();
        let ticks = fields[11].parse::<u64>()? + fields[12].parse::<u64>()?;
        Ok(Duration::from_millis(ticks * 10))
    }

    /// The last lines of its log.
    pub fn log_tail(&self) -> String {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(40)..].join("\n")
    }

    /// The whole log, of earlier starts too.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// A client without a token.
    pub fn anonymous(&self) -> Client {
        Client::at_url(&self.url, None).expect("the daemon's own address")
    }

    /// The administrator's socket.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// The administrator's door.
    pub fn admin(&self) -> Client {
        Client::at_socket(&self.socket)
    }

    /// Logs a user of the site in.
    ///
    /// # Errors
    /// When the site refuses.
    pub async fn login(&self, name: &str) -> Result<Client> {
        let password =
            self.passwords.iter().find(|(known, _)| known == name).context("a user of the site")?;
        let token = self.token(name, &password.1).await?;
        Ok(self.anonymous().with_token(token))
    }

    /// Logs in, and gives the token.
    ///
    /// # Errors
    /// When the site refuses.
    pub async fn token(&self, name: &str, password: &str) -> Result<String> {
        let body = json!({"binding": "local", "credentials": {"username": name, "password": password}});
        let answer = self.anonymous().post("/v1/tokens", &body).await?.success()?;
        Ok(answer["token"].as_str().context("a token in the answer")?.to_owned())
    }

    /// Waits until the site has seen a plugin that was dropped, whatever it makes of it.
    ///
    /// # Errors
    /// When it has not within a minute.
    pub async fn plugin_seen(&self, name: &str) -> Result<Value> {
        self.plugin_when(name, |status| status["state"].as_str().is_some_and(|state| state != "dropped"))
            .await
    }

    /// Waits until a plugin stands in `state`, with another digest than `other_than` where that is given.
    ///
    /// # Errors
    /// When it does not within a minute.
    pub async fn plugin_state(&self, name: &str, state: &str, other_than: Option<&str>) -> Result<Value> {
        self.plugin_when(name, |status| {
            status["state"] == state && (other_than.is_none() || status["digest"].as_str() != other_than)
        })
        .await
        .with_context(|| format!("it should be {state}"))
    }

    /// Waits until a plugin's status is as wanted.
    ///
    /// # Errors
    /// When it is not within a minute.
    pub async fn plugin_when(&self, name: &str, is_wanted: impl Fn(&Value) -> bool) -> Result<Value> {
        let until = Instant::now() + Duration::from_secs(60);
        loop {
            let answer = self.admin().get(&format!("/v1/admin/plugins/{name}")).await?;
            let status = answer.json().unwrap_or_default();
            if is_wanted(&status) {
                return Ok(status);
            }
            if Instant::now() > until {
                bail!("plugin {name} is not as wanted within a minute: {status}");
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// `kill -9`, and waits for the end.
    ///
    /// # Errors
    /// When the process cannot be waited for.
    pub fn kill(mut self) -> Result<ExitStatus> {
        let _ = self.child.kill();
        Ok(self.child.wait()?)
    }

    /// SIGTERM, and waits for the end.
    ///
    /// # Errors
    /// When it does not end within a minute.
    pub async fn stop(mut self) -> Result<ExitStatus> {
        let pid = self.child.id().to_string();
        Command::new("kill").args(["-TERM", &pid]).status().context("sending SIGTERM")?;
        self.ended(Duration::from_secs(60)).await
    }

    /// Waits for the end of a daemon that ends by itself.
    ///
    /// # Errors
    /// When it does not within `most`.
    pub async fn ended(&mut self, most: Duration) -> Result<ExitStatus> {
        let until = Instant::now() + most;
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            if Instant::now() > until {
                bail!("archipel did not end within {} s:\n{}", most.as_secs(), self.log_tail());
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Whether it has ended.
    pub fn has_ended(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The address in `ready.json`, once this very process has written it.
fn ready_url(file: &Path, pid: u32) -> Option<String> {
    let ready: Value = serde_json::from_slice(&std::fs::read(file).ok()?).ok()?;
    (ready["pid"] == pid).then(|| ready["url"].as_str().map(str::to_owned))?
}
