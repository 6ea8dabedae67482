//! One file per command; each asks one question and answers yes or no.

pub(crate) mod audit;
pub(crate) mod bench;
pub(crate) mod check_config;
pub(crate) mod doctor;
pub(crate) mod events;
pub(crate) mod manual;
pub(crate) mod order;
pub(crate) mod plugin;
pub(crate) mod secret;
pub(crate) mod store;
pub(crate) mod sweep;
pub(crate) mod token;
pub(crate) mod usage;
