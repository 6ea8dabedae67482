//! How a cloud is driven.
//!
//! A driver implements [`Driver<Compute>`](Driver), `Driver<Volume>`, ... for the kinds it has, names the same words
//! in `export!`, and states per kind in the manifest whether a create is `idempotent`, `searchable` or `neither`.
//! Instances of a driver are warm and serve one call at a time; several run side by side. What a driver has to
//! remember about an instance goes into [`Created::driver_state`] and nowhere else.

mod catalogue;
mod driver;
mod power;
mod spec;

pub use crate::bindings::common::archipel::cloud::types::{
    Allocation, CreateContext, Created, Dependency, Instance, Observed, OrderRef, Page, Status, Tagged,
};
pub use catalogue::{Image, ImageEntry, Quota, QuotaEntry, Spec, SpecEntry};
pub use driver::{Attachment, CloudNetwork, CloudNetworks, Compute, Driver, Kind, Known, Network, Volume};
pub use power::ComputePower;
pub use spec::{
    AddressAllocation, AttachmentSpec, ComputeSpec, NetworkRef, NetworkSpec, VolumeSource, VolumeSpec,
};
