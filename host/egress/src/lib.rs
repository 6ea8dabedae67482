//! Outgoing HTTP for plugins (and for the host on their behalf): nothing leaves that a grant does not name.
//!
//! A request's way, in this order: parse → allow-list ([`origin`]) → resolve once → address policy on what DNS
//! returned ([`address`]) → connect to a vetted address with the original name → a connection of this binding's own
//! [`pool`] → one total deadline over all of it, bodies included → byte caps → one [`ledger`] entry.
//! No redirect is followed and no proxy is used: what a plugin wants to follow comes back through here. Cookies are kept
//! for those who say whose they are ([`cookies`]).
//!
//! A [`Channel`] is what one binding has: its policy, its pool (by origin and TLS identity), its TLS sessions, its cookies. A pooled connection skips the checks
//! made when connecting, so a pool never outlives the policy it was filled under.

pub mod address;
mod body;
mod channel;
mod connect;
pub mod cookies;
pub mod dial;
mod error;
pub mod headers;
pub mod ledger;
mod limits;
pub mod origin;
mod pool;
pub mod resolve;
pub mod tls;

pub use address::{AddressRange, PrivateAccess};
pub use body::{BoxError, ResponseBody};
pub use channel::{Caller, Channel, Egress, EgressPolicy, Meter, SendOptions};
pub use cookies::CookieJar;
pub use dial::{Dialer, Wire};
pub use error::{EgressError, Stage, causes};
pub use ledger::{DurableLedger, Ledger, LedgerWriter, RingLedger};
pub use limits::EgressLimits;
pub use origin::{Origin, OriginPattern};
pub use tls::{Identity, IdentityError, Trust};
