//! Between the types of WIT 0.1 and those of `archipel-model`, in both directions. Nothing that a plugin answers is
//! believed further than this: lengths, counts and control characters are checked here, once.

mod aaa;
mod cloud;
mod text;

pub(crate) use aaa::*;
pub(crate) use cloud::*;
pub(crate) use text::*;
