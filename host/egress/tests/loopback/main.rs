//! Egress against real servers on this machine's loopback, which a grant must name: connections, deadlines, caps,
//! refusals, and what the ledger says of each.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests: a failure is a failed test"
)]

mod connections;
mod cookies;
mod identities;
mod limits;
mod refusals;
mod server;
mod tls;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use archipel_egress::resolve::Resolver;
use archipel_egress::{
    Caller, Channel, Egress, EgressError, EgressLimits, EgressPolicy, PrivateAccess, ResponseBody,
    RingLedger, SendOptions,
};
use archipel_model::SystemClock;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};

/// Every name is this address.
struct Fixed(Vec<SocketAddr>);

#[async_trait::async_trait]
impl Resolver for Fixed {
    async fn resolve(&self, _: &str, port: u16) -> std::io::Result<Vec<SocketAddr>> {
        Ok(self.0.iter().map(|address| SocketAddr::new(address.ip(), port)).collect())
    }
}

/// A site's egress with its ledger.
struct Site {
    egress: Egress,
    ledger: Arc<RingLedger>,
}

impl Site {
    fn new(limits: EgressLimits) -> Self {
        let ca = std::path::Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/tls/ca.pem"));
        Self::trusting(Some(ca), limits)
    }

    fn trusting(ca: Option<&std::path::Path>, limits: EgressLimits) -> Self {
        let ledger = RingLedger::new(100);
        let tls = archipel_egress::tls::client_config(ca).unwrap();
        let egress = Egress::new(tls, Arc::clone(&ledger) as _, Arc::new(SystemClock), limits)
            .with_resolver(Arc::new(Fixed(vec!["127.0.0.1:0".parse().unwrap()])));
        Self { egress, ledger }
    }

    fn channel(&self, binding: &str, host: &str, private: PrivateAccess) -> Channel {
        self.under(binding, EgressPolicy { hosts: vec![host.parse().unwrap()], private, trust: None })
    }

    fn under(&self, binding: &str, policy: EgressPolicy) -> Channel {
        let caller = Caller { binding: binding.into(), digest: "sha256:00".into() };
        self.egress.channel(caller, policy)
    }

    fn granted(&self, host: &str) -> Channel {
        self.channel("one", host, PrivateAccess::All(true))
    }

    fn outcomes(&self) -> Vec<String> {
        self.ledger.entries().into_iter().map(|entry| entry.outcome).collect()
    }
}

fn soon() -> SendOptions {
    within(Duration::from_secs(10))
}

fn within(time: Duration) -> SendOptions {
    SendOptions::until(Instant::now() + time)
}

/// A file of `tests/tls`.
fn tls_file(name: &str) -> std::path::PathBuf {
    std::path::Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/tls")).join(name)
}

fn get(url: &str) -> Request<Full<Bytes>> {
    Request::get(url).body(Full::default()).unwrap()
}

async fn read(response: Response<ResponseBody>) -> Result<Bytes, EgressError> {
    response.into_body().collect().await.map(http_body_util::Collected::to_bytes)
}

/// Sends and reads to the end.
async fn fetch(channel: &Channel, url: &str) -> Result<String, EgressError> {
    let body = read(channel.send(get(url), soon()).await?).await?;
    Ok(String::from_utf8(body.to_vec()).unwrap())
}
