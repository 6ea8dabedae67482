//! Machines through openstacksdk and Apache Libcloud: `clients.py` beside the peer's scripts makes them.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use archipel_tests::openstack::cloud::Cloud;
use archipel_tests::openstack::counter::{Call, Counter, tally};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::Command;

use super::{Singles, WARM_UP, itself};

pub(super) struct Theirs<'p> {
    pub(super) python: &'p Path,
    pub(super) scripts: &'p Path,
}

impl Theirs<'_> {
    pub(super) async fn singles(&self, client: &str, counter: &Counter, count: usize) -> Result<Singles> {
        let (took, calls) = self.run(client, counter, count, 1).await?;
        Ok(Singles { took, calls })
    }

    pub(super) async fn swarm(&self, counter: &Counter, count: usize) -> Result<Duration> {
        let (took, calls) = self.run("openstacksdk", counter, count, 16).await?;
        println!("openstacksdk, {count} at once: {}", tally(&calls));
        took.into_iter().max().context("a time")
    }

    /// Each machine's time, and what passed from the warm-up's end to the last machine.
    async fn run(
        &self,
        client: &str,
        counter: &Counter,
        count: usize,
        threads: usize,
    ) -> Result<(Vec<Duration>, Vec<Call>)> {
        let peer = &counter.peer;
        let account = peer.account("physics");
        let mut command = Command::new(self.python);
        command.arg(self.scripts.join("clients.py")).args([
            client,
            &WARM_UP.to_string(),
            &count.to_string(),
            &threads.to_string(),
        ]);
        command.env("OS_AUTH_URL", peer.auth_url()).env("OS_REGION_NAME", peer.region());
        command.env("OS_USERNAME", account.username()).env("OS_PASSWORD", account.password());
        command.env("OS_PROJECT_NAME", account.project());
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().context("starting python")?;
        let mut go_on = child.stdin.take().context("its input")?;
        let mut lines = BufReader::new(child.stdout.take().context("its output")?).lines();
        let mut took = Vec::new();
        let mut calls = Vec::new();
        while let Some(line) = lines.next_line().await? {
            match line.as_str() {
                "warm" => drop(counter.take()),
                "done" => calls = counter.take(),
                _ => {
                    let seconds: Value =
                        serde_json::from_str(&line).with_context(|| format!("{client}: {line}"))?;
                    took.push(Duration::from_secs_f64(seconds.as_f64().context("seconds")?));
                    continue;
                }
            }
            go_on.write_all(b"\n").await?;
        }
        let status = child.wait().await?;
        if !status.success() {
            bail!("{client} ended with {status}");
        }
        ensure!(!calls.is_empty(), "{client} asked nothing through the ports");
        itself::clear(&Cloud::of_project(peer, "physics").await?).await?;
        Ok((took, calls))
    }
}
