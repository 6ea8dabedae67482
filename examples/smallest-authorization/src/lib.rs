//! The smallest authorization: everybody may do everything with what is theirs; guests may only look.

use archipel_sdk::prelude::*;

struct SmallestAuthorization;

impl Authorization for SmallestAuthorization {
    fn is_authorized(user: &FederationUser, _: &Resource, context: &Context) -> Result<Decision> {
        Ok(match context.operation.as_str() {
            "admin" => Decision::deny("nobody is an administrator here; use the administrator's socket"),
            "login" | "read" | "list" => Decision::allow(Reach::Own),
            _ if user.is_in("guests") => Decision::deny("guests may only look; ask to join another group"),
            _ => Decision::allow(Reach::Own),
        })
    }
}

archipel_sdk::export!(SmallestAuthorization: Authorization);
