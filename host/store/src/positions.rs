//! Where each publisher of events stands: one number per name. Small, and written behind what is sent, so a publisher's
//! place costs one key and shares its flush with whatever is written at the time.

use std::sync::Arc;

use archipel_model::Error;
use archipel_model::publisher::PositionStore;
use async_trait::async_trait;

use crate::engine::{Commit, Engine};
use crate::judge::count;
use crate::keys;
use crate::record::refusal;

pub(crate) struct PositionCollection {
    pub(crate) engine: Arc<dyn Engine>,
}

#[async_trait]
impl PositionStore for PositionCollection {
    async fn position(&self, publisher: &str) -> Result<Option<u64>, Error> {
        let value = self.engine.get(&keys::position(publisher)).await?;
        Ok(value.map(|value| count(Some(&value))))
    }

    async fn set_position(&self, publisher: &str, position: u64) -> Result<(), Error> {
        let mut commit = Commit::new();
        commit.put(keys::position(publisher), position.to_be_bytes().to_vec());
        self.engine.commit(commit).await.map(|_| ()).map_err(refusal)
    }
}
