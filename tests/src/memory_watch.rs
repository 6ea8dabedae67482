//! What a daemon under `--fail-points` with `ARCHIPEL_MEMORY_WATCH` writes down: where it looked for secrets after each
//! call of a plugin, what it found, and the secrets themselves, so that a test can look for them in logs, answers and
//! files too. How it looks: `host/runtime/src/memory_watch.rs`.
//!
//! ```no_run
//! # async fn f(site: archipel_tests::site::Site) -> anyhow::Result<()> {
//! let watch = archipel_tests::memory_watch::MemoryWatch::new()?;
//! let daemon = site.start_with(&["--fail-points"], &[watch.variable()]).await?;
//! // ... whatever uses secrets ...
//! watch.is_clean(&["mapper-by-group", "cloud-openstack"])?;
//! watch.assert_not_in("the log", daemon.log().as_bytes());
//! # Ok(())
//! # }
//! ```

use anyhow::{Context, Result, ensure};
use archipel_vault::Masker;
use serde::Deserialize;
use tempfile::TempDir;

/// A folder for one daemon, or several one after the other.
pub struct MemoryWatch {
    folder: TempDir,
    path: String,
}

/// One call of a plugin, after the first that had to do with secrets.
#[derive(Debug, Clone, Deserialize)]
pub struct Search {
    /// Whose call.
    pub plugin: String,
    /// Which function.
    pub function: String,
    /// What it held handles of.
    pub secrets: Vec<String>,
    /// How many secrets were looked for: this call's, and those of others before it.
    pub looked_for: u64,
    /// How many bytes of the plugins' memories were looked through.
    pub bytes: u64,
    /// What of it was found.
    pub found: Vec<String>,
    /// Why it could not be looked.
    pub problem: Option<String>,
}

impl MemoryWatch {
    /// A new folder, which goes with it.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn new() -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("archipel-watch-").tempdir()?;
        let path = folder.path().to_str().context("a path that is text")?.to_owned();
        Ok(Self { folder, path })
    }

    /// What the daemon's environment must hold.
    pub fn variable(&self) -> (&str, &str) {
        ("ARCHIPEL_MEMORY_WATCH", &self.path)
    }

    /// All searches so far.
    pub fn searches(&self) -> Vec<Search> {
        let text = self.read("searches");
        // A daemon that was killed may have been in the middle of a line.
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// All secrets so far.
    pub fn secrets(&self) -> Vec<Vec<u8>> {
        let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
        self.read("secrets")
            .lines()
            .filter_map(|line| line.as_bytes().chunks(2).map(byte).collect())
            .collect()
    }

    /// Makes sure that memories were searched after calls of each of these plugins, and that nothing was found after any
    /// call. Gives the number of searches, and how many bytes were looked through.
    ///
    /// # Errors
    /// With the searches that found something, or could not be made.
    pub fn is_clean(&self, plugins: &[&str]) -> Result<(usize, u64)> {
        let searches = self.searches();
        for plugin in plugins {
            let of_it = searches.iter().filter(|search| search.plugin == *plugin);
            let bytes: u64 = of_it.map(|search| search.bytes).sum();
            ensure!(bytes > 0, "no memory was looked through after any call of {plugin}");
        }
        let bad: Vec<&Search> =
            searches.iter().filter(|search| !search.found.is_empty() || search.problem.is_some()).collect();
        ensure!(bad.is_empty(), "secrets in the memory of plugins: {bad:#?}");
        Ok((searches.len(), searches.iter().map(|search| search.bytes).sum()))
    }

    /// Asserts that none of the secrets stands there, in no spelling.
    pub fn assert_not_in(&self, what: &str, bytes: &[u8]) {
        let secrets = self.secrets();
        assert!(!secrets.is_empty(), "no plugin held any secret");
        for (index, secret) in secrets.iter().enumerate() {
            let mut masker = Masker::new();
            masker.add(secret);
            // Chance finds what is short.
            let found = masker.spellings().filter(|spelling| spelling.len() >= 8).any(|spelling| {
                let at = bytes.windows(spelling.len()).position(|window| window == spelling);
                at.inspect(|at| eprintln!("{what}: secret number {index} at byte {at}")).is_some()
            });
            assert!(!found, "a secret stands in {what}");
        }
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.folder.path().join(name)).unwrap_or_default()
    }
}
