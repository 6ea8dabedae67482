//! `[site]`: who this site is, where it keeps things, where it listens.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use archipel_model::SiteId;
use serde::{Deserialize, Deserializer, de};

/// `[site]`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SiteSection {
    /// The site's name in the federation; stored at the first start, and refused when it changes.
    pub(crate) id: SiteId,
    /// Everything durable, the keys and the administrator's socket. Belongs to the daemon alone.
    #[serde(default = "data")]
    pub(crate) data_dir: PathBuf,
    /// Where plugins are dropped.
    #[serde(default = "plugins")]
    pub(crate) plugin_dir: PathBuf,
    /// Where REST is served; port 0 takes a free one.
    #[serde(default = "loopback", deserialize_with = "address")]
    pub(crate) listen: SocketAddr,
    /// Certificate and key; without it, REST is plain HTTP.
    #[serde(default)]
    pub(crate) tls: Option<TlsSection>,
    /// Certificates (PEM) to trust besides the machine's, when plugins ask clouds over HTTPS.
    #[serde(default)]
    pub(crate) outgoing_ca: Option<PathBuf>,
    /// Serve plain HTTP to other machines too, e.g. behind a proxy that does TLS.
    #[serde(default)]
    pub(crate) allow_plain_http_off_loopback: bool,
}

/// `tls = { cert, key }`: PEM files.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TlsSection {
    /// The chain, the site's own certificate first.
    pub(crate) cert: PathBuf,
    /// Its private key, readable by the daemon alone.
    pub(crate) key: PathBuf,
}

fn data() -> PathBuf {
    "data".into()
}

fn plugins() -> PathBuf {
    "plugins".into()
}

fn loopback() -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, 7070))
}

fn address<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SocketAddr, D::Error> {
    let text = String::deserialize(deserializer)?;
    text.parse().map_err(|_| {
        de::Error::custom(format!(
            "{text:?} is not an address with a port; write \"127.0.0.1:7070\" or \"[::1]:7070\""
        ))
    })
}

impl SiteSection {
    /// Makes every path absolute.
    pub(super) fn resolve(&mut self, base: &Path) {
        for path in [&mut self.data_dir, &mut self.plugin_dir] {
            *path = base.join(&*path);
        }
        if let Some(file) = &mut self.outgoing_ca {
            *file = base.join(&*file);
        }
        if let Some(tls) = &mut self.tls {
            tls.cert = base.join(&tls.cert);
            tls.key = base.join(&tls.key);
        }
    }
}
