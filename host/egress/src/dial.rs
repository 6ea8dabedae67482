//! Another way to an origin than the network: where a plugin is tested, its cloud's answers were recorded.

use std::fmt;
use std::io;

use async_trait::async_trait;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::origin::Origin;

/// Both directions of a connection. HTTP/1.1 is spoken on it, and no TLS: it does not leave the process.
pub trait Wire: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Wire for T {}

impl fmt::Debug for dyn Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Wire(…)")
    }
}

/// Connects in the network's place, to origins that the grant has passed. Neither names nor addresses are looked at:
/// there are none.
#[async_trait]
pub trait Dialer: Send + Sync {
    /// A connection to this origin.
    ///
    /// # Errors
    /// As of a network: `ConnectionRefused` and the like.
    async fn dial(&self, origin: &Origin) -> io::Result<Box<dyn Wire>>;
}
