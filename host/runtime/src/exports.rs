//! Which interfaces a component exports, as indices that make finding a function cheap.
//!
//! `GuestIndices::new` looks at names only; types are compared by `load`. So a trial loads every export once
//! ([`Exports::load_all`]) before a plugin goes live.

use archipel_bindings::latest::exports::archipel as wit;
use wasmtime::component::{Instance, InstancePre};
use wasmtime::{AsContextMut, Result};

use crate::explain::Checked;
use crate::host::CallState;
use crate::refusal::Refusal;

macro_rules! exports {
    ($($(#[$doc:meta])* $field:ident: $module:path = $name:literal,)+) => {
        /// What a plugin exports.
        pub(crate) struct Exports {
            $($(#[$doc])* pub(crate) $field: Option<guest::$field::GuestIndices>,)+
        }

        mod guest {
            $(pub(super) use $module as $field;)+
        }

        impl Exports {
            /// Finds what the component exports.
            pub(crate) fn find(pre: &InstancePre<CallState>, checked: &Checked) -> std::result::Result<Self, Refusal> {
                let contract = |error: wasmtime::Error| Refusal::Contract(format!("{error:#}"));
                Ok(Self {
                    $($field: if checked.exports($name) {
                        Some(guest::$field::GuestIndices::new(pre).map_err(contract)?)
                    } else {
                        None
                    },)+
                })
            }

            /// Compares the types of every export with the contract.
            pub(crate) fn load_all(&self, mut store: impl AsContextMut, instance: &Instance) -> Result<()> {
                $(if let Some(indices) = &self.$field {
                    indices.load(&mut store, instance).map_err(|error| error.context($name))?;
                })+
                Ok(())
            }
        }
    };
}

exports! {
    token_generator: super::wit::aaa::token_generator = "archipel:aaa/token-generator@0.1.0",
    federation_identity: super::wit::aaa::federation_identity = "archipel:aaa/federation-identity@0.1.0",
    authentication: super::wit::aaa::authentication = "archipel:aaa/authentication@0.1.0",
    authorization: super::wit::aaa::authorization = "archipel:aaa/authorization@0.1.0",
    mapper: super::wit::aaa::federation_to_local_mapper = "archipel:aaa/federation-to-local-mapper@0.1.0",
    compute: super::wit::cloud::compute = "archipel:cloud/compute@0.1.0",
    compute_power: super::wit::cloud::compute_power = "archipel:cloud/compute-power@0.1.0",
    volume: super::wit::cloud::volume = "archipel:cloud/volume@0.1.0",
    network: super::wit::cloud::network = "archipel:cloud/network@0.1.0",
    attachment: super::wit::cloud::attachment = "archipel:cloud/attachment@0.1.0",
    quota: super::wit::cloud::quota = "archipel:cloud/quota@0.1.0",
    spec: super::wit::cloud::spec = "archipel:cloud/spec@0.1.0",
    image: super::wit::cloud::image = "archipel:cloud/image@0.1.0",
    scenario: super::wit::benchmark::scenario = "archipel:benchmark/scenario@0.1.0",
    lifecycle: super::wit::plugin::lifecycle = "archipel:plugin/lifecycle@0.1.0",
}
