//! Single calls by name, with JSON in and out: what the author's own tests ask.
//!
//! | call | with |
//! |---|---|
//! | `authorization.is-authorized` | `operation`, `resource` {`kind`, ...}, `user` |
//! | `token-generator.credential-fields`, `.create-token` | `credentials` {field: text} |
//! | `federation-identity.get-federation-user` | `token` |
//! | `authentication.is-authentic` | `token`, `user` |
//! | `mapper.map-user`, `mapper.get-token` | `user`; `account` |
//! | `KIND.request-instance`, `.get-instance`, `.delete-instance`, `.find-instances`, `.list-instances` | `order` (a number), `spec`, `attempt`; `id`, `driver_state`; `cursor` |
//! | `compute-power.ACTION` | `order`, `id`, `driver_state` |
//! | `quota.get-user-quota`, `spec.get-all-specs`, `spec.get-spec`, `image.get-all-images`, `image.get-image`, `network.get-all-networks` | `id` |
//! | `clock.turn`, `clock.now` | `ms` |
//! | `http.requests` | |
//! | `contract` | |
//!
//! What is left out comes from the case. Tokens are given as names (`#0`), never as bytes.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use archipel_model::order::Kind;
use archipel_model::plugin::{CreateContext, Credential, LoginOutcome, Operation, OrderRef, Resource};
use archipel_model::site::CloudBinding;
use archipel_model::{Error, FederationUser, SecretBytes};
use serde_json::{Map, Value, json};

use crate::bench::Workbench;
use crate::case::{Asker, CLOUD};
use crate::contract;
use crate::shown;

/// What comes of a call that could not be made.
#[derive(Debug)]
pub(crate) enum Failed {
    /// The plugin's own typed error.
    Plugin(Error),
    /// There is no such call, or not with these arguments.
    Misuse(String),
}

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        Self::Plugin(error)
    }
}

type Called = Result<Value, Failed>;

fn misuse<T>(text: impl Into<String>) -> Result<T, Failed> {
    Err(Failed::Misuse(text.into()))
}

/// The calls of one session; it remembers the tokens that plugins made.
pub(crate) struct Calls {
    bench: Arc<Workbench>,
    tokens: Mutex<Vec<SecretBytes>>,
}

impl Calls {
    pub(crate) fn new(bench: Arc<Workbench>) -> Self {
        Self { bench, tokens: Mutex::default() }
    }

    /// Makes one call.
    pub(crate) async fn call(&self, name: &str, with: &Map<String, Value>) -> Called {
        let bench = &*self.bench;
        let Some((interface, function)) = name.split_once('.') else {
            return match name {
                "contract" => Ok(json!(contract::check(bench).await)),
                _ => misuse(format!("there is no call {name:?}")),
            };
        };
        match interface {
            "clock" => self.clock(function, with),
            "http" if function == "requests" => Ok(json!(bench.tape.requests())),
            "authorization" => self.authorization(function, with).await,
            "token-generator" | "federation-identity" | "authentication" => {
                self.identity(interface, function, with).await
            }
            "mapper" => self.mapper(function, with).await,
            "quota" | "spec" | "image" => self.offers(interface, function, with).await,
            "network" if function == "get-all-networks" => self.offers(interface, function, with).await,
            "compute-power" => self.power(function, with).await,
            kind => match kind.parse::<Kind>() {
                Ok(kind) => self.instance(kind, function, with).await,
                Err(_) => misuse(format!("there is no interface {interface:?}")),
            },
        }
    }

    fn clock(&self, function: &str, with: &Map<String, Value>) -> Called {
        if function == "turn" {
            let ms = with.get("ms").and_then(Value::as_u64);
            let Some(ms) = ms else { return misuse("clock.turn wants `ms`, a number") };
            self.bench.clock.turn(Duration::from_millis(ms));
        }
        Ok(shown::now(&*self.bench.clock))
    }

    fn user(&self, with: &Map<String, Value>) -> Result<FederationUser, Failed> {
        let case = &self.bench.case;
        let Some(given) = with.get("user") else { return Ok(case.user()) };
        let mut whole = json!(case.user);
        if let (Some(whole), Some(given)) = (whole.as_object_mut(), given.as_object()) {
            whole.extend(given.clone());
        }
        match serde_json::from_value::<Asker>(whole) {
            Ok(asker) => Ok(asker.user(case.now)),
            Err(error) => misuse(format!("user: {error}")),
        }
    }

    fn keep(&self, token: SecretBytes) -> String {
        let mut tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        tokens.push(token);
        format!("#{}", tokens.len().saturating_sub(1))
    }

