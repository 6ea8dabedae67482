//! Whole-system tests: a started daemon, real components, real peers.
