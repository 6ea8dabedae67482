//! What a binding may reach: the meeting of what its manifest asks for and what the administrator grants.
//!
//! `[grants.NAME]` in the site file, NAME being the plugin's name:
//! ```toml
//! [grants.mapper-keystone]
//! hosts = ["https://keystone.example.org:5000"]   # scheme, host and port; "https://*.example.org" for all below
//! private = true                                  # loopback and private networks too; or ["10.1.0.0/16"]
//! storage = "4 MiB"
//! secrets = [{ name = "keystone-admin", origin = "https://keystone.example.org:5000", methods = ["POST"], path = "/v3/auth/tokens", placement = "json" }]
//! crypto = [{ purpose = "session", lifetime_s_max = 3600 }]
//! folders = ["policies"]
//! pin = "digest"                                  # "capabilities", "digest" or "key:ID"
//! accept = ["sha256:..."]                         # for "digest"
//! ```
//! Both sides must name a thing: what the manifest does not ask for is not given, however wide the grant. Names that
//! the host itself gives to handles (`session`, `login.*`, `captured.*`, `signed.*`, `local-token`) need not be asked
//! for, only bound. Nothing here decides at run time; that is `host/`.

mod config;
mod diff;
mod effective;
mod meaning;
mod missing;
mod requested;

pub use config::{ByteSize, GrantConfig, Pin, SigningGrant};
pub use diff::CapabilityDiff;
pub use effective::EffectiveGrants;
pub use meaning::Ability;
pub use missing::Missing;
pub use requested::{FolderRequest, HostRequest, PurposeRequest, Requested, SecretRequest, StorageRequest};
