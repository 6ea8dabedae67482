//! From the site file and the catalogue to one immutable generation.
//!
//! First every place that wants a plugin is listed ([`wants`]), then each is admitted, then the generation is put
//! together from what was admitted; a place whose plugin cannot serve gets an [`Away`] that names the reason.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use archipel_model::SiteId;
use archipel_model::order::Kind;
use archipel_model::plugin::{DriverDescriptor, InstanceDriver, TokenGenerator};
use archipel_model::site::{AuthorizationBinding, CloudBinding, Generation, IdentityBinding};
use sha2::{Digest, Sha256};

use crate::adapt::{AttachmentDriver, Component, ComputeDriver, NetworkDriver, Power, VolumeDriver};
use crate::admission::Want;
use crate::away::Away;
use crate::call::Binding;
use crate::config::{CloudConfig, CloudInterface, IdentityConfig, RuntimeConfig};
use crate::limits::to_usize;
use crate::shadow::Shadowed;

const GENERATOR: &str = "archipel:aaa/token-generator@0.1.0";
const IDENTITY: &str = "archipel:aaa/federation-identity@0.1.0";
const AUTHENTICATION: &str = "archipel:aaa/authentication@0.1.0";
const AUTHORIZATION: &str = "archipel:aaa/authorization@0.1.0";
const MAPPER: &str = "archipel:aaa/federation-to-local-mapper@0.1.0";

/// The interface behind a cloud's word for it.
const fn cloud_interface(interface: CloudInterface) -> &'static str {
    match interface {
        CloudInterface::Compute => "archipel:cloud/compute@0.1.0",
        CloudInterface::ComputePower => "archipel:cloud/compute-power@0.1.0",
        CloudInterface::Volume => "archipel:cloud/volume@0.1.0",
        CloudInterface::Network => "archipel:cloud/network@0.1.0",
        CloudInterface::Attachment => "archipel:cloud/attachment@0.1.0",
        CloudInterface::Quota => "archipel:cloud/quota@0.1.0",
        CloudInterface::Spec => "archipel:cloud/spec@0.1.0",
        CloudInterface::Image => "archipel:cloud/image@0.1.0",
    }
}

/// Admitted bindings, or why not, by binding name.
pub(crate) type Admitted = BTreeMap<String, Result<Arc<Binding>, String>>;

fn identity_binding(config: &IdentityConfig, plugin: &str) -> String {
    format!("identity/{}/{plugin}", config.name)
}

fn authorization_binding(plugin: &str) -> String {
    format!("authorization/{plugin}")
}

fn mapper_binding(config: &CloudConfig) -> String {
    format!("cloud/{}/mapper/{}", config.name, config.mapper)
}

fn driver_binding(config: &CloudConfig, plugin: &str) -> String {
    format!("cloud/{}/{plugin}", config.name)
}

/// Every place that wants a plugin.
pub(crate) fn wants(config: &RuntimeConfig) -> Vec<Want> {
    let aaa = to_usize(config.limits.aaa_concurrency);
    let mut wants: Vec<Want> = Vec::new();
    for identity in &config.identity {
        let roles = [
            (identity.generator.as_deref(), GENERATOR),
            (identity.identity_plugin(), IDENTITY),
            (identity.authentication_plugin(), AUTHENTICATION),
        ];
        for (plugin, interface) in roles {
            let Some(plugin) = plugin else { continue };
            let binding = identity_binding(identity, plugin);
            if let Some(known) = wants.iter_mut().find(|want| want.binding == binding) {
                known.needs.push(interface);
                continue;
            }
            wants.push(Want {
                binding,
                place: format!("identity/{}", identity.name),
                plugin: plugin.to_owned(),
                needs: vec![interface],
                config: identity.config.clone(),
                concurrency: aaa,
                shadow_of: None,
            });
        }
    }
    for link in &config.authorization {
        wants.push(Want {
            binding: authorization_binding(&link.plugin),
            place: "authorization".to_owned(),
            plugin: link.plugin.clone(),
            needs: vec![AUTHORIZATION],
            config: link.config.clone(),
            concurrency: aaa,
            shadow_of: None,
        });
    }
    for cloud in &config.cloud {
        wants.push(Want {
            binding: mapper_binding(cloud),
            place: format!("cloud/{} (mapper)", cloud.name),
            plugin: cloud.mapper.clone(),
            needs: vec![MAPPER],
            config: cloud.mapper_config.clone(),
            concurrency: aaa,
            shadow_of: None,
        });
        let mut plugins: BTreeMap<&str, Vec<&'static str>> =
            BTreeMap::from([(cloud.driver.as_str(), Vec::new())]);
        for (interface, plugin) in &cloud.interfaces {
            plugins.entry(plugin).or_default().push(cloud_interface(*interface));
        }
        for (plugin, needs) in plugins {
            wants.push(Want {
                binding: driver_binding(cloud, plugin),
                place: format!("cloud/{}", cloud.name),
                plugin: plugin.to_owned(),
                needs,
                config: cloud.config.clone(),
                concurrency: cloud.concurrency,
                shadow_of: None,
            });
        }
    }
    let shadows: Vec<Want> = wants.iter().filter_map(|want| shadow(config, want)).collect();
    wants.extend(shadows);
    wants
}

