//! Kafka: librdkafka's mock cluster, which speaks the protocol over TCP and fails as it is told.
