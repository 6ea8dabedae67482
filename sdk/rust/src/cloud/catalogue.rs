//! What a cloud offers: quota, sizes of machines, images.

use crate::bindings::common::archipel::host::types::Error as WitError;
use crate::bindings::{
    image::exports::archipel::cloud::image, quota::exports::archipel::cloud::quota,
    spec::exports::archipel::cloud::spec,
};
use crate::credentials::LocalToken;
use crate::error::{Error, Result};
use crate::panics::call;

pub use image::Entry as ImageEntry;
pub use quota::Entry as QuotaEntry;
pub use spec::Entry as SpecEntry;

/// Interface `archipel:cloud/quota`: what an account may still use.
pub trait Quota {
    /// The account's quota, one entry per counted resource: `instances`, `vcpu`, `ram_mib`, `volumes`,
    /// `storage_gib`, `networks`, `public_ips`, or the cloud's own word.
    ///
    /// # Errors
    /// Those of the cloud.
    fn get_user_quota(token: &LocalToken) -> Result<Vec<QuotaEntry>>;
}

/// Interface `archipel:cloud/spec`: sizes of machines (flavours, instance types).
pub trait Spec {
    /// All sizes, smallest first.
    ///
    /// # Errors
    /// Those of the cloud.
    fn get_all_specs(token: &LocalToken) -> Result<Vec<SpecEntry>>;

    /// One size.
    ///
    /// # Errors
    /// `not-found` for an unknown id.
    fn get_spec(id: &str, token: &LocalToken) -> Result<SpecEntry> {
        let entry = Self::get_all_specs(token)?.into_iter().find(|entry| entry.id == id);
        entry.ok_or_else(|| Error::not_found(format!("no spec {id:?}; list the specs for those there are")))
    }
}

/// Interface `archipel:cloud/image`: images that machines start from.
pub trait Image {
    /// All images that the account can use.
    ///
    /// # Errors
    /// Those of the cloud.
    fn get_all_images(token: &LocalToken) -> Result<Vec<ImageEntry>>;

    /// One image.
    ///
    /// # Errors
    /// `not-found` for an unknown id.
    fn get_image(id: &str, token: &LocalToken) -> Result<ImageEntry> {
        let entry = Self::get_all_images(token)?.into_iter().find(|entry| entry.id == id);
        entry.ok_or_else(|| Error::not_found(format!("no image {id:?}; list the images for those there are")))
    }
}

/// What crosses the boundary.
type Answer<T> = std::result::Result<T, WitError>;

impl<T: Quota> quota::Guest for T {
    fn get_user_quota(token: &LocalToken) -> Answer<Vec<QuotaEntry>> {
        call(|| T::get_user_quota(token))
    }
}

impl<T: Spec> spec::Guest for T {
    fn get_all_specs(token: &LocalToken) -> Answer<Vec<SpecEntry>> {
        call(|| T::get_all_specs(token))
    }

    fn get_spec(id: String, token: &LocalToken) -> Answer<SpecEntry> {
        call(|| T::get_spec(&id, token))
    }
}

impl<T: Image> image::Guest for T {
    fn get_all_images(token: &LocalToken) -> Answer<Vec<ImageEntry>> {
        call(|| T::get_all_images(token))
    }

    fn get_image(id: String, token: &LocalToken) -> Answer<ImageEntry> {
        call(|| T::get_image(&id, token))
    }
}
