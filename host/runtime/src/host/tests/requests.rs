//! Secrets on their way out and in: `exchange`, `attach`, `wasi:http`.

use archipel_bindings::handles::Secret;
use archipel_bindings::latest::archipel::host::credentials::{
    Capture, CaptureFrom, ExchangeHeader, ExchangeRequest, Host as _, Part, Placement, Source,
};
use archipel_bindings::latest::archipel::host::types::{Applied, ErrorKind};
use archipel_model::SecretBytes;
use http_body_util::BodyExt;
use wasmtime::component::Resource;
use wasmtime_wasi::p2::Pollable;
use wasmtime_wasi_http::p2::bindings::http::outgoing_handler::Host as _;
use wasmtime_wasi_http::p2::bindings::http::types::{Method, Scheme};
use wasmtime_wasi_http::p2::types::{HostFutureIncomingResponse, HostOutgoingRequest};
use wasmtime_wasi_http::{Error as HttpError, FieldMap, WasiHttpView};

use super::cloud::Cloud;
use super::*;

fn grant(cloud: &Cloud, rules: &str) -> String {
    let origin = cloud.url("");
    format!("hosts = [\"{origin}\"]\nprivate = true\nsecrets = [{}]", rules.replace("ORIGIN", &origin))
}

const LOGIN: &str = r#"{ name = "admin", origin = "ORIGIN", methods = ["POST"], path = "/v3/auth/tokens", placement = "json" }"#;
const USE: &str = r#"{ name = "captured.*", origin = "ORIGIN", methods = ["GET"], path = "/v2/*", placement = "header:X-Auth-Token" }"#;

fn again(handle: &Resource<Secret>) -> Source {
    Source::Secret(Resource::new_borrow(handle.rep()))
}

fn login(cloud: &Cloud, path: &str, secret: &Resource<Secret>) -> ExchangeRequest {
    ExchangeRequest {
        method: "POST".into(),
        url: cloud.url(path),
        headers: vec![ExchangeHeader {
            name: "content-type".into(),
            value: vec![Part::Text("application/json".into())],
        }],
        body: vec![
            Part::Text("{\"password\":\"".into()),
            Part::Json(again(secret)),
            Part::Text("\"}".into()),
        ],
        captures: vec![Capture { name: "token".into(), from: CaptureFrom::Header("X-Subject-Token".into()) }],
    }
}

/// Keystone in the small, with an echo of everything that it was told.
async fn keystone() -> Cloud {
    Cloud::start(|head, body| match head.split(' ').nth(1).unwrap() {
        "/v3/auth/tokens" => format!("201 Created\nx-subject-token: T0KEN-abc\nset-cookie: T0KEN-abc\nx-echo: T0KEN-abc\n\n{body} T0KEN-abc"),
        _ => format!("200 OK\nx-echo: {}\n\n{head}", head.len()),
    })
    .await
}

/// Sends by `wasi:http` what a plugin would: a request with this path, marked with these credentials.
async fn handle(
    state: &mut CallState,
    cloud: &Cloud,
    path: &str,
    attached: Vec<(Source, Placement)>,
) -> Result<(u16, String), String> {
    let request = HostOutgoingRequest {
        method: Method::Get,
        scheme: Some(Scheme::Http),
        authority: Some(cloud.address.to_string()),
        path_with_query: Some(path.into()),
        headers: FieldMap::default(),
        body: None,
    };
    let request = state.table.push(request).unwrap();
    for (source, placement) in attached {
        state
            .attach(Resource::new_borrow(request.rep()), source, placement)
            .await
            .unwrap()
            .map_err(|error| error.message)?;
    }
    answer(state, request).await.map_err(|error| format!("{error:?}"))
}

async fn answer(
    state: &mut CallState,
    request: Resource<HostOutgoingRequest>,
) -> Result<(u16, String), HttpError> {
    let future = state.http().handle(request, None).unwrap();
    state.table.get_mut(&future).unwrap().ready().await;
    let HostFutureIncomingResponse::Ready(ready) = state.table.delete(future).unwrap() else {
        panic!("not ready")
    };
    let (response, _worker) = ready?;
    let status = response.status().as_u16();
    let body = response.into_body().collect().await?.to_bytes();
    Ok((status, String::from_utf8(body.to_vec()).unwrap()))
}

#[tokio::test]
async fn a_login_gives_a_handle_and_shows_the_plugin_neither_password_nor_token() {
    let cloud = keystone().await;
    let mut state = state(&services(), "mapper", CallClass::Aaa, &grant(&cloud, &format!("{LOGIN}, {USE}")));
    let admin = state.open("admin".into()).await.unwrap().unwrap();
    let answer = state.exchange(login(&cloud, "/v3/auth/tokens", &admin)).await.unwrap().unwrap();
    assert_eq!(answer.status, 201);
    assert!(cloud.seen()[0].ends_with("{\"password\":\"opensesame\"}"), "the cloud gets the password");
    let shown = format!("{:?} {}", answer.headers, String::from_utf8_lossy(&answer.body));
    assert!(!shown.contains("opensesame") && !shown.contains("T0KEN"), "{shown}");
    assert_eq!(String::from_utf8_lossy(&answer.body), "{\"password\":\"**********\"} *********");
    let token = &answer.captured[0].secret;
    assert_eq!(state.secret(token).unwrap().name, "captured.token");

    let (status, body) = handle(
        &mut state,
        &cloud,
        "/v2/servers?x=1",
        vec![(again(token), Placement::Header("X-Auth-Token".into()))],
    )
    .await
    .unwrap();
    assert_eq!(status, 200);
    assert!(cloud.seen()[1].contains("x-auth-token: T0KEN-abc"), "{}", cloud.seen()[1]);
    assert!(
        body.contains("x-auth-token: *********")
            && !body.contains("T0KEN")
            && !body.contains("archipel-attached"),
        "{body}"
    );
    let report = state.end_call();
    assert!(report.bytes_sent >= 25 && report.bytes_received > 0, "{report:?}");
}

