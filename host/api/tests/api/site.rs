//! A whole site in memory: the real engine, identity and store under the real router, with plugins that are plain Rust
//! and can be told to fail.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use archipel_api::{ApiLimits, ApiState, Audit, AuditSettings, Metrics, SiteInfo};
use archipel_identity::{Identity, IdentityConfig, SiteKeys};
use archipel_model::order::Kind;
use archipel_model::site::{AuthorizationBinding, Generation, IdentityBinding, Site};
use archipel_model::{Clock, SiteId, SystemClock, Timestamp};
use archipel_orders::{Orders, OrdersConfig, Settings};
use archipel_store::{MemoryEngine, Store};
use axum::Router;
use axum::body::Body;
use http::{HeaderMap, Request};
use http_body_util::BodyExt;
use serde_json::Value;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use fakes::{Fixed, Local, Plugins, Policy, Reload, Switches, cloud};

// The path is said because an example includes this file from another folder.
#[path = "site/fakes.rs"]
mod fakes;

/// A site.
pub struct TestSite {
    pub router: Router,
    pub admin: Router,
    #[allow(dead_code, reason = "the example includes this file too")]
    pub audit: Audit,
    pub engine: Arc<MemoryEngine>,
    pub switches: Arc<Switches>,
    pub clouds: usize,
    stop: CancellationToken,
}

impl Drop for TestSite {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// An answer.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub headers: HeaderMap,
    pub text: String,
    pub json: Value,
}

impl Reply {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map(|value| value.to_str().unwrap()).unwrap_or_default()
    }

    /// The problem's code, after checking that it is a whole problem document.
    #[track_caller]
    pub fn problem(&self) -> &str {
        assert_eq!(self.header("content-type"), "application/problem+json", "{self:?}");
        assert_eq!(self.json["status"], self.status, "{self:?}");
        assert!(self.json["title"].is_string() && self.json["detail"].is_string(), "{self:?}");
        let id = self.json["instance"].as_str().unwrap().strip_prefix("urn:archipel:request:").unwrap();
        assert_eq!(id, self.header("x-request-id"));
        self.json["type"].as_str().unwrap().strip_prefix("urn:archipel:problem:").unwrap()
    }

    #[track_caller]
    pub fn ok(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{} {}", self.text, self.header("x-request-id"));
        self
    }

    pub fn id(&self) -> String {
        self.json["id"].as_str().unwrap().to_owned()
    }
}

impl TestSite {
    pub async fn start() -> Self {
        Self::start_with(ApiLimits::default()).await
    }

    pub async fn start_with(limits: ApiLimits) -> Self {
        Self::start_audited(limits, AuditSettings::default()).await
    }

    #[allow(dead_code, reason = "the example includes this file too")]
    pub async fn start_audited(limits: ApiLimits, audit: AuditSettings) -> Self {
        let settings = Settings { poll_first_ms: 10, poll_least_ms: 5, ..Settings::default() };
        Self::start_with_all(limits, settings, audit).await
    }

    pub async fn start_of(limits: ApiLimits, settings: Settings) -> Self {
        Self::start_with_all(limits, settings, AuditSettings::default()).await
    }

