//! Bounds of the process itself.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// No core dumps, which would hold every secret; as many open files as the system lets us have.
pub(crate) fn prepare() {
    let none = Rlimit { current: Some(0), maximum: Some(0) };
    if let Err(error) = setrlimit(Resource::Core, none) {
        tracing::warn!(%error, "core dumps could not be switched off");
    }
    let files = getrlimit(Resource::Nofile);
    let all = Rlimit { current: files.maximum, maximum: files.maximum };
    if let Err(error) = setrlimit(Resource::Nofile, all) {
        tracing::warn!(%error, "the number of open files could not be raised");
    }
}
