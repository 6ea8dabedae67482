//! The data directory: the daemon's alone, with the administrator's socket and the note that tells others it is ready.

use std::fs::{DirBuilder, Permissions};
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use serde_json::json;
use tokio::net::UnixListener;

use crate::output::Failure;

/// Longest path of a socket on Linux (`sun_path`, less the final zero).
const MOST_SOCKET_PATH: usize = 107;

/// Parts of the data directory.
#[derive(Clone, Debug)]
pub(crate) struct DataDir(PathBuf);

impl DataDir {
    /// Makes it where it is missing (0700); refuses one that others may write.
    pub(crate) fn open(path: &Path) -> Result<Self, Failure> {
        let wrong = |reason: &dyn std::fmt::Display| {
            Failure::environment(format!("site.data_dir: {}: {reason}", path.display()))
        };
        DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(|error| wrong(&error))?;
        let mode = std::fs::metadata(path).map_err(|error| wrong(&error))?.permissions().mode();
        if mode & 0o022 != 0 {
            return Err(wrong(&format!(
                "others may write into it (mode {:o}); run chmod 700 on it",
                mode & 0o777
            )));
        }
        Ok(Self(path.to_owned()))
    }

    pub(crate) fn keys(&self) -> PathBuf {
        self.0.join("keys")
    }

    pub(crate) fn store(&self) -> PathBuf {
        self.0.join("store")
    }

    pub(crate) fn compiled(&self) -> PathBuf {
        self.0.join("aot")
    }

    fn ready(&self) -> PathBuf {
        self.0.join("ready.json")
    }

    /// Listens at the administrator's socket (0600). Call it with the store open: only then is a socket that is there
    /// already certainly nobody's.
    pub(crate) fn listen(&self) -> Result<UnixListener, Failure> {
        let path = archipel_client::admin_socket(&self.0);
        let wrong =
            |reason: &dyn std::fmt::Display| Failure::environment(format!("{}: {reason}", path.display()));
        if path.as_os_str().len() > MOST_SOCKET_PATH {
            return Err(wrong(&format!(
                "a socket's path has at most {MOST_SOCKET_PATH} bytes; choose a shorter site.data_dir"
            )));
        }
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(wrong(&error)),
            _ => {}
        }
        let listener = UnixListener::bind(&path).map_err(|error| wrong(&error))?;
        std::fs::set_permissions(&path, Permissions::from_mode(0o600)).map_err(|error| wrong(&error))?;
        Ok(listener)
    }

    /// Notes where the site is served, for programs that start it with port 0.
    pub(crate) fn announce(&self, url: &str) -> Result<(), Failure> {
        let note = json!({"url": url, "pid": std::process::id()});
        let beside = self.0.join("ready.json.new");
        std::fs::write(&beside, note.to_string())
            .and_then(|()| std::fs::rename(&beside, self.ready()))
            .map_err(|error| Failure::environment(format!("{}: {error}", self.ready().display())))
    }

    /// Takes the note and the socket away: nobody is here any more.
    pub(crate) fn withdraw(&self) {
        for path in [self.ready(), archipel_client::admin_socket(&self.0)] {
            let _ = std::fs::remove_file(path);
        }
    }

    /// Takes a note of an earlier start away, which a crash left.
    pub(crate) fn forget_earlier(&self) {
        let _ = std::fs::remove_file(self.ready());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(result: Result<impl Sized, Failure>) -> String {
        match result {
            Err(Failure::Environment(message)) => message,
            _ => panic!(),
        }
    }

    #[tokio::test]
    async fn the_folder_and_the_socket_belong_to_the_daemon_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/data");
        let data = DataDir::open(&path).unwrap();
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&path), 0o700);
        drop(data.listen().unwrap());
        let _again = data.listen().unwrap();
        assert_eq!(mode(&path.join("admin.sock")), 0o600);
        std::fs::set_permissions(&path, Permissions::from_mode(0o770)).unwrap();
        assert!(
            message(DataDir::open(&path))
                .ends_with("others may write into it (mode 770); run chmod 700 on it")
        );
    }

    #[test]
    fn a_path_too_long_for_a_socket_is_told_so() {
        let data = DataDir(PathBuf::from("/").join("x".repeat(120)));
        assert!(message(data.listen()).contains("choose a shorter site.data_dir"));
    }
}
