//! A connection to a vetted address: resolved once, judged, connected, and TLS under the original name.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::address::PrivateAccess;
use crate::dial::{Dialer, Wire};
use crate::error::EgressError;
use crate::origin::Origin;
use crate::resolve::Resolver;
use crate::tls::sha256;

/// Addresses of one name that are tried.
const MAX_ADDRESSES: usize = 4;

/// A stream to a vetted address.
pub(crate) enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
    Dialed(Box<dyn Wire>),
}

/// An open connection.
pub(crate) struct Opened {
    pub(crate) stream: Stream,
    pub(crate) address: SocketAddr,
    pub(crate) http2: bool,
    /// Of the server's certificate, `sha256:HEX`.
    pub(crate) certificate: Option<String>,
}

/// What opening needs to know.
pub(crate) struct Opener {
    pub(crate) resolver: Arc<dyn Resolver>,
    pub(crate) dialer: Option<Arc<dyn Dialer>>,
    pub(crate) private: PrivateAccess,
    pub(crate) timeout: Duration,
}

impl Opener {
    /// Opens a connection to an origin that the allow-list has passed.
    pub(crate) async fn open(&self, origin: &Origin, tls: &Arc<ClientConfig>) -> Result<Opened, EgressError> {
        if let Some(dialer) = &self.dialer {
            return dialed(&**dialer, origin).await;
        }
        let addresses = self.vetted(origin).await?;
        let mut last = None;
        for address in addresses.into_iter().take(MAX_ADDRESSES) {
            match tokio::time::timeout(self.timeout, TcpStream::connect(address)).await {
                Ok(Ok(stream)) => {
                    // Small requests should not wait for more bytes; a socket that cannot do this still works.
                    let _ = stream.set_nodelay(true);
                    return self.secure(origin, tls, stream, address).await;
                }
                Ok(Err(error)) => last = Some(error),
                Err(_) => {
                    last =
                        Some(io::Error::new(io::ErrorKind::TimedOut, "no answer to the connection attempt"))
                }
            }
        }
        let reason = last.unwrap_or_else(|| io::Error::new(io::ErrorKind::NotFound, "no address"));
        Err(EgressError::Connect { origin: origin.to_string(), reason })
    }

    /// The addresses of a name that the grant allows; at least one.
    async fn vetted(&self, origin: &Origin) -> Result<Vec<SocketAddr>, EgressError> {
        let host = &origin.host;
        let found = match host.parse::<IpAddr>() {
            Ok(ip) => vec![SocketAddr::new(ip, origin.port)],
            Err(_) => {
                let unresolvable = || EgressError::Unresolvable { host: host.clone() };
                let answer =
                    tokio::time::timeout(self.timeout, self.resolver.resolve(host, origin.port)).await;
                answer.map_err(|_| unresolvable())?.map_err(|_| unresolvable())?
            }
        };
        let mut allowed = Vec::new();
        let mut refused = None;
        for address in found {
            match self.private.judge(address.ip()) {
                Ok(()) => allowed.push(address),
                Err(kind) => refused = Some((address.ip(), kind)),
            }
        }
        match (allowed.is_empty(), refused) {
            (false, _) => Ok(allowed),
            (true, Some((address, kind))) => {
                Err(EgressError::AddressNotGranted { host: host.clone(), address, kind })
            }
            (true, None) => Err(EgressError::Unresolvable { host: host.clone() }),
        }
    }

    async fn secure(
        &self,
        origin: &Origin,
        tls: &Arc<ClientConfig>,
        stream: TcpStream,
        address: SocketAddr,
    ) -> Result<Opened, EgressError> {
        if !origin.secure {
            return Ok(Opened { stream: Stream::Plain(stream), address, http2: false, certificate: None });
        }
        let fail = |reason: String| EgressError::Tls { origin: origin.to_string(), reason };
        let name = ServerName::try_from(origin.host.clone()).map_err(|error| fail(error.to_string()))?;
        let handshake = TlsConnector::from(Arc::clone(tls)).connect(name, stream);
        let stream = tokio::time::timeout(self.timeout, handshake)
            .await
            .map_err(|_| fail("no answer to the handshake".to_owned()))?
            .map_err(|error| fail(error.to_string()))?;
        let session = stream.get_ref().1;
        let http2 = session.alpn_protocol() == Some(b"h2");
        let certificate =
            session.peer_certificates().and_then(|chain| chain.first()).map(|leaf| sha256(leaf));
        Ok(Opened { stream: Stream::Tls(Box::new(stream)), address, http2, certificate })
    }
}

async fn dialed(dialer: &dyn Dialer, origin: &Origin) -> Result<Opened, EgressError> {
    let wire = dialer
        .dial(origin)
        .await
        .map_err(|reason| EgressError::Connect { origin: origin.to_string(), reason })?;
    let nowhere = SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), origin.port);
    Ok(Opened { stream: Stream::Dialed(wire), address: nowhere, certificate: None, http2: false })
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Dialed(wire) => Pin::new(wire).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::Dialed(wire) => Pin::new(wire).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
            Self::Dialed(wire) => Pin::new(wire).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Dialed(wire) => Pin::new(wire).poll_shutdown(cx),
        }
    }
}
