//! What a cloud offers: networks, quota, specs and images.

use archipel_model::plugin::{
    CloudNetwork, ImageDriver, ImageEntry, NetworkLister, QuotaDriver, QuotaEntry, SpecDriver, SpecEntry,
};
use archipel_model::{Error, LocalToken};
use async_trait::async_trait;

use super::{Component, absent};
use crate::convert;
use crate::limits::to_usize;

/// Asks one question with a token: finds the interface, lends the token, calls, converts.
macro_rules! ask {
    ($self:ident, $interface:ident, $function:literal, $token:ident, |$guest:ident, $store:ident, $lent:ident| $call:expr, $convert:expr) => {{
        let token = $token.clone();
        $self
            .0
            .driver(concat!(stringify!($interface), ".", $function), None, move |call| {
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

impl Component {
    fn most(&self) -> usize {
        to_usize(self.0.machine.limits.answer_items)
    }
}

#[async_trait]
impl NetworkLister for Component {
    async fn get_all_networks(&self, token: &LocalToken) -> Result<Vec<CloudNetwork>, Error> {
        let most = self.most();
        ask!(
            self,
            network,
            "get-all-networks",
            token,
            |guest, store, lent| guest.call_get_all_networks(store, lent),
            move |items| convert::networks(items, most)
        )
    }
}

#[async_trait]
impl QuotaDriver for Component {
    async fn get_user_quota(&self, token: &LocalToken) -> Result<Vec<QuotaEntry>, Error> {
        let most = self.most();
        ask!(
            self,
            quota,
            "get-user-quota",
            token,
            |guest, store, lent| guest.call_get_user_quota(store, lent),
            move |items| convert::quota(items, most)
        )
    }
}

#[async_trait]
impl SpecDriver for Component {
    async fn get_all_specs(&self, token: &LocalToken) -> Result<Vec<SpecEntry>, Error> {
        let most = self.most();
        ask!(
            self,
            spec,
            "get-all-specs",
            token,
            |guest, store, lent| guest.call_get_all_specs(store, lent),
            move |items| convert::specs(items, most)
        )
    }

    async fn get_spec(&self, id: &str, token: &LocalToken) -> Result<SpecEntry, Error> {
        let id = id.to_owned();
        ask!(
            self,
            spec,
            "get-spec",
            token,
            |guest, store, lent| guest.call_get_spec(store, &id, lent),
            convert::spec
        )
    }
}

#[async_trait]
impl ImageDriver for Component {
    async fn get_all_images(&self, token: &LocalToken) -> Result<Vec<ImageEntry>, Error> {
        let most = self.most();
        ask!(
            self,
            image,
            "get-all-images",
            token,
            |guest, store, lent| guest.call_get_all_images(store, lent),
            move |items| convert::images(items, most)
        )
    }

    async fn get_image(&self, id: &str, token: &LocalToken) -> Result<ImageEntry, Error> {
        let id = id.to_owned();
        ask!(
            self,
            image,
            "get-image",
            token,
            |guest, store, lent| guest.call_get_image(store, &id, lent),
            convert::image
        )
    }
}
