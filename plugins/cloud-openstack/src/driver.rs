//! The eight interfaces, bound to the cloud: each call reads the configuration and the account's attributes, and acts.

use crate::account::{Account, Attributes};
use crate::cloud::Cloud;
use crate::compute::power::{self, Action};
use crate::config::Config;
use crate::host::Host;
use crate::{attachment, compute, flavors, images, network, networks, quota, volume};
use archipel_sdk::cloud::{
    Attachment, CloudNetwork, CloudNetworks, Compute, ComputePower, CreateContext, Created, Driver, Image,
    ImageEntry, Known, Network, Observed, OrderRef, Page, Quota, QuotaEntry, Spec, SpecEntry, Tagged, Volume,
};
use archipel_sdk::credentials::LocalToken;
use archipel_sdk::{Result, config};

/// The plugin.
pub(crate) struct OpenStack;

/// Runs `act` in the project that the token opens.
fn with<T>(token: &LocalToken, act: impl FnOnce(&Cloud<'_>) -> Result<T>) -> Result<T> {
    let config: Config = config()?;
    let attributes: Attributes = token.attributes_as()?;
    let account = Account::new(attributes, &config);
    act(&Cloud { world: &Host { token }, config: &config, account, is_afresh: false })
}

/// The five functions of one kind, from its module.
macro_rules! driver {
    ($kind:ident, $module:ident) => {
        impl Driver<$kind> for OpenStack {
            fn request_instance(context: &CreateContext, token: &LocalToken) -> Result<Created> {
                with(token, |cloud| $module::request(cloud, context))
            }

            fn get_instance(instance: Known<'_>, token: &LocalToken) -> Result<Observed> {
                with(token, |cloud| $module::get(cloud, instance))
            }

            fn delete_instance(instance: Known<'_>, token: &LocalToken) -> Result<()> {
                with(token, |cloud| $module::delete(cloud, instance))
            }

            fn find_instances(order: &OrderRef, token: &LocalToken) -> Result<Vec<Tagged>> {
                with(token, |cloud| $module::find(cloud, order))
            }

            fn list_instances(token: &LocalToken, cursor: Option<&str>) -> Result<Page> {
                with(token, |cloud| $module::list(cloud, cursor))
            }
        }
    };
}

driver!(Compute, compute);
driver!(Volume, volume);
driver!(Network, network);
driver!(Attachment, attachment);

macro_rules! power {
    ($($function:ident: $action:ident),*) => {
        impl ComputePower for OpenStack {
            $(fn $function(machine: Known<'_>, token: &LocalToken) -> Result<()> {
                with(token, |cloud| power::act(cloud, Action::$action, machine))
            })*
        }
    };
}

power!(pause: Pause, resume: Resume, stop: Stop, start: Start, reboot: Reboot, hibernate: Hibernate);

impl CloudNetworks for OpenStack {
    fn get_all_networks(token: &LocalToken) -> Result<Vec<CloudNetwork>> {
        with(token, networks::list)
    }
}

impl Quota for OpenStack {
    fn get_user_quota(token: &LocalToken) -> Result<Vec<QuotaEntry>> {
        with(token, quota::get)
    }
}

impl Spec for OpenStack {
    fn get_all_specs(token: &LocalToken) -> Result<Vec<SpecEntry>> {
        with(token, |cloud| Ok(flavors::fresh(cloud)?.value.iter().map(flavors::Flavor::entry).collect()))
    }
}

impl Image for OpenStack {
    fn get_all_images(token: &LocalToken) -> Result<Vec<ImageEntry>> {
        with(token, |cloud| Ok(images::fresh(cloud)?.value.iter().map(images::Image::entry).collect()))
    }
}