    async fn start_with_all(limits: ApiLimits, settings: Settings, audit: AuditSettings) -> Self {
        let switches = Arc::new(Switches::default());
        let site_id: SiteId = "site-a.example.org".parse().unwrap();
        let local = Arc::new(Local);
        let generation = Generation {
            number: 1,
            site: site_id.clone(),
            identity: vec![IdentityBinding {
                name: "local".into(),
                issuers: vec!["urn:test".into()],
                generator: Some(local.clone()),
                identity: local.clone(),
                authentication: local,
                digest: "i".into(),
            }],
            authorization: vec![AuthorizationBinding {
                name: "policy".into(),
                plugin: Arc::new(Policy(Arc::clone(&switches))),
                component: "c0ffee".into(),
                digest: "a".into(),
            }],
            clouds: [cloud("one", &switches, &Kind::ALL), cloud("two", &switches, &[Kind::Compute])].into(),
            aaa_away: Vec::new(),
        };
        let clouds = generation.clouds.len();
        let site: Arc<dyn Site> = Arc::new(Fixed(Arc::new(generation)));
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let engine = Arc::new(MemoryEngine::new());
        let store = Store::open(engine.clone(), &site_id, clock.clone()).await.unwrap();
        let keys = Arc::new(SiteKeys::from_master(&[7; 32]));
        let config = IdentityConfig {
            logins_per_second: 1e6,
            login_burst: 1_000_000,
            ..IdentityConfig::new(site_id.clone())
        };
        let identity = Identity::new(site.clone(), store.sessions(), keys.clone(), clock.clone(), config);
        let config =
            OrdersConfig { site: site_id.clone(), daemon: "test".into(), limits: Vec::new(), settings };
        let orders = Orders::new(site.clone(), store.orders(), clock.clone(), config);
        let stop = CancellationToken::new();
        tokio::spawn(Arc::clone(&orders).run(stop.clone()));
        let audit = Audit::new(store.audit(), clock.clone(), audit);
        let state = ApiState {
            identity,
            orders,
            site,
            plugins: Arc::new(Plugins::new()),
            publishers: Arc::new(archipel_model::publisher::NoPublishers),
            usage: store.usage(),
            egress: store.egress(),
            audit: audit.clone(),
            clock,
            keys,
            info: SiteInfo { id: site_id, version: "0.1.0-test".into() },
            limits,
            reload: Some(Arc::new(Reload)),
            metrics: Metrics::default(),
        };
        Self {
            router: archipel_api::router(state.clone()),
            admin: archipel_api::admin_router(state),
            audit,
            engine,
            switches,
            clouds,
            stop,
        }
    }

    pub fn set(&self, switch: impl Fn(&Switches) -> &AtomicBool, on: bool) {
        switch(&self.switches).store(on, Ordering::SeqCst);
    }

    pub async fn send(&self, request: Request<Body>) -> Reply {
        send(&self.router, request).await
    }

    pub async fn token(&self, name: &str) -> String {
        let body =
            serde_json::json!({"credentials": {"username": name, "password": format!("{name}-secret")}});
        let reply = self.ask("POST", "/v1/tokens", "", &[], Some(body)).await.ok(201);
        reply.json["token"].as_str().unwrap().to_owned()
    }

    /// One request; `token` may be empty.
    pub async fn ask(
        &self,
        method: &str,
        path: &str,
        token: &str,
        headers: &[(&str, &str)],
        body: Option<Value>,
    ) -> Reply {
        let mut all = headers.to_vec();
        if body.is_some() && !headers.iter().any(|(name, _)| *name == "content-type") {
            all.push(("content-type", "application/json"));
        }
        self.raw(method, path, token, &all, body.map(|body| body.to_string()).unwrap_or_default()).await
    }

    pub async fn raw(
        &self,
        method: &str,
        path: &str,
        token: &str,
        headers: &[(&str, &str)],
        body: impl Into<Body>,
    ) -> Reply {
        let mut request = Request::builder().method(method).uri(path);
        if !token.is_empty() {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.send(request.body(body.into()).unwrap()).await
    }

    pub async fn get(&self, path: &str, token: &str) -> Reply {
        self.ask("GET", path, token, &[], None).await
    }

    pub async fn post(&self, path: &str, token: &str, body: Value) -> Reply {
        self.ask("POST", path, token, &[], Some(body)).await
    }

    /// A compute that is there.
    pub async fn compute(&self, token: &str) -> Reply {
        let body = serde_json::json!({"name": "vm", "cloud": "one", "image": "debian", "vcpu": 2});
        self.ask("POST", "/v1/computes", token, &[("prefer", "wait=20")], Some(body)).await.ok(201)
    }

    /// A volume that is there.
    pub async fn volume(&self, token: &str) -> Reply {
        let body = serde_json::json!({"cloud": "one", "size_gib": 1});
        self.ask("POST", "/v1/volumes", token, &[("prefer", "wait=20")], Some(body)).await.ok(201)
    }
}

pub async fn send(router: &Router, request: Request<Body>) -> Reply {
    let response = router.clone().oneshot(request).await.unwrap();
    let (parts, body) = response.into_parts();
    let bytes = body.collect().await.unwrap().to_bytes();
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let json = serde_json::from_str(&text).unwrap_or(Value::Null);
    Reply { status: parts.status.as_u16(), headers: parts.headers, text, json }
}

/// A time in the past, for tests of deadlines.
#[allow(dead_code, reason = "the example includes this file too")]
pub fn past() -> Timestamp {
    SystemClock.now().minus(Duration::from_secs(60))
}
