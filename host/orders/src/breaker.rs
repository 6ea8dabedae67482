//! One circuit breaker per cloud: a cloud that does not answer is left alone for a while instead of being asked by every
//! order in turn, each waiting for its deadline in one of the cloud's slots.
//!
//! | state | calls | goes to |
//! |---|---|---|
//! | closed | all | open, when so many in a row were not answered |
//! | open | none | half-open, after its time |
//! | half-open | one at a time, the probe | closed, when it is answered; open for twice as long, when it is not |
//!
//! What counts is silence: connections refused, deadlines, 5xx. An answer is a sign of life whatever it says, so one user's
//! `forbidden` or a quota that is used up never closes a cloud to others; so is a cloud that says when to come back. What
//! went wrong on this side (a plugin that traps or is away) says nothing about the cloud.
//!
//! Orders that meet an open circuit are unreachable, as with any cloud that is away, and nothing was done for them.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use archipel_model::{CloudName, Error, ErrorKind};
use tokio::time::Instant;

use crate::figures::{BreakerState, QueueFigures};
use crate::pace;
use crate::settings::Settings;

/// Those that come while the probe is out ask again after so long.
const PROBING: Duration = Duration::from_secs(1);

/// What a call tells of the cloud.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Heard {
    Answer,
    Silence,
    Nothing,
}

impl Heard {
    fn of(error: Option<&Error>) -> Self {
        let Some(error) = error else { return Self::Answer };
        if !is_failure(error) {
            return Self::Answer;
        }
        match error.code.as_deref() {
            Some("plugin-deadline") => Self::Silence,
            Some(code) if code.starts_with("plugin-") || code == "driver-defect" => Self::Nothing,
            _ if error.retry_after.is_some() => Self::Answer,
            _ => Self::Silence,
        }
    }
}

/// Whether the call came to nothing, rather than to an answer of the cloud.
fn is_failure(error: &Error) -> bool {
    matches!(error.kind, ErrorKind::Transient | ErrorKind::Internal)
}

#[derive(Clone, Copy, Debug, Default)]
enum State {
    #[default]
    Closed,
    Open {
        until: Instant,
    },
    /// The probe is out.
    Probing,
}

/// One cloud's.
#[derive(Debug, Default)]
struct Circuit {
    state: State,
    /// Calls in a row that were not answered.
    silences: u64,
    /// Openings since the last answer.
    openings: u32,
    figures: Counted,
}

#[derive(Clone, Copy, Debug, Default)]
struct Counted {
    ok: u64,
    refused: u64,
    failed: u64,
    opened: u64,
}

impl Circuit {
    /// How long nobody may ask; `None`: now. Whether it is the probe then.
    fn wait(&self, now: Instant) -> Result<bool, Duration> {
        match self.state {
            State::Closed => Ok(false),
            State::Open { until } if now < until => Err(until - now),
            State::Open { .. } => Ok(true),
            State::Probing => Err(PROBING),
        }
    }

    fn heard(&mut self, heard: Heard, is_probe: bool, now: Instant, settings: &Settings) {
        match heard {
            Heard::Answer => (self.state, self.silences, self.openings) = (State::Closed, 0, 0),
            Heard::Nothing if is_probe => self.state = State::Open { until: now },
            Heard::Nothing => {}
            Heard::Silence => {
                self.silences = self.silences.saturating_add(1);
                let opens = match self.state {
                    State::Closed => self.silences >= settings.breaker_from.max(1),
                    State::Open { .. } | State::Probing => is_probe,
                };
                if opens {
                    self.openings = self.openings.saturating_add(1);
                    self.figures.opened = self.figures.opened.saturating_add(1);
                    let (first, most) =
                        (Settings::ms(settings.breaker_first_ms), Settings::ms(settings.breaker_most_ms));
                    self.state = State::Open { until: now + pace::backoff(first, most, self.openings) };
                }
            }
        }
    }
}

/// The circuits of all clouds.
#[derive(Debug, Default)]
pub(crate) struct Breakers(Mutex<BTreeMap<CloudName, Circuit>>);

