//! An answer's body that is masked before the plugin sees any of it.
//!
//! An echo may be split anywhere, so the last bytes of what came are held back until what follows them is there: as many
//! as the longest spelling has, less one.

use std::pin::Pin;
use std::task::{Context, Poll};

use archipel_vault::Masker;
use bytes::{Bytes, BytesMut};
use http_body::{Body, Frame};
use wasmtime_wasi_http::{Error, WasiBody};

use super::http::{drop_credentials, mask_headers};

/// See the module.
pub(crate) struct MaskedBody {
    inner: WasiBody,
    masker: Masker,
    /// What may be the beginning of an echo.
    held: BytesMut,
    /// What follows it, at the end.
    next: Option<Frame<Bytes>>,
    is_over: bool,
}

impl MaskedBody {
    pub(crate) fn new(inner: WasiBody, masker: Masker) -> Self {
        Self { inner, masker, held: BytesMut::new(), next: None, is_over: false }
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

    /// Takes what came; gives what cannot be part of an echo any more.
    fn pass(&mut self, data: &[u8]) -> Option<Bytes> {
        self.held.extend_from_slice(data);
        self.masker.mask(&mut self.held);
        let keep = self.masker.longest().saturating_sub(1);
        let free = self.held.len().checked_sub(keep).filter(|free| *free > 0)?;
        Some(self.held.split_to(free).freeze())
    }

    /// All that is held; `then` follows it.
    fn finish(&mut self, then: Option<Frame<Bytes>>) -> Option<Frame<Bytes>> {
        self.is_over = true;
        if self.held.is_empty() {
            return then;
        }
        self.next = then;
        Some(Frame::data(self.held.split().freeze()))
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
        while !self.is_over {
            let frame = match std::task::ready!(Pin::new(&mut self.inner).poll_frame(cx)) {
                Some(Ok(frame)) => self.masked_trailers(frame),
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => return Poll::Ready(self.finish(None).map(Ok)),
            };
            match frame.into_data() {
                Ok(data) => {
                    if let Some(free) = self.pass(&data) {
                        return Poll::Ready(Some(Ok(Frame::data(free))));
                    }
                }
                Err(trailers) => return Poll::Ready(self.finish(Some(trailers)).map(Ok)),
            }
        }
        Poll::Ready(None)
    }

    fn is_end_stream(&self) -> bool {
        self.next.is_none() && self.held.is_empty() && (self.is_over || self.inner.is_end_stream())
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
    async fn an_echo_is_masked_wherever_it_stands_and_however_it_is_cut() {
        for (padding, cut) in [(0, 1), (70_000, 3), (200_001, 7), (1 << 20, 4096)] {
            let mut text = vec![b'x'; padding];
            text.extend_from_slice(b"s3cretvalue, s3cretval");
            let frames: Vec<_> = text
                .chunks(cut)
                .map(|part| Ok::<_, Error>(Frame::data(Bytes::copy_from_slice(part))))
                .collect();
            let mut masker = Masker::new();
            masker.add(b"s3cretvalue");
            let body = MaskedBody::new(StreamBody::new(futures::stream::iter(frames)).boxed_unsync(), masker);
            let body = body.collect().await.unwrap().to_bytes();
            assert_eq!(body.len(), text.len());
            assert_eq!(&body[padding..], b"***********, s3cretval", "{padding} {cut}");
        }
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
