//! The traits of `archipel_model::plugin`, over components: one file per family, no decision of its own.
//!
//! Arguments become owned WIT values before the call, because it runs on the plugin's threads; secrets become handles
//! inside it, and what comes back is taken out of the store and checked by [`convert`](crate::convert).

mod aaa;
mod cloud;
mod instances;
mod mapper;
mod power;

use std::sync::Arc;

use archipel_model::Error;

use crate::call::Binding;

/// A plugin of a generation, seen through one of its interfaces.
#[derive(Clone)]
pub(crate) struct Component(pub(crate) Arc<Binding>);

/// An interface that is not there although admission saw it.
fn absent<T>(interface: &str) -> Result<T, Error> {
    Err(Error::internal(format!("the plugin does not export {interface}")))
}

pub(crate) use instances::{AttachmentDriver, ComputeDriver, NetworkDriver, VolumeDriver};
pub(crate) use power::Power;