    /// A token by its name, or a text that is none.
    fn token(&self, with: &Map<String, Value>) -> Result<SecretBytes, Failed> {
        let Some(text) = with.get("token").and_then(Value::as_str) else {
            return misuse("`token` is missing");
        };
        let tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = text.strip_prefix('#').and_then(|number| tokens.get(number.parse::<usize>().ok()?));
        Ok(kept.cloned().unwrap_or_else(|| SecretBytes::new(text)))
    }

    async fn authorization(&self, function: &str, with: &Map<String, Value>) -> Called {
        let generation = self.bench.generation();
        let (Some(link), "is-authorized") = (generation.authorization.first(), function) else {
            return misuse(format!("the plugin has no authorization.{function}"));
        };
        let operation = with.get("operation").cloned().unwrap_or_else(|| "read".into());
        let operation: Operation = match serde_json::from_value(operation) {
            Ok(operation) => operation,
            Err(error) => return misuse(format!("operation: {error}")),
        };
        let user = self.user(with)?;
        let resource = resource(&self.bench, with.get("resource"), &user)?;
        let context = contract::context(&self.bench, operation);
        let decision = link.plugin.is_authorized(&user, &resource, &context).await?;
        Ok(shown::decision(&decision))
    }

    async fn identity(&self, interface: &str, function: &str, with: &Map<String, Value>) -> Called {
        let generation = self.bench.generation();
        let Some(binding) = generation.identity.first() else {
            return misuse("the plugin has none of the identity interfaces");
        };
        match (interface, function, &binding.generator) {
            ("token-generator", "credential-fields", Some(generator)) => {
                Ok(json!(generator.credential_fields().await?))
            }
            ("token-generator", "create-token", Some(generator)) => {
                let given = with.get("credentials").and_then(Value::as_object).cloned();
                let given = given.unwrap_or_else(|| {
                    self.bench.case.login.iter().map(|(name, value)| (name.clone(), json!(value))).collect()
                });
                let credentials = given.into_iter().map(|(name, value)| Credential {
                    name,
                    value: SecretBytes::new(value.as_str().unwrap_or_default()),
                });
                let context = contract::context(&self.bench, Operation::Login);
                let outcome = generator.create_token(credentials.collect(), &context).await?;
                let token = match &outcome {
                    LoginOutcome::Issued { token, .. } => Some(self.keep(token.clone())),
                    LoginOutcome::Challenge(_) => None,
                };
                Ok(shown::login(&outcome, token.as_deref()))
            }
            ("federation-identity", "get-federation-user", _) => {
                Ok(json!(binding.identity.get_federation_user(&self.token(with)?).await?))
            }
            ("authentication", "is-authentic", _) => {
                let (user, token) = (self.user(with)?, self.token(with)?);
                let context = contract::context(&self.bench, Operation::Read);
                Ok(shown::verdict(&binding.authentication.is_authentic(&user, &token, &context).await?))
            }
            _ => misuse(format!("there is no {interface}.{function}")),
        }
    }

    fn cloud(&self) -> Result<Arc<CloudBinding>, Failed> {
        match self.bench.cloud() {
            Some(cloud) => Ok(cloud),
            None => misuse("the plugin is neither mapper nor driver"),
        }
    }

    async fn mapper(&self, function: &str, with: &Map<String, Value>) -> Called {
        let cloud = self.cloud()?;
        let context = contract::context(&self.bench, Operation::Create);
        match function {
            "map-user" => Ok(json!(cloud.mapper.map_user(&self.user(with)?, CLOUD, &context).await?)),
            "get-token" => {
                let Some(account) = text(with, "account") else { return misuse("`account` is missing") };
                let token = cloud.mapper.get_token(account, CLOUD, &context, None).await?;
                let attributes: Value = serde_json::from_str(&token.attributes).unwrap_or_default();
                Ok(json!({
                    "account": token.account, "attributes": attributes, "expires_at": token.expires_at,
                    "token": token.secret.map(|secret| self.keep(secret)),
                }))
            }
            _ => misuse(format!("there is no mapper.{function}")),
        }
    }

    fn order(&self, kind: Kind, with: &Map<String, Value>) -> OrderRef {
        let number = with.get("order").and_then(Value::as_u64).and_then(|number| u8::try_from(number).ok());
        let id = contract::order_id(kind, number.unwrap_or(1));
        let spec = with.get("spec").cloned().unwrap_or_else(|| self.bench.case.spec(kind));
        let tag = format!("archipel:{}:{id}", self.bench.site);
        OrderRef { id, tag, kind, spec, dependencies: Vec::new() }
    }

