//! A server on loopback that plugins under test ask: it drips, redirects, never ends, and shows what arrived. And a door that
//! nobody may come through.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::Result;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

/// The server, and the door beside it.
pub struct FarSide {
    granted: SocketAddr,
    forbidden: SocketAddr,
    visitors: Arc<AtomicUsize>,
    open: Arc<Open>,
}

/// Connections to the server.
#[derive(Default)]
struct Open {
    now: AtomicUsize,
    most: AtomicUsize,
}

/// One of them.
struct Connection(Arc<Open>);

impl Connection {
    fn new(open: &Arc<Open>) -> Self {
        let now = open.now.fetch_add(1, Ordering::Relaxed) + 1;
        open.most.fetch_max(now, Ordering::Relaxed);
        Self(Arc::clone(open))
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.0.now.fetch_sub(1, Ordering::Relaxed);
    }
}

impl FarSide {
    /// Serves both for as long as the test runs.
    ///
    /// # Errors
    /// When there is no port.
    pub async fn serve() -> Result<Self> {
        let (granted, forbidden) =
            (TcpListener::bind("127.0.0.1:0").await?, TcpListener::bind("127.0.0.1:0").await?);
        let side = Self {
            granted: granted.local_addr()?,
            forbidden: forbidden.local_addr()?,
            visitors: Arc::default(),
            open: Arc::default(),
        };
        let (elsewhere, visitors, open) =
            (side.forbidden, Arc::clone(&side.visitors), Arc::clone(&side.open));
        tokio::spawn(async move {
            while let Ok((connection, _)) = granted.accept().await {
                let counted = Connection::new(&open);
                tokio::spawn(async move {
                    // A plugin that goes away in the middle is what the tests are about.
                    let _ = answer(connection, elsewhere).await;
                    drop(counted);
                });
            }
        });
        tokio::spawn(async move {
            while forbidden.accept().await.is_ok() {
                visitors.fetch_add(1, Ordering::Relaxed);
            }
        });
        Ok(side)
    }

    /// The origin that is granted.
    pub fn granted(&self) -> String {
        format!("http://{}", self.granted)
    }

    /// The origin that is not, under this name.
    pub fn forbidden(&self, host: &str) -> String {
        format!("http://{host}:{}", self.forbidden.port())
    }

    /// How many connections were open at a time, at the most.
    pub fn most_open(&self) -> usize {
        self.open.most.load(Ordering::Relaxed)
    }

    /// How many came through the door that is not granted.
    pub fn visitors(&self) -> usize {
        self.visitors.load(Ordering::Relaxed)
    }
}

/// One request, one answer, by path.
async fn answer(connection: TcpStream, elsewhere: SocketAddr) -> std::io::Result<()> {
    let mut connection = BufReader::new(connection);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if connection.read_line(&mut head).await? == 0 {
            return Ok(());
        }
    }
    let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
    let connection = connection.get_mut();
    match path.as_str() {
        "/drip" => {
            connection.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n").await?;
            for _ in 0..2400 {
                connection.write_all(b".").await?;
                // A reader that goes away is seen at once.
                let mut more = [0];
                if tokio::time::timeout(Duration::from_millis(50), connection.read(&mut more)).await.is_ok() {
                    return Ok(());
                }
            }
        }
        "/endless" => {
            connection.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").await?;
            let chunk = [b"10000\r\n".as_slice(), &[b'x'; 0x10000], b"\r\n"].concat();
            for _ in 0..10_000 {
                connection.write_all(&chunk).await?;
            }
        }
        "/redirect" => {
            let head = format!(
                "HTTP/1.1 302 Found\r\nlocation: http://{elsewhere}/secrets\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
            );
            connection.write_all(head.as_bytes()).await?;
        }
        // Shows what arrived, credentials included: a careless server.
        _ => {
            let told = format!(
                "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{}",
                head.len(),
                head.to_lowercase()
            );
            connection.write_all(told.as_bytes()).await?;
        }
    }
    connection.flush().await
}
