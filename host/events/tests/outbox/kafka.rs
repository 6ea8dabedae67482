//! Kafka: librdkafka's mock cluster, which speaks the protocol over TCP and fails as it is told.

use std::time::{Duration, Instant};

use archipel_model::publisher::{PublisherState, PublisherStatus};
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{Headers, Message};
use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};
use serde_json::{Value, json};

use crate::site::{Site, assert_all_in_order};

type Cluster = MockCluster<'static, DefaultProducerContext>;

const TOPIC: &str = "archipel.events";
const PARTITIONS: i32 = 3;

fn cluster() -> Cluster {
    let cluster = MockCluster::new(3).unwrap();
    cluster.create_topic(TOPIC, PARTITIONS, 3).unwrap();
    cluster
}

fn kafka(cluster: &Cluster, more: &str) -> String {
    let brokers = cluster.bootstrap_servers();
    let brokers: Vec<&str> = brokers.split(',').collect();
    format!("[[kafka]]\nname = \"bus\"\nbrokers = {brokers:?}\ntopic = \"{TOPIC}\"\n{more}\n")
}

/// A record that was read.
struct Record {
    key: String,
    partition: i32,
    headers: Vec<(String, String)>,
    body: Value,
}

/// Longer than reading takes.
const PATIENCE: Duration = Duration::from_secs(60);

/// All records of the topic, of each partition in order.
fn records(cluster: &Cluster) -> Vec<Record> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", cluster.bootstrap_servers())
        .set("group.id", "test")
        .set("enable.auto.commit", "false")
        .create()
        .unwrap();
    let mut all = TopicPartitionList::new();
    for partition in 0..PARTITIONS {
        all.add_partition_offset(TOPIC, partition, Offset::Beginning).unwrap();
    }
    consumer.assign(&all).unwrap();
    // All there is, by the brokers' own word: silence proves nothing on a busy machine.
    let end = Instant::now() + PATIENCE;
    let held = |partition| loop {
        match consumer.fetch_watermarks(TOPIC, partition, Duration::from_secs(5)) {
            Ok((low, high)) => break high - low,
            Err(error) => assert!(Instant::now() < end, "{error}"),
        }
    };
    let held = usize::try_from((0..PARTITIONS).map(held).sum::<i64>()).unwrap();
    let mut records = Vec::new();
    while records.len() < held {
        assert!(Instant::now() < end, "{} of {held} records can be read", records.len());
        // A broker that was down is an error here too, and a temporary one.
        let Some(Ok(message)) = consumer.poll(Duration::from_millis(200)) else { continue };
        let text = |bytes: Option<&[u8]>| String::from_utf8(bytes.unwrap_or_default().to_vec()).unwrap();
        let headers = message.headers().map(|headers| {
            headers.iter().map(|header| (header.key.to_owned(), text(header.value))).collect::<Vec<_>>()
        });
        records.push(Record {
            key: text(message.key()),
            partition: message.partition(),
            headers: headers.unwrap_or_default(),
            body: serde_json::from_slice(message.payload().unwrap()).unwrap(),
        });
    }
    records
}

