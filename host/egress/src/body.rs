//! Bodies with a cap and a count. An answer's body also keeps the deadline, and gives its connection back at its end.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use bytes::{Buf, Bytes};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::Incoming;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Sleep;

use crate::channel::Meter;
use crate::error::{EgressError, Stage};
use crate::ledger::Record;
use crate::pool::Lease;

/// Any error of a caller's body.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A request's body on its way out.
pub(crate) struct RequestBody {
    inner: UnsyncBoxBody<Bytes, BoxError>,
    left: u64,
    limit: u64,
    sent: Arc<AtomicU64>,
    meter: Arc<Meter>,
}

impl RequestBody {
    pub(crate) fn new(
        inner: UnsyncBoxBody<Bytes, BoxError>,
        limit: u64,
        sent: Arc<AtomicU64>,
        meter: Arc<Meter>,
    ) -> Self {
        Self { inner, left: limit, limit, sent, meter }
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let frame = std::task::ready!(Pin::new(&mut self.inner).poll_frame(cx));
        // Trailers are headers that were never checked; nothing that we speak to needs them.
        if frame.as_ref().is_some_and(|frame| frame.as_ref().is_ok_and(Frame::is_trailers)) {
            return Poll::Ready(None);
        }
        if let Some(Ok(frame)) = &frame
            && let Some(data) = frame.data_ref()
        {
            let length = data.remaining() as u64;
            match self.left.checked_sub(length) {
                Some(left) => self.left = left,
                None => {
                    return Poll::Ready(Some(Err(Box::new(EgressError::RequestTooLarge {
                        limit: self.limit,
                    }))));
                }
            }
            self.sent.fetch_add(length, Ordering::Relaxed);
            self.meter.sent.fetch_add(length, Ordering::Relaxed);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// An answer's body: fails at the deadline and above the cap.
pub struct ResponseBody {
    inner: Incoming,
    left: u64,
    limit: u64,
    origin: String,
    deadline: Pin<Box<Sleep>>,
    sent: Arc<AtomicU64>,
    meter: Arc<Meter>,
    lease: Option<Lease>,
    record: Record,
    _permit: OwnedSemaphorePermit,
}

/// What an answer's body takes along.
pub(crate) struct ResponseParts {
    pub(crate) limit: u64,
    pub(crate) origin: String,
    pub(crate) deadline: tokio::time::Instant,
    pub(crate) sent: Arc<AtomicU64>,
    pub(crate) meter: Arc<Meter>,
    pub(crate) lease: Lease,
    pub(crate) record: Record,
    pub(crate) permit: OwnedSemaphorePermit,
}

impl ResponseBody {
    pub(crate) fn new(inner: Incoming, parts: ResponseParts) -> Self {
        let mut body = Self {
            inner,
            left: parts.limit,
            limit: parts.limit,
            origin: parts.origin,
            deadline: Box::pin(tokio::time::sleep_until(parts.deadline)),
            sent: parts.sent,
            meter: parts.meter,
            lease: Some(parts.lease),
            record: parts.record,
            _permit: parts.permit,
        };
        body.record.entry.outcome = "abandoned".to_owned();
        if body.inner.is_end_stream() {
            body.finish();
        }
        body
    }

    /// Reads what is left, up to about so many bytes, so that its connection can be used again. An answer that breaks is
    /// left where it broke: this is for whoever has learned all from its header.
    pub async fn drain(mut self, most: usize) {
        let mut read = 0;
        while let (true, Some(Ok(frame))) = (read <= most, self.frame().await) {
            read += frame.data_ref().map_or(0, Bytes::len);
        }
    }

    fn finish(&mut self) {
        if let Some(lease) = self.lease.take() {
            self.record.entry.outcome = "complete".to_owned();
            lease.give_back();
        }
    }

    fn fail(&mut self, error: EgressError) -> Poll<Option<Result<Frame<Bytes>, EgressError>>> {
        // Dropping the lease closes an HTTP/1.1 connection: what is left of this answer must not meet the next request.
        self.lease = None;
        self.record.failed(&error);
        Poll::Ready(Some(Err(error)))
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = EgressError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, EgressError>>> {
        if self.lease.is_none() {
            return Poll::Ready(None);
        }
        if self.deadline.as_mut().poll(cx).is_ready() {
            return self.fail(EgressError::Deadline { stage: Stage::Sent });
        }
        match std::task::ready!(Pin::new(&mut self.inner).poll_frame(cx)) {
            None => {
                self.finish();
                Poll::Ready(None)
            }
            Some(Err(error)) => {
                let error =
                    EgressError::Interrupted { origin: self.origin.clone(), reason: error.to_string() };
                self.fail(error)
            }
            Some(Ok(frame)) => {
                if let Some(data) = frame.data_ref() {
                    let length = data.len() as u64;
                    self.record.entry.received += length;
                    self.meter.received.fetch_add(length, Ordering::Relaxed);
                    match self.left.checked_sub(length) {
                        Some(left) => self.left = left,
                        None => {
                            let limit = self.limit;
                            return self.fail(EgressError::ResponseTooLarge { limit });
                        }
                    }
                }
                if self.inner.is_end_stream() {
                    self.finish();
                }
                Poll::Ready(Some(Ok(frame)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.lease.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

impl std::fmt::Debug for ResponseBody {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ResponseBody").field("origin", &self.origin).finish_non_exhaustive()
    }
}

impl Drop for ResponseBody {
    fn drop(&mut self) {
        self.record.entry.sent = self.sent.load(Ordering::Relaxed);
    }
}
