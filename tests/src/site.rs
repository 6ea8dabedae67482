//! A site in a temporary folder: its file, its plugins, its users. What a test wants different it changes in
//! [`Site::config`] before it starts the daemon.

use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use argon2::password_hash::{PasswordHasher, SaltString};
use argon2::{Algorithm, Argon2, Params, Version};
use rand::Rng;
use rand::distributions::Alphanumeric;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::built;
use crate::daemon::Daemon;

/// Who vouches for the users of a temporary site.
pub const ISSUER: &str = "https://site-a.example.org";

/// The id of a temporary site.
pub const SITE_ID: &str = "site-a.example.org";

/// The plugins that a temporary site is served by.
pub const PLUGINS: [&str; 4] = ["aaa-local", "authz-roles", "mapper-all-to-one", "cloud-emulated"];

/// Where the emulated cloud of a temporary site keeps its things: the driver's storage namespace.
pub const CLOUD_STORAGE: &str = "cloud/emulated/cloud-emulated";

/// Someone who can log in.
#[derive(Clone, Debug)]
pub struct User {
    /// Name and subject.
    pub name: &'static str,
    /// In plain, for the login.
    pub password: String,
    /// Groups.
    pub groups: &'static [&'static str],
}

/// A site that is not (yet) served.
pub struct Site {
    folder: Folder,
    /// The site file; written at each start.
    pub config: Value,
    /// Who can log in: alice and bob are members, admin may do everything.
    pub users: Vec<User>,
}

enum Folder {
    Temporary(TempDir),
    Kept(PathBuf),
}

