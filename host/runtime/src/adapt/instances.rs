//! Drivers of the four kinds of instances. The four interfaces have the same five functions, so one macro writes them.

use std::sync::Arc;

use archipel_model::plugin::{
    CreateContext, Created, DriverDescriptor, InstanceDriver, Observed, OrderRef, Tagged, TaggedPage,
};
use archipel_model::{Error, LocalToken};
use async_trait::async_trait;

use super::absent;
use crate::call::Binding;
use crate::convert;
use crate::limits::to_usize;

/// Runs one function of a driver: finds the interface, lends the token, calls, converts.
macro_rules! drive {
    ($self:ident, $interface:ident, $function:literal, $order:expr, $token:ident, |$guest:ident, $store:ident, $lent:ident| $call:expr, $convert:expr) => {{
        let token = $token.clone();
        $self
            .binding
            .driver(concat!(stringify!($interface), ".", $function), $order, move |call| {
                Box::pin(async move {
                    let Some(indices) = &call.exports.$interface else {
                        return Ok(absent(stringify!($interface)));
                    };
                    let $guest = indices.load(&mut *call.store, call.instance)?;
                    let $lent = match call.store.data_mut().lend_token(token) {
                        Ok(handle) => handle,
                        Err(error) => return Ok(Err(error)),
                    };
                    let $store = &mut *call.store;
                    Ok($call.await?.map_err(convert::error).and_then($convert))
                })
            })
            .await
    }};
}

macro_rules! instance_driver {
    ($(#[$doc:meta])* $name:ident, $interface:ident) => {
        $(#[$doc])*
        pub(crate) struct $name {
            pub(crate) binding: Arc<Binding>,
            pub(crate) descriptor: DriverDescriptor,
        }

        #[async_trait]
        impl InstanceDriver for $name {
            fn descriptor(&self) -> DriverDescriptor {
                self.descriptor.clone()
            }

            async fn request_instance(&self, context: &CreateContext, token: &LocalToken) -> Result<Created, Error> {
                let order = Some(context.order.id);
                let context = convert::create_to_wit(context, self.binding.machine.limits.driver_deadline());
                drive!(self, $interface, "request-instance", order, token,
                    |guest, store, lent| guest.call_request_instance(store, &context, lent), convert::created)
            }

            async fn get_instance(&self, id: &str, driver_state: &str, order: &OrderRef, token: &LocalToken) -> Result<Observed, Error> {
                let (id, note, of, order) = (id.to_owned(), driver_state.to_owned(), Some(order.id), convert::order_to_wit(order));
                drive!(self, $interface, "get-instance", of, token,
                    |guest, store, lent| guest.call_get_instance(store, &id, &note, &order, lent), convert::observed)
            }

            async fn delete_instance(&self, id: &str, driver_state: &str, order: &OrderRef, token: &LocalToken) -> Result<(), Error> {
                let (id, note, of, order) = (id.to_owned(), driver_state.to_owned(), Some(order.id), convert::order_to_wit(order));
                drive!(self, $interface, "delete-instance", of, token,
                    |guest, store, lent| guest.call_delete_instance(store, &id, &note, &order, lent), Ok)
            }

            async fn find_instances(&self, order: &OrderRef, token: &LocalToken) -> Result<Vec<Tagged>, Error> {
                let most = to_usize(self.binding.machine.limits.answer_items);
                let (of, order) = (Some(order.id), convert::order_to_wit(order));
                drive!(self, $interface, "find-instances", of, token,
                    |guest, store, lent| guest.call_find_instances(store, &order, lent), move |found| convert::tagged(found, most))
            }

            async fn list_instances(&self, token: &LocalToken, cursor: Option<&str>) -> Result<TaggedPage, Error> {
                let most = to_usize(self.binding.machine.limits.answer_items);
                let cursor = cursor.map(str::to_owned);
                drive!(self, $interface, "list-instances", None, token,
                    |guest, store, lent| guest.call_list_instances(store, lent, cursor.as_deref()), move |page| convert::page(page, most))
            }
        }
    };
}

instance_driver!(
    /// Virtual machines.
    ComputeDriver, compute
);
instance_driver!(
    /// Block storage.
    VolumeDriver, volume
);
instance_driver!(
    /// Networks.
    NetworkDriver, network
);
instance_driver!(
    /// Volumes on computes.
    AttachmentDriver, attachment
);
