//! What the components of the corpus share. Each is a driver with a quota: asking for the quota is the attack.

pub use archipel_sdk;
use archipel_sdk::cloud::QuotaEntry;
use archipel_sdk::prelude::*;

/// What a component attacks with.
#[derive(Debug, Default, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// A server that is granted.
    pub granted: String,
    /// A server that is not.
    pub forbidden: String,
}

/// One attack.
pub trait Attack {
    /// Tries it. What it returns is what it got.
    ///
    /// # Errors
    /// What the host said.
    fn attack(config: &Config) -> Result<String>;
}

/// Asking for the quota.
///
/// # Errors
/// What the attack came to.
pub fn quota<A: Attack>() -> Result<Vec<QuotaEntry>> {
    let name = A::attack(&archipel_sdk::config()?)?;
    Ok(vec![QuotaEntry { name, total: None, used: 1 }])
}

/// Makes a component of an attack.
#[macro_export]
macro_rules! component {
    ($attack:ident) => {
        impl $crate::archipel_sdk::cloud::Quota for $attack {
            fn get_user_quota(
                _: &$crate::archipel_sdk::prelude::LocalToken,
            ) -> $crate::archipel_sdk::Result<::std::vec::Vec<$crate::archipel_sdk::cloud::QuotaEntry>> {
                $crate::quota::<$attack>()
            }
        }

        $crate::archipel_sdk::export! {
            $attack: Quota;
            manifest = {
                "capabilities": {
                    "hosts": [{ "discovered": "attacks", "reason": "attacks what it reaches" }],
                    "secrets": [{ "name": "*", "reason": "attacks with what it holds" }],
                    "storage": { "bytes": 65536, "reason": "attacks the disk" },
                },
                "config_schema": { "type": "object" },
            }
        }
    };
}
