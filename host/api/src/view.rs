//! What clients see, as plain types: the shapes of answers and, through them, of the OpenAPI document.

pub(crate) mod audit;
pub(crate) mod cloud;
pub(crate) mod egress;
pub(crate) mod event;
pub(crate) mod evidence;
pub(crate) mod order;
pub(crate) mod plugin;
pub(crate) mod publisher;
pub(crate) mod sweep;
pub(crate) mod usage;
pub(crate) mod usage_record;
pub(crate) mod user;
