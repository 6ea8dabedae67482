//! The OpenStack identity API (Keystone v3) as plugins use it: logging in, reading what a token says, finding where a
//! cloud's services are.
//!
//! A library, not a plugin: `mapper-by-group` logs accounts in with it, `aaa-keystone` users. What always holds:
//!
//! - Passwords, application secrets and tokens are handles. A login goes through the host's exchange, which puts the
//!   password into the request and takes `X-Subject-Token` out of the answer before this code sees either.
//! - A login asks for no catalogue (`?nocatalog`): an exchange carries 64 KiB and a cloud of several regions has more.
//!   The catalogue is a request of its own, over the ordinary client.
//! - What Keystone refuses and what is wrong at the site are told apart by the error's kind, see [`Keystone::login`].
//!
//! What a plugin's grant binds, with `ORIGIN` that of the URL:
//!
//! | secret | methods | path | placement | for |
//! |---|---|---|---|---|
//! | the password or application secret | `POST` | `/v3/auth/tokens` | `json` | [`Keystone::login`] |
//! | `captured.token` | `GET` | `/v3/auth/catalog` | `header:x-auth-token` | [`Keystone::catalogue`] after it |
//! | the token to be judged | `GET` | `/v3/auth/tokens` | `header:x-auth-token`, `header:x-subject-token` | [`Keystone::token`] |

mod account;
mod catalogue;
mod client;
mod login;
mod time;
mod token;

pub use account::{Account, AccountText, Place};
pub use catalogue::{Catalogue, SERVICES};
pub use client::Keystone;
pub use login::{Login, Method, NameOrId, Scope, User};
pub use token::{Issued, Named, NamedIn, Receipt, Step, Token};
