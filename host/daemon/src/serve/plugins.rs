//! What an administrator does with plugins: as the runtime does it, but that a reload takes the grants of the site file
//! too.

use std::sync::Arc;

use archipel_api::ReloadHook;
use archipel_model::Error;
use archipel_model::plugin_admin::{PluginAdmin, PluginStatus};
use archipel_model::plugin_evidence::PluginEvidence;
use async_trait::async_trait;

use super::reload::Reload;

/// The runtime's plugins with the site file behind them.
pub(super) struct Plugins {
    pub(super) runtime: Arc<dyn PluginAdmin>,
    pub(super) reload: Arc<Reload>,
}

#[async_trait]
impl PluginAdmin for Plugins {
    fn list(&self) -> Vec<PluginStatus> {
        self.runtime.list()
    }

    fn get(&self, name: &str) -> Option<PluginStatus> {
        self.runtime.get(name)
    }

    fn evidence(&self, name: &str) -> Option<PluginEvidence> {
        self.runtime.evidence(name)
    }

    async fn reload(&self, name: Option<&str>) -> Result<Vec<PluginStatus>, Error> {
        self.reload.reload().await?;
        self.runtime.reload(name).await
    }

    async fn quarantine(&self, name: &str, reason: &str) -> Result<PluginStatus, Error> {
        self.runtime.quarantine(name, reason).await
    }

    async fn release(&self, name: &str) -> Result<PluginStatus, Error> {
        self.runtime.release(name).await
    }
}
