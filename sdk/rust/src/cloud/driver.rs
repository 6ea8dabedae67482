//! The five functions that every kind of instance has, as one trait over the kind.
//!
//! The kind is a type parameter, so code that several kinds share is written once:
//! `impl<K: Kind> Driver<K> for MyCloud` covers all of them, and `K::NAME` tells them apart.

use super::{CreateContext, Created, Instance, Observed, OrderRef, Page, Tagged};
use crate::bindings::common::archipel::host::types::Error as WitError;
use crate::bindings::{
    attachment::exports::archipel::cloud::attachment, compute::exports::archipel::cloud::compute,
    network::exports::archipel::cloud::network, volume::exports::archipel::cloud::volume,
};
use crate::config::from_json;
use crate::credentials::LocalToken;
use crate::error::{Error, Result};
use crate::panics::call;
use serde::Serialize;
use serde::de::DeserializeOwned;

pub use network::CloudNetwork;

/// A kind of instance.
pub trait Kind: 'static {
    /// As in [`OrderRef::kind`] and in the manifest's `drivers`.
    const NAME: &'static str;
}

/// One marker type per kind.
macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident $name:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum $kind {}
        impl Kind for $kind {
            const NAME: &'static str = $name;
        }
    )*};
}

kinds! {
    /// Virtual machines: interface `archipel:cloud/compute`.
    Compute "compute";
    /// Block storage: interface `archipel:cloud/volume`.
    Volume "volume";
    /// Networks: interface `archipel:cloud/network`. Needs [`CloudNetworks`] too.
    Network "network";
    /// Volumes on computes: interface `archipel:cloud/attachment`.
    Attachment "attachment";
}

/// An instance that the driver made earlier.
#[derive(Debug, Clone, Copy)]
pub struct Known<'a> {
    /// What the cloud calls it.
    pub id: &'a str,
    /// The driver's own note, as in [`Created::driver_state`].
    pub driver_state: &'a str,
    /// The order behind it.
    pub order: &'a OrderRef,
}

/// Drives instances of kind `K`.
pub trait Driver<K: Kind> {
    /// Creates, or completes, what exists for this order. On attempt 1 it need not look first; before every other
    /// one the host has searched with `find_instances` and found nothing. [`OrderRef::tag`] goes into the create
    /// call's own body, where the cloud can search it.
    ///
    /// # Errors
    /// [`Error::applied`] decides whether the host searches before it tries again. After the first of several steps
    /// has succeeded, an error says [`crate::Applied::Unknown`].
    fn request_instance(context: &CreateContext, token: &LocalToken) -> Result<Created>;

