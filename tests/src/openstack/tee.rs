//! A port in front of the daemon's that keeps every byte of its answers: what clients of a test saw is then searched as
//! it came over the wire, headers too.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use anyhow::Result;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// The port. Connections that it has go on until they are closed.
pub struct Tee {
    address: SocketAddr,
    seen: Arc<Mutex<Vec<u8>>>,
}

impl Tee {
    /// In front of what listens at `to`, or will.
    ///
    /// # Errors
    /// When there is no port.
    pub async fn before(to: SocketAddr) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let tee = Self { address: listener.local_addr()?, seen: Arc::default() };
        let seen = tee.seen.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(carry(client, to, seen.clone()));
            }
        });
        Ok(tee)
    }

    /// Where clients go.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Every answer so far.
    pub fn seen(&self) -> Vec<u8> {
        self.seen.lock().expect("nothing panics with it").clone()
    }
}

async fn carry(client: TcpStream, to: SocketAddr, seen: Arc<Mutex<Vec<u8>>>) {
    let Ok(daemon) = TcpStream::connect(to).await else { return };
    let (mut asks, mut hears) = client.into_split();
    let (mut answers, mut is_asked) = daemon.into_split();
    let questions = async {
        let _ = tokio::io::copy(&mut asks, &mut is_asked).await;
        let _ = is_asked.shutdown().await;
    };
    let replies = async {
        // One connection's bytes stay together, so that a secret that comes in two pieces is found.
        let mut kept = Vec::new();
        let mut piece = vec![0; 64 << 10];
        while let Ok(length @ 1..) = answers.read(&mut piece).await {
            kept.extend_from_slice(&piece[..length]);
            if hears.write_all(&piece[..length]).await.is_err() {
                break;
            }
        }
        let _ = hears.shutdown().await;
        seen.lock().expect("nothing panics with it").append(&mut kept);
    };
    tokio::join!(questions, replies);
}
