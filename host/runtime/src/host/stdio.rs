//! Standard output and error: kept in memory up to a cap, then dropped. A panic's text is there and nowhere else.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use tokio::io::AsyncWrite;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamResult};

use super::log::escape;

/// Bytes kept of each stream per call; the first ones, because a panic is followed by nothing.
const MAX_KEPT: usize = 16 * 1024;
/// Bytes of the tail that goes into a call's report.
const MAX_TAIL: usize = 4 * 1024;
/// What a plugin may write at once.
const CHUNK: usize = 64 * 1024;

/// What one stream was written in this call.
#[derive(Clone, Default)]
pub(crate) struct Captured(Arc<Mutex<Written>>);

#[derive(Default)]
struct Written {
    kept: Vec<u8>,
    dropped: u64,
}

impl Captured {
    fn lock(&self) -> MutexGuard<'_, Written> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self, bytes: &[u8]) {
        let mut written = self.lock();
        let room = MAX_KEPT.saturating_sub(written.kept.len());
        let (kept, dropped) = bytes.split_at(bytes.len().min(room));
        written.kept.extend_from_slice(kept);
        written.dropped += dropped.len() as u64;
    }

    pub(crate) fn clear(&self) {
        *self.lock() = Written::default();
    }

    /// Bytes that were over the cap.
    pub(crate) fn dropped(&self) -> u64 {
        self.lock().dropped
    }

    /// Its lines, escaped.
    pub(crate) fn lines(&self) -> Vec<String> {
        String::from_utf8_lossy(&self.lock().kept)
            .lines()
            .filter(|line| !line.trim().is_empty())
            .map(escape)
            .collect()
    }

    /// The end of it, as one text with escaped lines.
    pub(crate) fn tail(&self) -> String {
        let text = self.lines().join("\n");
        let from = text.ceil_char_boundary(text.len().saturating_sub(MAX_TAIL));
        text.get(from..).unwrap_or_default().to_owned()
    }
}

impl IsTerminal for Captured {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Captured {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.clone())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

impl OutputStream for Captured {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        Captured::write(self, &bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(CHUNK)
    }
}

#[wasmtime_wasi::async_trait]
impl Pollable for Captured {
    async fn ready(&mut self) {}
}

impl AsyncWrite for Captured {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
        Captured::write(&self, bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_dropped_and_lines_are_escaped() {
        let captured = Captured::default();
        captured.write(b"panicked at src/lib.rs:1:\n\x1b[31mred\n");
        captured.write(&vec![b'x'; 1 << 20]);
        let lines = captured.lines();
        assert_eq!(lines[0], "panicked at src/lib.rs:1:");
        assert_eq!(lines[1], "\\u{1b}[31mred");
        assert!(captured.tail().len() <= MAX_TAIL);
        assert_eq!(captured.dropped(), 35 + (1 << 20) - MAX_KEPT as u64);
        captured.clear();
        assert_eq!((captured.tail().as_str(), captured.dropped()), ("", 0));
    }
}
