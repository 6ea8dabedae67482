//! Deadlines and caps.

use std::time::{Duration, Instant};

use archipel_egress::{EgressError, EgressLimits, Stage};
use archipel_model::Applied;
use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use tokio::io::AsyncWriteExt;

use crate::{Site, fetch, get, read, server, soon, within};

#[tokio::test]
async fn a_server_that_never_answers_is_left_at_the_deadline() {
    let address = server::raw(|stream| async move {
        let _open = stream;
        std::future::pending::<()>().await;
    })
    .await;
    let site = Site::new(EgressLimits::default());
    let host = format!("http://{address}");
    let started = Instant::now();
    let error = site.granted(&host).send(get(&host), within(Duration::from_millis(200))).await.unwrap_err();
    assert!(matches!(error, EgressError::Deadline { stage: Stage::Sent }), "{error:?}");
    assert_eq!(error.applied(), Applied::Unknown);
    assert!(started.elapsed() < Duration::from_secs(2));
    assert_eq!(site.outcomes(), ["the deadline passed before the answer was whole"]);
}

#[tokio::test]
async fn a_body_that_drips_for_ever_is_left_at_the_deadline() {
    let address = server::raw(|mut stream| async move {
        stream.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").await.unwrap();
        let mut tick = tokio::time::interval(Duration::from_millis(10));
        while stream.write_all(b"1\r\nx\r\n").await.is_ok() {
            tick.tick().await;
        }
    })
    .await;
    let site = Site::new(EgressLimits::default());
    let host = format!("http://{address}");
    let started = Instant::now();
    let response = site.granted(&host).send(get(&host), within(Duration::from_millis(300))).await.unwrap();
    let error = read(response).await.unwrap_err();
    assert!(matches!(error, EgressError::Deadline { stage: Stage::Sent }), "{error:?}");
    assert!(started.elapsed() < Duration::from_secs(2));
}

#[tokio::test]
async fn an_answer_over_the_cap_is_refused_whether_announced_or_not() {
    let (address, _) = server::http().await;
    let site = Site::new(EgressLimits { response_bytes: 1000, ..EgressLimits::default() });
    let host = format!("http://{address}");
    let error = site.granted(&host).send(get(&format!("{host}/big")), soon()).await.unwrap_err();
    assert!(matches!(error, EgressError::ResponseTooLarge { limit: 1000 }), "{error:?}");

    let address = server::raw(|mut stream| async move {
        stream.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").await.unwrap();
        while stream.write_all(b"10\r\nxxxxxxxxxxxxxxxx\r\n").await.is_ok() {}
    })
    .await;
    let host = format!("http://{address}");
    let response = site.granted(&host).send(get(&host), soon()).await.unwrap();
    assert!(matches!(read(response).await, Err(EgressError::ResponseTooLarge { limit: 1000 })));
}

#[tokio::test]
async fn a_request_over_the_cap_is_stopped() {
    let (address, _) = server::http().await;
    let site = Site::new(EgressLimits { request_bytes: 1000, ..EgressLimits::default() });
    let host = format!("http://{address}");
    let request = Request::post(&host).body(Full::new(Bytes::from(vec![b'x'; 1001]))).unwrap();
    let error = site.granted(&host).send(request, soon()).await.unwrap_err();
    assert!(matches!(error, EgressError::RequestTooLarge { limit: 1000 }), "{error:?}");
}

#[tokio::test]
async fn requests_over_the_binding_s_number_wait_for_a_place() {
    let (address, _) = server::http().await;
    let site = Site::new(EgressLimits { concurrent_per_binding: 1, ..EgressLimits::default() });
    let host = format!("http://{address}");
    let channel = site.granted(&host);
    let held = channel.send(get(&format!("{host}/big")), soon()).await.unwrap();
    let error = channel.send(get(&host), within(Duration::from_millis(50))).await.unwrap_err();
    assert!(matches!(error, EgressError::Deadline { stage: Stage::Before }), "{error:?}");
    assert_eq!(error.applied(), Applied::No);
    drop(held);
    fetch(&channel, &host).await.unwrap();
}

#[tokio::test]
async fn an_answer_with_endless_headers_is_refused() {
    let address = server::raw(|mut stream| async move {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n").await;
        while stream
            .write_all(b"x-more: yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy\r\n")
            .await
            .is_ok()
        {}
    })
    .await;
    let site = Site::new(EgressLimits::default());
    let host = format!("http://{address}");
    let error = site.granted(&host).send(get(&host), soon()).await.unwrap_err();
    assert!(matches!(error, EgressError::Interrupted { .. }), "{error:?}");
    assert_eq!(error.applied(), Applied::Unknown);
}
