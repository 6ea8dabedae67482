//! Names to addresses: asked once per connection, and only for names that a grant allows (a lookup is a message too).

use std::net::SocketAddr;

use async_trait::async_trait;

/// Finds addresses.
#[async_trait]
pub trait Resolver: Send + Sync {
    /// All addresses of a host, in the order to try them.
    async fn resolve(&self, host: &str, port: u16) -> std::io::Result<Vec<SocketAddr>>;
}

/// The machine's own resolver.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemResolver;

#[async_trait]
impl Resolver for SystemResolver {
    async fn resolve(&self, host: &str, port: u16) -> std::io::Result<Vec<SocketAddr>> {
        Ok(tokio::net::lookup_host((host, port)).await?.collect())
    }
}
