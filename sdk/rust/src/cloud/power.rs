//! Power actions on virtual machines.

use super::{Known, OrderRef};
use crate::bindings::common::archipel::host::types::Error as WitError;
use crate::bindings::compute_power::exports::archipel::cloud::compute_power;
use crate::credentials::LocalToken;
use crate::error::{Error, Result};
use crate::panics::call;

/// Interface `archipel:cloud/compute-power`. The actions that a driver has are named in the manifest
/// (`"drivers": {"compute": {..., "actions": ["stop", "start"]}}`); the host calls no others.
///
/// Accepted is enough: the host looks with [`Driver::get_instance`](super::Driver::get_instance) until the status shows what
/// came of it. After a crash or a lost answer an action comes again, so what is so already, or on its way, is no error.
/// A machine in a state that does not allow it is `conflict`: the order goes back with the error as its fault. A machine that is busy
/// with something that passes is `transient`: the host asks again.
///
/// ```
/// use archipel_sdk::prelude::*;
///
/// struct MyCloud;
///
/// impl ComputePower for MyCloud {
///     fn stop(machine: Known<'_>, _: &LocalToken) -> Result<()> {
///         archipel_sdk::info!(machine = machine.id; "told to shut down");
///         Ok(())
///     }
/// }
/// ```
pub trait ComputePower {
    /// Freezes it in memory: `ready` to `paused`.
    ///
    /// # Errors
    /// When the cloud did not accept.
    fn pause(machine: Known<'_>, token: &LocalToken) -> Result<()> {
        unsupported("pause", machine, token)
    }

    /// Wakes it from memory or disk: `paused` or `hibernated` to `ready`.
    ///
    /// # Errors
    /// When the cloud did not accept.
    fn resume(machine: Known<'_>, token: &LocalToken) -> Result<()> {
        unsupported("resume", machine, token)
    }

    /// Shuts it down, letting its system end by itself where the cloud can: `ready` to `stopped`.
    ///
    /// # Errors
    /// When the cloud did not accept.
    fn stop(machine: Known<'_>, token: &LocalToken) -> Result<()> {
        unsupported("stop", machine, token)
    }

    /// Starts it after it was shut down: `stopped` to `ready`.
    ///
    /// # Errors
    /// When the cloud did not accept.
    fn start(machine: Known<'_>, token: &LocalToken) -> Result<()> {
        unsupported("start", machine, token)
    }

    /// Shuts it down and starts it, letting its system end by itself where the cloud can. After a crash it may come twice.
    ///
    /// # Errors
    /// When the cloud did not accept.
    fn reboot(machine: Known<'_>, token: &LocalToken) -> Result<()> {
        unsupported("reboot", machine, token)
    }

    /// Saves it to disk: `ready` to `hibernated`.
    ///
    /// # Errors
    /// When the cloud did not accept.
    fn hibernate(machine: Known<'_>, token: &LocalToken) -> Result<()> {
        unsupported("hibernate", machine, token)
    }
}

fn unsupported(action: &str, _: Known<'_>, _: &LocalToken) -> Result<()> {
    Err(Error::unsupported(format!("this driver has no {action}; its manifest must not name it")))
}

/// What crosses the boundary.
type Answer<T> = std::result::Result<T, WitError>;

macro_rules! guest {
    ($($action:ident)*) => {
        impl<T: ComputePower> compute_power::Guest for T {
            $(fn $action(id: String, state: String, order: OrderRef, token: &LocalToken) -> Answer<()> {
                let machine = Known { id: &id, driver_state: &state, order: &order };
                call(|| <T as ComputePower>::$action(machine, token))
            })*
        }
    };
}

guest!(pause resume stop start reboot hibernate);
