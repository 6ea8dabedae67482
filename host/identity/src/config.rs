//! Limits and durations of identity. Each has a name, a default and a sentence on what it protects from.

use std::time::Duration;

use archipel_model::SiteId;

/// How identity behaves.
#[derive(Clone, Debug, PartialEq)]
pub struct IdentityConfig {
    /// This site: the audience of its tokens.
    pub site: SiteId,
    /// How long a judgement on a token is reused at most (10 s; 0 asks the plugins on every request). Bounds how long
    /// someone whom the plugins would refuse by now is still let in.
    pub auth_cache_ttl: Duration,
    /// How long an allow that states `valid-for` is reused at most (60 s; 0 asks the chain on every request). Bounds
    /// how long a withdrawn permission still works.
    pub decision_cache_ttl: Duration,
    /// How long a session lasts where neither the plugin's token nor the user's statement ends earlier (12 h). Bounds
    /// what a stolen token is worth.
    pub session_lifetime: Duration,
    /// How long a login's challenge may be answered (10 min). Bounds the replay of a half-done login.
    pub challenge_lifetime: Duration,
    /// Logins per second and client address (10). Protects the generators, which hash passwords, from guessing.
    pub logins_per_second: f64,
    /// Logins at once per client address (20), before the rate holds.
    pub login_burst: u32,
    /// Entries of each cache (20,000). Bounds memory.
    pub cache_entries: u64,
}

impl IdentityConfig {
    /// The defaults for a site.
    pub fn new(site: SiteId) -> Self {
        Self {
            site,
            auth_cache_ttl: Duration::from_secs(10),
            decision_cache_ttl: Duration::from_secs(60),
            session_lifetime: Duration::from_secs(12 * 3600),
            challenge_lifetime: Duration::from_secs(600),
            logins_per_second: 10.0,
            login_burst: 20,
            cache_entries: 20_000,
        }
    }
}

/// A token longer than this is refused unread: nobody needs more, and hashing and decoding cost time. Bytes.
pub(crate) const MAX_TOKEN_BYTES: usize = 16 * 1024;
/// Credential fields of one login. Protects the plugin from being handed thousands of handles.
pub(crate) const MAX_CREDENTIALS: usize = 32;
/// Bytes of one credential. A SAML assertion or a certificate chain fits.
pub(crate) const MAX_CREDENTIAL_BYTES: usize = 64 * 1024;
/// Bytes of a sealed challenge state that a client hands back.
pub(crate) const MAX_CHALLENGE_BYTES: usize = 64 * 1024;
/// Bytes of an issuer or a subject: both become keys of the store.
pub(crate) const MAX_NAME_BYTES: usize = 1024;
/// Bytes of everything that a plugin says of a user: it is copied into every order.
pub(crate) const MAX_USER_BYTES: usize = 64 * 1024;
/// Sessions that a list of one's own shows, newest first.
pub(crate) const MAX_LISTED_SESSIONS: usize = 100;
/// How long a refusal or a `transient` without its own time asks the client to wait.
pub(crate) const DEFAULT_RETRY: Duration = Duration::from_secs(2);
