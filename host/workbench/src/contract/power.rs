//! `archipel:cloud/compute-power`: each action that the manifest names, there and back.

use archipel_model::order::Status;
use archipel_model::power::PowerAction;

use super::instances::{Made, Tried};
use super::worked;
use crate::report::{Report, Tested};

/// There and back: an action, where it leads, and what undoes it.
const WAYS: [(PowerAction, Status, PowerAction); 3] = [
    (PowerAction::Stop, Status::Stopped, PowerAction::Start),
    (PowerAction::Pause, Status::Paused, PowerAction::Resume),
    (PowerAction::Hibernate, Status::Hibernated, PowerAction::Resume),
];

const INTERFACE: &str = "compute-power";

/// Tries every action on a machine that is ready, and leaves it so.
pub(super) async fn check(tried: &Tried<'_>, made: &Made, report: &mut Report) {
    let Some(power) = tried.cloud.power.as_ref().filter(|_| tried.bench.has("cloud/compute-power")) else {
        return;
    };
    let has = power.actions().to_vec();
    for (there, leads_to, back) in WAYS {
        if has.contains(&there) && has.contains(&back) {
            let contract = match there {
                PowerAction::Stop => {
                    "stop and start lead to stopped and ready; asked twice they are no error"
                }
                PowerAction::Pause => {
                    "pause and resume lead to paused and ready; asked twice they are no error"
                }
                _ => "hibernate and resume lead to hibernated and ready; asked twice they are no error",
            };
            report.note(INTERFACE, contract, way(tried, made, there, leads_to, back).await);
        }
    }
    if has.contains(&PowerAction::Reboot) {
        report.note(INTERFACE, "reboot leads to ready", reboot(tried, made).await);
    }
}

async fn act(tried: &Tried<'_>, made: &Made, action: PowerAction) -> Tested {
    let Some(power) = &tried.cloud.power else { return Ok(()) };
    let answer =
        power.act(action, &made.created.id, &made.created.driver_state, &made.order, &tried.token).await;
    worked(action.as_str(), answer)
}

async fn way(
    tried: &Tried<'_>,
    made: &Made,
    there: PowerAction,
    leads_to: Status,
    back: PowerAction,
) -> Tested {
    for (action, status) in [(there, leads_to), (back, Status::Ready)] {
        act(tried, made, action).await?;
        tried.until(made, status).await?;
        act(tried, made, action).await?;
        tried.until(made, status).await?;
    }
    Ok(())
}

async fn reboot(tried: &Tried<'_>, made: &Made) -> Tested {
    act(tried, made, PowerAction::Reboot).await?;
    tried.until(made, Status::Ready).await.map(drop)
}
