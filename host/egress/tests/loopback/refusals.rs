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

#[tokio::test]
async fn an_ipv4_address_in_ipv6_is_judged_as_what_it_is() {
    let (address, seen) = server::http().await;
    let site = Site::new(EgressLimits::default());
    let host = format!("http://[::ffff:127.0.0.1]:{}", address.port());
    let refused = site.channel("one", &host, PrivateAccess::default()).send(get(&host), soon()).await;
    assert!(
        matches!(refused, Err(EgressError::AddressNotGranted { kind: AddressKind::Loopback, .. })),
        "{refused:?}"
    );
    assert_eq!(seen.connections(), 0);
    let metadata = "http://[::ffff:169.254.169.254]";
    let refused = site.granted(metadata).send(get(metadata), soon()).await;
    assert!(
        matches!(refused, Err(EgressError::AddressNotGranted { kind: AddressKind::LinkLocal, .. })),
        "{refused:?}"
    );
}

#[tokio::test]
async fn a_path_that_looks_like_a_url_stays_a_path() {
    let (address, _) = server::http().await;
    let site = Site::new(EgressLimits::default());
    let host = format!("http://{address}");
    for path in ["//evil.test/x", "/http://evil.test/x", "/@evil.test", "/x?u=http://evil.test"] {
        let text = crate::fetch(&site.granted(&host), &format!("{host}{path}")).await.unwrap();
        assert_eq!(text.lines().next().unwrap(), format!("HTTP/1.1 GET {path} 0"));
        assert!(text.contains(&format!("host: {address}")), "{text}");
    }
}

#[tokio::test]
async fn a_length_that_can_be_read_in_two_ways_and_trailers_never_leave() {
    let (address, seen) = server::http().await;
    let site = Site::new(EgressLimits::default());
    let host = format!("http://{address}");
    let request = Request::post(&host).header("content-length", "1").header("content-length", "2");
    let refused = site.granted(&host).send(request.body(Full::from("x")).unwrap(), soon()).await;
    assert!(matches!(refused, Err(EgressError::Invalid(_))), "{refused:?}");
    assert_eq!(seen.requests(), 0);
    let mut trailers = http::HeaderMap::new();
    trailers.insert("x-late", "1".parse().unwrap());
    let frames = [
        Ok::<_, std::convert::Infallible>(http_body::Frame::data(bytes::Bytes::from("body"))),
        Ok(http_body::Frame::trailers(trailers)),
    ];
    let body = http_body_util::StreamBody::new(futures::stream::iter(frames));
    let request = Request::post(&host).header("trailer", "x-late").body(body).unwrap();
    let answer = crate::read(site.granted(&host).send(request, soon()).await.unwrap()).await.unwrap();
    let text = String::from_utf8(answer.to_vec()).unwrap();
    assert_eq!(text.lines().next().unwrap(), "HTTP/1.1 POST / 4");
    assert!(!text.contains("x-late"), "{text}");
}
