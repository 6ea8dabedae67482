//! The whole cloud over a world that tests control.

mod behaviour;
mod crashes;
mod fake;
mod faulty;
mod ledgers;
mod powers;
mod races;
