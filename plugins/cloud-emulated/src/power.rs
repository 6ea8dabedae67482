//! The power of a machine: what it is by the clock, and what may be asked of it.
//!
//! | asked | of one that is | on the way | then |
//! |---|---|---|---|
//! | pause | active | pausing | paused |
//! | stop | active | stopping | stopped |
//! | hibernate | active | hibernating | hibernated |
//! | reboot | active | rebooting | active |
//! | resume | paused, hibernated | resuming | active |
//! | start | stopped | starting | active |
//!
//! What is so already, or on its way there, may be asked for again and stays as it is. Anything else while it is on the way
//! passes (`transient`), and of a machine that is in no such state it is a conflict.

use archipel_sdk::cloud::Status;
use archipel_sdk::{Error, Result};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// What can be asked of a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Action {
    Pause,
    Resume,
    Stop,
    Start,
    Reboot,
    Hibernate,
}

/// A steady state of its power.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Level {
    #[default]
    Active,
    Paused,
    Stopped,
    Hibernated,
}

/// Its power as it is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct Power {
    /// What it is, or will be when the last action has ended.
    level: Level,
    /// The last action.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    last: Option<Change>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Change {
    action: Action,
    done_at: u64,
}

/// Its power at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Now {
    /// Steady.
    Is(Level),
    /// On the way, and for how long.
    Switching(Action, u64),
}

impl Action {
    fn from(self) -> &'static [Level] {
        match self {
            Action::Pause | Action::Stop | Action::Hibernate | Action::Reboot => &[Level::Active],
            Action::Resume => &[Level::Paused, Level::Hibernated],
            Action::Start => &[Level::Stopped],
        }
    }

    fn to(self) -> Level {
        match self {
            Action::Pause => Level::Paused,
            Action::Stop => Level::Stopped,
            Action::Hibernate => Level::Hibernated,
            Action::Resume | Action::Start | Action::Reboot => Level::Active,
        }
    }

    /// The cloud's word while it is on the way.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Action::Pause => "pausing",
            Action::Resume => "resuming",
            Action::Stop => "stopping",
            Action::Start => "starting",
            Action::Reboot => "rebooting",
            Action::Hibernate => "hibernating",
        }
    }
}

impl Level {
    /// The cloud's word.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Level::Active => "active",
            Level::Paused => "paused",
            Level::Stopped => "stopped",
            Level::Hibernated => "hibernated",
        }
    }

    /// As the contract has it.
    pub(crate) fn status(self) -> Status {
        match self {
            Level::Active => Status::Ready,
            Level::Paused => Status::Paused,
            Level::Stopped => Status::Stopped,
            Level::Hibernated => Status::Hibernated,
        }
    }
}

impl Power {
    /// What it is at `now`.
    pub(crate) fn at(&self, now: u64) -> Now {
        match self.last {
            Some(Change { action, done_at }) if now < done_at => {
                Now::Switching(action, done_at.saturating_sub(now))
            }
            _ => Now::Is(self.level),
        }
    }

    /// What it becomes when `action` is asked for at `now` and takes so long; none = it is so, or on its way there.
    pub(crate) fn after(&self, action: Action, now: u64, takes_ms: u64) -> Result<Option<Power>> {
        match self.at(now) {
            Now::Switching(under_way, _) if under_way == action => Ok(None),
            Now::Switching(under_way, left_ms) => {
                let error = Error::transient(format!("the machine is {}; try again", under_way.word()));
                Err(error.retry_after(Duration::from_millis(left_ms)))
            }
            Now::Is(level) if action.from().contains(&level) => Ok(Some(Power {
                level: action.to(),
                last: Some(Change { action, done_at: now.saturating_add(takes_ms) }),
            })),
            Now::Is(level) if level == action.to() => Ok(None),
            Now::Is(level) => {
                let from: Vec<_> = action.from().iter().map(|level| level.word()).collect();
                Err(Error::conflict(format!("the machine is {}, not {}", level.word(), from.join(" or "))))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use archipel_sdk::ErrorKind;

    const ALL: [Action; 6] =
        [Action::Pause, Action::Resume, Action::Stop, Action::Start, Action::Reboot, Action::Hibernate];

    fn of(level: Level) -> Power {
        Power { level, last: None }
    }

    #[test]
    fn every_action_of_the_table_goes_by_the_clock() {
        for action in ALL {
            for from in action.from() {
                let power = of(*from).after(action, 1000, 300).unwrap().unwrap();
                assert_eq!(power.at(1299), Now::Switching(action, 1), "{action:?}");
                assert_eq!(power.at(1300), Now::Is(action.to()), "{action:?}");
            }
        }
    }

    #[test]
    fn what_is_so_or_on_its_way_is_left_alone_and_what_cannot_be_is_a_conflict() {
        for action in ALL {
            for level in [Level::Active, Level::Paused, Level::Stopped, Level::Hibernated] {
                let asked = of(level).after(action, 0, 1);
                match (action.from().contains(&level), action.to() == level) {
                    (true, _) => assert!(asked.unwrap().is_some()),
                    (false, true) => assert_eq!(asked.unwrap(), None),
                    (false, false) => assert_eq!(asked.unwrap_err().kind(), ErrorKind::Conflict),
                }
            }
            let under_way = of(action.from()[0]).after(action, 0, 100).unwrap().unwrap();
            assert_eq!(under_way.after(action, 50, 100).unwrap(), None);
        }
    }

    #[test]
    fn what_is_asked_while_another_thing_is_under_way_passes() {
        let stopping = of(Level::Active).after(Action::Stop, 0, 100).unwrap().unwrap();
        let error = stopping.after(Action::Start, 40, 100).unwrap_err();
        assert_eq!(
            (error.kind(), error.message()),
            (ErrorKind::Transient, "the machine is stopping; try again")
        );
        assert_eq!(error.retry_after_time(), Some(Duration::from_millis(60)));
        let starting = stopping.after(Action::Start, 100, 100).unwrap().unwrap();
        assert_eq!(starting.at(200), Now::Is(Level::Active));
    }
}
