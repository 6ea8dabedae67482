//! Sessions and the AAA pipeline over the plugins.

pub mod store;