/// As (id, subject).
fn arrived(records: &[Record]) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    records.iter().map(|record| (text(&record.body["id"]), text(&record.body["subject"]))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn events_arrive_whole_with_their_orders_id_as_the_key() {
    let (site, cluster) = (Site::new().await, cluster());
    let running = site.publish(&kafka(&cluster, "")).await;
    site.orders(50).await;
    let status = running.when_sent("bus", &site).await;
    assert_eq!((status.sent, status.failures, status.state), (150, 0, PublisherState::Sending));
    let records = records(&cluster);
    assert_eq!(records.len(), 150, "an idempotent producer doubles nothing");
    assert_all_in_order(&site.logged().await, &arrived(&records));
    for record in &records {
        assert_eq!(record.body["specversion"], "1.0");
        assert_eq!(record.body["subject"], record.key.as_str());
        assert_eq!(record.headers, [("content-type".to_owned(), "application/cloudevents+json".to_owned())]);
    }
    assert!((0..PARTITIONS).all(|partition| records.iter().any(|record| record.partition == partition)));
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn in_binary_mode_attributes_are_headers() {
    let (site, cluster) = (Site::new().await, cluster());
    let running =
        site.publish(&kafka(&cluster, "mode = \"binary\"\nkey = \"{cloud}\"\ncompression = \"gzip\"")).await;
    let order = site.order("east").await;
    running.when_sent("bus", &site).await;
    let record = records(&cluster).remove(0);
    let header =
        |name: &str| record.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str());
    assert_eq!(record.key, "east");
    assert_eq!(header("content-type"), Some("application/json"));
    assert_eq!(header("ce_specversion"), Some("1.0"));
    assert_eq!(header("ce_type"), Some("org.archipel.order.open.v1"));
    assert_eq!(header("ce_subject"), Some(order.id.to_string().as_str()));
    assert_eq!(record.body, json!({"state": "open", "version": 1, "cloud": "east", "kind": "volume"}));
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_that_is_away_loses_nothing_and_says_so() {
    let (site, cluster) = (Site::new().await, cluster());
    let running = site.publish(&kafka(&cluster, "timeout_s = 1")).await;
    site.orders(10).await;
    running.when_sent("bus", &site).await;
    for broker in 1..=3 {
        cluster.broker_down(broker).unwrap();
    }
    site.orders(30).await;
    let waits = |status: &PublisherStatus| status.failures > 0 && status.state == PublisherState::Waiting;
    let status = running.when("bus", waits).await;
    assert_eq!(status.sent, 30);
    assert!(status.behind_since.is_some() && status.waiting > 0);
    assert!(status.last_error.unwrap().starts_with("topic archipel.events: "));
    site.orders(10).await;
    for broker in 1..=3 {
        cluster.broker_up(broker).unwrap();
    }
    let status = running.when_sent("bus", &site).await;
    assert_eq!(status.last_error, None);
    assert_all_in_order(&site.logged().await, &arrived(&records(&cluster)));
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_comes_and_goes_while_events_flow_loses_nothing() {
    let (site, cluster) = (Site::new().await, cluster());
    let running = site.publish(&kafka(&cluster, "timeout_s = 2")).await;
    for round in 0..6 {
        let broker = round % 3 + 1;
        cluster.broker_down(broker).unwrap();
        site.orders(10).await;
        tokio::time::sleep(Duration::from_millis(200)).await;
        cluster.broker_up(broker).unwrap();
        site.orders(5).await;
    }
    running.when_sent("bus", &site).await;
    assert_all_in_order(&site.logged().await, &arrived(&records(&cluster)));
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_fail_are_repeated_and_what_comes_twice_has_the_same_id() {
    use RDKafkaRespErr as Answer;
    let (site, cluster) = (Site::new().await, cluster());
    let running = site.publish(&kafka(&cluster, "timeout_s = 3")).await;
    // Without connections that break in between: then the mock cluster has, in one run of twenty, not all that it
    // acknowledged; see the open question in `host/decisions/0010`. Brokers that go are the next test's.
    for answer in [
        Answer::RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION,
        Answer::RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT,
        Answer::RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS,
        Answer::RD_KAFKA_RESP_ERR_KAFKA_STORAGE_ERROR,
    ] {
        cluster.request_errors(RDKafkaApiKey::Produce, &[answer; 3]);
        site.orders(20).await;
        running.when_sent("bus", &site).await;
    }
    assert_all_in_order(&site.logged().await, &arrived(&records(&cluster)));
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_producer_that_can_do_no_more_is_made_anew() {
    let (site, cluster) = (Site::new().await, cluster());
    let running = site.publish(&kafka(&cluster, "timeout_s = 2")).await;
    site.orders(2).await;
    running.when_sent("bus", &site).await;
    cluster.request_errors(
        RDKafkaApiKey::Produce,
        // Fatal for an idempotent producer: the broker does not know what came before.
        &[RDKafkaRespErr::RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER],
    );
    site.orders(10).await;
    running.when_sent("bus", &site).await;
    assert_all_in_order(&site.logged().await, &arrived(&records(&cluster)));
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_restart_it_goes_on_where_it_stopped() {
    let (site, cluster) = (Site::new().await, cluster());
    let config = kafka(&cluster, "");
    let running = site.publish(&config).await;
    site.orders(5).await;
    running.when_sent("bus", &site).await;
    running.stop().await;
    site.orders(5).await;
    let running = site.publish(&config).await;
    running.when_sent("bus", &site).await;
    let records = records(&cluster);
    assert_eq!(records.len(), 30);
    assert_all_in_order(&site.logged().await, &arrived(&records));
    running.stop().await;
}