/// What a candidate is wanted for beside a place: whatever of it can have a shadow.
fn shadow(config: &RuntimeConfig, want: &Want) -> Option<Want> {
    let candidate = config.candidate_of(&want.plugin)?;
    let is_identity = want.place.starts_with("identity/");
    (!is_identity).then(|| Want {
        binding: shadow_binding(&want.binding),
        place: format!("shadow of {} in {}", want.plugin, want.place),
        plugin: candidate.to_owned(),
        needs: want.needs.clone(),
        config: want.config.clone(),
        concurrency: crate::shadow::AT_ONCE,
        shadow_of: Some(want.binding.clone()),
    })
}

fn shadow_binding(binding: &str) -> String {
    format!("shadow/{binding}")
}

/// Puts a generation together.
pub(crate) fn generation(
    number: u64,
    site: &SiteId,
    config: &RuntimeConfig,
    admitted: &Admitted,
) -> Generation {
    let parts = Parts { admitted };
    let mut aaa_away = BTreeSet::new();
    let identity = config.identity.iter().map(|binding| parts.identity(binding, &mut aaa_away)).collect();
    let authorization = config
        .authorization
        .iter()
        .map(|link| {
            let name = authorization_binding(&link.plugin);
            let found = parts.find(&name, &link.plugin);
            parts.note(&found, &link.plugin, "authorization", &mut aaa_away);
            AuthorizationBinding {
                name: link.plugin.clone(),
                component: found
                    .as_ref()
                    .map(|binding| binding.context.digest.to_string())
                    .unwrap_or_default(),
                digest: parts.digest(&[&name]),
                plugin: match found {
                    Ok(binding) => match parts.shadow(&name) {
                        Some(candidate) => Arc::new(Shadowed { serving: Component(binding), candidate }),
                        None => Arc::new(Component(binding)),
                    },
                    Err(away) => Arc::new(away),
                },
            }
        })
        .collect();
    if config.authorization.is_empty() {
        aaa_away
            .insert("authorization: the chain is empty; add [[authorization]] to the site file".to_owned());
    }
    if config.identity.is_empty() {
        aaa_away.insert("identity: nobody can log in; add [[identity]] to the site file".to_owned());
    }
    let clouds =
        config.cloud.iter().map(|cloud| (cloud.name.clone(), Arc::new(parts.cloud(cloud)))).collect();
    Generation {
        number,
        site: site.clone(),
        identity,
        authorization,
        clouds,
        aaa_away: aaa_away.into_iter().collect(),
    }
}

struct Parts<'a> {
    admitted: &'a Admitted,
}

