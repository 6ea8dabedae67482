//! Signatures, client certificates, and the one way to see a secret.

use archipel_bindings::handles::Secret;
use archipel_bindings::latest::archipel::host::credentials::{Host as _, Placement, Sigv4Scope, Source};
use archipel_bindings::latest::archipel::host::types::ErrorKind;
use archipel_model::SecretBytes;
use archipel_vault::sigv4::{self, AccessKey, Scope};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use wasmtime::component::Resource;
use wasmtime_wasi_http::WasiHttpHooks as _;

use super::cloud::Cloud;
use super::*;

const PAIR: &[u8] = b"AKIDEXAMPLE:wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY:session+token/of=sts";

fn grant(cloud: &Cloud, placement: &str) -> String {
    let origin = cloud.url("");
    format!(
        r#"hosts = ["{origin}"]
private = true
secrets = [{{ name = "captured.*", origin = "{origin}", methods = ["POST"], path = "/", placement = "{placement}" }}]"#
    )
}

fn ec2() -> Placement {
    Placement::Sigv4(Sigv4Scope { region: "us-east-1".into(), service: "ec2".into() })
}

fn given(state: &mut CallState, bytes: &[u8]) -> Source {
    let handle: Resource<Secret> =
        state.give_secret("captured.key", SecretBytes::new(bytes.to_vec())).unwrap();
    Source::Secret(Resource::new_borrow(handle.rep()))
}

/// Sends what a plugin sends: a POST with a form, marked with this credential.
async fn post(
    state: &mut CallState,
    url: &str,
    body: &str,
    source: Source,
    how: Placement,
) -> Result<(u16, String), String> {
    use wasmtime_wasi_http::FieldMap;
    use wasmtime_wasi_http::p2::bindings::http::types::Method;
    use wasmtime_wasi_http::p2::types::HostOutgoingRequest;

    // `attach` marks a request of the table; the mark goes on to what `send_request` is given.
    let request = HostOutgoingRequest {
        method: Method::Post,
        scheme: None,
        authority: None,
        path_with_query: None,
        headers: FieldMap::default(),
        body: None,
    };
    let request = state.table.push(request).unwrap();
    let marked = state.attach(Resource::new_borrow(request.rep()), source, how).await.unwrap();
    marked.map_err(|error| error.message)?;
    let headers = state.table.delete(request).unwrap().headers;
    let body = Full::new(Bytes::from(body.to_owned())).map_err(|never| match never {}).boxed_unsync();
    let mut made = ::http::Request::post(url)
        .header("content-type", "application/x-www-form-urlencoded")
        .header("x-amz-date", "forged")
        .header("accept-encoding", "gzip")
        .body(body)
        .unwrap();
    for (name, value) in headers.iter() {
        made.headers_mut().append(name.clone(), value.clone());
    }
    let sent = Box::into_pin(state.hooks.send_request(made, None, Box::new(async { Ok(()) })));
    let (response, _) = sent.await.map_err(|error| format!("{error:?}"))?;
    let status = response.status().as_u16();
    let body = response.into_body().collect().await.map_err(|error| format!("{error:?}"))?.to_bytes();
    Ok((status, String::from_utf8_lossy(&body).into_owned()))
}

#[tokio::test]
async fn a_request_is_signed_as_it_leaves_and_its_key_stays_here() {
    let cloud = Cloud::start(|head, body| {
        format!("200 OK\nx: y\n\n{head}\n{body} wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")
    })
    .await;
    let mut state = state(&services(), "driver", CallClass::Driver, &grant(&cloud, "sigv4"));
    let key = given(&mut state, PAIR);
    let (status, echo) = post(&mut state, &cloud.url("/"), "Action=DescribeVpcs", key, ec2()).await.unwrap();
    assert_eq!(status, 200);
    let seen = cloud.seen().remove(0);
    let header = |name: &str| {
        let line = seen.lines().find_map(|line| line.strip_prefix(&format!("{name}: ")));
        line.unwrap_or_else(|| panic!("{name} in {seen}")).to_owned()
    };
    let date = header("x-amz-date");
    assert!(date.len() == 16 && date != "forged", "{date}");
    assert_eq!(header("x-amz-security-token"), "session+token/of=sts");
    assert!(!seen.contains("accept-encoding"), "a compressed echo could not be masked");
    // The service signs what it got, and compares.
    let headers = ["content-type", "host", "x-amz-date", "x-amz-security-token"]
        .map(|name| (name.to_owned(), header(name)));
    let request = sigv4::Request {
        method: "POST",
        path: "/",
        query: None,
        headers: &headers,
        body: b"Action=DescribeVpcs",
    };
    let scope = Scope::new("us-east-1", "ec2").unwrap();
    let expected = sigv4::authorization(&AccessKey::parse(PAIR).unwrap(), &scope, &request, &date);
    assert_eq!(header("authorization"), expected);
    for secret in ["wJalrXUtnFEMI", "session+token/of=sts"] {
        assert!(!echo.contains(secret), "{echo}");
    }
}