impl Site {
    /// A fresh site in a folder that goes with it, with the shipped plugins dropped. With `ARCHIPEL_TEST_KEEP` set the
    /// folder stays, to look into.
    ///
    /// # Errors
    /// When the plugins were not built, or the disk refuses.
    pub fn temporary() -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("archipel-").tempdir()?;
        if std::env::var_os("ARCHIPEL_TEST_KEEP").is_some() {
            let kept = folder.keep();
            eprintln!("the site stays in {}", kept.display());
            return Self::with(Folder::Kept(kept));
        }
        Self::with(Folder::Temporary(folder))
    }

    /// A fresh site in a folder that stays.
    ///
    /// # Errors
    /// As [`Site::temporary`].
    pub fn kept_in(folder: &Path) -> Result<Self> {
        std::fs::create_dir_all(folder)?;
        Self::with(Folder::Kept(folder.to_owned()))
    }

    fn with(folder: Folder) -> Result<Self> {
        let user = |name, groups| User { name, password: random_password(), groups };
        let users =
            vec![user("alice", &["physics"][..]), user("bob", &["biology"][..]), user("admin", &[][..])];
        let mut site = Self { config: Value::Null, folder, users };
        site.config = site.default_config()?;
        std::fs::DirBuilder::new().recursive(true).mode(0o755).create(site.plugin_dir())?;
        for name in PLUGINS {
            site.drop_plugin(name, &built::plugin(name)?)?;
        }
        Ok(site)
    }

    fn default_config(&self) -> Result<Value> {
        let users: Vec<Value> = self
            .users
            .iter()
            .map(|user| {
                Ok(json!({"name": user.name, "password": hash(&user.password)?, "groups": user.groups}))
            })
            .collect::<Result<_>>()?;
        Ok(json!({
            "site": {"id": SITE_ID, "listen": "127.0.0.1:0"},
            "identity": [{
                "name": "local",
                "plugin": "aaa-local",
                "issuers": [ISSUER],
                "config": {"issuer": ISSUER, "users": users},
            }],
            "authorization": [{
                "plugin": "authz-roles",
                "config": {
                    "roles": {
                        "member": {"allow": [
                            {"operations": ["login", "create", "update", "act"]},
                            {"operations": ["read", "list"], "kinds": ["cloud", "spec", "image", "quota"], "reach": "any"},
                        ]},
                        "operator": {"allow": [
                            {"operations": ["*"], "reach": "any"},
                            {"operations": ["*", "admin"], "kinds": ["admin"], "reach": "any"},
                        ]},
                    },
                    "assignments": [{"role": "operator", "issuer": ISSUER, "subjects": ["admin"]}],
                    "default_role": "member",
                },
            }],
            "cloud": [{
                "name": "emulated",
                "driver": "cloud-emulated",
                "mapper": "mapper-all-to-one",
                "mapper_config": {"default": {"account": "shared"}},
                "config": {"latency_ms": 1, "boot_ms": 100, "delete_ms": 50},
            }],
            "grants": {
                "aaa-local": {"crypto": [{"purpose": "session", "lifetime_s_max": 28800}], "pin": "capabilities"},
                "cloud-emulated": {"storage": "256 MiB"},
            },
        }))
    }

    /// The site's name in the federation.
    pub fn id(&self) -> &str {
        self.config["site"]["id"].as_str().unwrap_or_default()
    }

    /// The site's folder.
    pub fn folder(&self) -> &Path {
        match &self.folder {
            Folder::Temporary(folder) => folder.path(),
            Folder::Kept(folder) => folder,
        }
    }

    /// The site file.
    pub fn file(&self) -> PathBuf {
        self.folder().join("site.toml")
    }

    /// Everything durable.
    pub fn data_dir(&self) -> PathBuf {
        self.folder().join("data")
    }

    /// Where plugins are dropped.
    pub fn plugin_dir(&self) -> PathBuf {
        self.folder().join("plugins")
    }

    /// The password of a user.
    pub fn password(&self, name: &str) -> &str {
        &self.users.iter().find(|user| user.name == name).expect("a user of the site").password
    }

    /// Drops a plugin as an administrator does: written beside, then renamed in.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn drop_plugin(&self, name: &str, bytes: &[u8]) -> Result<()> {
        let beside = self.plugin_dir().join(format!(".{name}.part"));
        // Whatever the umask: what others may write is refused.
        std::fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o644)
            .open(&beside)
            .and_then(|mut file| file.write_all(bytes))
            .with_context(|| format!("writing {}", beside.display()))?;
        std::fs::rename(&beside, self.plugin_dir().join(format!("{name}.wasm")))?;
        Ok(())
    }

    /// Writes the site file.
    ///
    /// # Errors
    /// When the configuration is no TOML, or the disk refuses.
    pub fn write(&self) -> Result<()> {
        let text = toml::to_string(&self.config).context("writing the site file")?;
        std::fs::write(self.file(), text)?;
        Ok(())
    }

    /// Writes the site file and starts the daemon; returns when it is ready.
    ///
    /// # Errors
    /// When it does not become ready, with the end of its log.
    pub async fn start(&self) -> Result<Daemon> {
        self.start_with(&[], &[]).await
    }

    /// The same with more arguments and variables.
    ///
    /// # Errors
    /// As [`Site::start`].
    pub async fn start_with(&self, arguments: &[&str], variables: &[(&str, &str)]) -> Result<Daemon> {
        self.write()?;
        Daemon::start(self, arguments, variables).await
    }
}

/// Copies a folder with everything in it.
///
/// # Errors
/// When the disk refuses.
pub fn copy_folder(from: &Path, to: &Path) -> Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from).with_context(|| format!("reading {}", from.display()))? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_folder(&entry.path(), &target)?;
        } else {
            std::fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

/// A password that nobody has used before.
fn random_password() -> String {
    rand::thread_rng().sample_iter(Alphanumeric).take(16).map(char::from).collect()
}

/// An argon2id hash in PHC form, cheap (1 MiB) because these users live for a test.
fn hash(password: &str) -> Result<String> {
    let params = Params::new(1024, 1, 1, None).map_err(|error| anyhow::anyhow!("argon2: {error}"))?;
    let salt = SaltString::generate(&mut rand::thread_rng());
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password(password.as_bytes(), &salt)
        .map(|hash| hash.to_string())
        .map_err(|error| anyhow::anyhow!("argon2: {error}"))
}
