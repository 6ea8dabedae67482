//! Copies of the store beside the daemon that serves it, one at a time: each may keep as much in memory as
//! `SledOptions::snapshot_bytes` says.

use std::sync::Arc;

use archipel_api::Backups;
use archipel_model::{Error, SystemClock};
use archipel_store::Store;
use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use tokio::sync::Semaphore;

pub(super) struct StoreBackups {
    store: Arc<Store>,
    place: Arc<Semaphore>,
}

impl StoreBackups {
    pub(super) fn new(store: Arc<Store>) -> Self {
        Self { store, place: Arc::new(Semaphore::new(1)) }
    }
}

#[async_trait]
impl Backups for StoreBackups {
    async fn begin(&self) -> Result<BoxStream<'static, Result<Bytes, Error>>, Error> {
        let place = Arc::clone(&self.place)
            .try_acquire_owned()
            .map_err(|_| Error::transient("a backup is being made already; wait for its end").code("busy"))?;
        let export = self.store.export(&SystemClock).await?;
        let lines = stream::unfold(Some((export, place)), |state| async move {
            let (mut export, place) = state?;
            match export.next().await {
                Ok(None) => {
                    let told = export.exported();
                    tracing::info!(records = told.records, bytes = told.bytes, "the store was copied");
                    None
                }
                Ok(Some(lines)) => Some((Ok(lines), Some((export, place)))),
                Err(error) => {
                    tracing::warn!(reason = %error, "a copy of the store was given up");
                    Some((Err(error), None))
                }
            }
        });
        Ok(lines.boxed())
    }
}