#[tokio::test]
async fn what_cannot_be_signed_does_not_leave() {
    let cloud = Cloud::start(|_, _| "200 OK\nx: y\n\n".to_owned()).await;
    let services = services();
    let mut state = state(&services, "driver", CallClass::Driver, &grant(&cloud, "sigv4"));
    let bad = given(&mut state, b"no key pair");
    let refused = post(&mut state, &cloud.url("/"), "", bad, ec2()).await.unwrap_err();
    assert!(refused.contains("ACCESS-KEY-ID:SECRET") && !refused.contains("no key pair"), "{refused}");
    let key = given(&mut state, PAIR);
    let scope = Placement::Sigv4(Sigv4Scope { region: "us east".into(), service: "ec2".into() });
    assert!(post(&mut state, &cloud.url("/"), "", key, scope).await.unwrap_err().contains("region"));
    let key = given(&mut state, PAIR);
    let refused =
        post(&mut state, &cloud.url("/"), &"x".repeat((1 << 20) + 1), key, ec2()).await.unwrap_err();
    assert!(refused.starts_with("HttpRequestBodySize"), "{refused}");
    let key = given(&mut state, PAIR);
    let refused = post(&mut state, &cloud.url("/other"), "", key, ec2()).await.unwrap_err();
    assert_eq!(refused, "HttpRequestDenied", "bound to another path");
    let key = given(&mut state, PAIR);
    let refused = post(&mut state, &cloud.url("/"), "", key, Placement::Bearer).await.unwrap_err();
    assert!(refused.contains("as bearer"), "bound to another placement: {refused}");
    assert!(cloud.seen().is_empty());
}

#[tokio::test]
async fn a_client_certificate_is_whole_and_never_goes_over_plain_http() {
    let cloud = Cloud::start(|_, _| "200 OK\nx: y\n\n".to_owned()).await;
    let mut state = state(&services(), "driver", CallClass::Driver, &grant(&cloud, "client-certificate"));
    let pem =
        std::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/../egress/tests/tls/client-one.pem")).unwrap();
    let half = given(&mut state, &pem[..pem.len() / 2]);
    let refused =
        post(&mut state, &cloud.url("/"), "", half, Placement::ClientCertificate).await.unwrap_err();
    assert!(refused.contains("captured.key") && !refused.contains("BEGIN"), "{refused}");
    let whole = given(&mut state, &pem);
    let refused =
        post(&mut state, &cloud.url("/"), "", whole, Placement::ClientCertificate).await.unwrap_err();
    assert_eq!(refused, "HttpRequestMethodInvalid");
    assert!(cloud.seen().is_empty());
}

const SEE: &str = "reveal = [\"admin\"]";

#[tokio::test]
async fn a_secret_is_seen_where_a_grant_says_so_and_the_audit_knows_first() {
    let told = Arc::new(Told::default());
    let services = Services { audit: Arc::clone(&told) as _, ..services() };
    let mut state = state(&services, "driver", CallClass::Driver, SEE);
    let admin = state.open("admin".into()).await.unwrap().unwrap();
    for _ in 0..3 {
        let bytes = state.reveal(Resource::new_borrow(admin.rep())).await.unwrap().unwrap();
        assert_eq!(bytes, b"opensesame");
    }
    let records = std::mem::take(&mut *told.0.lock().unwrap());
    assert_eq!(records.len(), 1, "once per call");
    assert_eq!((records[0].operation.as_str(), records[0].on.as_deref()), ("reveal-secret", Some("admin")));
    assert!(!format!("{records:?}").contains("opensesame"));
    state.end_call();
    state.begin_call(call(CallClass::Driver));
    let admin = state.open("admin".into()).await.unwrap().unwrap();
    state.reveal(Resource::new_borrow(admin.rep())).await.unwrap().unwrap();
    assert_eq!(told.0.lock().unwrap().len(), 1, "and in the next call again");
}

