//! `[[events.kafka]]` and `[[events.webhook]]` of the site file.
//!
//! ```toml
//! [[events.kafka]]
//! name = "bus"
//! brokers = ["kafka-1.example.org:9093", "kafka-2.example.org:9093"]
//! topic = "archipel.{cloud}"
//! tls = { ca = "secrets/kafka-ca.pem" }
//! sasl = { mechanism = "SCRAM-SHA-512", username = "archipel", password = "kafka-password" }
//!
//! [[events.webhook]]
//! name = "accounting"
//! url = "https://accounting.example.org/archipel"
//! secrets = ["accounting-key"]
//! types = ["org.archipel.order.fulfilled.v1", "org.archipel.order.closed.v1"]
//! ```

use std::path::{Path, PathBuf};

use archipel_egress::{Origin, PrivateAccess};
use serde::Deserialize;

use crate::cloud_event::Mode;
use crate::filter::Filter;
use crate::template::Template;

/// `[events]`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EventsConfig {
    /// `[[events.kafka]]`.
    pub kafka: Vec<KafkaConfig>,
    /// `[[events.webhook]]`.
    pub webhook: Vec<WebhookConfig>,
}

/// Where a publisher begins that the store has never heard of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Begin {
    /// What happens from its first start on.
    #[default]
    Now,
    /// The oldest event that is kept.
    Oldest,
}

/// `[[events.kafka]]`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KafkaConfig {
    /// Its place in the log is kept under this name: a new name begins anew, an old one goes on.
    pub name: String,
    /// `host:port`; one that answers tells of the others.
    pub brokers: Vec<String>,
    /// The topic, with `{site}`, `{cloud}` and `{kind}` filled in.
    pub topic: Template,
    /// The record's key: what has the same key stays in order. With `{site}`, `{cloud}`, `{kind}` and `{subject}`.
    #[serde(default = "subject")]
    pub key: Template,
    /// `structured` or `binary`.
    #[serde(default)]
    pub mode: Mode,
    /// How batches are packed.
    #[serde(default)]
    pub compression: Compression,
    /// TLS towards the brokers; `{}` trusts the machine's roots.
    #[serde(default)]
    pub tls: Option<KafkaTls>,
    /// Log in at the brokers.
    #[serde(default)]
    pub sasl: Option<KafkaSasl>,
    /// Where it begins when it is new.
    #[serde(default)]
    pub begin: Begin,
    /// Only these types; an ending `*` stands for anything. None = all.
    #[serde(default)]
    pub types: Vec<String>,
    /// Only orders of these clouds. None = all.
    #[serde(default)]
    pub clouds: Vec<String>,
    /// Orders whose events are on their way at a time.
    #[serde(default = "many")]
    pub concurrency: u32,
    /// Seconds until an unacknowledged record counts as a failed attempt (it is then tried again).
    #[serde(default = "half_a_minute")]
    pub timeout_s: u32,
}

/// How batches are packed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Compression {
    /// Not.
    None,
    /// zlib.
    Gzip,
    /// Snappy.
    Snappy,
    /// LZ4: costs next to nothing, and these events are text.
    #[default]
    Lz4,
}

impl Compression {
    /// As librdkafka names it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Gzip => "gzip",
            Self::Snappy => "snappy",
            Self::Lz4 => "lz4",
        }
    }
}

/// `tls = { ca, cert, key }`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct KafkaTls {
    /// Certificates (PEM) to trust instead of the machine's.
    pub ca: Option<PathBuf>,
    /// The site's own certificate (PEM), where brokers ask for one.
    pub cert: Option<PathBuf>,
    /// The name of the secret that holds its private key (PEM).
    pub key: Option<String>,
}

/// `sasl = { mechanism, username, password }`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KafkaSasl {
    /// The mechanism.
    pub mechanism: Mechanism,
    /// Who.
    pub username: String,
    /// The name of the secret that holds the password.
    pub password: String,
}

/// A SASL mechanism.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum Mechanism {
    /// The password itself; only under TLS.
    #[serde(rename = "PLAIN")]
    Plain,
    /// RFC 5802 with SHA-256.
    #[serde(rename = "SCRAM-SHA-256")]
    ScramSha256,
    /// RFC 5802 with SHA-512.
    #[serde(rename = "SCRAM-SHA-512")]
    ScramSha512,
}

impl Mechanism {
    /// As librdkafka names it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::ScramSha256 => "SCRAM-SHA-256",
            Self::ScramSha512 => "SCRAM-SHA-512",
        }
    }
}

