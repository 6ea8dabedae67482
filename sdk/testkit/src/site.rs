//! A site in a folder that goes with it.

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::{Archipel, Error, Running};

/// A site that is not served yet.
#[derive(Debug)]
pub struct Site {
    pub(crate) archipel: Archipel,
    folder: TempDir,
}

impl Site {
    /// A site with this site file. `listen = "127.0.0.1:0"` takes a free port.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn new(archipel: Archipel, site_file: &str) -> Result<Self, Error> {
        let folder = tempfile::Builder::new().prefix("archipel-testkit-").tempdir()?;
        fs::create_dir(folder.path().join("plugins"))?;
        fs::write(folder.path().join("site.toml"), site_file)?;
        Ok(Self { archipel, folder })
    }

    /// Drops a component into the plugin folder as `NAME.wasm`, whole or not at all.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn drop_plugin(&self, name: &str, component: impl AsRef<Path>) -> Result<(), Error> {
        let plugins = self.folder().join("plugins");
        let beside = plugins.join(format!(".{name}.part"));
        fs::copy(component, &beside)?;
        fs::rename(&beside, plugins.join(format!("{name}.wasm")))?;
        Ok(())
    }

    /// Starts it, and returns when it is ready. It ends when [`Running`] is dropped.
    ///
    /// # Errors
    /// [`Error::NotReady`] with the end of its log.
    pub fn serve(&self) -> Result<Running, Error> {
        Running::start(self)
    }

    /// Its folder: `site.toml`, `plugins/`, `data/`.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn file(&self) -> PathBuf {
        self.folder().join("site.toml")
    }
}
