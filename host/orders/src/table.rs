//! The one table of an order's transitions. A transition that is not in it cannot be written: [`crate::draft`] builds every
//! commit and asks [`TABLE`] first. The page `STATES.md` is made of this table and tested against it.

use archipel_model::order::State;
use archipel_model::transition::{Table, Transition};

use State::{
    Closed, Closing, FailedAfterRequest, FailedOnRequest, Fulfilled, Hibernated, Hibernating, Open, Paused,
    Pausing, Resuming, Selected, Spawning, Stopped, Stopping, Waiting,
};

/// What brings a transition about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Why {
    /// A request was accepted.
    Accepted,
    /// Something it needs is not there yet.
    MustWait,
    /// What it waited for is there.
    WaitOver,
    /// The user's deadline.
    DeadlinePassed,
    /// What it rests on will not be.
    DependencyFailed,
    /// Refused before the cloud was asked.
    RefusedBefore,
    /// Taken by the scheduler.
    Taken,
    /// The cloud made it, or it was found and adopted.
    Made,
    /// An attempt that is known to have done nothing.
    NothingDone,
    /// The cloud's quota is used up and the user waits for it.
    QuotaUsedUp,
    /// The cloud refused.
    Refused,
    /// It is ready.
    Ready,
    /// The cloud calls it failed.
    Broke,
    /// It is confirmed gone.
    Vanished,
    /// A later poll finds it healthy.
    HealthyAgain,
    /// A user asked for an action.
    Asked,
    /// The action ended.
    Done,
    /// The action was refused or took too long.
    Undone,
    /// A poll finds it so.
    Found,
    /// A user deletes it.
    Deleted,
    /// Its lease is over.
    LeaseOver,
    /// What it rests on is being deleted.
    Cascade,
    /// Not found twice.
    Gone,
    /// The cloud was never asked, so nothing can be there.
    NeverRequested,
    /// An administrator gave it up.
    Forgotten,
}

const fn row(from: &'static [State], to: State, why: Why, when: &'static str) -> Transition<State, Why> {
    Transition { from, to, why, when }
}

const ANY_BUT_CLOSED: &[State] = &[
    Open,
    Waiting,
    Selected,
    Spawning,
    Fulfilled,
    Pausing,
    Paused,
    Stopping,
    Stopped,
    Hibernating,
    Hibernated,
    Resuming,
    FailedOnRequest,
    FailedAfterRequest,
];

const MADE: &[State] =
    &[Spawning, Fulfilled, Pausing, Paused, Stopping, Stopped, Hibernating, Hibernated, Resuming];

/// On the way from one power state to another.
const SWITCHING: &[State] = &[Pausing, Stopping, Hibernating, Resuming];

/// The table.
pub const TABLE: Table<State, Why> =
    Table { rows: ROWS, phrases: &[(ANY_BUT_CLOSED, "any but closing and closed")] };

