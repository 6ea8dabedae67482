//! A region of the cloud whose services are behind a port that counts: every request is passed on as it is, with its
//! `Host`, so that links in answers lead through the port again. What two clients ask of the same cloud can so be compared
//! whatever they are written in.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use anyhow::{Context, Result};
use http::{Method, Request, Response, StatusCode, Uri};
use http_body_util::{Either, Empty};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper_util::client::legacy::Client as Pool;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::cloud::Cloud;
use super::peer::Peer;

/// Services that have a port.
const SERVICES: [&str; 5] = ["identity", "compute", "volumev3", "network", "image"];

/// A request that passed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Call {
    /// As in the catalogue.
    pub service: &'static str,
    /// `GET`, ...
    pub method: String,
    /// With `ID` for every id, and without the query.
    pub path: String,
}

impl Call {
    /// Whether it only looks at machines that are there already.
    pub fn is_poll(&self) -> bool {
        self.method == "GET" && matches!(self.path.as_str(), "/v2.1/servers/ID" | "/v2.1/servers/detail")
    }
}

/// The region.
pub struct Counter {
    /// The same peer through the ports.
    pub peer: Peer,
    admin: Cloud,
    made: Vec<String>,
    calls: Arc<Mutex<Vec<Call>>>,
}

impl Counter {
    /// Opens the ports and adds the region to the catalogue.
    ///
    /// # Errors
    /// When Keystone refuses.
    pub async fn start(peer: &Peer) -> Result<Self> {
        let admin = Cloud::as_admin(peer).await?;
        let region = format!("counted-{:08x}", rand::random::<u32>());
        let calls = Arc::default();
        let mut origins = BTreeMap::new();
        for service in SERVICES {
            origins.insert(service.to_owned(), listen(service, peer.origin(service)?, &calls).await?);
        }
        let mut made = vec![format!("/v3/regions/{region}")];
        admin
            .ask(Method::POST, "identity", "/v3/regions", Some(&json!({"region": {"id": region}})))
            .await?
            .success()?;
        let services = admin.ask(Method::GET, "identity", "/v3/services", None).await?.success()?;
        for (service, origin) in &origins {
            let known =
                services["services"].as_array().into_iter().flatten().find(|one| one["type"] == **service);
            let path = match service.as_str() {
                "identity" => "/v3",
                "compute" => "/v2.1",
                "volumev3" => "/v3/%(project_id)s",
                _ => "",
            };
            let endpoint = json!({"endpoint": {
                "service_id": known.with_context(|| format!("service {service}"))?["id"],
                "region_id": region,
                "interface": "public",
                "url": format!("{origin}{path}"),
            }});
            let answer =
                admin.ask(Method::POST, "identity", "/v3/endpoints", Some(&endpoint)).await?.success()?;
            made.push(format!("/v3/endpoints/{}", answer["endpoint"]["id"].as_str().context("an id")?));
        }
        Ok(Self { peer: peer.moved_to(&region, &origins), admin, made, calls })
    }

    /// What passed since it was last asked.
    pub fn take(&self) -> Vec<Call> {
        std::mem::take(&mut *self.calls.lock().expect("nothing panics with it"))
    }

    /// Takes the region out of the catalogue.
    ///
    /// # Errors
    /// When Keystone refuses.
    pub async fn stop(self) -> Result<()> {
        for path in self.made.iter().rev() {
            self.admin.ask(Method::DELETE, "identity", path, None).await?.success()?;
        }
        Ok(())
    }
}

/// What passed, counted by what it was.
pub fn tally(calls: &[Call]) -> Value {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for call in calls {
        *counts.entry(format!("{} {} {}", call.service, call.method, call.path)).or_default() += 1;
    }
    json!(counts)
}

type Body = Either<Incoming, Empty<Bytes>>;

async fn listen(service: &'static str, to: String, calls: &Arc<Mutex<Vec<Call>>>) -> Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let origin = format!("http://{}", listener.local_addr()?);
    let pool: Pool<HttpConnector, Incoming> = Pool::builder(TokioExecutor::new()).build_http();
    let calls = calls.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let _ = stream.set_nodelay(true);
            let (calls, pool, to) = (calls.clone(), pool.clone(), to.clone());
            let pass = service_fn(move |request| {
                let call =
                    Call { service, method: request.method().to_string(), path: without_ids(&request) };
                calls.lock().expect("nothing panics with it").push(call);
                pass_on(pool.clone(), to.clone(), request)
            });
            let connection =
                hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), pass);
            tokio::spawn(connection);
        }
    });
    Ok(origin)
}

async fn pass_on(
    pool: Pool<HttpConnector, Incoming>,
    to: String,
    mut request: Request<Incoming>,
) -> Result<Response<Body>, http::Error> {
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
    *request.uri_mut() = Uri::try_from(format!("{to}{path}"))?;
    match pool.request(request).await {
        Ok(answer) => Ok(answer.map(Either::Left)),
        Err(_) => Response::builder().status(StatusCode::BAD_GATEWAY).body(Either::Right(Empty::new())),
    }
}

/// The path with `ID` for whatever looks like one.
fn without_ids(request: &Request<Incoming>) -> String {
    let is_id =
        |part: &str| part.len() >= 32 && part.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
    let parts = request.uri().path().split('/').map(|part| if is_id(part) { "ID" } else { part });
    parts.collect::<Vec<_>>().join("/")
}
