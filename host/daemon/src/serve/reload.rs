//! Reads the site file again, and takes it whole or not at all. What only a restart can change is named.

use std::path::PathBuf;
use std::sync::Arc;

use archipel_api::{ReloadHook, Reloaded};
use archipel_identity::Identity;
use archipel_model::{CloudName, Error};
use archipel_orders::Orders;
use archipel_orders::store::{OrderQuery, Visible};
use archipel_runtime::Runtime;
use archipel_vault::Vault;
use async_trait::async_trait;
use tokio::sync::Mutex;

use super::tls::Certificate;
use crate::config::Config;

/// What a reload touches.
pub(super) struct Reload {
    pub(super) file: PathBuf,
    /// The configuration that serves; locked for a whole reload, so that two never mix.
    pub(super) current: Mutex<Config>,
    /// The secrets that serve.
    pub(super) secrets: Arc<Vault>,
    pub(super) runtime: Arc<Runtime>,
    pub(super) identity: Arc<Identity>,
    pub(super) orders: Arc<Orders>,
    /// `None` = plain HTTP.
    pub(super) certificate: Option<Arc<Certificate>>,
}

#[async_trait]
impl ReloadHook for Reload {
    async fn reload(&self) -> Result<Reloaded, Error> {
        let mut current = self.current.lock().await;
        let new = Config::load(&self.file)
            .map_err(|error| Error::invalid(error.to_string()).code("bad-configuration"))?;
        let refused = |reason: String| Error::invalid(reason).code("bad-configuration");
        let vault = new.load_vault().map_err(|error| refused(error.to_string()))?;
        let certificate = new.site.tls.as_ref().map(Certificate::load).transpose().map_err(refused)?;
        let mut needs_restart = needs_restart(&current, &new);
        self.refuse_to_lose_orders(&current, &new).await?;
        let mut changed = changed(&current, &new);
        let has_other_secrets = !self.secrets.holds_the_same_as(&vault);
        if has_other_secrets {
            changed.push("secrets".to_owned());
        }
        let taken = self.runtime.reconfigure(new.runtime.clone()).await;
        needs_restart.extend(taken.map_err(|reasons| refused(reasons.join("; ")))?.needs_restart);
        // An order may have come in between; then the old configuration stays.
        if let Err(error) = self.refuse_to_lose_orders(&current, &new).await {
            self.runtime
                .reconfigure(current.runtime.clone())
                .await
                .map_err(|reasons| refused(reasons.join("; ")))?;
            return Err(error);
        }
        self.secrets.replace(vault);
        if has_other_secrets {
            self.orders.forget_tokens();
        }
        if let (Some(served), Some(read)) = (&self.certificate, &certificate)
            && served.replace(read)
        {
            changed.push("site.tls".to_owned());
        }
        self.orders.set_limits(new.limit.clone());
        self.identity.forget_cached();
        self.orders.wake();
        *current = new;
        Ok(Reloaded { generation: self.runtime.site().current().number, changed, needs_restart })
    }
}

impl Reload {
    /// A cloud that goes while orders are there would leave instances that nobody polls or deletes any more.
    async fn refuse_to_lose_orders(&self, old: &Config, new: &Config) -> Result<(), Error> {
        let gone = old.runtime.cloud.iter().map(|cloud| &cloud.name);
        for cloud in gone.filter(|name| !new.runtime.cloud.iter().any(|cloud| cloud.name == **name)) {
            let page = self.orders.list(&orders_of(cloud.clone())).await?;
            if !page.items.is_empty() {
                return Err(Error::conflict(format!(
                    "cloud {cloud} has orders that are not closed, so it cannot be removed; set state = \"draining\" and \
                     delete them first"
                ))
                .code("cloud-in-use")
                .detail("cloud", cloud.as_str()));
            }
        }
        Ok(())
    }
}

/// Whether there is any order of a cloud that is not closed.
fn orders_of(cloud: CloudName) -> OrderQuery {
    OrderQuery { cloud: Some(cloud), ..OrderQuery::of(Visible::Any, 1) }
}

/// Sections that differ and now serve as the file says.
fn changed(old: &Config, new: &Config) -> Vec<String> {
    let (a, b) = (&old.runtime, &new.runtime);
    let sections = [
        ("identity", a.identity != b.identity),
        ("authorization", a.authorization != b.authorization),
        ("cloud", a.cloud != b.cloud),
        ("shadow", a.shadow != b.shadow),
        ("grants", a.grants != b.grants),
        ("signatures", a.signatures != b.signatures),
        ("limit", old.limit != new.limit),
    ];
    sections.into_iter().filter(|(_, differs)| *differs).map(|(name, _)| name.to_owned()).collect()
}

/// Keys and sections that differ and serve as before until a restart.
fn needs_restart(old: &Config, new: &Config) -> Vec<String> {
    let (a, b) = (&old.site, &new.site);
    let keys = [
        ("site.id", a.id != b.id),
        ("site.data_dir", a.data_dir != b.data_dir),
        ("site.plugin_dir", a.plugin_dir != b.plugin_dir),
        ("site.listen", a.listen != b.listen),
        ("site.tls", a.tls.is_some() != b.tls.is_some()),
        ("site.outgoing_ca", a.outgoing_ca != b.outgoing_ca),
        ("events", old.events != new.events),
        ("audit", old.audit != new.audit),
        ("telemetry", old.telemetry != new.telemetry),
        ("limits.api", old.limits.api != new.limits.api),
        ("limits.orders", old.limits.orders != new.limits.orders),
        ("limits.identity", old.limits.identity != new.limits.identity),
        ("limits.egress", old.limits.egress != new.limits.egress),
    ];
    keys.into_iter().filter(|(_, differs)| *differs).map(|(name, _)| name.to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn config(text: &str) -> Config {
        Config::parse(Path::new("/s/site.toml"), text, []).unwrap()
    }

    #[test]
    fn what_needs_a_restart_is_named() {
        let old = config("[site]\nid = \"a.b\"\n");
        let new = config(
            "[site]\nid = \"a.b\"\nlisten = \"127.0.0.1:1\"\n[limits.api]\npage_max = 5\n[[authorization]]\nplugin = \"p\"\n",
        );
        assert_eq!(needs_restart(&old, &new), ["site.listen", "limits.api"]);
        assert_eq!(changed(&old, &new), ["authorization"]);
        assert!(needs_restart(&old, &old.clone()).is_empty());
    }
}