impl Breakers {
    /// Whether the cloud may be asked now.
    ///
    /// # Errors
    /// `transient` with the code `cloud-silent` and a time.
    pub(crate) fn check(&self, cloud: &CloudName) -> Result<(), Error> {
        let waits = self.circuits().get(cloud).map(|circuit| circuit.wait(Instant::now()));
        match waits {
            Some(Err(wait)) => Err(silent(cloud, wait)),
            _ => Ok(()),
        }
    }

    /// Lets one call through.
    ///
    /// # Errors
    /// As [`Breakers::check`].
    pub(crate) fn enter<'a>(
        &'a self,
        cloud: &'a CloudName,
        settings: &'a Settings,
    ) -> Result<Passage<'a>, Error> {
        let mut circuits = self.circuits();
        let is_probe = match circuits.get_mut(cloud) {
            None => false,
            Some(circuit) => {
                let is_probe = circuit.wait(Instant::now()).map_err(|wait| silent(cloud, wait))?;
                if is_probe {
                    circuit.state = State::Probing;
                }
                is_probe
            }
        };
        Ok(Passage { breakers: self, cloud, settings, is_probe, has_ended: false })
    }

    /// Puts what is known of a cloud into its figures.
    pub(crate) fn tell(&self, cloud: &CloudName, figures: &mut QueueFigures) {
        let circuits = self.circuits();
        let Some(circuit) = circuits.get(cloud) else { return };
        figures.calls_ok = circuit.figures.ok;
        figures.calls_refused = circuit.figures.refused;
        figures.calls_failed = circuit.figures.failed;
        figures.silences_in_a_row = circuit.silences;
        figures.breaker_opened = circuit.figures.opened;
        let now = Instant::now();
        figures.breaker = match circuit.state {
            State::Closed => BreakerState::Closed,
            State::Open { until } if now < until => BreakerState::Open,
            State::Open { .. } | State::Probing => BreakerState::HalfOpen,
        };
        figures.asked_again_in_ms = match circuit.state {
            State::Open { until } => {
                u64::try_from(until.saturating_duration_since(now).as_millis()).unwrap_or(u64::MAX)
            }
            _ => 0,
        };
    }

    /// Clouds of which anything is known.
    pub(crate) fn clouds(&self) -> Vec<CloudName> {
        self.circuits().keys().cloned().collect()
    }

    fn circuits(&self) -> MutexGuard<'_, BTreeMap<CloudName, Circuit>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn end(&self, passage: &Passage<'_>, error: Option<&Error>, heard: Heard) {
        let mut circuits = self.circuits();
        if !circuits.contains_key(passage.cloud) {
            circuits.insert(passage.cloud.clone(), Circuit::default());
        }
        let Some(circuit) = circuits.get_mut(passage.cloud) else { return };
        let was_open = !matches!(circuit.state, State::Closed);
        match error {
            None => circuit.figures.ok += 1,
            Some(error) if is_failure(error) => circuit.figures.failed += 1,
            Some(_) => circuit.figures.refused += 1,
        }
        circuit.heard(heard, passage.is_probe, Instant::now(), passage.settings);
        let is_open = !matches!(circuit.state, State::Closed);
        drop(circuits);
        match (was_open, is_open) {
            (false, true) => {
                let error = error.map(|error| error.message.as_str()).unwrap_or_default();
                tracing::warn!(cloud = %passage.cloud, error, "the cloud does not answer; only probes are sent until it does");
            }
            (true, false) => tracing::info!(cloud = %passage.cloud, "the cloud answers again"),
            _ => {}
        }
    }
}

/// One call on its way. Dropped without an end, it has told nothing.
pub(crate) struct Passage<'a> {
    breakers: &'a Breakers,
    cloud: &'a CloudName,
    settings: &'a Settings,
    is_probe: bool,
    has_ended: bool,
}

impl Passage<'_> {
    /// The call was answered so.
    pub(crate) fn ended(mut self, error: Option<&Error>) {
        self.has_ended = true;
        self.breakers.end(&self, error, Heard::of(error));
    }
}

impl Drop for Passage<'_> {
    fn drop(&mut self) {
        if !self.has_ended
            && self.is_probe
            && let Some(circuit) = self.breakers.circuits().get_mut(self.cloud)
        {
            circuit.heard(Heard::Nothing, true, Instant::now(), self.settings);
        }
    }
}

