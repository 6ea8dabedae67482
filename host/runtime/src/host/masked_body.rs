//! An answer's body whose first 64 KiB are masked before the plugin sees any of them.
//!
//! They are collected first: an echo may be split anywhere. What follows passes as it comes.

use std::pin::Pin;
use std::task::{Context, Poll};

use archipel_vault::Masker;
use bytes::{Bytes, BytesMut};
use http_body::{Body, Frame};
use wasmtime_wasi_http::{Error, WasiBody};

use super::http::{drop_credentials, mask_headers};

/// Bytes that are searched.
const SEARCHED: usize = 64 * 1024;

/// See the module.
pub(crate) struct MaskedBody {
    inner: WasiBody,
    masker: Masker,
    collected: Option<BytesMut>,
    next: Option<Frame<Bytes>>,
}

impl MaskedBody {
    pub(crate) fn new(inner: WasiBody, masker: Masker) -> Self {
        Self { inner, masker, collected: Some(BytesMut::new()), next: None }
    }

    /// Trailers are headers that come late.
    fn masked_trailers(&self, frame: Frame<Bytes>) -> Frame<Bytes> {
        match frame.into_trailers() {
            Ok(mut trailers) => {
                drop_credentials(&mut trailers);
                archipel_egress::headers::strip(&mut trailers);
                mask_headers(&mut trailers, &self.masker);
                Frame::trailers(trailers)
            }
            Err(data) => data,
        }
    }

    /// The collected bytes, masked; `then` follows them.
    fn release(&mut self, then: Option<Frame<Bytes>>) -> Option<Frame<Bytes>> {
        let mut bytes = self.collected.take().unwrap_or_default();
        if bytes.is_empty() {
            return then;
        }
        self.masker.mask(&mut bytes);
        self.next = then;
        Some(Frame::data(bytes.freeze()))
    }
}

impl Body for MaskedBody {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        if let Some(frame) = self.next.take() {
            return Poll::Ready(Some(Ok(frame)));
        }
        loop {
            let frame = match std::task::ready!(Pin::new(&mut self.inner).poll_frame(cx)) {
                Some(Ok(frame)) => self.masked_trailers(frame),
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => return Poll::Ready(self.release(None).map(Ok)),
            };
            let Some(collected) = &mut self.collected else { return Poll::Ready(Some(Ok(frame))) };
            match frame.into_data() {
                Ok(data) => {
                    collected.extend_from_slice(&data);
                    if collected.len() >= SEARCHED {
                        return Poll::Ready(self.release(None).map(Ok));
                    }
                }
                Err(trailers) => return Poll::Ready(self.release(Some(trailers)).map(Ok)),
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.next.is_none()
            && self.collected.as_ref().is_none_or(BytesMut::is_empty)
            && self.inner.is_end_stream()
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::{BodyExt, StreamBody};

    use super::*;

    #[tokio::test]
    async fn an_echo_split_over_frames_is_masked() {
        let frames =
            ["{\"echo\":\"s3cr", "etva", "lue\"}"].map(|part| Ok::<_, Error>(Frame::data(Bytes::from(part))));
        let inner = StreamBody::new(futures::stream::iter(frames)).boxed_unsync();
        let mut masker = Masker::new();
        masker.add(b"s3cretvalue");
        let body = MaskedBody::new(inner, masker).collect().await.unwrap().to_bytes();
        assert_eq!(body, "{\"echo\":\"***********\"}");
    }

    #[tokio::test]
    async fn trailers_are_masked_too() {
        let mut trailers = http::HeaderMap::new();
        trailers.insert("x-echo", "s3cretvalue".parse().unwrap());
        trailers.insert("set-cookie", "s".parse().unwrap());
        let frames = [Ok::<_, Error>(Frame::data(Bytes::from("body"))), Ok(Frame::trailers(trailers))];
        let mut masker = Masker::new();
        masker.add(b"s3cretvalue");
        let body = MaskedBody::new(StreamBody::new(futures::stream::iter(frames)).boxed_unsync(), masker);
        let whole = body.collect().await.unwrap();
        assert_eq!(whole.trailers().unwrap().len(), 1);
        assert_eq!(whole.trailers().unwrap()["x-echo"], "***********");
        assert_eq!(whole.to_bytes(), "body");
    }

    #[tokio::test]
    async fn long_bodies_pass_whole() {
        let frames = (0..40).map(|_| Ok::<_, Error>(Frame::data(Bytes::from(vec![b'x'; 4096]))));
        let inner = StreamBody::new(futures::stream::iter(frames)).boxed_unsync();
        let mut masker = Masker::new();
        masker.add(b"s3cretvalue");
        let body = MaskedBody::new(inner, masker).collect().await.unwrap().to_bytes();
        assert_eq!(body.len(), 40 * 4096);
    }
}
