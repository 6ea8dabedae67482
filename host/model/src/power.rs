//! Power actions on machines: which there are, in which states an order takes each, and where each leads.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::order::State;
use crate::{Error, Timestamp};

macro_rules! actions {
    ($($(#[$doc:meta])* $name:ident = $word:literal,)*) => {
        /// What can be asked of a machine that is there.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum PowerAction {
            $($(#[$doc])* #[serde(rename = $word)] $name,)*
        }

        impl PowerAction {
            /// Every action there is.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// The word for it.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $word,)* }
            }
        }
    };
}

actions! {
    /// Freeze it in memory.
    Pause = "pause",
    /// Wake it from paused or hibernated.
    Resume = "resume",
    /// Shut it down.
    Stop = "stop",
    /// Wake it from stopped.
    Start = "start",
    /// Start it anew.
    Reboot = "reboot",
    /// Save it to disk.
    Hibernate = "hibernate",
}

impl PowerAction {
    /// The states in which an order takes it.
    pub const fn allowed_in(self) -> &'static [State] {
        match self {
            Self::Pause | Self::Stop | Self::Hibernate | Self::Reboot => &[State::Fulfilled],
            Self::Resume => &[State::Paused, State::Hibernated],
            Self::Start => &[State::Stopped],
        }
    }

    /// The state of the order while it is under way. A reboot has none: the machine is the same before and after, and
    /// what rests on it need not wait, so the order stays fulfilled and [`Order::power`](crate::order::Order::power) alone tells of it.
    pub const fn through(self) -> Option<State> {
        match self {
            Self::Pause => Some(State::Pausing),
            Self::Stop => Some(State::Stopping),
            Self::Hibernate => Some(State::Hibernating),
            Self::Resume | Self::Start => Some(State::Resuming),
            Self::Reboot => None,
        }
    }

    /// The state to which it leads.
    pub const fn leads_to(self) -> State {
        match self {
            Self::Pause => State::Paused,
            Self::Stop => State::Stopped,
            Self::Hibernate => State::Hibernated,
            Self::Resume | Self::Start | Self::Reboot => State::Fulfilled,
        }
    }
}

impl fmt::Display for PowerAction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for PowerAction {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        Self::ALL.iter().copied().find(|action| action.as_str() == text).ok_or_else(|| {
            let known: Vec<&str> = Self::ALL.iter().map(|action| action.as_str()).collect();
            Error::invalid(format!("unknown action {text:?}; write one of {}", known.join(", ")))
        })
    }
}

/// An action under way: written before the cloud is asked, gone when it ended, however it ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Power {
    /// Which.
    pub action: PowerAction,
    /// The steady state in which it was asked for: there the order goes back to when it is refused.
    pub from: State,
    /// When it was asked for.
    pub since: Timestamp,
    /// When the cloud accepted it; `None` = it was not asked yet, or what it answered is not known.
    pub accepted_at: Option<Timestamp>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_action_reads_back_its_own_word() {
        for action in PowerAction::ALL {
            assert_eq!(action.as_str().parse::<PowerAction>().unwrap(), *action);
            assert_eq!(serde_json::to_value(action).unwrap(), action.as_str());
        }
        assert_eq!(
            "suspend".parse::<PowerAction>().unwrap_err().message,
            "unknown action \"suspend\"; write one of pause, resume, stop, start, reboot, hibernate"
        );
    }

    #[test]
    fn every_action_begins_and_ends_in_a_steady_state_and_passes_one_that_is_not() {
        for action in PowerAction::ALL {
            assert!(action.allowed_in().iter().all(|state| state.is_settled()), "{action}");
            assert!(action.leads_to().is_settled(), "{action}");
            assert!(action.through().is_none_or(|state| !state.is_settled()), "{action}");
        }
    }
}
