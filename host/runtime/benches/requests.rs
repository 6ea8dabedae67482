//! P2: what a whole authenticated request costs.
//!
//! | | ours | baseline | how |
//! |---|---|---|---|
//! | P2a | `GET /v1/computes/{id}` through the router, three fresh AAA calls | the same three calls on bare wasmtime | one at a time, in turns |
//! | P2a-load | the same | a bare axum handler that returns as large a JSON | 64 clients on loopback, in turns |
//! | P2b | the same with the identity cache and `valid_for_ms` | the same handler | 64 clients on loopback, in turns |
//!
//! The site is made of real parts: sled on disk, the shipped plugins, identity, orders, the router of the public door.
#![allow(clippy::expect_used, reason = "a bench that cannot measure has nothing to say")]

mod figures;
mod load;
mod rest;
mod sampling;
mod site;

use std::sync::Arc;
use std::time::Duration;

use archipel_api::{ApiLimits, serve};
use archipel_model::plugin::Operation;
use archipel_runtime::bench::BareEngine;
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::figures::{percentile, row, timed};
use crate::load::{Round, Target};
use crate::rest::Rest;
use crate::sampling::{GOAL, Turn, criterion, in_turn, measure};
use crate::site::{Result, Site};

/// As the daemon's, for both sides.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Longer than the bench.
const LONG: Duration = Duration::from_secs(600);

fn main() -> Result<()> {
    let tokio = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let mut criterion = criterion();

    let site = tokio.block_on(Site::start(0))?;
    let rest = Arc::new(tokio.block_on(Rest::over(&site, Duration::ZERO))?);
    let turn = three_calls(&site, Arc::clone(&rest))?;
    let what = "GET of a compute with three fresh AAA calls, over the same calls on bare wasmtime";
    measure(&mut criterion, tokio.handle(), "P2a", what, GOAL, &turn);
    tokio.block_on(parts("P2a", Arc::clone(&rest)))?;
    let what = "the same under 64 clients, over a bare axum handler";
    tokio.block_on(under_load("P2a-load", what, None, &rest))?;
    tokio.block_on(site.stop());

    let site = tokio.block_on(Site::start(60_000))?;
    let rest = Arc::new(tokio.block_on(Rest::over(&site, LONG))?);
    tokio.block_on(parts("P2b", Arc::clone(&rest)))?;
    let what =
        "GET of a compute with the identity cache and valid-for under 64 clients, over a bare axum handler";
    tokio.block_on(under_load("P2b", what, Some(">=0.5"), &rest))?;
    criterion.final_summary();
    tokio.block_on(site.stop());
    Ok(())
}

fn three_calls(site: &Site, rest: Arc<Rest>) -> Result<Turn> {
    let engine = BareEngine::new()?;
    let local = Arc::new(site.bare_aaa_local(&engine)?);
    let roles = Arc::new(site.bare_authz_roles(&engine)?);
    let context = Arc::new(site.context(Operation::Read));
    Ok(Arc::new(move |ours_first| {
        let (rest, local, roles) = (Arc::clone(&rest), Arc::clone(&local), Arc::clone(&roles));
        let context = Arc::clone(&context);
        Box::pin(async move {
            let baseline = async {
                let user = local.get_federation_user(&rest.inner_token).await?;
                local.is_authentic(&user, &rest.inner_token, &context).await?;
                roles.is_authorized(&user, &rest.resource, &context).await
            };
            let (ours, baseline) = in_turn(ours_first, rest.get(), baseline).await;
            ours.1.expect("the site answers");
            baseline.1.expect("the plugins answer");
            (ours.0, baseline.0)
        })
    }))
}

/// Where the time of a request goes: the parts that make AAA calls and read, by themselves. The rest is HTTP and JSON.
async fn parts(id: &str, rest: Arc<Rest>) -> Result<()> {
    const TIMES: usize = 2000;
    let work = tokio::spawn(async move {
        let mut taken: [Vec<f64>; 4] = Default::default();
        for _ in 0..TIMES {
            let (authenticate, caller) = timed(rest.authenticate()).await;
            let (read, order) = timed(rest.read()).await;
            let (authorize, granted) = timed(rest.authorize(&caller?)).await;
            let (whole, answer) = timed(rest.get()).await;
            order?;
            granted?;
            answer?;
            for (all, one) in taken.iter_mut().zip([authenticate, read, authorize, whole]) {
                all.push(one.as_secs_f64() * 1e6);
            }
        }
        Result::Ok(taken.map(|all| percentile(&all, 50)))
    });
    let [authenticate, read, authorize, whole] = work.await??;
    println!(
        "{id} in us: authenticate {authenticate}, read the order {read}, authorize {authorize}, whole {whole}"
    );
    Ok(())
}

async fn under_load(id: &str, what: &str, goal: Option<&str>, rest: &Rest) -> Result<()> {
    let stop = CancellationToken::new();
    let document: Arc<Value> = Arc::new(serde_json::from_slice(&rest.get().await?)?);
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let ours = target(&listener, rest)?;
    let site = tokio::spawn(serve::serve_tcp(
        listener,
        rest.router.clone(),
        None,
        ApiLimits::default(),
        stop.clone(),
    ));

    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let baseline = target(&listener, rest)?;
    let bare = Router::new().route("/v1/computes/{id}", get(async move || Json(document)));
    let handler = tokio::spawn(
        axum::serve(listener, bare).with_graceful_shutdown(stop.clone().cancelled_owned()).into_future(),
    );

    let (of_ours, of_baseline) = load::in_turns(&ours, &baseline).await?;
    stop.cancel();
    site.await?;
    handler.await??;
    let median =
        |rounds: &[Round], of: fn(&Round) -> f64| percentile(&rounds.iter().map(of).collect::<Vec<_>>(), 50);
    let ratios: Vec<f64> =
        of_ours.iter().zip(&of_baseline).map(|(ours, baseline)| ours.rate / baseline.rate).collect();
    row(&json!({
        "id": id, "what": what,
        "ours": median(&of_ours, |round| round.rate), "baseline": median(&of_baseline, |round| round.rate),
        "unit": "1/s", "ratio": percentile(&ratios, 50), "goal": goal,
        "cpu_us_ours": median(&of_ours, |round| round.cpu_us),
        "cpu_us_baseline": median(&of_baseline, |round| round.cpu_us), "rounds": ratios.len(),
    }));
    Ok(())
}

fn target(listener: &TcpListener, rest: &Rest) -> Result<Target> {
    let (path, token) = (&rest.path, &rest.token);
    let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {token}\r\n\r\n");
    Ok(Target { address: listener.local_addr()?, request })
}
