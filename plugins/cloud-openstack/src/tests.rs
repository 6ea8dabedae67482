//! The driver over scripted worlds.
