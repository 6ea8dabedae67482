//! A served site.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::process::{Child, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::{Archipel, Error, Site};

/// The longest that a start may take: it compiles every plugin.
const START: Duration = Duration::from_secs(120);

/// A site that serves. Dropping it ends it.
#[derive(Debug)]
pub struct Running {
    archipel: Archipel,
    config: OsString,
    child: Child,
    url: String,
}

impl Running {
    pub(crate) fn start(site: &Site) -> Result<Self, Error> {
        let log = site.folder().join("daemon.log");
        let output = File::create(&log)?;
        let config = site.file().into_os_string();
        let child = site
            .archipel
            .command()
            .args(["serve".as_ref(), "--config".as_ref(), config.as_os_str()])
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .spawn()?;
        let mut running = Self { archipel: site.archipel.clone(), config, child, url: String::new() };
        let ready = site.folder().join("data").join("ready.json");
        let until = Instant::now() + START;
        while Instant::now() < until && running.child.try_wait()?.is_none() {
            let told: Value = fs::read(&ready)
                .ok()
                .and_then(|bytes| serde_json::from_slice(&bytes).ok())
                .unwrap_or_default();
            if let Some(url) = told.get("url").and_then(Value::as_str) {
                url.clone_into(&mut running.url);
                return Ok(running);
            }
            sleep(Duration::from_millis(20));
        }
        let text = fs::read_to_string(&log)?;
        let lines: Vec<&str> = text.lines().collect();
        Err(Error::NotReady(lines.iter().rev().take(20).rev().copied().collect::<Vec<_>>().join("\n")))
    }

    /// Where its REST interface is.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// A plugin as the administrator sees it: `state`, `exports`, `last_error`, figures. `null` when there is none.
    ///
    /// # Errors
    /// [`Error::Command`].
    pub fn plugin(&self, name: &str) -> Result<Value, Error> {
        let all = self.json(["plugin", "list"])?;
        let items = all.get("items").unwrap_or(&all).as_array().cloned().unwrap_or_default();
        Ok(items
            .into_iter()
            .find(|plugin| plugin.get("name").is_some_and(|known| known == name))
            .unwrap_or_default())
    }

    /// Any command of `archipel`, as this site's administrator.
    ///
    /// # Errors
    /// [`Error::Command`].
    pub fn json<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Result<Value, Error> {
        let mut all = vec![OsString::from("--config"), self.config.clone()];
        all.extend(arguments.into_iter().map(|argument| argument.as_ref().to_owned()));
        self.archipel.json(all)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
