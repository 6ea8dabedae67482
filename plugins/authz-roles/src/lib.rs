//! Authorization by roles: who has a role may do what its rules allow.
//!
//! ```json
//! {
//!   "roles": {
//!     "member": { "allow": [
//!       { "operations": ["login"] },
//!       { "operations": ["create", "update", "act"], "kinds": ["compute", "volume"], "clouds": ["east"] },
//!       { "operations": ["read", "list"], "kinds": ["cloud", "spec", "image", "quota"], "reach": "any" }
//!     ] },
//!     "leader": { "allow": [{ "operations": ["*"], "reach": "group" }] },
//!     "auditor": { "allow": [
//!       { "operations": ["login"] },
//!       { "operations": ["read", "list"], "kinds": ["audit"], "reach": "any" }
//!     ] },
//!     "operator": { "allow": [
//!       { "operations": ["*"], "reach": "any" },
//!       { "operations": ["*", "admin"], "kinds": ["admin"], "reach": "any" }
//!     ] }
//!   },
//!   "assignments": [
//!     { "role": "operator", "issuer": "https://site-a.example.org", "subjects": ["root"] },
//!     { "role": "leader", "groups": ["physics-leads"] },
//!     { "role": "member", "entitlements": ["urn:example:archipel:user"] }
//!   ],
//!   "default_role": "member",
//!   "valid_for_ms": 0
//! }
//! ```
//!
//! | key | meaning |
//! |---|---|
//! | `operations` | `login`, `create`, `read`, `list`, `update`, `delete`, `act`, `admin`, or `*` for all but `admin` |
//! | `kinds` | `compute`, `volume`, `network`, ... or `*` (the default) for all but `admin` and `audit` |
//! | `clouds` | names of clouds, or `*` (the default) |
//! | `reach` | whose things: `own` (the default), `group` (of the group the user acts for) or `any` |
//! | `subjects`, `names` | users of `issuer`, by their subject, or by the name it gives them where names are unique there |
//! | `groups`, `entitlements` | users who have one of them, of `issuer` if it is named |
//! | `default_role` | what everybody has besides; none if absent |
//! | `valid_for_ms` | how long the host may reuse a yes; 0 asks every time |
//!
//! In this order:
//! 1. Everybody may read, list and delete what is their own, with any role or none: who loses a role can still see
//!    what runs in its name, and end it.
//! 2. The roles of a user add up, and the widest reach of the rules that fit decides.
//! 3. What is not limited to a cloud (a list over all of them) is reached beyond one's own only by rules for all clouds.
//! 4. Administration is never meant by `*`: the operation `admin` and the kind `admin` must be written out, in a rule
//!    with reach `any`. So must the kind `audit`: who did what, and who had which address, is for auditors (and for
//!    administrators, whom the host lets read it too).
//! 5. Everything else is refused, with the roles that would have allowed it.
//!
//! A role that is assigned and not described is an error when the plugin is admitted.

mod policy;
mod rules;

use archipel_sdk::lifecycle::File;
use archipel_sdk::prelude::*;
use policy::Policy;
use std::sync::OnceLock;

/// The policy, read once: in the image that `init` leaves, or by the first call.
static POLICY: OnceLock<Policy> = OnceLock::new();

struct Roles;

/// Reads and checks the configuration, unless that is done.
fn policy() -> Result<&'static Policy> {
    if let Some(policy) = POLICY.get() {
        return Ok(policy);
    }
    let policy: Policy = config()?;
    policy.check()?;
    Ok(POLICY.get_or_init(|| policy))
}

impl Lifecycle for Roles {
    fn init(_: Vec<File>) -> Result<()> {
        policy().map(|_| ())
    }
}

impl Authorization for Roles {
    fn is_authorized(user: &FederationUser, resource: &Resource, context: &Context) -> Result<Decision> {
        Ok(policy()?.decide(user, resource, context))
    }
}

archipel_sdk::export!(Roles: Authorization, Lifecycle; manifest = {}; config_schema = "config.schema.json");