/// `[[events.webhook]]`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WebhookConfig {
    /// Its place in the log is kept under this name: a new name begins anew, an old one goes on.
    pub name: String,
    /// Where events are posted to. Redirects are not followed.
    pub url: String,
    /// Names of secrets (`whsec_BASE64`, 24 to 64 bytes) that sign each message; more than one while keys are changed.
    pub secrets: Vec<String>,
    /// `structured` or `binary`.
    #[serde(default)]
    pub mode: Mode,
    /// Private addresses that the URL may lead to: `true`, or ranges.
    #[serde(default)]
    pub private: PrivateAccess,
    /// Post over plain HTTP to another machine; loopback may always be plain.
    #[serde(default)]
    pub allow_plain_http: bool,
    /// Where it begins when it is new.
    #[serde(default)]
    pub begin: Begin,
    /// Only these types; an ending `*` stands for anything. None = all.
    #[serde(default)]
    pub types: Vec<String>,
    /// Only orders of these clouds. None = all.
    #[serde(default)]
    pub clouds: Vec<String>,
    /// Requests at a time: each is for another order.
    #[serde(default = "some")]
    pub concurrency: u32,
    /// Seconds for one attempt.
    #[serde(default = "quarter_of_a_minute")]
    pub timeout_s: u32,
    /// Seconds after which an event that is refused (4xx) is given up, and told so in the log. Never, unless set.
    #[serde(default)]
    pub give_up_s: Option<u64>,
}

fn subject() -> Template {
    Template::subject()
}

fn many() -> u32 {
    1000
}

fn some() -> u32 {
    8
}

fn quarter_of_a_minute() -> u32 {
    15
}

fn half_a_minute() -> u32 {
    30
}

/// The most requests or records of one publisher at a time.
const MOST_CONCURRENCY: u32 = 10_000;

impl EventsConfig {
    /// Makes every path absolute.
    pub fn resolve(&mut self, base: &Path) {
        for tls in self.kafka.iter_mut().filter_map(|kafka| kafka.tls.as_mut()) {
            for path in [&mut tls.ca, &mut tls.cert].into_iter().flatten() {
                *path = base.join(&*path);
            }
        }
    }

    /// What is wrong with it that types cannot say, with the path of each; `secrets` are the names that there are.
    pub fn check(&self, secrets: &[&str]) -> Vec<(String, String)> {
        let mut problems = Problems { names: Vec::new(), found: Vec::new(), secrets };
        for (index, kafka) in self.kafka.iter().enumerate() {
            problems.kafka(&format!("events.kafka[{index}]"), kafka);
        }
        for (index, webhook) in self.webhook.iter().enumerate() {
            problems.webhook(&format!("events.webhook[{index}]"), webhook);
        }
        problems.found
    }
}

struct Problems<'a> {
    names: Vec<&'a str>,
    found: Vec<(String, String)>,
    secrets: &'a [&'a str],
}

impl<'a> Problems<'a> {
    fn tell(&mut self, path: &str, key: &str, message: impl Into<String>) {
        self.found.push((format!("{path}.{key}"), message.into()));
    }

    fn name(&mut self, path: &str, name: &'a str) {
        let is_plain = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_' | '.');
        if name.is_empty() || name.len() > 64 || !name.chars().all(is_plain) {
            self.tell(path, "name", "a name has 1 to 64 letters, digits, -, _ and .");
        }
        if self.names.contains(&name) {
            self.tell(
                path,
                "name",
                format!("there is another publisher \"{name}\"; the place in the log is kept by name"),
            );
        }
        self.names.push(name);
    }

    fn secret(&mut self, path: &str, key: &str, name: &str) {
        if !self.secrets.contains(&name) {
            self.tell(path, key, format!("there is no [secrets.{name}]; add it"));
        }
    }

    fn both(&mut self, path: &str, concurrency: u32, timeout_s: u32, types: &[String]) {
        if !(1..=MOST_CONCURRENCY).contains(&concurrency) {
            self.tell(path, "concurrency", format!("write a number from 1 to {MOST_CONCURRENCY}"));
        }
        if !(1..=3600).contains(&timeout_s) {
            self.tell(path, "timeout_s", "write seconds from 1 to 3600");
        }
        if let Err(message) = Filter::check(types) {
            self.tell(path, "types", message);
        }
    }