#[tokio::test]
async fn a_secret_goes_only_where_its_rule_says() {
    let cloud = keystone().await;
    let mut state = state(&services(), "mapper", CallClass::Aaa, &grant(&cloud, &format!("{LOGIN}, {USE}")));
    let admin = state.open("admin".into()).await.unwrap().unwrap();
    for path in ["/v3/users", "/v3/auth/tokens/", "/v3/auth/../auth/tokens/x"] {
        let error = state.exchange(login(&cloud, path, &admin)).await.unwrap().unwrap_err();
        assert_eq!((error.kind, error.applied), (ErrorKind::Forbidden, Applied::No), "{path}");
    }
    let mut put = login(&cloud, "/v3/auth/tokens", &admin);
    put.method = "PUT".into();
    assert!(state.exchange(put).await.unwrap().is_err());
    let mut header = login(&cloud, "/v3/auth/tokens", &admin);
    header.body = Vec::new();
    header.headers.push(ExchangeHeader { name: "x-user-data".into(), value: vec![Part::Raw(again(&admin))] });
    assert!(state.exchange(header).await.unwrap().is_err());
    // The rule knows another placement than attach can make.
    let refused = handle(&mut state, &cloud, "/v3/auth/tokens", vec![(again(&admin), Placement::Bearer)])
        .await
        .unwrap_err();
    assert!(refused.contains("as bearer"), "{refused}");
    // Bound as a header, but not to this path: found when the request leaves.
    let token = state.give_secret("captured.token", SecretBytes::new(*b"T0KEN-abc")).unwrap();
    let refused = handle(
        &mut state,
        &cloud,
        "/v3/projects",
        vec![(again(&token), Placement::Header("x-auth-token".into()))],
    )
    .await
    .unwrap_err();
    assert_eq!(refused, "HttpRequestDenied");
    assert!(cloud.seen().is_empty(), "nothing has left");
}

#[tokio::test]
async fn a_mark_cannot_be_used_for_a_second_request() {
    let cloud = keystone().await;
    let mut state = state(&services(), "driver", CallClass::Driver, &grant(&cloud, USE));
    let token = state.give_secret("captured.token", SecretBytes::new(*b"T0KEN-abc")).unwrap();
    let request = |headers| HostOutgoingRequest {
        method: Method::Get,
        scheme: Some(Scheme::Http),
        authority: Some(cloud.address.to_string()),
        path_with_query: Some("/v2/x".into()),
        headers,
        body: None,
    };
    let first = state.table.push(request(FieldMap::default())).unwrap();
    let placement = Placement::Header("X-Auth-Token".into());
    state.attach(Resource::new_borrow(first.rep()), again(&token), placement).await.unwrap().unwrap();
    let copied = state.table.get(&first).unwrap().headers.clone();
    assert!(answer(&mut state, first).await.is_ok());
    let second = state.table.push(request(copied)).unwrap();
    assert!(matches!(answer(&mut state, second).await, Err(HttpError::HttpRequestDenied)));
    assert_eq!(cloud.seen().len(), 1);
}

#[tokio::test]
async fn init_and_ungranted_origins_reach_nobody() {
    let cloud = keystone().await;
    let services = services();
    let mut init = state(&services, "a", CallClass::Init, &grant(&cloud, ""));
    assert_eq!(handle(&mut init, &cloud, "/", vec![]).await.unwrap_err(), "HttpRequestDenied");
    let plain = || ExchangeRequest {
        method: "GET".into(),
        url: cloud.url("/"),
        headers: vec![],
        body: vec![],
        captures: vec![],
    };
    assert_eq!(init.exchange(plain()).await.unwrap().unwrap_err().kind, ErrorKind::Forbidden);
    let mut other =
        state(&services, "a", CallClass::Driver, "hosts = [\"https://elsewhere.test\"]\nprivate = true");
    assert_eq!(handle(&mut other, &cloud, "/", vec![]).await.unwrap_err(), "HttpRequestDenied");
    assert_eq!(other.exchange(plain()).await.unwrap().unwrap_err().kind, ErrorKind::Forbidden);
    let mut public =
        state(&services, "a", CallClass::Driver, &grant(&cloud, "").replace("private = true", ""));
    assert_eq!(handle(&mut public, &cloud, "/", vec![]).await.unwrap_err(), "DestinationIpProhibited");
    assert!(cloud.seen().is_empty());
}

#[tokio::test]
async fn exchanges_over_64_kib_are_refused_both_ways() {
    let cloud = Cloud::start(|_, _| format!("200 OK\nx: y\n\n{}", "x".repeat(70_000))).await;
    let mut state = state(&services(), "a", CallClass::Driver, &grant(&cloud, ""));
    let request = |body: String| ExchangeRequest {
        method: "POST".into(),
        url: cloud.url("/"),
        headers: vec![],
        body: vec![Part::Text(body)],
        captures: vec![],
    };
    let error = state.exchange(request("x".repeat(70_000))).await.unwrap().unwrap_err();
    assert_eq!((error.kind, error.applied), (ErrorKind::Invalid, Applied::No));
    let error = state.exchange(request(String::new())).await.unwrap().unwrap_err();
    assert_eq!(error.applied, Applied::Unknown);
    assert!(error.message.contains("64 KiB"), "{}", error.message);
}