#[tokio::test]
async fn a_secret_is_not_seen_without_a_grant_in_init_or_when_the_audit_is_away() {
    let told = Arc::new(Told::default());
    let services = Services { audit: Arc::clone(&told) as _, ..services() };
    let bound = r#"secrets = [{ name = "admin", origin = "https://h.test", methods = ["GET"], path = "/", placement = "bearer" }]"#;
    let mut plain = state(&services, "driver", CallClass::Driver, bound);
    let admin = plain.open("admin".into()).await.unwrap().unwrap();
    let refused = plain.reveal(Resource::new_borrow(admin.rep())).await.unwrap().unwrap_err();
    assert_eq!(refused.kind, ErrorKind::Forbidden);
    // A token that the plugin got by a login has a name of the host's, which no grant can list.
    let token = plain.give_secret("captured.token", SecretBytes::new(*b"T0KEN-abc")).unwrap();
    assert!(plain.reveal(Resource::new_borrow(token.rep())).await.unwrap().is_err());
    let mut init = state(&services, "driver", CallClass::Init, SEE);
    let admin = init.give_secret("admin", SecretBytes::new(*b"opensesame")).unwrap();
    assert!(init.reveal(Resource::new_borrow(admin.rep())).await.unwrap().is_err());
    assert!(told.0.lock().unwrap().is_empty());

    struct Away;
    #[async_trait]
    impl AuditSink for Away {
        async fn tell(&self, _: &AuditRecord) -> Result<(), Error> {
            Err(Error::transient("the store is away"))
        }
    }
    let services = Services { audit: Arc::new(Away), ..services };
    let mut state = state(&services, "driver", CallClass::Driver, SEE);
    let admin = state.open("admin".into()).await.unwrap().unwrap();
    let refused = state.reveal(Resource::new_borrow(admin.rep())).await.unwrap().unwrap_err();
    assert_eq!(refused.kind, ErrorKind::Transient, "no record, no bytes");
}

/// Run by `tests/peers/moto/run` against moto, which checks signatures as AWS does (with botocore, which is AWS's own).
#[tokio::test]
#[ignore = "needs the peer moto: cargo xtask test --peers moto"]
async fn moto_takes_what_is_signed_with_the_right_key_and_nothing_else() {
    let variable = |name: &str| std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set"));
    let (endpoint, right) = (variable("ARCHIPEL_MOTO"), variable("ARCHIPEL_MOTO_KEY"));
    let grant = format!(
        r#"hosts = ["{endpoint}"]
private = true
secrets = [{{ name = "captured.*", origin = "{endpoint}", methods = ["POST"], path = "/", placement = "sigv4" }}]"#
    );
    let mut state = state(&services(), "driver", CallClass::Driver, &grant);
    let id = right.split(':').next().unwrap();
    let wrong = format!("{id}:wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY");
    for (form, key, expected) in [
        ("Action=DescribeVpcs&Version=2016-11-15", right.as_str(), 200),
        ("Action=CreateVpc&Version=2016-11-15&CidrBlock=10.9.0.0%2F16", right.as_str(), 200),
        // Spelled as botocore spells forms: moto takes a form apart, and signs what botocore makes of the parts.
        ("Action=CreateKeyPair&Version=2016-11-15&KeyName=a+b%2Bc%E2%82%AC", right.as_str(), 200),
        ("Action=DescribeVpcs&Version=2016-11-15", wrong.as_str(), 401),
    ] {
        let source = given(&mut state, key.as_bytes());
        let (status, answer) = post(&mut state, &format!("{endpoint}/"), form, source, ec2()).await.unwrap();
        assert_eq!(status, expected, "{form}: {answer}");
    }
    // What is signed for one service is not taken by another.
    let source = given(&mut state, right.as_bytes());
    let s3 = Placement::Sigv4(Sigv4Scope { region: "us-east-1".into(), service: "s3".into() });
    let (status, _) =
        post(&mut state, &format!("{endpoint}/"), "Action=DescribeVpcs", source, s3).await.unwrap();
    assert_ne!(status, 200);
}