    fn kafka(&mut self, path: &str, kafka: &'a KafkaConfig) {
        self.name(path, &kafka.name);
        self.both(path, kafka.concurrency, kafka.timeout_s, &kafka.types);
        if kafka.brokers.is_empty() {
            self.tell(path, "brokers", "name at least one, as in [\"kafka.example.org:9093\"]");
        }
        for broker in kafka.brokers.iter().filter(|broker| !is_host_and_port(broker)) {
            self.tell(path, "brokers", format!("\"{broker}\" is not host:port"));
        }
        if let Err(message) = kafka.topic.check_topic() {
            self.tell(path, "topic", message);
        }
        if let Some(tls) = &kafka.tls {
            if tls.cert.is_some() != tls.key.is_some() {
                self.tell(path, "tls", "cert and key belong together; set both or none");
            }
            if let Some(key) = &tls.key {
                self.secret(path, "tls.key", key);
            }
        }
        if let Some(sasl) = &kafka.sasl {
            self.secret(path, "sasl.password", &sasl.password);
            if sasl.mechanism == Mechanism::Plain && kafka.tls.is_none() {
                self.tell(
                    path,
                    "sasl",
                    "PLAIN without TLS shows the password to the network; set tls = {}, or use SCRAM-SHA-512",
                );
            }
        }
    }

    fn webhook(&mut self, path: &str, webhook: &'a WebhookConfig) {
        self.name(path, &webhook.name);
        self.both(path, webhook.concurrency, webhook.timeout_s, &webhook.types);
        match Origin::of_url(&webhook.url) {
            Err(error) => self.tell(path, "url", error.to_string()),
            Ok((origin, _)) => {
                if !origin.secure && !origin.is_loopback() && !webhook.allow_plain_http {
                    self.tell(
                        path,
                        "url",
                        "plain HTTP shows events to the network; use https, or set allow_plain_http = true",
                    );
                }
            }
        }
        if webhook.secrets.is_empty() {
            self.tell(path, "secrets", "a receiver must be able to tell who sends; name at least one secret");
        }
        for secret in &webhook.secrets {
            self.secret(path, "secrets", secret);
        }
    }
}

fn is_host_and_port(text: &str) -> bool {
    // A comma would be a second broker, and librdkafka takes protocols before a host.
    let is_plain =
        |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '.' | ':' | '[' | ']');
    text.rsplit_once(':').is_some_and(|(host, port)| {
        !host.is_empty() && host.chars().all(is_plain) && port.parse::<u16>().is_ok_and(|port| port != 0)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(text: &str) -> Vec<String> {
        let config: EventsConfig = toml::from_str(text).unwrap();
        config.check(&["k"]).into_iter().map(|(path, message)| format!("{path}: {message}")).collect()
    }

    #[test]
    fn little_is_needed() {
        let config: EventsConfig = toml::from_str(
            "[[kafka]]\nname = \"bus\"\nbrokers = [\"127.0.0.1:9092\"]\ntopic = \"events\"\n\
             [[webhook]]\nname = \"hook\"\nurl = \"https://example.org/x\"\nsecrets = [\"k\"]\n",
        )
        .unwrap();
        assert!(config.check(&["k"]).is_empty());
        assert_eq!((config.kafka[0].mode, config.kafka[0].begin), (Mode::Structured, Begin::Now));
        assert_eq!(config.kafka[0].key, Template::subject());
        assert_eq!(config.webhook[0].give_up_s, None);
    }

    #[test]
    fn what_types_cannot_say_is_told_with_its_place() {
        assert_eq!(
            told(
                "[[kafka]]\nname = \"bus\"\nbrokers = [\"broker\"]\ntopic = \"a b\"\ntypes = [\"*.v1\"]\n\
                 sasl = { mechanism = \"PLAIN\", username = \"u\", password = \"x\" }\n\
                 [[webhook]]\nname = \"bus\"\nurl = \"http://example.org/x\"\nsecrets = []\nconcurrency = 0\n"
            ),
            [
                "events.kafka[0].types: \"*.v1\": a * stands only at the end, as in \"org.archipel.order.*\"",
                "events.kafka[0].brokers: \"broker\" is not host:port",
                "events.kafka[0].topic: a topic has letters, digits, ., _ and -, not ' '",
                "events.kafka[0].sasl.password: there is no [secrets.x]; add it",
                "events.kafka[0].sasl: PLAIN without TLS shows the password to the network; set tls = {}, or use SCRAM-SHA-512",
                "events.webhook[0].name: there is another publisher \"bus\"; the place in the log is kept by name",
                "events.webhook[0].concurrency: write a number from 1 to 10000",
                "events.webhook[0].url: plain HTTP shows events to the network; use https, or set allow_plain_http = true",
                "events.webhook[0].secrets: a receiver must be able to tell who sends; name at least one secret",
            ]
        );
    }

    #[test]
    fn a_template_with_an_unknown_field_is_refused_where_it_is_read() {
        let text = "[[kafka]]\nname = \"b\"\nbrokers = [\"b:1\"]\ntopic = \"x-{state}\"\n";
        let error = toml::from_str::<EventsConfig>(text).unwrap_err().to_string();
        assert!(error.contains("{state}"), "{error}");
    }
}
