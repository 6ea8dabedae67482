//! What the cloud's services say themselves, asked as an account of the cloud and past the site.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use archipel_client::{Answer, Client};
use http::Method;
use serde_json::{Value, json};

use super::peer::{Peer, Person};

/// With tags and volume attachments in full.
const COMPUTE_VERSION: &str = "compute 2.90";

/// A project, as its own service user sees it.
#[derive(Clone, Debug)]
pub struct Cloud {
    peer: Peer,
    token: String,
    project: String,
}

/// Something that a project holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// `server`, `volume`, `network`, `subnet`, `port` or `keypair`.
    pub what: &'static str,
    /// The service's id.
    pub id: String,
    /// The service's word.
    pub status: String,
    /// The tag of the order behind it; empty where it has none.
    pub tag: String,
}

impl Cloud {
    /// Logs in to a project with the password of its service user.
    ///
    /// # Errors
    /// When Keystone refuses.
    pub async fn of_project(peer: &Peer, project: &str) -> Result<Self> {
        let token = log_in(peer, peer.account(project)).await?;
        Ok(Self { peer: peer.clone(), token, project: peer.account(project).project_id().to_owned() })
    }

    /// Logs in as the cloud's administrator.
    ///
    /// # Errors
    /// When Keystone refuses.
    pub async fn as_admin(peer: &Peer) -> Result<Self> {
        let token = log_in(peer, peer.admin()).await?;
        Ok(Self { peer: peer.clone(), token, project: peer.admin().project_id().to_owned() })
    }

    /// Any request to a service.
    ///
    /// # Errors
    /// When nobody answers.
    pub async fn ask(
        &self,
        method: Method,
        service: &str,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Answer> {
        let client = Client::at_url(&self.peer.origin(service)?, None)?;
        let mut headers = vec![("x-auth-token", self.token.as_str())];
        headers.extend((service == "compute").then_some(("openstack-api-version", COMPUTE_VERSION)));
        Ok(client.send(method, path, &headers, body).await?)
    }

    async fn list(&self, service: &str, path: &str, key: &str) -> Result<Vec<Value>> {
        let answer = self.ask(Method::GET, service, path, None).await?;
        let answer = answer.success().with_context(|| format!("listing {key}"))?;
        Ok(answer[key].as_array().with_context(|| format!("{key} in {answer}"))?.clone())
    }

    /// All servers.
    ///
    /// # Errors
    /// When Nova does not answer.
    pub async fn servers(&self) -> Result<Vec<Value>> {
        self.list("compute", "/v2.1/servers/detail", "servers").await
    }

    /// All volumes.
    ///
    /// # Errors
    /// When Cinder does not answer.
    pub async fn volumes(&self) -> Result<Vec<Value>> {
        self.list("volumev3", &format!("/v3/{}/volumes/detail", self.project), "volumes").await
    }

    async fn of_network(&self, key: &str) -> Result<Vec<Value>> {
        self.list("network", &format!("/v2.0/{key}?project_id={}", self.project), key).await
    }

    /// Everything that the project holds.
    ///
    /// # Errors
    /// When a service does not answer.
    pub async fn everything(&self) -> Result<Vec<Held>> {
        let mut all = Vec::new();
        let mut add = |what, items: Vec<Value>, id: &str, tag: &str| {
            for item in items {
                let of = |pointer: &str| {
                    item.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned()
                };
                all.push(Held { what, id: of(id), status: of("/status"), tag: of(tag) });
            }
        };
        add("server", self.servers().await?, "/id", "/metadata/archipel");
        add("volume", self.volumes().await?, "/id", "/metadata/archipel");
        add("network", self.of_network("networks").await?, "/id", "/description");
        add("subnet", self.of_network("subnets").await?, "/id", "/description");
        add("port", self.of_network("ports").await?, "/id", "/description");
        let keypairs = self.list("compute", "/v2.1/os-keypairs", "keypairs").await?;
        add("keypair", keypairs, "/keypair/name", "/keypair/name");
        Ok(all)
    }

    /// How many servers and volumes carry the tag of each order of a site, by the order's id.
    ///
    /// # Errors
    /// When a service does not answer.
    pub async fn machines(&self, site: &str) -> Result<BTreeMap<String, usize>> {
        let mut machines = BTreeMap::new();
        for held in self.everything().await? {
            let is_machine = matches!(held.what, "server" | "volume");
            if let Some(order) = held.tag.strip_prefix(&format!("archipel:{site}:")).filter(|_| is_machine) {
                *machines.entry(order.to_owned()).or_default() += 1;
            }
        }
        Ok(machines)
    }
}

/// A token of a person, scoped to its project.
///
/// # Errors
/// When Keystone refuses.
pub async fn log_in(peer: &Peer, who: Person<'_>) -> Result<String> {
    let body = json!({"auth": {
        "identity": {"methods": ["password"], "password": {"user": {
            "name": who.username(), "password": who.password(), "domain": {"name": who.domain()},
        }}},
        "scope": {"project": {"id": who.project_id()}},
    }});
    let client = Client::at_url(&peer.origin("identity")?, None)?;
    let answer = client.post("/v3/auth/tokens", &body).await?;
    answer.success().with_context(|| format!("logging {} in to Keystone", who.username()))?;
    Ok(answer.header("x-subject-token").context("a token of Keystone")?.to_owned())
}
