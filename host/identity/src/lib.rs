//! Who someone is and what he may do: sessions, site tokens, and the pipeline over the five AAA plugins.
//!
//! A site token is an envelope signed by the host that names a durable session; the plugin's own token lies sealed in
//! that session. Per request the host checks the envelope and the revocations, then the identity binding's plugins
//! judge the inner token ([`Identity::authenticate`]), then the authorization chain is asked ([`Identity::authorize`]).
//!
//! What always holds:
//! - AAA fails closed: a plugin that is away, traps or hangs is `transient` with the code [`AAA_UNAVAILABLE`], never a
//!   refusal of the credentials and never a yes; an empty chain refuses everything.
//! - A user is refused whose issuer the binding may not speak for.
//! - Caches hold for one generation of the site and end with every revocation.
//! - Why a token was refused goes to the log; the client gets one sentence for all reasons.

mod authenticate;
mod authorize;
mod cache;
mod caller;
mod challenge;
mod config;
mod decision;
mod envelope;
mod fields;
mod foreign;
mod identity;
mod judge;
mod keys;
mod login;
mod rate;
mod sessions;
pub mod store;
#[cfg(test)]
mod suite;

pub use caller::{Caller, Granted, RequestInfo};
pub use config::IdentityConfig;
pub use identity::Identity;
pub use keys::SiteKeys;
pub use login::{BindingInfo, Login};

/// The code of an error that says: an AAA plugin (or what it needs) is away. The REST interface answers 503.
pub const AAA_UNAVAILABLE: &str = "aaa-unavailable";
/// The code of an error that says: too many logins from this address. The REST interface answers 429.
pub const RATE_LIMITED: &str = "rate-limited";
/// The detail of a refusal that says which plugin it was, for the audit alone; the REST interface never shows it.
pub const DENIED_BY: &str = "denied_by";
/// The issuer of the built-in principal; no plugin may speak for it.
pub const BUILT_IN_ISSUER: &str = "urn:archipel:built-in";
