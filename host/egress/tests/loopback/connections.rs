//! Pools, headers, the original name.

use std::sync::atomic::Ordering;

use archipel_egress::{EgressLimits, PrivateAccess};
use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};

use crate::{Site, fetch, get, read, server, soon};

/// The server's connections once the client's finished requests have given theirs back.
async fn settled(channel: &archipel_egress::Channel, url: &str, times: usize) {
    for _ in 0..times {
        fetch(channel, url).await.unwrap();
        // Giving a connection back is a task of its own.
        tokio::task::yield_now().await;
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn one_binding_reuses_its_connection_and_another_never_gets_it() {
    let (address, seen) = server::http().await;
    let site = Site::new(EgressLimits::default());
    let host = format!("http://{address}");
    let one = site.channel("one", &host, PrivateAccess::All(true));
    let two = site.channel("two", &host, PrivateAccess::All(true));
    settled(&one, &format!("{host}/a"), 5).await;
    assert_eq!(seen.connections(), 1);
    settled(&two, &format!("{host}/a"), 2).await;
    assert_eq!(seen.connections(), 2);
    assert_eq!(seen.requests(), 7);
}

#[tokio::test]
async fn a_connection_that_the_server_closed_is_replaced_without_a_failure() {
    use tokio::io::AsyncWriteExt;
    let address = server::raw(|mut stream| async move {
        // Says that it keeps the connection, and closes it.
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await.unwrap();
    })
    .await;
    let site = Site::new(EgressLimits::default());
    let channel = site.granted(&format!("http://{address}"));
    for _ in 0..10 {
        assert_eq!(fetch(&channel, &format!("http://{address}/")).await.unwrap(), "ok");
    }
}

#[tokio::test]
async fn an_answer_that_is_not_read_to_its_end_costs_its_connection() {
    let (address, seen) = server::http().await;
    let site = Site::new(EgressLimits::default());
    let host = format!("http://{address}");
    let channel = site.granted(&host);
    for _ in 0..2 {
        let mut response = channel.send(get(&format!("{host}/big")), soon()).await.unwrap();
        assert!(response.body_mut().frame().await.unwrap().unwrap().data_ref().unwrap().len() < 1 << 20);
    }
    assert_eq!(seen.connections(), 2);
    assert_eq!(site.outcomes(), ["abandoned", "abandoned"]);
}

#[tokio::test]
async fn the_original_name_is_told_to_the_server_and_hop_headers_are_not() {
    let (address, _) = server::http().await;
    let site = Site::new(EgressLimits::default());
    let host = format!("http://cloud.test:{}", address.port());
    let channel = site.granted(&host);
    let request = Request::post(format!("{host}/v3/x?y=1"))
        .header("host", "evil.test")
        .header("connection", "x-hop")
        .header("x-hop", "1")
        .header("proxy-authorization", "x")
        .header("te", "trailers")
        .header("x-mine", "stays")
        .body(Full::new(Bytes::from("hello")))
        .unwrap();
    let response = channel.send(request, soon()).await.unwrap();
    assert_eq!(response.headers()["x-kept"], "yes");
    assert!(!response.headers().contains_key("keep-alive"));
    let text = String::from_utf8(read(response).await.unwrap().to_vec()).unwrap();
    let mut lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.remove(0), "HTTP/1.1 POST /v3/x?y=1 5");
    lines.sort_unstable();
    assert_eq!(
        lines,
        ["content-length: 5", &format!("host: cloud.test:{}", address.port()), "x-mine: stays"]
    );
}

#[tokio::test]
async fn the_ledger_tells_who_where_how_much_and_how_it_ended() {
    let (address, _) = server::http().await;
    let site = Site::new(EgressLimits::default());
    let host = format!("http://{address}");
    let options = soon();
    let meter = std::sync::Arc::clone(&options.meter);
    let request = Request::put(format!("{host}/secret-path")).body(Full::new(Bytes::from("12345"))).unwrap();
    let received =
        read(site.granted(&host).send(request, options).await.unwrap()).await.unwrap().len() as u64;
    let entry = site.ledger.entries().remove(0);
    assert_eq!(
        (entry.binding.as_str(), entry.method.as_str(), entry.origin.as_str()),
        ("one", "PUT", host.as_str())
    );
    assert_eq!(
        (entry.address, entry.status, entry.sent, entry.received),
        (Some(address), Some(200), 5, received)
    );
    assert_eq!(entry.outcome, "complete");
    assert_eq!((meter.sent.load(Ordering::Relaxed), meter.received.load(Ordering::Relaxed)), (5, received));
    assert!(!serde_json::to_string(&entry).unwrap().contains("secret-path"));
}
