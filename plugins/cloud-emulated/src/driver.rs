//! The eight interfaces, bound to the cloud: each call reads the configuration, enters by its local token, and acts.

use crate::catalogue::image;
use crate::cloud::Cloud;
use crate::config::Config;
use crate::faults::{Operation, Subject};
use crate::host::Host;
use crate::naming::Kind;
use crate::power::Action;
use archipel_sdk::cloud::{
    CloudNetwork, CloudNetworks, ComputePower, CreateContext, Created, Driver, Image, ImageEntry,
    Kind as ContractKind, Known, Observed, OrderRef, Page, Quota, QuotaEntry, Spec, SpecEntry, Tagged,
};
use archipel_sdk::credentials::LocalToken;
use archipel_sdk::{Error, Result, config};

/// The plugin.
pub(crate) struct EmulatedCloud;

/// Runs `act` in the cloud that the token opens.
fn with<T>(token: &LocalToken, act: impl FnOnce(&Cloud<'_, Host>) -> Result<T>) -> Result<T> {
    let config: Config = config()?;
    let cloud = Cloud::enter(&Host, &config, &token.account(), token.expires_in_ms())?;
    act(&cloud)
}

/// Which of our kinds `K` is.
fn kind<K: ContractKind>() -> Result<Kind> {
    Kind::of_word(K::NAME).ok_or_else(|| Error::unsupported(format!("this cloud has no {}", K::NAME)))
}

impl<K: ContractKind> Driver<K> for EmulatedCloud {
    fn request_instance(context: &CreateContext, token: &LocalToken) -> Result<Created> {
        with(token, |cloud| cloud.request(kind::<K>()?, context))
    }

    fn get_instance(instance: Known<'_>, token: &LocalToken) -> Result<Observed> {
        with(token, |cloud| cloud.get(kind::<K>()?, instance))
    }

    fn delete_instance(instance: Known<'_>, token: &LocalToken) -> Result<()> {
        with(token, |cloud| cloud.delete(kind::<K>()?, instance))
    }

    fn find_instances(order: &OrderRef, token: &LocalToken) -> Result<Vec<Tagged>> {
        with(token, |cloud| cloud.find(kind::<K>()?, order))
    }

    fn list_instances(token: &LocalToken, cursor: Option<&str>) -> Result<Page> {
        with(token, |cloud| cloud.list(kind::<K>()?, cursor))
    }
}

macro_rules! power {
    ($($function:ident: $action:ident),*) => {
        impl ComputePower for EmulatedCloud {
            $(fn $function(machine: Known<'_>, token: &LocalToken) -> Result<()> {
                with(token, |cloud| cloud.act(Action::$action, machine))
            })*
        }
    };
}

power!(pause: Pause, resume: Resume, stop: Stop, start: Start, reboot: Reboot, hibernate: Hibernate);

impl CloudNetworks for EmulatedCloud {
    fn get_all_networks(token: &LocalToken) -> Result<Vec<CloudNetwork>> {
        with(token, |cloud| cloud.networks())
    }
}

impl Quota for EmulatedCloud {
    fn get_user_quota(token: &LocalToken) -> Result<Vec<QuotaEntry>> {
        with(token, |cloud| cloud.quota())
    }
}

impl Spec for EmulatedCloud {
    fn get_all_specs(token: &LocalToken) -> Result<Vec<SpecEntry>> {
        with(token, |cloud| {
            cloud.consult(Subject::Spec, Operation::List, |config| {
                let mut entries: Vec<_> = config.specs.iter().map(|size| size.entry()).collect();
                entries.sort_by_key(|entry| (entry.vcpu, entry.ram_mib, entry.disk_gib));
                Ok(entries)
            })
        })
    }

    fn get_spec(id: &str, token: &LocalToken) -> Result<SpecEntry> {
        with(token, |cloud| {
            cloud.consult(Subject::Spec, Operation::Get, |config| {
                let found = config.specs.iter().find(|size| size.id == id);
                found.map(|size| size.entry()).ok_or_else(|| Error::not_found(format!("no spec `{id}`")))
            })
        })
    }
}

impl Image for EmulatedCloud {
    fn get_all_images(token: &LocalToken) -> Result<Vec<ImageEntry>> {
        with(token, |cloud| {
            cloud.consult(Subject::Image, Operation::List, |config| {
                Ok(config.images.iter().map(|image| image.entry()).collect())
            })
        })
    }

    fn get_image(id: &str, token: &LocalToken) -> Result<ImageEntry> {
        with(token, |cloud| {
            cloud.consult(Subject::Image, Operation::Get, |config| {
                let found = image(&config.images, id);
                found.map(|image| image.entry()).ok_or_else(|| Error::not_found(format!("no image `{id}`")))
            })
        })
    }
}
