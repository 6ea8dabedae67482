//! The site's REST in this process: identity, orders and the router over [`Site`], a session, and a compute to read.

use std::sync::Arc;
use std::time::Duration;

use archipel_api::{ApiLimits, ApiState, Audit, AuditSettings, ClientAddress, Metrics, SiteInfo};
use archipel_identity::{Caller, Granted, Identity, IdentityConfig, RequestInfo, SiteKeys};
use archipel_model::order::Order;
use archipel_model::plugin::{Operation, Resource};
use archipel_model::{OrderId, SecretBytes};
use archipel_orders::store::Visible;
use archipel_orders::{Orders, OrdersConfig, Settings, WaitFor};
use axum::Router;
use axum::body::Body;
use bytes::Bytes;
use http::{Method, Request, header};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use crate::site::{ALICE, Result, Site};

/// Longest time for the compute to become ready.
const READY: Duration = Duration::from_secs(30);

/// The router, and what it is asked for.
pub(crate) struct Rest {
    pub(crate) router: Router,
    identity: Arc<Identity>,
    orders: Arc<Orders>,
    compute: OrderId,
    /// Of alice's session.
    pub(crate) token: String,
    /// Of the compute.
    pub(crate) path: String,
    /// The token that the plugins judge.
    pub(crate) inner_token: SecretBytes,
    /// The compute, as the policy is asked about it.
    pub(crate) resource: Resource,
}

impl Rest {
    /// Puts it together, logs alice in and orders a compute for her. The scheduler runs until that is ready and not
    /// longer, so that it does not disturb what is measured.
    pub(crate) async fn over(site: &Site, auth_cache_ttl: Duration) -> Result<Self> {
        let keys = Arc::new(SiteKeys::from_master(&[9; 32]));
        let identity = Identity::new(
            site.runtime.site(),
            site.store.sessions(),
            Arc::clone(&keys),
            Arc::clone(&site.clock),
            IdentityConfig { auth_cache_ttl, ..IdentityConfig::new(site.id.clone()) },
        );
        let orders = Orders::new(
            site.runtime.site(),
            site.store.orders(),
            Arc::clone(&site.clock),
            OrdersConfig {
                site: site.id.clone(),
                daemon: "bench".to_owned(),
                limits: Vec::new(),
                settings: Settings::default(),
            },
        );
        let router = archipel_api::router(ApiState {
            identity: Arc::clone(&identity),
            orders: Arc::clone(&orders),
            site: site.runtime.site(),
            plugins: site.runtime.admin(),
            publishers: Arc::new(archipel_model::publisher::NoPublishers),
            usage: site.store.usage(),
            egress: site.store.egress(),
            audit: Audit::new(site.store.audit(), Arc::clone(&site.clock), AuditSettings::default()),
            clock: Arc::clone(&site.clock),
            keys,
            info: SiteInfo { id: site.id.clone(), version: "bench".to_owned() },
            limits: ApiLimits::default(),
            reload: None,
            metrics: Metrics::default(),
        });
        let credentials = json!({"credentials": {"username": ALICE, "password": ALICE}});
        let session: Value = posted(&router, "/v1/tokens", None, &credentials).await?;
        let token = text(&session, "/token")?;
        let wanted = json!({"name": "web", "image": "@cirros", "vcpu": 1, "ram_mib": 256, "labels": {"project": "lattice"}});
        let made: Value = posted(&router, "/v1/computes", Some(&token), &wanted).await?;
        let id: OrderId = text(&made, "/id")?.parse()?;
        let order = fulfilled(&orders, id).await?;
        let caller = identity.authenticate(&token, None, &info()).await?;
        Ok(Self {
            router,
            identity,
            orders,
            compute: id,
            path: text(&made, "/href")?,
            inner_token: caller.token.ok_or("the session has no token")?,
            resource: resource(&order),
            token,
        })
    }

    /// The first part of a request: whose token it is. Two of the three AAA calls are in it.
    pub(crate) async fn authenticate(&self) -> Result<Caller> {
        Ok(self.identity.authenticate(&self.token, None, &info()).await?)
    }

    /// The second: reading the order.
    pub(crate) async fn read(&self) -> Result<Order> {
        Ok(self.orders.get(&Visible::Any, self.compute, None).await?)
    }

    /// The third: whether the caller may read it. The third AAA call.
    pub(crate) async fn authorize(&self, caller: &Caller) -> Result<Granted> {
        Ok(self.identity.authorize(caller, Operation::Read, &self.resource, &info()).await?)
    }

    /// GET of the compute; the whole answer.
    pub(crate) async fn get(&self) -> Result<Bytes> {
        let request = request(Method::GET, &self.path, Some(&self.token), Body::empty())?;
        answer(&self.router, request).await
    }
}

fn info() -> RequestInfo {
    RequestInfo {
        request_id: "01940000-0000-7000-8000-000000000000".to_owned(),
        client_address: Some("127.0.0.1".to_owned()),
        requesting_site: None,
    }
}

async fn posted(router: &Router, path: &str, token: Option<&str>, body: &Value) -> Result<Value> {
    let request = request(Method::POST, path, token, Body::from(body.to_string()))?;
    Ok(serde_json::from_slice(&answer(router, request).await?)?)
}

fn request(method: Method, path: &str, token: Option<&str>, body: Body) -> Result<Request<Body>> {
    let mut request = Request::builder()
        .method(method)
        .uri(path)
        .header(header::CONTENT_TYPE, "application/json")
        .extension(ClientAddress("127.0.0.1".to_owned()));
    if let Some(token) = token {
        request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
    }
    Ok(request.body(body)?)
}

async fn answer(router: &Router, request: Request<Body>) -> Result<Bytes> {
    let response = router.clone().oneshot(request).await?;
    let status = response.status();
    let body = response.into_body().collect().await?.to_bytes();
    if status.is_success() {
        Ok(body)
    } else {
        Err(format!("{status}: {}", String::from_utf8_lossy(&body)).into())
    }
}

async fn fulfilled(orders: &Arc<Orders>, id: OrderId) -> Result<Order> {
    let stop = CancellationToken::new();
    let scheduler = tokio::spawn(Arc::clone(orders).run(stop.clone()));
    let order = orders.wait(id, WaitFor::Settled, READY).await?;
    stop.cancel();
    scheduler.await?;
    if order.instance.is_none() {
        return Err(
            format!("the compute is {} after {READY:?}: {:?}", order.state.as_str(), order.fault).into()
        );
    }
    Ok(orders.get(&Visible::Any, id, None).await?)
}

/// As `api` asks about an order.
fn resource(order: &Order) -> Resource {
    Resource {
        kind: order.kind.as_str().to_owned(),
        id: Some(order.id),
        cloud: Some(order.cloud.to_string()),
        site: order.site.clone(),
        owner: Some(order.owner()),
        group: order.group.clone(),
        state: Some(order.state.as_str().to_owned()),
        labels: order.labels.iter().map(|(key, value)| (key.clone(), value.clone())).collect(),
        spec: Some(order.spec.clone()),
        owner_usage: None,
        group_usage: None,
    }
}

fn text(value: &Value, pointer: &str) -> Result<String> {
    let text = value.pointer(pointer).and_then(Value::as_str);
    Ok(text.ok_or_else(|| format!("there is no {pointer} in {value}"))?.to_owned())
}
