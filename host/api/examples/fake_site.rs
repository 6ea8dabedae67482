//! A site in memory with plugins in plain Rust, to try the REST interface on: `cargo run -p archipel-api --example
//! fake_site -- 127.0.0.1:8080`. Users alice, bob, carol and admin; the password is the name and `-secret`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::result_large_err,
    unreachable_pub,
    reason = "it shares its site with the tests"
)]

#[path = "../tests/api/site.rs"]
#[allow(dead_code, reason = "the tests use the rest of it")]
mod site;

use archipel_api::{ApiLimits, serve};
use tokio_util::sync::CancellationToken;

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8080".to_owned());
    let listener = tokio::net::TcpListener::bind(&address).await?;
    let site = site::TestSite::start().await;
    println!("http://{}/docs", listener.local_addr()?);
    println!("alice: {}", site.token("alice").await);
    println!("admin: {}", site.token("admin").await);
    serve::serve_tcp(listener, site.router.clone(), None, ApiLimits::default(), CancellationToken::new())
        .await;
    Ok(())
}
