//! Events as Kafka records: the CloudEvents Kafka binding (1.0.2), by librdkafka's idempotent producer.
//!
//! A record counts as sent when every replica in sync has it (`acks=all`). librdkafka tries again by itself for
//! `timeout_s`, without doubling and without swapping; only then is it a failed attempt, and the event comes again as a
//! new record with the same id. Keys are spread as Java clients do it (murmur2), so that streams can be joined.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use archipel_model::SiteId;
use archipel_vault::Vault;
use async_trait::async_trait;
use rdkafka::client::ClientContext;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{FutureProducer, FutureRecord, Producer as _};
use rdkafka::util::Timeout;

use crate::cloud_event::{CloudEvent, Mode};
use crate::config::KafkaConfig;
use crate::receiver::{Failure, Receiver, What};

/// How long records wait to share a batch.
const LINGER_MS: &str = "5";
/// The longest that librdkafka waits between two attempts to connect.
const RECONNECT_MS: &str = "5000";
/// For the last records when the daemon stops.
const FLUSH: Duration = Duration::from_secs(2);

pub(crate) struct Kafka {
    config: KafkaConfig,
    client_id: String,
    vault: Arc<Vault>,
    last_words: LastWords,
    producer: Mutex<Option<Producer>>,
}

type Producer = FutureProducer<Context>;

impl Kafka {
    /// Connects to nothing yet.
    ///
    /// # Errors
    /// What librdkafka will not take: a certificate that cannot be read, a secret that is missing.
    pub(crate) fn new(config: &KafkaConfig, site: &SiteId, vault: Arc<Vault>) -> Result<Self, String> {
        let kafka = Self {
            config: config.clone(),
            client_id: format!("archipel-{site}-{}", config.name),
            vault,
            last_words: LastWords::default(),
            producer: Mutex::new(None),
        };
        let _ = kafka.producer()?;
        Ok(kafka)
    }

    /// Where it sends to.
    pub(crate) fn target(&self) -> String {
        self.config.brokers.join(",")
    }

    /// The one that serves; made where there is none, with the secrets as they are now.
    fn producer(&self) -> Result<Producer, String> {
        let mut held = self.producer.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(producer) = &*held {
            return Ok(producer.clone());
        }
        let context = Context { name: self.config.name.clone(), last_words: self.last_words.clone() };
        let made: Producer =
            self.settings()?.create_with_context(context).map_err(|error| error.to_string())?;
        *held = Some(made.clone());
        Ok(made)
    }

    fn settings(&self) -> Result<ClientConfig, String> {
        let config = &self.config;
        let mut settings = ClientConfig::new();
        settings
            .set("bootstrap.servers", config.brokers.join(","))
            .set("client.id", &self.client_id)
            .set("enable.idempotence", "true")
            .set("acks", "all")
            .set("compression.type", config.compression.as_str())
            .set("linger.ms", LINGER_MS)
            .set("partitioner", "murmur2_random")
            .set("message.timeout.ms", (u64::from(config.timeout_s) * 1000).to_string())
            .set("reconnect.backoff.max.ms", RECONNECT_MS)
            .set("socket.keepalive.enable", "true")
            .set("security.protocol", protocol(config))
            .set_log_level(RDKafkaLogLevel::Warning);
        if let Some(tls) = &config.tls {
            for (key, path) in [("ssl.ca.location", &tls.ca), ("ssl.certificate.location", &tls.cert)] {
                if let Some(path) = path {
                    // librdkafka would not say which file.
                    let unreadable = |error| format!("{}: {error}", path.display());
                    std::fs::File::open(path).map_err(unreadable)?;
                    settings.set(key, path.to_string_lossy());
                }
            }
            if let Some(key) = &tls.key {
                settings.set("ssl.key.pem", self.secret(key)?);
            }
        }
        if let Some(sasl) = &config.sasl {
            settings
                .set("sasl.mechanism", sasl.mechanism.as_str())
                .set("sasl.username", &sasl.username)
                .set("sasl.password", self.secret(&sasl.password)?);
        }
        Ok(settings)
    }

    fn secret(&self, name: &str) -> Result<String, String> {
        let secret = self.vault.open(name).ok_or_else(|| format!("there is no [secrets.{name}]"))?;
        String::from_utf8(secret.reveal().to_vec()).map_err(|_| format!("secret {name} is not text"))
    }

    /// A producer that met a fatal error sends nothing more; and a new one reads secrets that were changed.
    fn start_anew(&self, with: &Producer, error: &KafkaError) {
        let is_fatal = with.client().fatal_error().is_some();
        let is_login = matches!(
            error.rdkafka_error_code(),
            Some(RDKafkaErrorCode::Authentication | RDKafkaErrorCode::SaslAuthenticationFailed)
        ) || self.last_words.get().is_some_and(|words| words.contains("authentication"));
        if is_fatal || is_login {
            tracing::warn!(publisher = self.config.name, %error, "the Kafka producer starts anew");
            self.drop_producer();
        }
    }

    fn drop_producer(&self) {
        let held = self.producer.lock().unwrap_or_else(PoisonError::into_inner).take();
        // Its end waits for its threads.
        tokio::task::spawn_blocking(move || drop(held));
    }

