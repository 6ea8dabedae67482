//! Scripted: what a healthy cloud does not do.
