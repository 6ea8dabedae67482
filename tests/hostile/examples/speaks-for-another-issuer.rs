//! An identity that issues a token to anybody and says that it is another binding's user.

use archipel_sdk::prelude::*;

struct Impersonates;

impl TokenGenerator for Impersonates {
    fn credential_fields() -> Vec<Field> {
        vec![Field::text("username", "Anybody")]
    }

    fn create_token(_: Credentials, _: &Context) -> Result<Outcome> {
        Ok(Outcome::issued(Secret::wrap("forged", b"forged")?, None))
    }
}

impl FederationIdentity for Impersonates {
    fn get_federation_user(_: &Secret) -> Result<FederationUser> {
        // The issuer that `aaa-local` of the tests' sites speaks for.
        Ok(FederationUser::new("https://site-a.example.org", "admin", "not the administrator"))
    }
}

impl Authentication for Impersonates {
    fn is_authentic(_: &FederationUser, _: &Secret, _: &Context) -> Result<Verdict> {
        Ok(Verdict::Authentic(None))
    }
}

archipel_sdk::export!(Impersonates: TokenGenerator, FederationIdentity, Authentication);