impl Parts<'_> {
    fn find(&self, binding: &str, plugin: &str) -> Result<Arc<Binding>, Away> {
        match self.admitted.get(binding) {
            Some(Ok(binding)) => Ok(Arc::clone(binding)),
            Some(Err(reason)) => Err(Away::new(plugin, reason)),
            None => Err(Away::new(plugin, "there is no such file in the plugins' folder")),
        }
    }

    /// The candidate that stands in a binding's shadow. One that cannot be admitted is not there: nobody waits for it.
    fn shadow(&self, binding: &str) -> Option<Arc<Binding>> {
        let candidate = self.admitted.get(&shadow_binding(binding))?;
        candidate.as_ref().ok().map(Arc::clone)
    }

    fn note(
        &self,
        found: &Result<Arc<Binding>, Away>,
        plugin: &str,
        place: &str,
        aaa_away: &mut BTreeSet<String>,
    ) {
        match found {
            Err(away) => {
                aaa_away.insert(format!("{place}: plugin {plugin}: {}", away.reason()));
            }
            Ok(binding) => {
                if let Some(quarantine) = binding.plugin.supervisor.quarantine(std::time::Instant::now()) {
                    aaa_away
                        .insert(format!("{place}: plugin {plugin} is quarantined: {}", quarantine.reason));
                }
            }
        }
    }

    /// Caches are keyed by it: bytes, configuration and grants of every binding behind a thing.
    fn digest(&self, bindings: &[&str]) -> String {
        let mut hash = Sha256::new();
        for name in bindings {
            hash.update(name.as_bytes());
            if let Some(Ok(binding)) = self.admitted.get(*name) {
                hash.update(binding.context.digest.as_bytes());
                hash.update(binding.context.config_json.as_bytes());
                hash.update(format!("{:?}", binding.context.grants).as_bytes());
            }
            hash.update([0]);
        }
        hex::encode(hash.finalize())
    }

    fn identity(&self, config: &IdentityConfig, aaa_away: &mut BTreeSet<String>) -> IdentityBinding {
        let place = format!("identity/{}", config.name);
        let mut find = |plugin: &str| {
            let found = self.find(&identity_binding(config, plugin), plugin);
            self.note(&found, plugin, &place, aaa_away);
            found
        };
        let (reads, judges) = (
            config.identity_plugin().unwrap_or_default(),
            config.authentication_plugin().unwrap_or_default(),
        );
        let identity = find(reads);
        let authentication = find(judges);
        let generator: Option<Arc<dyn TokenGenerator>> =
            config.generator_plugin().and_then(|plugin| match find(plugin) {
                // A plugin that does the rest need not make tokens too.
                Ok(binding) if binding.image.exports.token_generator.is_none() => None,
                Ok(binding) => Some(Arc::new(Component(binding)) as Arc<dyn TokenGenerator>),
                Err(away) => Some(Arc::new(away)),
            });
        let names = [reads, judges, config.generator_plugin().unwrap_or_default()]
            .map(|plugin| identity_binding(config, plugin));
        IdentityBinding {
            name: config.name.clone(),
            issuers: config.issuers.clone(),
            generator,
            identity: match identity {
                Ok(binding) => Arc::new(Component(binding)),
                Err(away) => Arc::new(away),
            },
            authentication: match authentication {
                Ok(binding) => Arc::new(Component(binding)),
                Err(away) => Arc::new(away),
            },
            digest: self.digest(&names.each_ref().map(String::as_str)),
        }
    }

    fn cloud(&self, config: &CloudConfig) -> CloudBinding {
        let mapper = self.find(&mapper_binding(config), &config.mapper);
        let driver = self.find(&driver_binding(config, &config.driver), &config.driver);
        let away = driver.as_ref().err().map(|away| format!("plugin {}: {}", config.driver, away.reason()));
        let mut cloud = CloudBinding {
            name: config.name.clone(),
            driver: config.driver.clone(),
            region: config.region.clone(),
            concurrency: config.concurrency,
            state: config.state,
            sweep: config.sweep,
            mapper: match mapper {
                Ok(binding) => match self.shadow(&mapper_binding(config)) {
                    Some(candidate) => Arc::new(Shadowed { serving: Component(binding), candidate }),
                    None => Arc::new(Component(binding)),
                },
                Err(away) => Arc::new(away),
            },
            mapper_name: config.mapper.clone(),
            mapper_digest: self.digest(&[&mapper_binding(config)]),
            drivers: BTreeMap::new(),
            power: None,
            networks: None,
            quota: None,
            specs: None,
            images: None,
            away,
        };
        for interface in CloudInterface::ALL {
            let found = match config.interfaces.get(&interface) {
                Some(plugin) => self.find(&driver_binding(config, plugin), plugin),
                None => driver.clone(),
            };
            match found {
                Ok(binding) => {
                    serve(&mut cloud, interface, &binding);
                    let plugin = config.interfaces.get(&interface).unwrap_or(&config.driver);
                    if let Some(candidate) = self.shadow(&driver_binding(config, plugin)) {
                        shade(&mut cloud, interface, &binding, &candidate);
                    }
                }
                Err(away) => stand_in(&mut cloud, interface, &away),
            }
        }
        cloud
    }
}

