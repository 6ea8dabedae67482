//! A site in a folder of its own: users, roles, one emulated cloud, everything on loopback with a free port.

mod text;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use rand::Rng;
use rand::distributions::Alphanumeric;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tempfile::TempDir;
use toml_edit::DocumentMut;

use crate::daemon::{Daemon, StartOptions};
use crate::places;

/// A user of the identity binding `local`.
#[derive(Clone, Debug)]
pub struct User {
    /// What is typed, and the subject.
    pub name: String,
    /// In the clear, for who tests or tries out.
    pub password: String,
    /// Groups.
    pub groups: Vec<String>,
}

/// What a site is made of. `Default` is a site as the tests want it: quick cloud, cheap password hashes.
#[derive(Clone, Debug)]
pub struct SiteOptions {
    /// Its id.
    pub id: String,
    /// The port on loopback; 0 = a free one.
    pub port: u16,
    /// The configuration of `cloud-emulated`.
    pub cloud: Value,
    /// Names and groups of users; `admin` gets the role of an operator.
    pub users: Vec<(String, Vec<String>)>,
    /// Hash passwords as a real site should. Tests do not: the hash is the slowest part of a login.
    pub strong_passwords: bool,
    /// The mapper's plugin.
    pub mapper: String,
    /// Its configuration.
    pub mapper_config: Value,
    /// Plugins dropped beside those that the site uses.
    pub also_drop: Vec<String>,
    /// TOML to add at the end.
    pub extra: String,
}

impl Default for SiteOptions {
    fn default() -> Self {
        let user = |name: &str, group: &str| (name.to_owned(), vec![group.to_owned()]);
        Self {
            id: "site-a.archipel.test".to_owned(),
            port: 0,
            cloud: json!({"latency_ms": 1, "boot_ms": 50, "delete_ms": 30}),
            users: vec![user("alice", "physics"), user("bob", "chemistry"), user("admin", "operators")],
            strong_passwords: false,
            mapper: "mapper-all-to-one".to_owned(),
            mapper_config: json!({"default": {"account": "shared"}}),
            also_drop: Vec::new(),
            extra: String::new(),
        }
    }
}

/// A site on disk. Its folder is removed with it, unless it was made with [`Site::make_in`] or [`Site::keep`].
#[derive(Debug)]
pub struct Site {
    folder: PathBuf,
    /// Everybody who can log in.
    pub users: Vec<User>,
    temporary: Option<TempDir>,
}

impl Site {
    /// In a temporary folder.
    ///
    /// # Errors
    /// When plugins are not built, or the disk says no.
    pub fn make(options: &SiteOptions) -> Result<Self> {
        let temporary = tempfile::Builder::new().prefix("archipel-").tempdir().context("making a folder")?;
        let mut site = Self::make_in(temporary.path(), options)?;
        site.temporary = Some(temporary);
        Ok(site)
    }

    /// In this folder, which stays.
    ///
    /// # Errors
    /// As [`Site::make`].
    pub fn make_in(folder: &Path, options: &SiteOptions) -> Result<Self> {
        let users: Vec<User> = options
            .users
            .iter()
            .map(|(name, groups)| User {
                name: name.clone(),
                password: random_password(),
                groups: groups.clone(),
            })
            .collect();
        let site = Self { folder: folder.to_owned(), users, temporary: None };
        std::fs::create_dir_all(site.plugin_dir()).context("making the plugins' folder")?;
        let own = ["aaa-local", "authz-roles", "cloud-emulated", options.mapper.as_str()];
        for name in own.into_iter().chain(options.also_drop.iter().map(String::as_str)) {
            site.drop_plugin(name, name)?;
        }
        let text = text::site_file(options, &site.users, &digest(&places::plugin("aaa-local")?)?)?;
        std::fs::write(site.file(), text).context("writing site.toml")?;
        Ok(site)
    }

    /// Keeps the folder when the site is dropped, and says where it is.
    pub fn keep(&mut self) -> &Path {
        if let Some(temporary) = self.temporary.take() {
            let _ = temporary.keep();
        }
        &self.folder
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// `site.toml`.
    pub fn file(&self) -> PathBuf {
        self.folder.join("site.toml")
    }

    /// Where plugins are dropped.
    pub fn plugin_dir(&self) -> PathBuf {
        self.folder.join("plugins")
    }

    /// Everything durable.
    pub fn data_dir(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// The daemon's log, all starts after one another.
    pub fn log(&self) -> PathBuf {
        self.folder.join("daemon.log")
    }

    /// A user by name.
    ///
    /// # Errors
    /// When there is none.
    pub fn user(&self, name: &str) -> Result<&User> {
        self.users
            .iter()
            .find(|user| user.name == name)
            .with_context(|| format!("the site has no user {name}"))
    }

    /// Drops a built plugin under a name, as an administrator should: written beside, then renamed in.
    ///
    /// # Errors
    /// When it is not built, or the disk says no.
    pub fn drop_plugin(&self, built: &str, name: &str) -> Result<()> {
        let bytes = std::fs::read(places::plugin(built)?).with_context(|| format!("reading {built}.wasm"))?;
        self.drop_bytes(&bytes, name)
    }

    /// Drops any bytes as a plugin.
    ///
    /// # Errors
    /// When the disk says no.
    pub fn drop_bytes(&self, bytes: &[u8], name: &str) -> Result<()> {
        let beside = self.plugin_dir().join(format!(".{name}.part"));
        std::fs::write(&beside, bytes).context("writing a plugin")?;
        std::fs::rename(beside, self.plugin_dir().join(format!("{name}.wasm"))).context("dropping a plugin")
    }

    /// Changes `site.toml`, comments kept.
    ///
    /// # Errors
    /// When it cannot be read or written.
    pub fn edit(&self, change: impl FnOnce(&mut DocumentMut)) -> Result<()> {
        let mut document: DocumentMut =
            std::fs::read_to_string(self.file())?.parse().context("reading site.toml")?;
        change(&mut document);
        std::fs::write(self.file(), document.to_string()).context("writing site.toml")
    }

    /// Starts a daemon on it and waits until it is ready.
    ///
    /// # Errors
    /// When it does not become ready; with the end of its log.
    pub async fn start(&self) -> Result<Daemon> {
        Daemon::start(self, StartOptions::default()).await
    }
}

/// `sha256:…` of a file, as grants name it.
///
/// # Errors
/// When it cannot be read.
pub fn digest(file: &Path) -> Result<String> {
    let bytes = std::fs::read(file).with_context(|| format!("reading {}", file.display()))?;
    Ok(format!(
        "sha256:{}",
        Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect::<String>()
    ))
}

fn random_password() -> String {
    rand::thread_rng().sample_iter(&Alphanumeric).take(14).map(char::from).collect()
}
