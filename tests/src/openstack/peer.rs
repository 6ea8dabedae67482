//! The peer: what `seed.py` wrote about it, and its services' processes.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde_json::Value;
use tokio::process::Command;

/// A started OpenStack.
#[derive(Clone, Debug)]
pub struct Peer {
    scripts: PathBuf,
    state: PathBuf,
    known: Value,
}

/// A user of its Keystone.
#[derive(Clone, Copy, Debug)]
pub struct Person<'p>(&'p Value);

impl Peer {
    /// Reads `peer.json` of a state folder; `scripts` is the folder with `up` and `down`.
    ///
    /// # Errors
    /// When it is not up.
    pub fn read(scripts: &Path, state: &Path) -> Result<Self> {
        let file = state.join("peer.json");
        let text = std::fs::read_to_string(&file)
            .with_context(|| format!("reading {}; is the peer up?", file.display()))?;
        Ok(Self { scripts: scripts.to_owned(), state: state.to_owned(), known: serde_json::from_str(&text)? })
    }

    /// Keystone's address, with the version.
    pub fn auth_url(&self) -> &str {
        text(&self.known, "auth_url")
    }

    /// The region of all services.
    pub fn region(&self) -> &str {
        text(&self.known, "region")
    }

    /// The origin of a service, by its type in the catalogue.
    ///
    /// # Errors
    /// When there is no such service.
    pub fn origin(&self, service: &str) -> Result<String> {
        let url =
            self.known["endpoints"][service].as_str().with_context(|| format!("no service {service}"))?;
        let (scheme, rest) = url.split_once("://").context("a URL")?;
        Ok(format!("{scheme}://{}", rest.split('/').next().unwrap_or_default()))
    }

    /// The service user as which a site acts in a project.
    pub fn account(&self, project: &str) -> Person<'_> {
        Person(&self.known["accounts"][project])
    }

    /// Somebody who logs in at a site.
    pub fn user(&self, name: &str) -> Person<'_> {
        Person(&self.known["users"][name])
    }

    /// The cloud's administrator.
    pub fn admin(&self) -> Person<'_> {
        Person(&self.known["admin"])
    }

    /// The id of a flavour, an image or a network by its name.
    pub fn id_of(&self, list: &str, name: &str) -> &str {
        text(&self.known[list], name)
    }

    /// The id of the one image.
    pub fn image(&self) -> &str {
        text(&self.known["image"], "id")
    }

    /// Every secret that it gave away, with a name for people.
    pub fn secrets(&self) -> Vec<(String, String)> {
        let mut all = vec![("admin".to_owned(), self.admin().password().to_owned())];
        for group in ["accounts", "users"] {
            for (name, who) in self.known[group].as_object().into_iter().flatten() {
                let who = Person(who);
                all.push((format!("password of {name}"), who.password().to_owned()));
                if let Some((_, secret)) = who.application_credential() {
                    all.push((format!("application credential of {name}"), secret.to_owned()));
                }
            }
        }
        all
    }

    /// The same peer in another region, with its services elsewhere: origins by service, `identity` among them.
    #[must_use]
    pub fn moved_to(&self, region: &str, origins: &BTreeMap<String, String>) -> Self {
        let mut moved = self.clone();
        moved.known["region"] = region.into();
        for (service, origin) in origins {
            let url = moved.known["endpoints"][service].as_str().unwrap_or_default();
            let path = url.splitn(4, '/').nth(3).unwrap_or_default();
            moved.known["endpoints"][service] = format!("{origin}/{path}").into();
        }
        moved.known["auth_url"] = moved.known["endpoints"]["identity"].clone();
        moved
    }

    /// Ends one service, as `nova-api`.
    ///
    /// # Errors
    /// When the script fails.
    pub async fn stop(&self, service: &str) -> Result<()> {
        self.run("down", &[service]).await
    }

    /// Starts what does not run, and waits until it answers.
    ///
    /// # Errors
    /// When something does not come up.
    pub async fn start(&self) -> Result<()> {
        self.run("up", &[]).await
    }

    async fn run(&self, script: &str, arguments: &[&str]) -> Result<()> {
        let script = self.scripts.join(script);
        let output = Command::new(&script).arg(&self.state).args(arguments).output().await;
        let output = output.with_context(|| format!("starting {}", script.display()))?;
        if !output.status.success() {
            bail!(
                "{} ended with {}: {}",
                script.display(),
                output.status,
                String::from_utf8_lossy(&output.stderr)
            );
        }
        Ok(())
    }
}

impl<'p> Person<'p> {
    /// The name to log in with.
    pub fn username(self) -> &'p str {
        text(self.0, "username")
    }

    /// Its id, which is the subject at a site.
    pub fn id(self) -> &'p str {
        text(self.0, "user_id")
    }

    /// The password.
    pub fn password(self) -> &'p str {
        text(self.0, "password")
    }

    /// The name of its domain.
    pub fn domain(self) -> &'p str {
        text(self.0, "domain")
    }

    /// The name of its project, where it has one.
    pub fn project(self) -> &'p str {
        text(self.0, "project_name")
    }

    /// The id of its project, where it has one.
    pub fn project_id(self) -> &'p str {
        text(self.0, "project_id")
    }

    /// Id and secret of its application credential.
    pub fn application_credential(self) -> Option<(&'p str, &'p str)> {
        let credential = self.0.get("application_credential")?;
        Some((text(credential, "id"), text(credential, "secret")))
    }
}

fn text<'v>(value: &'v Value, key: &str) -> &'v str {
    value[key].as_str().unwrap_or_default()
}