const ROWS: &[Transition<State, Why>] = &[
    row(&[], Open, Why::Accepted, "accepted: one durable commit"),
    row(&[Open], Waiting, Why::MustWait, "a dependency is not satisfied yet, or the cloud is in maintenance"),
    row(&[Waiting], Open, Why::WaitOver, "what it waited for is there, but it cannot be taken yet"),
    row(&[Open, Waiting], FailedOnRequest, Why::DeadlinePassed, "the deadline passed"),
    row(
        &[Open, Waiting],
        FailedOnRequest,
        Why::DependencyFailed,
        "a dependency failed, is closing or closed",
    ),
    row(
        &[Open, Waiting],
        FailedOnRequest,
        Why::RefusedBefore,
        "the mapper refuses the user, or no driver of the cloud has the kind: the cloud was not asked",
    ),
    row(
        &[Open, Waiting],
        Selected,
        Why::Taken,
        "taken by the scheduler; account and time are written before the cloud is called",
    ),
    row(&[Selected], Spawning, Why::Made, "the driver returned an instance, or one was found and adopted"),
    row(
        &[Selected],
        Open,
        Why::NothingDone,
        "a transient error known to have done nothing, or settled and nothing found",
    ),
    row(&[Selected], Waiting, Why::QuotaUsedUp, "the cloud's quota is used up and the order waits for it"),
    row(&[Selected], FailedOnRequest, Why::Refused, "the cloud refused for good"),
    row(&[Selected], FailedOnRequest, Why::DeadlinePassed, "the deadline passed and nothing was found"),
    row(&[Spawning], Fulfilled, Why::Ready, "ready"),
    row(&[Spawning], FailedAfterRequest, Why::DeadlinePassed, "the deadline passed before it was ready"),
    row(MADE, FailedAfterRequest, Why::Broke, "the cloud calls the instance failed"),
    row(MADE, FailedAfterRequest, Why::Vanished, "the instance is confirmed gone"),
    row(&[FailedAfterRequest], Fulfilled, Why::HealthyAgain, "a later poll finds it healthy"),
    row(&[Fulfilled], Pausing, Why::Asked, "asked to pause"),
    row(&[Fulfilled], Stopping, Why::Asked, "asked to stop"),
    row(&[Fulfilled], Hibernating, Why::Asked, "asked to hibernate"),
    row(&[Paused, Stopped, Hibernated], Resuming, Why::Asked, "asked to resume or start"),
    row(&[Pausing], Paused, Why::Done, "paused"),
    row(&[Stopping], Stopped, Why::Done, "stopped"),
    row(&[Hibernating], Hibernated, Why::Done, "hibernated"),
    row(&[Resuming], Fulfilled, Why::Done, "running again"),
    row(
        &[Pausing, Stopping, Hibernating],
        Fulfilled,
        Why::Undone,
        "refused or timed out: back, with a fault",
    ),
    row(&[Resuming], Paused, Why::Undone, "refused or timed out: back, with a fault"),
    row(&[Resuming], Stopped, Why::Undone, "refused or timed out: back, with a fault"),
    row(&[Resuming], Hibernated, Why::Undone, "refused or timed out: back, with a fault"),
    row(&[Paused, Stopped, Hibernated], Fulfilled, Why::Found, "the poll finds it running"),
    row(&[Fulfilled, Stopped, Hibernated], Paused, Why::Found, "the poll finds it paused"),
    row(&[Fulfilled, Paused, Hibernated], Stopped, Why::Found, "the poll finds it stopped"),
    row(&[Fulfilled, Paused, Stopped], Hibernated, Why::Found, "the poll finds it hibernated"),
    row(SWITCHING, Paused, Why::Found, "on the way elsewhere, the poll finds it paused"),
    row(SWITCHING, Stopped, Why::Found, "on the way elsewhere, the poll finds it stopped"),
    row(SWITCHING, Hibernated, Why::Found, "on the way elsewhere, the poll finds it hibernated"),
    row(ANY_BUT_CLOSED, Closing, Why::Deleted, "deleted by a user"),
    row(ANY_BUT_CLOSED, Closing, Why::LeaseOver, "the lease and its grace are over"),
    row(ANY_BUT_CLOSED, Closing, Why::Cascade, "what it rests on is being deleted with all that rests on it"),
    row(
        &[Closing],
        Closed,
        Why::NeverRequested,
        "the cloud was never asked, or is known to have made nothing",
    ),
    row(&[Closing], Closed, Why::Gone, "not found twice, at least `settle` apart"),
    row(&[Closing], Closed, Why::Forgotten, "an administrator gave it up, with a reason"),
];

/// The table as `STATES.md`.
pub fn markdown() -> String {
    format!(
        "# States of an order\n\n\
         Made from `src/table.rs` by `cargo test -p archipel-orders`; a transition that is not here cannot be written.\n\
         `design/orders.md` says what each means.\n\n{}",
        TABLE.markdown()
    )
}

#[cfg(test)]
mod tests {
    use archipel_model::power::PowerAction;

    use super::*;

    #[test]
    fn the_page_of_states_is_what_the_table_says() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/STATES.md");
        if std::env::var_os("ARCHIPEL_WRITE_DOCS").is_some() {
            std::fs::write(path, markdown()).unwrap();
        }
        let page = std::fs::read_to_string(path).unwrap_or_default();
        assert_eq!(page, markdown(), "run this test with ARCHIPEL_WRITE_DOCS=1 to write the page anew");
    }

    #[test]
    fn every_state_can_be_reached_all_but_closed_can_be_left_and_no_row_is_there_twice() {
        assert_eq!(TABLE.defects(State::ALL, &[Closed]), Vec::<String>::new());
    }

    #[test]
    fn every_order_that_is_not_closed_can_be_deleted() {
        for state in State::ALL.iter().filter(|state| !matches!(state, Closing | Closed)) {
            assert!(TABLE.find(Some(*state), Closing, Why::Deleted).is_ok(), "{state}");
        }
    }

    #[test]
    fn every_power_action_can_be_asked_for_done_and_undone_wherever_it_is_allowed() {
        for action in PowerAction::ALL {
            let Some(through) = action.through() else { continue };
            assert!(TABLE.find(Some(through), action.leads_to(), Why::Done).is_ok(), "{action}");
            for from in action.allowed_in() {
                assert!(TABLE.find(Some(*from), through, Why::Asked).is_ok(), "{action} in {from}");
                assert!(TABLE.find(Some(through), *from, Why::Undone).is_ok(), "{action} in {from}");
            }
        }
    }

    #[test]
    fn a_transition_that_is_not_in_the_table_is_refused() {
        assert!(TABLE.find(Some(Closed), Open, Why::WaitOver).is_err());
        assert!(TABLE.find(Some(Open), Fulfilled, Why::Ready).is_err());
        assert!(TABLE.find(Some(FailedOnRequest), Open, Why::NothingDone).is_err());
        assert!(TABLE.find(None, Selected, Why::Taken).is_err());
        assert!(TABLE.find(Some(Spawning), Pausing, Why::Asked).is_err());
    }
}