fn silent(cloud: &CloudName, wait: Duration) -> Error {
    Error::transient(format!("cloud {cloud} does not answer; it is asked again by itself"))
        .code("cloud-silent")
        .retry_after(wait)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cloud() -> CloudName {
        "east".parse().unwrap()
    }

    fn down() -> Error {
        Error::transient("connection refused")
    }

    fn call(breakers: &Breakers, error: Option<&Error>) {
        breakers.enter(&cloud(), &Settings::default()).unwrap().ended(error);
    }

    fn state(breakers: &Breakers) -> BreakerState {
        let mut figures = QueueFigures::default();
        breakers.tell(&cloud(), &mut figures);
        figures.breaker
    }

    #[tokio::test(start_paused = true)]
    async fn silence_opens_it_one_probe_is_let_through_and_an_answer_closes_it() {
        let (breakers, settings) = (Breakers::default(), Settings::default());
        for _ in 0..settings.breaker_from {
            assert_eq!(state(&breakers), BreakerState::Closed);
            call(&breakers, Some(&down()));
        }
        assert_eq!(state(&breakers), BreakerState::Open);
        let refused = breakers.check(&cloud()).unwrap_err();
        assert!(refused.has_code("cloud-silent") && refused.retry_after.is_some(), "{refused:?}");
        tokio::time::sleep(Settings::ms(settings.breaker_first_ms)).await;
        assert_eq!(state(&breakers), BreakerState::HalfOpen);
        let (cloud, other) = (cloud(), "west".parse().unwrap());
        let probe = breakers.enter(&cloud, &settings).unwrap();
        assert!(breakers.enter(&cloud, &settings).is_err() && breakers.check(&cloud).is_err());
        assert!(breakers.check(&other).is_ok());
        probe.ended(Some(&down()));
        assert_eq!(state(&breakers), BreakerState::Open);
        tokio::time::sleep(Settings::ms(2 * settings.breaker_first_ms)).await;
        call(&breakers, Some(&Error::forbidden("not you")));
        assert_eq!(state(&breakers), BreakerState::Closed, "a refusal is an answer");
        call(&breakers, Some(&down()));
        assert_eq!(state(&breakers), BreakerState::Closed, "counted anew");
    }

    #[tokio::test(start_paused = true)]
    async fn what_one_user_may_not_and_what_breaks_on_this_side_open_nothing() {
        for error in [
            Error::forbidden("not you"),
            Error::unauthenticated("expired"),
            Error::not_found("no such project"),
            Error::permanent("no such image"),
            Error::new(ErrorKind::QuotaExceeded, "full"),
            Error::transient("slow down").retry_after(Duration::from_secs(1)),
            Error::transient("the plugin trapped").code("plugin-trap"),
            Error::transient("quarantined").code("plugin-away").retry_after(Duration::from_secs(1)),
        ] {
            let breakers = Breakers::default();
            (0..100).for_each(|_| call(&breakers, Some(&error)));
            assert_eq!(state(&breakers), BreakerState::Closed, "{error:?}");
        }
        let breakers = Breakers::default();
        for _ in 0..100 {
            (0..4).for_each(|_| call(&breakers, Some(&down())));
            call(&breakers, Some(&Error::forbidden("not you")));
        }
        assert_eq!(state(&breakers), BreakerState::Closed, "it answers one in five");
    }

    #[tokio::test(start_paused = true)]
    async fn its_time_doubles_to_its_end_and_a_probe_that_is_given_up_blocks_nobody() {
        let (breakers, settings, cloud) = (Breakers::default(), Settings::default(), cloud());
        (0..settings.breaker_from).for_each(|_| call(&breakers, Some(&down())));
        for _ in 0..12 {
            let wait = breakers.check(&cloud).unwrap_err().retry_after.unwrap();
            assert!(wait <= Settings::ms(settings.breaker_most_ms));
            tokio::time::sleep(wait).await;
            drop(breakers.enter(&cloud, &settings).unwrap());
            call(&breakers, Some(&down()));
        }
        let wait = breakers.check(&cloud).unwrap_err().retry_after.unwrap();
        assert!(wait >= Settings::ms(settings.breaker_most_ms) / 2, "{wait:?}");
    }
}
