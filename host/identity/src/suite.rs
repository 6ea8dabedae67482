//! The pipeline over fake plugins: every way a token can be wrong, every way a plugin can be away, and what caches may
//! and may not hide.

mod authentication;
mod authorization;
mod fakes;
mod login;