    async fn instance(&self, kind: Kind, function: &str, with: &Map<String, Value>) -> Called {
        let cloud = self.cloud()?;
        let driver = cloud.driver(kind)?;
        let (order, token) = (self.order(kind, with), self.bench.case.token());
        let id = text(with, "id").unwrap_or_default();
        let note = text(with, "driver_state").unwrap_or_default();
        Ok(match function {
            "request-instance" => {
                let attempt =
                    with.get("attempt").and_then(Value::as_u64).and_then(|attempt| attempt.try_into().ok());
                let idempotency_key = format!("workbench-{}", order.id);
                let create = CreateContext { order, attempt: attempt.unwrap_or(1), idempotency_key };
                let created = driver.request_instance(&create, &token).await?;
                json!({"id": created.id, "driver_state": created.driver_state})
            }
            "get-instance" => shown::observed(&driver.get_instance(id, note, &order, &token).await?),
            "delete-instance" => json!(driver.delete_instance(id, note, &order, &token).await?),
            "find-instances" => {
                let found = driver.find_instances(&order, &token).await?;
                json!(found.iter().map(shown::tagged).collect::<Vec<_>>())
            }
            "list-instances" => shown::page(&driver.list_instances(&token, text(with, "cursor")).await?),
            _ => return misuse(format!("there is no {kind}.{function}")),
        })
    }

    async fn power(&self, function: &str, with: &Map<String, Value>) -> Called {
        let cloud = self.cloud()?;
        let Ok(action) = function.parse() else { return misuse(format!("there is no action {function:?}")) };
        let order = self.order(Kind::Compute, with);
        let (id, note) =
            (text(with, "id").unwrap_or_default(), text(with, "driver_state").unwrap_or_default());
        let power = cloud.power(action)?;
        Ok(json!(power.act(action, id, note, &order, &self.bench.case.token()).await?))
    }

    async fn offers(&self, interface: &str, function: &str, with: &Map<String, Value>) -> Called {
        let cloud = self.cloud()?;
        let token = self.bench.case.token();
        let id = text(with, "id").unwrap_or_default();
        Ok(match (function, &cloud.quota, &cloud.specs, &cloud.images, &cloud.networks) {
            ("get-user-quota", Some(quota), ..) => json!(quota.get_user_quota(&token).await?),
            ("get-all-specs", _, Some(specs), ..) => json!(specs.get_all_specs(&token).await?),
            ("get-spec", _, Some(specs), ..) => json!(specs.get_spec(id, &token).await?),
            ("get-all-images", _, _, Some(images), _) => json!(images.get_all_images(&token).await?),
            ("get-image", _, _, Some(images), _) => json!(images.get_image(id, &token).await?),
            ("get-all-networks", .., Some(networks)) => json!(networks.get_all_networks(&token).await?),
            _ => return misuse(format!("the plugin has no {interface}.{function}")),
        })
    }
}

fn text<'w>(with: &'w Map<String, Value>, name: &str) -> Option<&'w str> {
    with.get(name).and_then(Value::as_str)
}

/// A resource from what a test says of it; the rest is the caller's own.
fn resource(bench: &Workbench, given: Option<&Value>, user: &FederationUser) -> Result<Resource, Failed> {
    let empty = Map::new();
    let given = match given {
        None => &empty,
        Some(Value::Object(given)) => given,
        Some(_) => return misuse("resource: not an object"),
    };
    let known = ["kind", "cloud", "group", "state", "labels", "spec", "owner"];
    if let Some(other) = given.keys().find(|key| !known.contains(&key.as_str())) {
        return misuse(format!("resource: unknown {other:?}; known: {}", known.join(", ")));
    }
    let word = |name: &str| given.get(name).and_then(Value::as_str).map(str::to_owned);
    let owner = match given.get("owner") {
        None => Some(user.owner()),
        Some(owner) => match serde_json::from_value(owner.clone()) {
            Ok(owner) => owner,
            Err(error) => return misuse(format!("resource.owner: {error}")),
        },
    };
    let labels = given.get("labels").and_then(Value::as_object).cloned().unwrap_or_default();
    let labels =
        labels.into_iter().map(|(name, value)| (name, value.as_str().unwrap_or_default().to_owned()));
    Ok(Resource {
        kind: word("kind").unwrap_or_else(|| "compute".to_owned()),
        id: None,
        cloud: word("cloud"),
        site: bench.site.clone(),
        owner,
        group: word("group"),
        state: word("state"),
        labels: labels.collect(),
        spec: given.get("spec").cloned(),
        owner_usage: None,
        group_usage: None,
    })
}