/// Fills the slots of one interface, where the plugin exports it.
fn serve(cloud: &mut CloudBinding, interface: CloudInterface, binding: &Arc<Binding>) {
    if !binding.plugin.interfaces.iter().any(|exported| exported == cloud_interface(interface)) {
        return;
    }
    let component = || Component(Arc::clone(binding));
    let driven = |kind: Kind| -> Option<(Kind, DriverDescriptor)> {
        binding.plugin.manifest.drivers.get(kind.as_str()).map(|driven| (kind, driven.descriptor()))
    };
    let binding = Arc::clone(binding);
    match interface {
        CloudInterface::Compute => {
            if let Some((kind, descriptor)) = driven(Kind::Compute) {
                cloud.drivers.insert(kind, Arc::new(ComputeDriver { binding, descriptor }));
            }
        }
        CloudInterface::ComputePower => {
            let actions = binding.plugin.manifest.drivers.get(Kind::Compute.as_str());
            let actions = actions.map(|driven| driven.actions.clone()).unwrap_or_default();
            cloud.power = Some(Arc::new(Power { binding, actions }));
        }
        CloudInterface::Volume => {
            if let Some((kind, descriptor)) = driven(Kind::Volume) {
                cloud.drivers.insert(kind, Arc::new(VolumeDriver { binding, descriptor }));
            }
        }
        CloudInterface::Network => {
            cloud.networks = Some(Arc::new(component()));
            if let Some((kind, descriptor)) = driven(Kind::Network) {
                cloud.drivers.insert(kind, Arc::new(NetworkDriver { binding, descriptor }));
            }
        }
        CloudInterface::Attachment => {
            if let Some((kind, descriptor)) = driven(Kind::Attachment) {
                cloud.drivers.insert(kind, Arc::new(AttachmentDriver { binding, descriptor }));
            }
        }
        CloudInterface::Quota => cloud.quota = Some(Arc::new(component())),
        CloudInterface::Spec => cloud.specs = Some(Arc::new(component())),
        CloudInterface::Image => cloud.images = Some(Arc::new(component())),
    }
}

/// Puts a candidate beside an interface that only looks, where both versions export it.
fn shade(
    cloud: &mut CloudBinding,
    interface: CloudInterface,
    binding: &Arc<Binding>,
    candidate: &Arc<Binding>,
) {
    let exports = |binding: &Binding| {
        binding.plugin.interfaces.iter().any(|exported| exported == cloud_interface(interface))
    };
    if !exports(binding) || !exports(candidate) {
        return;
    }
    let shadowed = || Shadowed { serving: Component(Arc::clone(binding)), candidate: Arc::clone(candidate) };
    match interface {
        CloudInterface::Quota => cloud.quota = Some(Arc::new(shadowed())),
        CloudInterface::Spec => cloud.specs = Some(Arc::new(shadowed())),
        CloudInterface::Image => cloud.images = Some(Arc::new(shadowed())),
        CloudInterface::Network => cloud.networks = Some(Arc::new(shadowed())),
        CloudInterface::Compute
        | CloudInterface::ComputePower
        | CloudInterface::Volume
        | CloudInterface::Attachment => {}
    }
}

fn stand_in(cloud: &mut CloudBinding, interface: CloudInterface, away: &Away) {
    let driver = || Arc::new(away.clone()) as Arc<dyn InstanceDriver>;
    match interface {
        CloudInterface::Compute => drop(cloud.drivers.insert(Kind::Compute, driver())),
        CloudInterface::ComputePower => cloud.power = Some(Arc::new(away.clone())),
        CloudInterface::Volume => drop(cloud.drivers.insert(Kind::Volume, driver())),
        CloudInterface::Network => {
            cloud.networks = Some(Arc::new(away.clone()));
            cloud.drivers.insert(Kind::Network, driver());
        }
        CloudInterface::Attachment => drop(cloud.drivers.insert(Kind::Attachment, driver())),
        CloudInterface::Quota => cloud.quota = Some(Arc::new(away.clone())),
        CloudInterface::Spec => cloud.specs = Some(Arc::new(away.clone())),
        CloudInterface::Image => cloud.images = Some(Arc::new(away.clone())),
    }
}
