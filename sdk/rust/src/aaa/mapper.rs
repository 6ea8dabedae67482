//! Says which local account a federation user becomes, and logs in to it.

use super::{Context, FederationUser};
use crate::bindings::mapper::exports::archipel::aaa::federation_to_local_mapper as wit;
use crate::credentials::{LocalToken, UserSession};
use crate::error::Result;
use crate::panics::call;

/// Interface `archipel:aaa/federation-to-local-mapper`.
///
/// The two halves are apart because an order outlives a mapper: `map_user` is asked once per order and its answer
/// is written on the order; `get_token` is asked for that account ever after, whatever mapper is live by then. So a
/// mapper that replaces another one should also serve the accounts that the old one gave.
pub trait Mapper {
    /// Decides, without side effects. The account's name is stable, opaque to the host, not secret, at most 4 KiB.
    ///
    /// # Errors
    /// `forbidden` for a user who has no account here.
    fn map_user(user: &FederationUser, cloud: &str, context: &Context) -> Result<String>;

    /// A credential for an account decided earlier, also by an older version or another mapper. `session` is absent
    /// in background work.
    ///
    /// # Errors
    /// `unsupported` for an account that this mapper cannot serve; `transient` when the cloud's login is away.
    fn get_token(
        account: &str,
        cloud: &str,
        context: &Context,
        session: Option<&UserSession>,
    ) -> Result<LocalToken>;
}

/// What crosses the boundary.
type Answer<T> = std::result::Result<T, wit::Error>;

impl<T: Mapper> wit::Guest for T {
    fn map_user(user: FederationUser, cloud: String, context: Context) -> Answer<String> {
        call(|| T::map_user(&user, &cloud, &context))
    }

    fn get_token(
        account: String,
        cloud: String,
        context: Context,
        session: Option<&UserSession>,
    ) -> Answer<LocalToken> {
        call(|| T::get_token(&account, &cloud, &context, session))
    }
}
