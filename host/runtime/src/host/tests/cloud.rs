//! A cloud on loopback: answers each request with what a function makes of its head and body.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// Where it listens, and what it was sent, head and body.
pub(crate) struct Cloud {
    pub(crate) address: SocketAddr,
    seen: Arc<Mutex<Vec<String>>>,
}

impl Cloud {
    /// `answer` makes a whole HTTP answer without `content-length` from head and body: head lines, a blank line, body.
    pub(crate) async fn start(answer: impl Fn(&str, &str) -> String + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (answer, log) = (Arc::new(answer), Arc::clone(&seen));
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let (answer, log) = (Arc::clone(&answer), Arc::clone(&log));
                tokio::spawn(async move {
                    let mut read = Vec::new();
                    loop {
                        let Some(end) = read.windows(4).position(|four| four == b"\r\n\r\n") else {
                            match stream.read_buf(&mut read).await {
                                Ok(0) | Err(_) => return,
                                Ok(_) => continue,
                            }
                        };
                        let head = String::from_utf8(read[..end].to_vec()).unwrap();
                        let length = head
                            .lines()
                            .find_map(|line| {
                                line.to_ascii_lowercase()
                                    .strip_prefix("content-length:")
                                    .map(|n| n.trim().parse().unwrap())
                            })
                            .unwrap_or(0_usize);
                        while read.len() < end + 4 + length {
                            stream.read_buf(&mut read).await.unwrap();
                        }
                        let body = String::from_utf8(read[end + 4..end + 4 + length].to_vec()).unwrap();
                        read.drain(..end + 4 + length);
                        log.lock().unwrap().push(format!("{head}\r\n\r\n{body}"));
                        let made = answer(&head, &body);
                        let (lines, body) = made.split_once("\n\n").unwrap();
                        let lines = lines.replace('\n', "\r\n");
                        let text =
                            format!("HTTP/1.1 {lines}\r\ncontent-length: {}\r\n\r\n{body}", body.len());
                        stream.write_all(text.as_bytes()).await.unwrap();
                    }
                });
            }
        });
        Self { address, seen }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(crate) fn seen(&self) -> Vec<String> {
        self.seen.lock().unwrap().clone()
    }
}
