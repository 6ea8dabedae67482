//! What never leaves.

use archipel_egress::address::AddressKind;
use archipel_egress::{EgressError, EgressLimits, PrivateAccess};
use archipel_model::{Applied, ErrorKind};
use http::{Method, Request};
use http_body_util::Full;

use crate::{Site, get, server, soon};

#[tokio::test]
async fn an_origin_that_is_not_granted_is_never_connected_to() {
    let (address, seen) = server::http().await;
    let site = Site::new(EgressLimits::default());
    let channel = site.granted("https://cloud.test");
    for url in [
        format!("http://{address}/"),
        format!("http://cloud.test:{}/", address.port()),
        format!("https://cloud.test:{}/", address.port()),
        "https://cloud.test.evil.test/".to_owned(),
    ] {
        let error = channel.send(get(&url), soon()).await.unwrap_err();
        assert!(matches!(error, EgressError::NotGranted { .. }), "{url}: {error:?}");
        assert_eq!((error.kind(), error.applied()), (ErrorKind::Forbidden, Applied::No));
    }
    assert_eq!(seen.connections(), 0);
    assert!(
        site.ledger
            .entries()
            .iter()
            .all(|entry| entry.address.is_none() && entry.outcome.contains("is not granted"))
    );
}

#[tokio::test]
async fn a_granted_name_that_leads_to_a_private_address_is_refused_unless_that_is_granted_too() {
    let (address, seen) = server::http().await;
    let site = Site::new(EgressLimits::default());
    let host = format!("http://cloud.test:{}", address.port());
    for private in [PrivateAccess::All(false), PrivateAccess::Ranges(vec!["10.0.0.0/8".parse().unwrap()])] {
        let error = site.channel("one", &host, private).send(get(&host), soon()).await.unwrap_err();
        assert!(
            matches!(error, EgressError::AddressNotGranted { kind: AddressKind::Loopback, .. }),
            "{error:?}"
        );
    }
    assert_eq!(seen.connections(), 0);
    let named = PrivateAccess::Ranges(vec!["127.0.0.1".parse().unwrap()]);
    assert!(site.channel("one", &host, named).send(get(&host), soon()).await.is_ok());
}

#[tokio::test]
async fn a_redirect_is_given_back_and_not_followed() {
    let (address, seen) = server::http().await;
    let site = Site::new(EgressLimits::default());
    let host = format!("http://{address}");
    let response = site.granted(&host).send(get(&format!("{host}/redirect")), soon()).await.unwrap();
    assert_eq!(
        (response.status().as_u16(), &response.headers()["location"]),
        (302, &"/elsewhere".parse().unwrap())
    );
    assert_eq!(seen.requests(), 1);
}

#[tokio::test]
async fn a_refused_connection_has_surely_done_nothing() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let host = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let site = Site::new(EgressLimits::default());
    let error = site.granted(&host).send(get(&host), soon()).await.unwrap_err();
    assert!(matches!(error, EgressError::Connect { .. }), "{error:?}");
    assert_eq!((error.kind(), error.applied()), (ErrorKind::Transient, Applied::No));
}

#[tokio::test]
async fn a_server_that_closes_without_an_answer_may_have_acted() {
    let address = server::raw(|stream| async move { drop(stream) }).await;
    let site = Site::new(EgressLimits::default());
    let host = format!("http://{address}");
    let error = site.granted(&host).send(get(&host), soon()).await.unwrap_err();
    assert!(matches!(error, EgressError::Interrupted { .. }), "{error:?}");
    assert_eq!(error.applied(), Applied::Unknown);
}

#[tokio::test]
async fn methods_of_proxies_and_relative_urls_are_refused() {
    let site = Site::new(EgressLimits::default());
    let channel = site.granted("http://cloud.test");
    for method in [Method::CONNECT, Method::TRACE] {
        let request =
            Request::builder().method(method).uri("http://cloud.test/").body(Full::default()).unwrap();
        assert!(matches!(channel.send(request, soon()).await, Err(EgressError::Invalid(_))));
    }
    assert!(matches!(channel.send(get("/path"), soon()).await, Err(EgressError::Url(_))));
}

#[tokio::test]
async fn a_request_that_is_dropped_leaves_an_entry() {
    let address = server::raw(|stream| async move {
        let _open = stream;
        std::future::pending::<()>().await;
    })
    .await;
    let site = Site::new(EgressLimits::default());
    let host = format!("http://{address}");
    let channel = site.granted(&host);
    let cancelled =
        tokio::time::timeout(std::time::Duration::from_millis(50), channel.send(get(&host), soon())).await;
    assert!(cancelled.is_err());
    assert_eq!(site.outcomes(), ["abandoned"]);
}