    fn headers(&self, event: &CloudEvent) -> OwnedHeaders {
        let mode = self.config.mode;
        let headers =
            OwnedHeaders::new().insert(Header { key: "content-type", value: Some(event.media_type(mode)) });
        match mode {
            Mode::Structured => headers,
            Mode::Binary => event.attributes().iter().fold(headers, |headers, (name, value)| {
                headers.insert(Header { key: &format!("ce_{name}"), value: Some(value) })
            }),
        }
    }
}

fn protocol(config: &KafkaConfig) -> &'static str {
    match (&config.tls, &config.sasl) {
        (None, None) => "plaintext",
        (Some(_), None) => "ssl",
        (None, Some(_)) => "sasl_plaintext",
        (Some(_), Some(_)) => "sasl_ssl",
    }
}

#[async_trait]
impl Receiver for Kafka {
    async fn deliver(&self, event: &CloudEvent) -> Result<(), Failure> {
        let producer = self.producer().map_err(Failure::away)?;
        let (topic, key) = (self.config.topic.fill_topic(event), self.config.key.fill(event));
        let body = event.body(self.config.mode);
        let record = FutureRecord::to(&topic)
            .payload(&*body)
            .key(&key)
            .timestamp(event.time.as_millis())
            .headers(self.headers(event));
        match producer.send(record, Timeout::After(Duration::from_secs(1))).await {
            Ok(_) => {
                self.last_words.forget();
                Ok(())
            }
            Err((error, _)) => {
                self.start_anew(&producer, &error);
                Err(failure(&error, &topic, self.last_words.get()))
            }
        }
    }

    async fn close(&self) {
        let held = self.producer.lock().unwrap_or_else(PoisonError::into_inner).take();
        let flushed = tokio::task::spawn_blocking(move || held.map(|producer| producer.flush(FLUSH)));
        let _ = flushed.await;
    }
}

fn failure(error: &KafkaError, topic: &str, last_words: Option<String>) -> Failure {
    use RDKafkaErrorCode as Code;
    let what = match error.rdkafka_error_code() {
        Some(
            Code::MessageSizeTooLarge
            | Code::InvalidMessage
            | Code::InvalidTopic
            | Code::UnknownTopic
            | Code::UnknownTopicOrPartition
            | Code::TopicAuthorizationFailed
            | Code::InvalidRecord,
        ) => What::Refused,
        _ => What::Away(None),
    };
    let because = last_words.map(|words| format!(" ({words})")).unwrap_or_default();
    Failure { what, reason: format!("topic {topic}: {error}{because}") }
}

/// What librdkafka last complained of: a record that times out does not say why.
#[derive(Clone, Default)]
struct LastWords(Arc<Mutex<Option<String>>>);

impl LastWords {
    fn get(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, words: String) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(words);
    }

    fn forget(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

/// Hears librdkafka's complaints. They are many while a broker is away, and the publisher tells it once.
#[derive(Clone)]
struct Context {
    name: String,
    last_words: LastWords,
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, part: &str, message: &str) {
        tracing::debug!(publisher = self.name, ?level, part, message, "librdkafka");
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(publisher = self.name, %error, reason, "librdkafka");
        self.last_words.set(reason.chars().take(300).collect());
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::path::Path;

    use archipel_vault::SecretSource;

    use super::*;
    use crate::EventsConfig;

    fn kafka(text: &str) -> Result<Kafka, String> {
        let config: EventsConfig = toml::from_str(text).unwrap();
        let source = SecretSource { value: Some("hunter2".into()), ..SecretSource::default() };
        let sources = BTreeMap::from([("pw".to_owned(), source)]);
        let vault =
            Vault::load(&sources, Path::new("."), &archipel_vault::KeySource::File("/none".into())).unwrap();
        Kafka::new(&config.kafka[0], &"site-a".parse().unwrap(), Arc::new(vault))
    }

    #[tokio::test]
    async fn tls_and_sasl_reach_librdkafka_which_was_built_with_both() {
        let kafka = kafka(
            "[[kafka]]\nname = \"b\"\nbrokers = [\"127.0.0.1:1\", \"[::1]:2\"]\ntopic = \"t\"\ntls = {}\n\
             sasl = { mechanism = \"SCRAM-SHA-512\", username = \"u\", password = \"pw\" }\ncompression = \"gzip\"\n",
        )
        .unwrap();
        let settings = kafka.settings().unwrap();
        for (key, value) in [
            ("bootstrap.servers", "127.0.0.1:1,[::1]:2"),
            ("security.protocol", "sasl_ssl"),
            ("sasl.mechanism", "SCRAM-SHA-512"),
            ("sasl.password", "hunter2"),
            ("enable.idempotence", "true"),
            ("acks", "all"),
            ("compression.type", "gzip"),
        ] {
            assert_eq!(settings.get(key), Some(value), "{key}");
        }
        assert!(!kafka.target().contains("hunter2"));
    }

    #[tokio::test]
    async fn a_certificate_that_cannot_be_read_is_told_at_the_start() {
        let error = kafka(
            "[[kafka]]\nname = \"b\"\nbrokers = [\"127.0.0.1:1\"]\ntopic = \"t\"\ntls = { ca = \"/nonexistent/ca.pem\" }\n",
        )
        .err()
        .unwrap();
        assert!(error.contains("/nonexistent/ca.pem"), "{error}");
    }
}