    /// Looks at one instance. [`Observed::Gone`] is a positive statement: the project answered, and it is not there.
    ///
    /// # Errors
    /// A project that answers 403 or 404 is an error, not gone.
    fn get_instance(instance: Known<'_>, token: &LocalToken) -> Result<Observed>;

    /// Asks the cloud to delete it; accepted is enough. One that is not there is no error.
    ///
    /// # Errors
    /// When the cloud did not accept.
    fn delete_instance(instance: Known<'_>, token: &LocalToken) -> Result<()>;

    /// All instances of this site that the account holds, with their status: one call for many.
    ///
    /// # Errors
    /// `invalid` for a cursor that never was.
    fn list_instances(token: &LocalToken, cursor: Option<&str>) -> Result<Page>;

    /// All instances that carry this order's tag, oldest first. As given it reads the whole list; a cloud that can
    /// search does better.
    ///
    /// # Errors
    /// As `list_instances`.
    fn find_instances(order: &OrderRef, token: &LocalToken) -> Result<Vec<Tagged>> {
        let mut found = Vec::new();
        let mut cursor: Option<String> = None;
        loop {
            let page = Self::list_instances(token, cursor.as_deref())?;
            found.extend(page.items.into_iter().filter(|item| item.tag == order.tag));
            match page.next {
                Some(next) => cursor = Some(next),
                None => break,
            }
        }
        found.sort_by_key(|item| item.created_at);
        Ok(found)
    }
}

/// What a driver of networks has besides [`Driver<Network>`](Driver).
pub trait CloudNetworks {
    /// Networks that a compute of this account can use, whoever made them.
    ///
    /// # Errors
    /// Those of the cloud.
    fn get_all_networks(token: &LocalToken) -> Result<Vec<CloudNetwork>>;
}

impl OrderRef {
    /// What was asked for, typed: `order.spec_as::<ComputeSpec>()?`.
    ///
    /// # Errors
    /// `invalid`, naming the path of what does not fit.
    pub fn spec_as<T: DeserializeOwned>(&self) -> Result<T> {
        from_json(self.spec.as_bytes())
            .map_err(|error| Error::invalid(format!("{} spec: {error}", self.kind)))
    }

    /// What the cloud calls the instance of an order that this one rests on.
    ///
    /// # Errors
    /// `invalid` when this order does not rest on it.
    pub fn instance_of(&self, order: &str) -> Result<&str> {
        self.dependencies
            .iter()
            .find(|dependency| dependency.order == order)
            .map(|dependency| dependency.instance_id.as_str())
            .ok_or_else(|| Error::invalid(format!("order {} does not rest on order {order}", self.id)))
    }
}

impl Created {
    /// An instance without a note.
    #[must_use]
    pub fn new(id: impl Into<String>) -> Self {
        Self { id: id.into(), driver_state: String::new() }
    }

    /// Adds the driver's note, as JSON (at most 16 KiB).
    ///
    /// # Errors
    /// When it cannot be written as JSON.
    pub fn with_state(mut self, state: &impl Serialize) -> Result<Self> {
        self.driver_state = serde_json::to_string(state)?;
        Ok(self)
    }
}

impl Known<'_> {
    /// The driver's note, typed.
    ///
    /// # Errors
    /// `permanent` when it is not as expected: it was written by another version of the driver.
    pub fn state_as<T: DeserializeOwned>(&self) -> Result<T> {
        from_json(self.driver_state.as_bytes())
            .map_err(|error| Error::permanent(format!("driver state of {}: {error}", self.id)))
    }
}

impl Instance {
    /// An instance in `status`, with the cloud's own word for it; the rest is empty and can be set field by field.
    #[must_use]
    pub fn new(id: impl Into<String>, status: super::Status, cloud_state: impl Into<String>) -> Self {
        Self {
            id: id.into(),
            status,
            cloud_state: cloud_state.into(),
            fault: None,
            allocation: super::Allocation { vcpu: None, ram_mib: None, disk_gib: None },
            addresses: Vec::new(),
            poll_after_ms: None,
        }
    }
}

/// What crosses the boundary.
type Answer<T> = std::result::Result<T, WitError>;

/// The generated trait of one kind, over [`Driver`].
macro_rules! guest {
    ($interface:ident, $kind:ty $(, $extra:ident: $bound:path)?) => {
        impl<T: Driver<$kind> $(+ $bound)?> $interface::Guest for T {
            fn request_instance(context: CreateContext, token: &LocalToken) -> Answer<Created> {
                call(|| <T as Driver<$kind>>::request_instance(&context, token))
            }

            fn get_instance(id: String, state: String, order: OrderRef, token: &LocalToken) -> Answer<Observed> {
                let known = Known { id: &id, driver_state: &state, order: &order };
                call(|| <T as Driver<$kind>>::get_instance(known, token))
            }

            fn delete_instance(id: String, state: String, order: OrderRef, token: &LocalToken) -> Answer<()> {
                let known = Known { id: &id, driver_state: &state, order: &order };
                call(|| <T as Driver<$kind>>::delete_instance(known, token))
            }

            fn find_instances(order: OrderRef, token: &LocalToken) -> Answer<Vec<Tagged>> {
                call(|| <T as Driver<$kind>>::find_instances(&order, token))
            }

            fn list_instances(token: &LocalToken, cursor: Option<String>) -> Answer<Page> {
                call(|| <T as Driver<$kind>>::list_instances(token, cursor.as_deref()))
            }

            $(fn $extra(token: &LocalToken) -> Answer<Vec<CloudNetwork>> {
                call(|| <T as $bound>::$extra(token))
            })?
        }
    };
}

guest!(compute, Compute);
guest!(volume, Volume);
guest!(network, Network, get_all_networks: CloudNetworks);
guest!(attachment, Attachment);
